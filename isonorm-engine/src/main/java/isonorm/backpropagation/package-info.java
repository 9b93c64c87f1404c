/**
 * The functions of a model with their backward passes, on the kernels: what {@link isonorm.backpropagation.Network} computes of a batch,
 * and the gradient of the loss with respect to each of its {@link isonorm.backpropagation.Parameters}.
 *
 * <p>Who takes steps with these gradients, and what a run writes, is {@code isonorm.train}, of which nothing here knows.
 */
package isonorm.backpropagation;
