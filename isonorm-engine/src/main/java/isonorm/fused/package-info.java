/**
 * Runs a {@link isonorm.weights.Model} that is wholly in memory, as fast as this processor can.
 *
 * <p>What {@link isonorm.layer} does one operation after the other, for any type, is here done by the kernels of
 * {@link isonorm.kernel} with matrix products in between, in float32 or bfloat16. The two must agree; the tests hold one to the
 * other.
 */
package isonorm.fused;
