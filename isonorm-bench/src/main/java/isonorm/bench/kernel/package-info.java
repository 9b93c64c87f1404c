/**
 * How fast the kernels are, as bytes that have to move per nanosecond, which is GB/s. Every figure is to be read beside
 * {@link isonorm.bench.ReadBandwidth}, measured beside it, since what memory gives changes by the hour.
 *
 * <pre>
 * isonorm-bench/run kernel.Benchmarks                 all of them
 * isonorm-bench/run kernel.Benchmarks MatrixVector
 * isonorm-bench/run ReadBandwidth
 * </pre>
 */
package isonorm.bench.kernel;
