package isonorm.kernel;

import isonorm.architecture.Activation;
import isonorm.architecture.NormKind;
import java.lang.ref.Reference;
import java.util.List;

/**
 * The kernels with vectors of float32, as wide as the machine has them; the sums are in float32, several side by side.
 *
 * <p>The memory of automatic arenas is kept from being collected while a kernel runs, since kernels use bare addresses.
 */
public final class VectorKernels implements Kernels {

    /** Only {@link Provider} makes them, where vectors are at hand. */
    VectorKernels() {}

    /** The width of a vector. */
    public static int bits() {
        return Lanes.FLOATS.vectorBitSize();
    }

    @Override
    public void norm(Rows x, Normalization norm, Rows out) {
        requireNarrow(x, out);
        Shapes.norm(x, norm, out);
        VectorNorms.norm(x, norm, out);
        keep(x, out);
    }

    @Override
    public void addNorm(Rows stream, Rows branch, Values branchBias, Normalization norm, Rows out) {
        requireNarrow(stream, branch, out);
        Shapes.add(stream, branch, branchBias);
        Shapes.norm(stream, norm, out);
        Shapes.spare(norm.kind(), stream);
        VectorNorms.addNorm(stream, branch, branchBias, norm, out);
        keep(stream, branch, out);
    }

    @Override
    public void squares(Rows x, NormKind kind, double epsilon, Values scales) {
        requireNarrow(x);
        Shapes.squares(x, kind, epsilon, scales);
        VectorNorms.squares(x, kind, epsilon, scales);
        keep(x);
    }

    @Override
    public void addSquares(Rows stream, Rows branch, Values branchBias, NormKind kind, double epsilon, Values scales) {
        requireNarrow(stream, branch);
        Shapes.add(stream, branch, branchBias);
        Shapes.squares(stream, kind, epsilon, scales);
        Shapes.spare(kind, stream);
        VectorNorms.addSquares(stream, branch, branchBias, kind, epsilon, scales);
        keep(stream, branch);
    }

    @Override
    public void scaleRowsAddBias(Rows y, Values scales, Values bias) {
        requireNarrow(y);
        Shapes.activate(y, scales, bias);
        VectorActivations.scaleRowsAddBias(y, scales, bias);
        keep(y);
    }

    @Override
    public void activate(Rows x, Values scales, Values bias, Activation activation, Rows y) {
        requireNarrow(x, y);
        Shapes.activate(x, scales, bias, y);
        VectorActivations.activate(x, scales, bias, activation, y);
        keep(x, y);
    }

    @Override
    public void gate(Rows gate, Rows up, Values scales, Values gateBias, Values upBias, Activation activation, Rows out) {
        requireNarrow(gate, up, out);
        Shapes.gate(gate, up, scales, gateBias, upBias, out);
        VectorActivations.gate(gate, up, scales, gateBias, upBias, activation, out);
        keep(gate, up, out);
    }

    @Override
    public void softmax(Rows scores, Scoring scoring, Values keyBias, Reach reach, Rows out) {
        requireNarrow(scores, out);
        Shapes.softmax(scores, keyBias, out);
        VectorSoftmax.softmax(scores, scoring, keyBias, reach, out);
        keep(scores, out);
    }

    @Override
    public void rotary(Rows x, int heads, Turns turns, int first) {
        requireNarrow(x, turns.cosine(), turns.sine());
        Shapes.rotary(x, heads, turns, first);
        VectorRows.rotary(x, heads, turns, first);
        keep(x, turns.cosine(), turns.sine());
    }

    @Override
    public void copy(Rows x, Rows out) {
        requireNarrow(x, out);
        Shapes.copy(x, out);
        VectorCopy.copy(x, out);
        keep(x, out);
    }

    @Override
    public void gather(Rows table, int[] ids, double scale, Rows out) {
        requireNarrow(table, out);
        Shapes.gather(table, ids, out);
        VectorRows.gather(table, ids, (float) scale, out);
        keep(table, out);
    }

    @Override
    public void gather(Rows table, int[] ids, double scale, Rows positions, int first, Rows out) {
        requireNarrow(table, positions, out);
        Shapes.gather(table, ids, out);
        Shapes.positions(positions, first, out);
        VectorRows.gather(table, ids, (float) scale, positions, first, out);
        keep(table, positions, out);
    }

    @Override
    public void matrixVectors(Rows weights, Rows x, Rows y) {
        requireNarrow(weights, x, y);
        Shapes.product(weights, x, y);
        VectorProducts.product(weights, x, y);
        keep(weights, x, y);
    }

    @Override
    public void vectorMatrices(Rows x, Rows weights, Rows y) {
        requireNarrow(x, weights, y);
        Shapes.vectorMatrices(x, weights, y);
        VectorMatrices.product(x, weights, y);
        keep(x, weights, y);
    }

    @Override
    public void product(Rows x, Panels weights, Rows y) {
        requireNarrow(x, y);
        requireNarrow(weights);
        Shapes.product(x, weights, y);
        VectorPanels.product(x, weights, y);
        keep(x, y);
        Reference.reachabilityFence(weights.data());
    }

    @Override
    public void product(Rows x, QuantizedPanels weights, Rows y) {
        requireNarrow(x, y);
        Shapes.product(x, weights, y);
        VectorPanels.product(x, weights, y);
        keep(x, y);
        Reference.reachabilityFence(weights.data());
    }

    @Override
    public void pack(Rows w, boolean transposed, int firstOutput, Panels into) {
        requireNarrow(w);
        requireNarrow(into);
        Shapes.pack(w, transposed, firstOutput, into);
        VectorPacking.pack(w, transposed, firstOutput, into);
        keep(w);
        Reference.reachabilityFence(into.data());
    }

    @Override
    public void widen(Panels from, Panels into) {
        Shapes.widen(from, into);
        VectorPacking.widen(from, into);
        Reference.reachabilityFence(from.data());
        Reference.reachabilityFence(into.data());
    }

    @Override
    public void widen(QuantizedPanels from, Panels into) {
        Shapes.widen(from, into);
        for (int panel = 0; panel < into.count(); panel++) {
            VectorQuantized.widen(from, panel, 0, into.depth(), into.address(panel));
        }
        Reference.reachabilityFence(from.data());
        Reference.reachabilityFence(into.data());
    }

    @Override
    public int argmax(Rows x, int row) {
        requireNarrow(x);
        Shapes.row(x, row);
        int best = VectorRows.argmax(x, row);
        keep(x);
        return best;
    }

    @Override
    public void profile(Rows x, Values scales, Values bias, boolean implied, Profile into) {
        Shapes.profile(x, scales, bias, into);
        requireNarrow(x);
        VectorProfile.profile(x, scales, bias, implied, into);
        keep(x);
    }

    @Override
    public void sumsOfSquares(Rows x, boolean implied, double[] sums) {
        Shapes.sumsOfSquares(x, sums);
        requireNarrow(x);
        VectorProfile.sumsOfSquares(x, implied, sums);
        keep(x);
    }

    @Override
    public void gram(Rows x, double[] products) {
        Shapes.gram(x, products);
        requireNarrow(x);
        VectorAngles.gram(x, products);
        keep(x);
    }

    @Override
    public void angles(List<Rows> x, int first, double[] cosines, double[] angles) {
        Rows[] all = x.toArray(Rows[]::new);
        Shapes.angles(x, first, cosines, angles);
        requireNarrow(all);
        VectorAngles.angles(x, first, cosines, angles);
        keep(all);
    }

    private static void requireNarrow(Rows... rows) {
        for (Rows each : rows) {
            if (each.type() == Type.F64) {
                throw new IllegalArgumentException("float64 is for the plain kernels, got " + each + "; take Kernels.of(Type.F64)");
            }
        }
    }

    private static void requireNarrow(Panels panels) {
        if (panels.type() == Type.F64) {
            throw new IllegalArgumentException("float64 is for the plain kernels, got " + panels + "; take Kernels.of(Type.F64)");
        }
    }

    private static void keep(Rows... rows) {
        for (Rows each : rows) {
            Reference.reachabilityFence(each.data());
        }
    }
}
