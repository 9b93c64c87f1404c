package isonorm.kernel;

import isonorm.architecture.Activation;
import isonorm.architecture.NormKind;
import isonorm.architecture.Rotary.Pairing;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The kernels as simple loops in float64: what {@link VectorKernels} must agree with, and what runs where there are no vectors.
 * Only the residual sum is in float32, so that both round a stream to the same bits. Rows of float64 stay float64 throughout.
 */
public final class PlainKernels implements Kernels {

    @Override
    public void norm(Rows x, Normalization norm, Rows out) {
        Shapes.norm(x, norm, out);
        for (int row = 0; row < x.rows(); row++) {
            normRow(x, row, norm, out);
        }
    }

    @Override
    public void addNorm(Rows stream, Rows branch, Values branchBias, Normalization norm, Rows out) {
        Shapes.add(stream, branch, branchBias);
        Shapes.norm(stream, norm, out);
        Shapes.spare(norm.kind(), stream);
        for (int row = 0; row < stream.rows(); row++) {
            addRow(stream, row, branch, branchBias, norm.kind());
            normRow(stream, row, norm, out);
        }
    }

    @Override
    public void squares(Rows x, NormKind kind, double epsilon, Values scales) {
        Shapes.squares(x, kind, epsilon, scales);
        for (int row = 0; row < x.rows(); row++) {
            scales.set(row, scale(x, row, kind, epsilon));
        }
    }

    @Override
    public void addSquares(Rows stream, Rows branch, Values branchBias, NormKind kind, double epsilon, Values scales) {
        Shapes.add(stream, branch, branchBias);
        Shapes.squares(stream, kind, epsilon, scales);
        Shapes.spare(kind, stream);
        for (int row = 0; row < stream.rows(); row++) {
            addRow(stream, row, branch, branchBias, kind);
            scales.set(row, scale(stream, row, kind, epsilon));
        }
    }

    private static void addRow(Rows stream, int row, Rows branch, Values bias, NormKind kind) {
        int C = stream.columns();
        for (int c = 0; c < C; c++) {
            double added = bias.present() ? summed(stream, branch.get(row, c), bias.get(c)) : branch.get(row, c);
            stream.set(row, c, summed(stream, stream.get(row, c), added));
        }
        clearSpare(stream, row, kind);
    }

    private static double summed(Rows stream, double a, double b) {
        return stream.type() == Type.F64 ? a + b : (float) a + (float) b;
    }

    private static void clearSpare(Rows x, int row, NormKind kind) {
        if (kind.readsCompressed() && x.stride() > x.columns()) {
            x.set(row, x.columns(), 0);
        }
    }

    /** One row of {@link #norm}; the two may be the same. */
    static void normRow(Rows x, int row, Normalization norm, Rows out) {
        double sum = switch (norm.kind()) {
            case LAYER, RMS, CRMS -> divide(x, row, norm, out);
            case DYNAMIC_TANH -> bend(x, row, norm, out);
        };
        if (out.columns() > x.columns()) {
            out.set(row, x.columns(), affine(-sum, norm, x.columns()));
        } else {
            clearSpare(out, row, norm.kind());
        }
    }

    /** Gives the sum of what it made, before gain and bias. */
    private static double divide(Rows x, int row, Normalization norm, Rows out) {
        double shift = shift(x, row, norm.kind());
        double scale = scale(x, row, norm.kind(), norm.epsilon());
        double sum = 0;
        for (int c = 0; c < x.columns(); c++) {
            double n = (x.get(row, c) - shift) * scale;
            sum += n;
            out.set(row, c, affine(n, norm, c));
        }
        return sum;
    }

    private static double bend(Rows x, int row, Normalization norm, Rows out) {
        double sum = 0;
        for (int c = 0; c < x.columns(); c++) {
            double n = Math.tanh(norm.alpha() * x.get(row, c));
            sum += n;
            out.set(row, c, affine(n, norm, c));
        }
        return sum;
    }

    private static double affine(double n, Normalization norm, int column) {
        double scaled = norm.gain().present() ? n * norm.gain().get(column) : n;
        return norm.bias().present() ? scaled + norm.bias().get(column) : scaled;
    }

    /** What is taken from a row before it is divided: the mean, or nothing. */
    static double shift(Rows x, int row, NormKind kind) {
        return switch (kind) {
            case LAYER -> sum(x, row) / x.columns();
            case RMS, CRMS, DYNAMIC_TANH -> 0;
        };
    }

    /** {@code 1 / sqrt(q + epsilon)}. */
    static double scale(Rows x, int row, NormKind kind, double epsilon) {
        int C = x.columns();
        double q = switch (kind) {
            case LAYER -> squares(x, row, shift(x, row, kind)) / C;
            case RMS -> squares(x, row, 0) / C;
            case CRMS -> {
                double sum = sum(x, row);
                yield (squares(x, row, 0) + sum * sum) / (C + 1);
            }
            case DYNAMIC_TANH -> throw new IllegalArgumentException("a DyT has no statistics to divide by; use norm or addNorm");
        };
        return 1 / Math.sqrt(q + epsilon);
    }

    private static double squares(Rows x, int row, double shift) {
        double squares = 0;
        for (int c = 0; c < x.columns(); c++) {
            double value = x.get(row, c) - shift;
            squares += value * value;
        }
        return squares;
    }

    private static double sum(Rows x, int row) {
        double sum = 0;
        for (int c = 0; c < x.columns(); c++) {
            sum += x.get(row, c);
        }
        return sum;
    }

    @Override
    public void scaleRowsAddBias(Rows y, Values scales, Values bias) {
        Shapes.activate(y, scales, bias);
        for (int row = 0; row < y.rows(); row++) {
            for (int c = 0; c < y.columns(); c++) {
                y.set(row, c, scaled(y, row, c, scales, bias));
            }
        }
    }

    @Override
    public void activate(Rows x, Values scales, Values bias, Activation activation, Rows y) {
        Shapes.activate(x, scales, bias, y);
        for (int row = 0; row < y.rows(); row++) {
            for (int c = 0; c < y.columns(); c++) {
                y.set(row, c, activated(activation, scaled(x, row, c, scales, bias)));
            }
        }
    }

    @Override
    public void gate(Rows gate, Rows up, Values scales, Values gateBias, Values upBias, Activation activation, Rows out) {
        Shapes.gate(gate, up, scales, gateBias, upBias, out);
        for (int row = 0; row < gate.rows(); row++) {
            for (int c = 0; c < gate.columns(); c++) {
                out.set(row, c, activated(activation, scaled(gate, row, c, scales, gateBias)) * scaled(up, row, c, scales, upBias));
            }
        }
    }

    private static double scaled(Rows y, int row, int column, Values scales, Values bias) {
        double value = y.get(row, column);
        double scaled = scales.present() ? value * scales.get(row) : value;
        return bias.present() ? scaled + bias.get(column) : scaled;
    }

    /** {@code activation(x)}. */
    static double activated(Activation activation, double x) {
        return switch (activation) {
            case GELU -> x * Gauss.distribution(x);
            case GELU_TANH -> x * sigmoid(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)); // (1 + tanh(u)) / 2 = sigmoid(2u)
            case QUICK_GELU -> x * sigmoid(1.702 * x);
            case RELU -> Math.max(x, 0);
            case RELU_SQUARED -> Math.max(x, 0) * Math.max(x, 0);
            case SILU -> x * sigmoid(x);
            case TANH -> Math.tanh(x);
        };
    }

    private static double sigmoid(double x) {
        return 1 / (1 + Math.exp(-x));
    }

    @Override
    public void softmax(Rows scores, Scoring scoring, Values keyBias, Reach reach, Rows out) {
        Shapes.softmax(scores, keyBias, out);
        int T = scores.columns();
        double[] s = new double[T];
        for (int row = 0; row < scores.rows(); row++) {
            int from = reach.from(row, T);
            int to = Math.max(from, reach.to(row, T));
            for (int key = from; key < to; key++) {
                double score = score(scoring, scores.get(row, key));
                s[key] = keyBias.present() ? score + keyBias.get(key) : score;
            }
            boolean seen = softmax(s, from, to, scoring.sink());
            for (int key = 0; key < T; key++) {
                out.set(row, key, !seen ? 1.0 / T : key >= from && key < to ? s[key] : 0);
            }
        }
    }

    private static double score(Scoring scoring, double product) {
        double score = product * scoring.scale();
        return scoring.softcap() > 0 ? scoring.softcap() * Math.tanh(score / scoring.softcap()) : score;
    }

    /** Replaces scores by weights that add up to one; says whether there were any above minus infinity. */
    private static boolean softmax(double[] s, int from, int to, double sink) {
        double largest = Double.NEGATIVE_INFINITY;
        for (int key = from; key < to; key++) {
            largest = Math.max(largest, s[key]);
        }
        if (largest == Double.NEGATIVE_INFINITY) {
            return false;
        }
        largest = Math.max(largest, sink);
        double sum = Math.exp(sink - largest);
        for (int key = from; key < to; key++) {
            s[key] = Math.exp(s[key] - largest);
            sum += s[key];
        }
        for (int key = from; key < to; key++) {
            s[key] /= sum;
        }
        return true;
    }

    @Override
    public void rotary(Rows x, int heads, Turns turns, int first) {
        Shapes.rotary(x, heads, turns, first);
        int D = x.columns() / heads;
        int pairs = turns.width() / 2;
        boolean halves = turns.pairing() == Pairing.HALVES;
        for (int row = 0; row < x.rows(); row++) {
            for (int head = 0; head < heads; head++) {
                for (int i = 0; i < pairs; i++) {
                    int at = head * D + (halves ? i : 2 * i);
                    int beside = halves ? at + pairs : at + 1;
                    double a = x.get(row, at);
                    double b = x.get(row, beside);
                    double cosine = turns.cosine().get(first + row, i);
                    double sine = turns.sine().get(first + row, i);
                    x.set(row, at, a * cosine - b * sine);
                    x.set(row, beside, b * cosine + a * sine);
                }
            }
        }
    }

    @Override
    public void copy(Rows x, Rows out) {
        Shapes.copy(x, out);
        for (int row = 0; row < x.rows(); row++) {
            for (int c = 0; c < x.columns(); c++) {
                out.set(row, c, x.get(row, c));
            }
        }
    }

    @Override
    public void gather(Rows table, int[] ids, double scale, Rows out) {
        Shapes.gather(table, ids, out);
        for (int i = 0; i < ids.length; i++) {
            for (int c = 0; c < out.columns(); c++) {
                out.set(i, c, scale * table.get(ids[i], c));
            }
        }
    }

    @Override
    public void gather(Rows table, int[] ids, double scale, Rows positions, int first, Rows out) {
        Shapes.gather(table, ids, out);
        Shapes.positions(positions, first, out);
        for (int i = 0; i < ids.length; i++) {
            for (int c = 0; c < out.columns(); c++) {
                out.set(i, c, scale * table.get(ids[i], c) + positions.get(first + i, c));
            }
        }
    }

    @Override
    public void matrixVectors(Rows weights, Rows x, Rows y) {
        Shapes.product(weights, x, y);
        for (int i = 0; i < x.rows(); i++) {
            for (int row = 0; row < weights.rows(); row++) {
                y.set(i, row, dot(weights, row, x, i));
            }
        }
    }

    private static double dot(Rows a, int rowA, Rows b, int rowB) {
        double sum = 0;
        for (int c = 0; c < a.columns(); c++) {
            sum += a.get(rowA, c) * b.get(rowB, c);
        }
        return sum;
    }

    @Override
    public void vectorMatrices(Rows x, Rows weights, Rows y) {
        Shapes.vectorMatrices(x, weights, y);
        double[] sums = new double[y.columns()];
        for (int i = 0; i < x.rows(); i++) {
            Arrays.fill(sums, 0);
            for (int row = 0; row < weights.rows(); row++) {
                for (int c = 0; c < sums.length; c++) {
                    sums[c] += x.get(i, row) * weights.get(row, c);
                }
            }
            for (int c = 0; c < sums.length; c++) {
                y.set(i, c, sums[c]);
            }
        }
    }

    @Override
    public void product(Rows x, Panels weights, Rows y) {
        Shapes.product(x, weights, y);
        PlainPanels.product(x, weights, y);
    }

    @Override
    public void product(Rows x, QuantizedPanels weights, Rows y) {
        Shapes.product(x, weights, y);
        PlainPanels.product(x, weights, y);
    }

    @Override
    public void pack(Rows w, boolean transposed, int firstOutput, Panels into) {
        Shapes.pack(w, transposed, firstOutput, into);
        PlainPanels.pack(w, transposed, firstOutput, into);
    }

    @Override
    public void widen(Panels from, Panels into) {
        Shapes.widen(from, into);
        PlainPanels.widen(from, into);
    }

    @Override
    public void widen(QuantizedPanels from, Panels into) {
        Shapes.widen(from, into);
        PlainPanels.widen(from, into);
    }

    @Override
    public int argmax(Rows x, int row) {
        Shapes.row(x, row);
        int best = 0;
        for (int c = 1; c < x.columns(); c++) {
            if (x.get(row, c) > x.get(row, best) || Double.isNaN(x.get(row, best))) {
                best = c;
            }
        }
        return Double.isNaN(x.get(row, best)) ? 0 : best;
    }

    @Override
    public void profile(Rows x, Values scales, Values bias, boolean implied, Profile into) {
        Shapes.profile(x, scales, bias, into);
        int C = x.columns();
        float[] values = new float[implied ? C + 1 : C];
        for (int r = 0; r < x.rows(); r++) {
            double sum = 0;
            for (int c = 0; c < C; c++) {
                values[c] = (scales.present() ? (float) scales.get(r) : 1) * (float) x.get(r, c) + (bias.present() ? (float) bias.get(c) : 0);
                sum += values[c];
            }
            if (implied) {
                values[C] = (float) -sum;
            }
            into.add(r, values, values.length);
        }
    }

    @Override
    public void sumsOfSquares(Rows x, boolean implied, double[] sums) {
        Shapes.sumsOfSquares(x, sums);
        for (int r = 0; r < x.rows(); r++) {
            double sum = 0;
            double squares = 0;
            for (int c = 0; c < x.columns(); c++) {
                sum += x.get(r, c);
                squares += x.get(r, c) * x.get(r, c);
            }
            double last = implied ? (float) -sum : 0;
            sums[r] = squares + last * last;
        }
    }

    @Override
    public void gram(Rows x, double[] products) {
        Shapes.gram(x, products);
        for (int r = 0; r < x.rows(); r++) {
            for (int other = 0; other < x.rows(); other++) {
                double sum = 0;
                for (int c = 0; c < x.columns(); c++) {
                    sum += x.get(r, c) * x.get(other, c);
                }
                products[r * x.rows() + other] = sum;
            }
        }
    }

    @Override
    public void angles(List<Rows> x, int first, double[] cosines, double[] angles) {
        Shapes.angles(x, first, cosines, angles);
        int pairs = Kernels.pair(x.size(), 0);
        for (int r = 0; r < x.getFirst().rows(); r++) {
            for (int one = 0; one < x.size(); one++) {
                for (int other = 0; other < one; other++) {
                    int pair = (first + r) * pairs + Kernels.pair(one, other);
                    angles[pair] = angle(row(x.get(one), r), row(x.get(other), r));
                    cosines[pair] = Math.cos(angles[pair]);
                }
            }
        }
    }

    private static double[] row(Rows x, int r) {
        return IntStream.range(0, x.columns()).mapToDouble(c -> x.get(r, c)).toArray();
    }

    /**
     * The angle between two vectors: twice that between half the chord and half the sum of their directions, which loses no digits
     * anywhere. (Kahan)
     */
    static double angle(double[] a, double[] b) {
        double lengthA = 0;
        double lengthB = 0;
        for (int i = 0; i < a.length; i++) {
            lengthA += a[i] * a[i];
            lengthB += b[i] * b[i];
        }
        double scaleA = 1 / Math.sqrt(lengthA);
        double scaleB = 1 / Math.sqrt(lengthB);
        double chord = 0;
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            double u = a[i] * scaleA;
            double v = b[i] * scaleB;
            chord += (u - v) * (u - v);
            sum += (u + v) * (u + v);
        }
        return 2 * Math.atan2(Math.sqrt(chord), Math.sqrt(sum));
    }
}
