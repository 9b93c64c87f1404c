/**
 * How fast the kernels are, as bytes that have to move per nanosecond, which is GB/s. Every figure is to be read beside
 * {@link isonorm.bench.kernel.Bandwidth} of the same run, since what memory gives changes by the hour.
 *
 * <pre>
 * isonorm-bench/run kernel.Benchmarks                 all of them
 * isonorm-bench/run kernel.Benchmarks MatrixVector Bandwidth
 * isonorm-bench/run kernel.Bandwidth                  the probe alone
 * </pre>
 */
package isonorm.bench.kernel;
