/**
 * Exact rewrites of models, and writing what they give. A {@link isonorm.rewrite.Rewrite} takes a model and gives an equal one, by
 * {@link isonorm.rewrite.Operation}s on single matrices; {@link isonorm.rewrite.TensorWriting} writes a tensor of the result.
 *
 * <p>Rewrites work on lazy matrices in float64, so a chain of them rounds once, when a tensor is written.
 */
package isonorm.rewrite;
