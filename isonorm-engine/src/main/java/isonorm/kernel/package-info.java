/**
 * Kernels for the CPU that are bound by memory, not by arithmetic: norms with the residual sum, activations, softmax, rotary
 * embeddings, products of a matrix with few vectors, attention of one query.
 *
 * <p>{@link isonorm.kernel.Kernels} does the work, on {@link isonorm.kernel.Rows}, which are views of native memory, and on
 * {@link isonorm.kernel.Values}, one float a row or column. A block's second norm with the sum before it:
 *
 * <pre>{@code
 * Rows stream = Rows.of(segment, Type.BF16, tokens, width);
 * Kernels.provider().addNorm(stream, branch, Values.of(bias), Normalization.of(NormKind.RMS, 1e-5), normalized);
 * }</pre>
 *
 * <p>Both implementations give the same results but for the order of summation; {@link isonorm.kernel.Kernels#reason()} says which
 * one runs and why.
 */
package isonorm.kernel;
