package isonorm.measure;

import isonorm.architecture.Role;
import isonorm.convert.Conversion;
import isonorm.convert.LoadedModel;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.layer.ForwardPass;
import isonorm.layer.Runner;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.tensor.Products;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Quantization;
import isonorm.weights.Slabs;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * GPTQ (Frantar et al. 2023): a layer's inputs are rounded one after the other, and what one is off by is put right on those that follow, as far as
 * the second moments H of what the layer reads say that it can be. With {@code H = R R^T}, R upper triangular, and {@code U = R^-1}, input i is off by
 * {@code e = (w_i - q_i) / U_ii}, and {@code w_j -= e U_ij} for all j behind it. Inputs with the largest moments go first; scales are those of rounding to
 * the nearest, and stay.
 *
 * <p>Moments are those of the model's own inputs, not of one whose blocks in front are rounded already.
 */
public final class Gptq {

    /** Of the mean of H's diagonal, added to it, so that directions that were hardly seen don't get all errors. */
    private static final double DAMPING = .01;

    /** So many outputs go through the inputs together: then a row of U is read from a near cache. */
    private static final int TOGETHER = 16;

    private static final int TURNED = 64; // rows that become columns together

    private final LoadedModel source;
    private final Conversion.Bits bits;
    private final Set<Role> wanted;
    private final Map<Role, double[]> moments = new LinkedHashMap<>();
    private final Map<String, Conversion.Codes> codes = new LinkedHashMap<>();
    private final List<Errors> errors = new ArrayList<>();

    private Gptq(LoadedModel source, Conversion.Bits bits) {
        this.source = source;
        this.bits = bits;
        Set<String> paths = bits.layersOf(source);
        this.wanted = Model.of(source.model()).weights().keySet().stream().filter(role -> paths.contains(role.path())).collect(Collectors.toSet());
    }

    /**
     * How far the outputs of a layer are off, over the calibration inputs: squares, summed.
     *
     * @param matrix the path of its weight
     * @param outputs of the layer itself
     * @param chosen by which GPTQ's outputs are off
     * @param rounded by which those of rounding to the nearest are
     */
    public record Errors(String matrix, double outputs, double chosen, double rounded) {}

    /** Codes and scales by the paths of their matrices, and what they do. */
    public record Chosen(Map<String, Conversion.Codes> codes, List<Errors> errors) {

        /** The root of the mean square error of outputs, relative to theirs. */
        public double error() {
            return Math.sqrt(errors.stream().mapToDouble(each -> each.chosen / each.outputs).average().orElse(0));
        }

        /** The same of rounding to the nearest. */
        public double errorOfRounding() {
            return Math.sqrt(errors.stream().mapToDouble(each -> each.rounded / each.outputs).average().orElse(0));
        }
    }

    /**
     * Chooses the codes of a model's layers by some inputs.
     *
     * @throws IllegalArgumentException of a model of two stacks
     */
    public static Chosen of(LoadedModel source, Conversion.Bits bits, StreamBasis.Inputs inputs, Progress progress) throws IOException {
        StreamBasis.require(source.model());
        return new Gptq(source, bits).run(inputs, progress);
    }

    private Chosen run(StreamBasis.Inputs inputs, Progress progress) throws IOException {
        List<Batch> batches = new ArrayList<>();
        for (int number = 0; number < inputs.count(); number++) {
            batches.add(inputs.batch(number));
        }
        try (Runner pass = ForwardPass.listening(Model.of(source.model()), Compute.F32, this::reads)) {
            for (Result result : pass.run(batches, progress)) {
                result.close();
            }
        }
        finish();
        return new Chosen(codes, errors);
    }

    /** Layers of one block come before those of the next, so moments of one block are enough. */
    private void reads(Role role, Rows x) {
        if (!wanted.contains(role)) {
            return;
        }
        if (moments.keySet().stream().anyMatch(other -> other.block() != role.block())) {
            try {
                finish();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        add(x, moments.computeIfAbsent(role, _ -> new double[Math.multiplyExact(x.columns(), x.columns())]));
    }

    /** Adds {@code X^T X} of some rows: products in float32, sums of them in float64. */
    private static void add(Rows x, double[] into) {
        int d = x.columns();
        try (Arena arena = Arena.ofShared()) {
            Rows transposed = Rows.allocate(arena, Type.F32, d, x.rows(), x.rows());
            double[] row = new double[d];
            double[] column = new double[TURNED];
            double[] some = new double[TURNED * d];
            for (int t = 0; t < x.rows(); t += TURNED) {
                int count = Math.min(TURNED, x.rows() - t);
                for (int k = 0; k < count; k++) {
                    x.read(t + k, 0, d, row);
                    System.arraycopy(row, 0, some, k * d, d);
                }
                for (int i = 0; i < d; i++) {
                    for (int k = 0; k < count; k++) {
                        column[k] = some[k * d + i];
                    }
                    transposed.write(i, t, count, column);
                }
            }
            Rows product = Rows.allocate(arena, Type.F32, d, d, d);
            Products.product(transposed, transposed, true, product);
            for (int i = 0; i < d; i++) {
                product.read(i, 0, d, row);
                for (int j = 0; j < d; j++) {
                    into[i * d + j] += row[j];
                }
            }
        }
    }

    private void finish() throws IOException {
        for (Map.Entry<Role, double[]> each : moments.entrySet()) {
            String path = each.getKey().path();
            Layer layer = layer(Model.of(source.model()).weight(each.getKey()), each.getValue(), new Quantization(bits.layers(), bits.group()));
            codes.put(path, new Conversion.Codes(layer.codes, layer.scales));
            errors.add(new Errors(path, layer.outputs, layer.chosen, layer.rounded));
        }
        moments.clear();
    }

    /** A matrix in few bits, and squares of its outputs and of their errors, over the rows that the moments are of. */
    @SuppressWarnings("ArrayRecordComponent") // nobody compares them
    record Layer(byte[] codes, short[] scales, double outputs, double chosen, double rounded) {}

    /** Chooses a matrix's codes by the moments of its inputs. */
    static Layer layer(Matrix matrix, double[] h, Quantization quantization) throws IOException {
        int rows = matrix.rows();
        int d = matrix.columns();
        int groups = quantization.groups(d);
        byte[] chosen = new byte[Math.multiplyExact(rows, d)];
        byte[] rounded = new byte[chosen.length];
        short[] scales = new short[rows * groups];
        int[] order = order(h, d);
        double[] root = root(h, d, order);
        double[] inverse = inverse(root, d);
        double[][] sums = new double[3][rows];
        matrix.prepare();
        try {
            Slabs.forEach(rows, TOGETHER, (first, count) -> {
                double[] w = new double[count * d];
                matrix.read(first, count, w);
                for (int r = 0; r < count; r++) {
                    quantization.round(w, r * d, d, rounded, (first + r) * d, scales, (first + r) * groups);
                }
                double[] permuted = new double[count * d];
                double[] scale = new double[count * d];
                for (int r = 0; r < count; r++) {
                    for (int i = 0; i < d; i++) {
                        permuted[r * d + i] = w[r * d + order[i]];
                        scale[r * d + i] = Float.float16ToFloat(scales[(first + r) * groups + order[i] / quantization.group()]);
                    }
                }
                double[] original = permuted.clone();
                double[] near = new double[count * d];
                double[] q = rounded(permuted, scale, inverse, d, count, quantization);
                for (int r = 0; r < count; r++) {
                    for (int i = 0; i < d; i++) {
                        int at = r * d + i;
                        int to = (first + r) * d + order[i];
                        chosen[to] = quantization.code(q[at], scale[at]);
                        near[at] = original[at] - rounded[to] * scale[at];
                        q[at] = original[at] - q[at];
                    }
                }
                square(original, root, d, count, sums[0], first);
                square(q, root, d, count, sums[1], first);
                square(near, root, d, count, sums[2], first);
            });
        } finally {
            matrix.release();
        }
        return new Layer(chosen, scales, Arrays.stream(sums[0]).sum(), Arrays.stream(sums[1]).sum(), Arrays.stream(sums[2]).sum());
    }

    /** Inputs by their second moments, the largest first. */
    private static int[] order(double[] h, int d) {
        return IntStream.range(0, d).boxed().sorted(Comparator.comparingDouble(i -> -h[i * d + i])).mapToInt(i -> i).toArray();
    }

    /** R, upper triangular, of the damped moments {@code R R^T} in an order: a Cholesky factorization from the last input to the first. */
    private static double[] root(double[] h, int d, int[] order) throws IOException {
        double mean = 0;
        for (int i = 0; i < d; i++) {
            mean += h[i * d + i] / d;
        }
        double damping = mean > 0 ? DAMPING * mean : 1; // inputs that are always zero leave every choice
        double[] lower = new double[d * d];
        for (int i = 0; i < d; i++) {
            for (int j = 0; j <= i; j++) {
                lower[i * d + j] = h[order[d - 1 - i] * d + order[d - 1 - j]];
            }
            lower[i * d + i] += damping;
        }
        for (int j = 0; j < d; j++) { // a column is done, and taken off what is right of it
            double pivot = Math.sqrt(lower[j * d + j]);
            if (!(pivot > 0)) {
                throw new IOException("second moments of a layer's inputs must be positive definite and finite, got a pivot of " + lower[j * d + j]);
            }
            double[] column = new double[d];
            for (int i = j; i < d; i++) {
                column[i] = lower[i * d + j] / pivot;
                lower[i * d + j] = column[i];
            }
            int from = j + 1;
            Slabs.forEach(d - from, Math.max(1, (d - from + 3) / 4), (first, count) -> {
                for (int i = from + first; i < from + first + count; i++) {
                    subtract(column, from, i + 1 - from, column[i], lower, i * d + from);
                }
            });
        }
        double[] root = new double[d * d];
        for (int i = 0; i < d; i++) {
            for (int j = 0; j <= i; j++) {
                root[(d - 1 - i) * d + d - 1 - j] = lower[i * d + j];
            }
        }
        return root;
    }

    /** {@code to -= by from}, {@code count} values. */
    private static void subtract(double[] from, int at, int count, double by, double[] to, int into) {
        for (int k = 0; k < count; k++) {
            to[into + k] -= by * from[at + k];
        }
    }

    /** The inverse of an upper triangular matrix, row after row from the last: {@code U_i = (e_i - sum over k > i of R_ik U_k) / R_ii}. */
    private static double[] inverse(double[] root, int d) {
        double[] inverse = new double[d * d];
        for (int i = d - 1; i >= 0; i--) {
            int row = i * d;
            for (int k = i + 1; k < d; k++) {
                subtract(inverse, k * d + k, d - k, root[row + k], inverse, row + k);
            }
            inverse[row + i] = 1;
            for (int k = i; k < d; k++) {
                inverse[row + k] /= root[row + i];
            }
        }
        return inverse;
    }

    /** What rows of weights become, input by input, each error put right on the inputs behind; the weights are overwritten. */
    private static double[] rounded(double[] w, double[] scale, double[] inverse, int d, int count, Quantization quantization) {
        double[] q = new double[count * d];
        for (int i = 0; i < d; i++) {
            for (int r = 0; r < count; r++) {
                int at = r * d + i;
                q[at] = quantization.code(w[at], scale[at]) * scale[at];
                double error = (w[at] - q[at]) / inverse[i * d + i];
                subtract(inverse, i * d + i + 1, d - i - 1, error, w, at + 1);
            }
        }
        return q;
    }

    /** {@code e H e^T = |e R|^2} of each row. */
    private static void square(double[] e, double[] root, int d, int count, double[] into, int first) {
        double[] sums = new double[count * d];
        for (int i = 0; i < d; i++) {
            for (int r = 0; r < count; r++) {
                subtract(root, i * d + i, d - i, e[r * d + i], sums, r * d + i);
            }
        }
        for (int r = 0; r < count; r++) {
            for (int j = 0; j < d; j++) {
                into[first + r] += sums[r * d + j] * sums[r * d + j];
            }
        }
    }
}
