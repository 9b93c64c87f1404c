package isonorm.kernel;

import static isonorm.kernel.Lanes.L;

import java.util.stream.Stream;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/**
 * The vector twins of optimizers' steps. What is subtracted from a weight is summed up first and rounded into it once: a decay of
 * 1e-8 a step would be nothing beside one.
 */
final class VectorSteps {

    private static final Loop<VectorSteps> ADAM_IN_MEMORY = Loop.of(VectorSteps::adamInMemory);
    private static final Loop<VectorSteps> ADAM = Loop.of(VectorSteps::adam);
    private static final Loop<VectorSteps> SGD = Loop.of(VectorSteps::sgd);

    private final float[] w;
    private final float[] g;
    private final float[] m;
    private final float[] v;

    /** Where they lie. */
    private long weights;
    private long gradient;
    private long first;
    private long second;

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
        boolean floats = Stream.of(weights, gradient, first, second).allMatch(each -> each.type() == Type.F32);
        VectorElements.pieces(weights, (row, at, n) -> {
            if (floats && n % L == 0) {
                on.weights = VectorElements.address(weights, row, at);
                on.gradient = VectorElements.address(gradient, row, at);
                on.first = VectorElements.address(first, row, at);
                on.second = VectorElements.address(second, row, at);
                ADAM_IN_MEMORY.run(on, n);
                return;
            }
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

    private FloatVector mean(FloatVector gradient, FloatVector mean) {
        return gradient.fma(Lanes.all(take1), mean.mul(keep1));
    }

    private FloatVector square(FloatVector gradient, FloatVector square) {
        return gradient.mul(take2).fma(gradient, square.mul(keep2));
    }

    private FloatVector moved(FloatVector weight, FloatVector mean, FloatVector square) {
        FloatVector size = square.lanewise(VectorOperators.SQRT).fma(Lanes.all(root), Lanes.all(epsilon));
        return weight.sub(weight.fma(Lanes.all(decay), mean.mul(rate).div(size)));
    }

    private float adam(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector gradient = Lanes.floats(g, i).mul(factor);
            FloatVector mean = mean(gradient, Lanes.floats(m, i));
            FloatVector square = square(gradient, Lanes.floats(v, i));
            mean.intoArray(m, i);
            square.intoArray(v, i);
            moved(Lanes.floats(w, i), mean, square).intoArray(w, i);
        }
        return 0;
    }

    /** The same of whole vectors of float32, where they are. */
    private float adamInMemory(int n) {
        for (long i = 0; i < (long) n * Float.BYTES; i += L * Float.BYTES) {
            FloatVector gradient = Lanes.floats(this.gradient + i).mul(factor);
            FloatVector mean = mean(gradient, Lanes.floats(first + i));
            FloatVector square = square(gradient, Lanes.floats(second + i));
            mean.intoMemorySegment(Lanes.ALL, first + i, Lanes.ORDER);
            square.intoMemorySegment(Lanes.ALL, second + i, Lanes.ORDER);
            moved(Lanes.floats(weights + i), mean, square).intoMemorySegment(Lanes.ALL, weights + i, Lanes.ORDER);
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
