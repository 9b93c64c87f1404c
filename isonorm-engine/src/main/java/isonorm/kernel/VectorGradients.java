package isonorm.kernel;

import isonorm.architecture.Activation;
import isonorm.architecture.NormKind;
import java.lang.ref.Reference;

/** The backward kernels in the Vector API, for F32 and BF16. */
public final class VectorGradients implements Gradients {

    private final PlainGradients plain = new PlainGradients();

    @Override
    public void norm(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums) {
        GradientShapes.norm(x, norm, dy, dx, sums);
        if (norm.kind() == NormKind.DYNAMIC_TANH) {
            plain.norm(x, norm, dy, dx, sums); // refuses it
            return;
        }
        requireTrained(x, dy, dx, sums.gain(), sums.bias());
        VectorNormGradients.norm(x, norm, dy, dx, sums, false);
        keep(x, dy, dx, sums.gain(), sums.bias());
    }

    @Override
    public void addNorm(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums) {
        GradientShapes.norm(x, norm, dy, dx, sums);
        if (norm.kind() == NormKind.DYNAMIC_TANH) {
            plain.addNorm(x, norm, dy, dx, sums); // refuses it
            return;
        }
        requireTrained(x, dy, dx, sums.gain(), sums.bias());
        VectorNormGradients.norm(x, norm, dy, dx, sums, true);
        keep(x, dy, dx, sums.gain(), sums.bias());
    }

    @Override
    public void addDynamicTanh(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums, Rows alphaSum) {
        plain.addDynamicTanh(x, norm, dy, dx, sums, alphaSum);
    }

    @Override
    public void addColumnSums(Rows x, Rows sums) {
        plain.addColumnSums(x, sums);
    }

    @Override
    public void activate(Rows x, Values bias, Activation activation, Rows out) {
        plain.activate(x, bias, activation, out);
    }

    @Override
    public void activation(Rows x, Values bias, Activation activation, Rows dy, Rows dx, Rows biasSums) {
        plain.activation(x, bias, activation, dy, dx, biasSums);
    }

    @Override
    public void gate(Rows gate, Rows up, Values gateBias, Values upBias, Activation activation, Rows dy, Rows gateSums, Rows upSums) {
        plain.gate(gate, up, gateBias, upBias, activation, dy, gateSums, upSums);
    }

    @Override
    public void softmax(Rows p, Rows products, Scoring scoring, Reach reach, Rows dp) {
        plain.softmax(p, products, scoring, reach, dp);
    }

    @Override
    public void crossEntropy(Rows logits, int[] targets, double factor, double[] losses) {
        plain.crossEntropy(logits, targets, factor, losses);
    }

    @Override
    public void scatter(Rows dy, int[] ids, double scale, Rows table) {
        plain.scatter(dy, ids, scale, table);
    }

    @Override
    public void add(Rows x, double factor, Rows y) {
        plain.add(x, factor, y);
    }

    @Override
    public void multiplyColumns(Rows x, Values factors, Rows y) {
        plain.multiplyColumns(x, factors, y);
    }

    @Override
    public void columnFactors(Rows x, Values factors, Rows dy, Rows sums) {
        plain.columnFactors(x, factors, dy, sums);
    }

    @Override
    public void dropout(Rows x, double probability, long seed, long firstRow) {
        plain.dropout(x, probability, seed, firstRow);
    }

    @Override
    public double sumOfSquares(Rows x) {
        return plain.sumOfSquares(x);
    }

    @Override
    public void scale(Rows x, double factor) {
        plain.scale(x, factor);
    }

    @Override
    public void adamW(Rows weights, Rows gradient, Rows first, Rows second, AdamW step) {
        plain.adamW(weights, gradient, first, second, step);
    }

    @Override
    public void sgd(Rows weights, Rows gradient, Rows first, double rate, double momentum, double decay, double factor) {
        plain.sgd(weights, gradient, first, rate, momentum, decay, factor);
    }

    @Override
    public void centreColumns(Rows x, Rows out) {
        plain.centreColumns(x, out);
    }

    @Override
    public void centreRows(Rows x, Rows out) {
        plain.centreRows(x, out);
    }

    private static void requireTrained(Rows... rows) {
        for (Rows each : rows) {
            if (each != null && each.type() != Type.F32 && each.type() != Type.BF16) {
                throw new IllegalArgumentException("the vector kernels' gradients are F32 or BF16, got " + each + "; take the plain ones");
            }
        }
    }

    private static void keep(Rows... rows) {
        for (Rows each : rows) {
            if (each != null) {
                Reference.reachabilityFence(each.data());
            }
        }
    }
}
