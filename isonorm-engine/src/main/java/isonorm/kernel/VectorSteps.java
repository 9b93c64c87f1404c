package isonorm.kernel;

import static isonorm.kernel.Lanes.L;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/**
 * The vector twins of optimizers' steps. What is subtracted from a weight is summed up first and rounded into it once: a decay of
 * 1e-8 a step would be nothing beside one.
 */
final class VectorSteps {

    private static final Loop<VectorSteps> ADAM = Loop.of(VectorSteps::adam);
    private static final Loop<VectorSteps> SGD = Loop.of(VectorSteps::sgd);

    private final float[] w;
    private final float[] g;
    private final float[] m;
    private final float[] v;

    /** The numbers of a step as they are multiplied. */
    private float factor;
    private float keep1;
    private float take1;
    private float keep2;
    private float take2;
    private float root;
    private float epsilon;
    private float rate;
    private float decay;

    private VectorSteps(int most, boolean second) {
        w = Lanes.room(most);
        g = Lanes.room(most);
        m = Lanes.room(most);
        v = Lanes.room(second ? most : 0);
    }

    static void adamW(Rows weights, Rows gradient, Rows first, Rows second, Gradients.AdamW step) {
        if (weights.rows() > 1 && VectorElements.dense(weights) && VectorElements.dense(gradient) && VectorElements.dense(first)
                && VectorElements.dense(second)) {
            adamW(VectorElements.flat(weights), VectorElements.flat(gradient), VectorElements.flat(first), VectorElements.flat(second), step);
            return;
        }
        VectorSteps on = new VectorSteps(Math.min(VectorElements.PIECE, weights.columns()), true);
        on.factor = (float) step.factor();
        on.keep1 = (float) step.beta1();
        on.take1 = (float) (1 - step.beta1());
        on.keep2 = (float) step.beta2();
        on.take2 = (float) (1 - step.beta2());
        on.root = (float) Math.sqrt(1 / (1 - Math.pow(step.beta2(), step.step())));
        on.epsilon = (float) step.epsilon();
        on.rate = (float) (step.rate() / (1 - Math.pow(step.beta1(), step.step())));
        on.decay = (float) (step.rate() * step.decay());
        VectorElements.pieces(weights, (row, at, n) -> {
            VectorElements.read(weights, row, at, n, on.w);
            VectorElements.read(gradient, row, at, n, on.g);
            VectorElements.read(first, row, at, n, on.m);
            VectorElements.read(second, row, at, n, on.v);
            ADAM.run(on, n);
            VectorElements.write(weights, row, at, n, on.w);
            VectorElements.write(first, row, at, n, on.m);
            VectorElements.write(second, row, at, n, on.v);
        });
    }

    static void sgd(Rows weights, Rows gradient, Rows first, double rate, double momentum, double decay, double factor) {
        VectorSteps on = new VectorSteps(Math.min(VectorElements.PIECE, weights.columns()), false);
        on.factor = (float) factor;
        on.keep1 = (float) momentum;
        on.rate = (float) rate;
        on.decay = (float) decay;
        VectorElements.pieces(weights, (row, at, n) -> {
            VectorElements.read(weights, row, at, n, on.w);
            VectorElements.read(gradient, row, at, n, on.g);
            VectorElements.read(first, row, at, n, on.m);
            SGD.run(on, n);
            VectorElements.write(weights, row, at, n, on.w);
            VectorElements.write(first, row, at, n, on.m);
        });
    }

    private float adam(int n) {
        FloatVector factors = Lanes.all(factor);
        FloatVector keeps1 = Lanes.all(keep1);
        FloatVector takes1 = Lanes.all(take1);
        FloatVector keeps2 = Lanes.all(keep2);
        FloatVector takes2 = Lanes.all(take2);
        FloatVector roots = Lanes.all(root);
        FloatVector epsilons = Lanes.all(epsilon);
        FloatVector rates = Lanes.all(rate);
        FloatVector decays = Lanes.all(decay);
        for (int i = 0; i < n; i += L) {
            FloatVector gradient = Lanes.floats(g, i).mul(factors);
            FloatVector mean = Lanes.floats(m, i).mul(keeps1);
            mean = gradient.fma(takes1, mean);
            FloatVector square = Lanes.floats(v, i).mul(keeps2);
            square = gradient.mul(takes2).fma(gradient, square);
            mean.intoArray(m, i);
            square.intoArray(v, i);
            FloatVector size = square.lanewise(VectorOperators.SQRT).fma(roots, epsilons);
            FloatVector weight = Lanes.floats(w, i);
            FloatVector change = weight.fma(decays, mean.mul(rates).div(size));
            weight.sub(change).intoArray(w, i);
        }
        return 0;
    }

    private float sgd(int n) {
        FloatVector factors = Lanes.all(factor);
        FloatVector keeps = Lanes.all(keep1);
        FloatVector decays = Lanes.all(decay);
        FloatVector minus = Lanes.all(-rate);
        for (int i = 0; i < n; i += L) {
            FloatVector weight = Lanes.floats(w, i);
            FloatVector mean = Lanes.floats(m, i).mul(keeps);
            mean = Lanes.floats(g, i).fma(factors, mean);
            mean = weight.fma(decays, mean);
            mean.intoArray(m, i);
            mean.fma(minus, weight).intoArray(w, i);
        }
        return 0;
    }
}
