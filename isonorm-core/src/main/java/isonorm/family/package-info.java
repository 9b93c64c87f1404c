/**
 * The model families as Hugging Face writes them. A {@link isonorm.family.Family} turns a config.json into an
 * {@link isonorm.architecture.Architecture} and a {@link isonorm.family.Naming}, which names its tensors by role; everything
 * else in Isonorm sees only those. {@code LoadedModel} opens a checkpoint of any of them.
 */
package isonorm.family;
