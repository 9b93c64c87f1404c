/**
 * What a Transformer is made of, as values: an {@link isonorm.architecture.Architecture} says everything a forward pass
 * needs to know, and names each of its parameters by {@link isonorm.architecture.Role}.
 *
 * <p>Nothing here knows the name of a model family. The kind of a norm, where it stands and what it applies are separate
 * values, so that a form of a model is a combination of them and not a class.
 */
package isonorm.architecture;
