package isonorm.kernel;

import isonorm.architecture.Activation;
import isonorm.weights.Seed;
import java.lang.ref.Reference;

/**
 * The backward kernels with vectors of float32, as wide as the machine has them, for F32, BF16 and F16; only sums over
 * rows may be F64. Memory of automatic arenas is kept while a kernel runs, as {@link VectorKernels} does.
 */
public final class VectorGradients implements Gradients {

    /** Only {@link Provider} makes them, where vectors are at hand. */
    VectorGradients() {}

    @Override
    public void norm(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums) {
        norm(x, norm, dy, dx, sums, false);
    }

    @Override
    public void addNorm(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums) {
        norm(x, norm, dy, dx, sums, true);
    }

    private static void norm(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums, boolean adds) {
        require(x, dy, dx);
        GradientShapes.norm(x, norm, dy, dx, sums);
        VectorNormGradients.norm(x, norm, dy, dx, sums, adds);
        keep(x, dy, dx);
    }

    @Override
    public void addDynamicTanh(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums, Rows alphaSum) {
        require(x, dy, dx);
        GradientShapes.dynamicTanh(x, norm, dy, dx, sums, alphaSum);
        VectorNormGradients.addDynamicTanh(x, norm, dy, dx, sums, alphaSum);
        keep(x, dy, dx);
    }

    @Override
    public void addColumnSums(Rows x, Rows sums) {
        require(x);
        GradientShapes.sums("sums", sums, x.columns());
        VectorColumns.addColumnSums(x, sums);
        keep(x);
    }

    @Override
    public void activate(Rows x, Values bias, Activation activation, Rows out) {
        require(x, out);
        GradientShapes.activation(x, bias, out, out, null);
        VectorActivationGradients.activate(x, bias, activation, out);
        keep(x, out);
    }

    @Override
    public void activation(Rows x, Values bias, Activation activation, Rows dy, Rows dx, Rows biasSums) {
        require(x, dy, dx);
        GradientShapes.activation(x, bias, dy, dx, biasSums);
        VectorActivationGradients.activation(x, bias, activation, dy, dx, biasSums);
        keep(x, dy, dx);
    }

    @Override
    public void gate(Rows gate, Rows up, Values gateBias, Values upBias, Activation activation, Rows dy, Rows gateSums, Rows upSums) {
        require(gate, up, dy);
        GradientShapes.activation(gate, gateBias, dy, up, gateSums);
        GradientShapes.activation(up, upBias, dy, up, upSums);
        VectorActivationGradients.gate(gate, up, gateBias, upBias, activation, dy, gateSums, upSums);
        keep(gate, up, dy);
    }

    @Override
    public void softmax(Rows p, Rows products, Scoring scoring, Reach reach, Rows dp) {
        require(p, dp);
        GradientShapes.softmax(p, products, scoring, dp);
        if (scoring.softcap() > 0) {
            require(products);
        }
        VectorSoftmaxGradient.softmax(p, products, scoring, reach, dp);
        keep(p, dp);
        if (products != null) {
            keep(products);
        }
    }

    @Override
    public void crossEntropy(Rows logits, int[] targets, double factor, double[] losses) {
        require(logits);
        GradientShapes.crossEntropy(logits, targets, losses);
        VectorCrossEntropy.crossEntropy(logits, targets, factor, losses);
        keep(logits);
    }

    @Override
    public void scatter(Rows dy, int[] ids, double scale, Rows table) {
        require(dy, table);
        GradientShapes.scatter(dy, ids, table);
        VectorElements.scatter(dy, ids, scale, table);
        keep(dy, table);
    }

    @Override
    public void add(Rows x, double factor, Rows y) {
        require(x, y);
        GradientShapes.same("x", x, "y", y);
        VectorElements.add(x, factor, y);
        keep(x, y);
    }

    @Override
    public void multiplyColumns(Rows x, Values factors, Rows y) {
        require(x, y);
        GradientShapes.same("x", x, "y", y);
        GradientShapes.columns(factors, x);
        VectorColumns.multiplyColumns(x, factors, y);
        keep(x, y);
    }

    @Override
    public void columnFactors(Rows x, Values factors, Rows dy, Rows sums) {
        require(x, dy);
        GradientShapes.same("x", x, "dy", dy);
        GradientShapes.columns(factors, x);
        GradientShapes.sums("sums", sums, x.columns());
        VectorColumns.columnFactors(x, factors, dy, sums);
        keep(x, dy);
    }

    @Override
    public void dropout(Rows x, double probability, Seed seed, long firstRow) {
        require(x);
        VectorElements.dropout(x, probability, seed, firstRow);
        keep(x);
    }

    @Override
    public double sumOfSquares(Rows x) {
        require(x);
        double sum = VectorElements.sumOfSquares(x);
        keep(x);
        return sum;
    }

    @Override
    public void scale(Rows x, double factor) {
        require(x);
        VectorElements.scale(x, factor);
        keep(x);
    }

    @Override
    public void adamW(Rows weights, Rows gradient, Rows first, Rows second, AdamW step) {
        require(weights, gradient, first, second);
        GradientShapes.same("weights", weights, "gradient", gradient);
        GradientShapes.same("first", first, "second", second);
        GradientShapes.same("weights", weights, "first", first);
        VectorSteps.adamW(weights, gradient, first, second, step);
        keep(weights, gradient, first, second);
    }

    @Override
    public void sgd(Rows weights, Rows gradient, Rows first, double rate, double momentum, double decay, double factor) {
        require(weights, gradient, first);
        GradientShapes.same("weights", weights, "gradient", gradient);
        GradientShapes.same("weights", weights, "first", first);
        VectorSteps.sgd(weights, gradient, first, rate, momentum, decay, factor);
        keep(weights, gradient, first);
    }

    @Override
    public void centreColumns(Rows x, Rows out) {
        require(x, out);
        GradientShapes.same("x", x, "out", out);
        VectorColumns.centreColumns(x, out);
        keep(x, out);
    }

    @Override
    public void centreRows(Rows x, Rows out) {
        require(x, out);
        GradientShapes.same("x", x, "out", out);
        VectorColumns.centreRows(x, out);
        keep(x, out);
    }

    private static void require(Rows... rows) {
        for (Rows each : rows) {
            if (each.type() == Type.F64) {
                throw new IllegalArgumentException("float64 is for the plain kernels, got " + each + "; take Gradients.of(Type.F64)");
            }
        }
    }

    private static void keep(Rows... rows) {
        for (Rows each : rows) {
            Reference.reachabilityFence(each.data());
        }
    }
}
