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

    private static final Loop<VectorSteps> ADAM = Loop.of(VectorSteps::adam);
    private static final Loop<VectorSteps> ADAM_IN_PLACE = Loop.of(VectorSteps::adamInPlace);
    private static final Loop<VectorSteps> SGD = Loop.of(VectorSteps::sgd);
    private static final Loop<VectorSteps> SGD_IN_PLACE = Loop.of(VectorSteps::sgdInPlace);

    /** Copies of a piece, for what is not float32 or fills no whole vector; the gradient is only read. */
    private final float[] w = Lanes.room(VectorElements.PIECE);
    private final float[] g = Lanes.room(VectorElements.PIECE);
    private final float[] m = Lanes.room(VectorElements.PIECE);
    private final float[] v = Lanes.room(VectorElements.PIECE);

    /** Where a piece lies, if it is float32. */
    private long weightsAt;
    private long gradientAt;
    private long firstAt;
    private long secondAt;

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

    private VectorSteps() {}

    static void adamW(Rows weights, Rows gradient, Rows first, Rows second, Gradients.AdamW step) {
        VectorSteps on = new VectorSteps();
        on.factor = (float) step.factor();
        on.keep1 = (float) step.beta1();
        on.take1 = (float) (1 - step.beta1());
        on.keep2 = (float) step.beta2();
        on.take2 = (float) (1 - step.beta2());
        on.root = (float) Math.sqrt(1 / (1 - Math.pow(step.beta2(), step.step())));
        on.epsilon = (float) step.epsilon();
        on.rate = (float) (step.rate() / (1 - Math.pow(step.beta1(), step.step())));
        on.decay = (float) (step.rate() * step.decay());
        on.all(ADAM, ADAM_IN_PLACE, weights, gradient, first, second);
    }

    static void sgd(Rows weights, Rows gradient, Rows first, double rate, double momentum, double decay, double factor) {
        VectorSteps on = new VectorSteps();
        on.factor = (float) factor;
        on.keep1 = (float) momentum;
        on.rate = (float) rate;
        on.decay = (float) decay;
        on.all(SGD, SGD_IN_PLACE, weights, gradient, first, null);
    }

    /** One row, where all follow each other. */
    private void all(Loop<VectorSteps> copied, Loop<VectorSteps> inPlace, Rows weights, Rows gradient, Rows first, Rows second) {
        Rows last = second == null ? first : second;
        boolean dense = Stream.of(weights, gradient, first, last).allMatch(VectorElements::dense);
        if (dense && weights.rows() > 1) {
            all(copied, inPlace, VectorElements.flat(weights), VectorElements.flat(gradient), VectorElements.flat(first),
                    second == null ? null : VectorElements.flat(second));
            return;
        }
        boolean floats = Stream.of(weights, gradient, first, last).allMatch(each -> each.type() == Type.F32);
        VectorElements.pieces(weights, (row, at, n) -> {
            int whole = floats ? n / L * L : 0;
            if (whole > 0) {
                weightsAt = VectorElements.address(weights, row, at);
                gradientAt = VectorElements.address(gradient, row, at);
                firstAt = VectorElements.address(first, row, at);
                secondAt = VectorElements.address(last, row, at);
                inPlace.run(this, whole);
            }
            if (whole < n) {
                copied(copied, weights, gradient, first, second, row, at + whole, n - whole);
            }
        });
    }

    private void copied(Loop<VectorSteps> loop, Rows weights, Rows gradient, Rows first, Rows second, int row, int at, int n) {
        VectorElements.read(weights, row, at, n, w);
        VectorElements.read(gradient, row, at, n, g);
        VectorElements.read(first, row, at, n, m);
        if (second != null) {
            VectorElements.read(second, row, at, n, v);
        }
        loop.run(this, n);
        VectorElements.write(weights, row, at, n, w);
        VectorElements.write(first, row, at, n, m);
        if (second != null) {
            VectorElements.write(second, row, at, n, v);
        }
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

    private float adamInPlace(int n) {
        for (long i = 0; i < (long) n * Float.BYTES; i += L * Float.BYTES) {
            FloatVector gradient = Lanes.floats(gradientAt + i).mul(factor);
            FloatVector mean = mean(gradient, Lanes.floats(firstAt + i));
            FloatVector square = square(gradient, Lanes.floats(secondAt + i));
            mean.intoMemorySegment(Lanes.ALL, firstAt + i, Lanes.ORDER);
            square.intoMemorySegment(Lanes.ALL, secondAt + i, Lanes.ORDER);
            moved(Lanes.floats(weightsAt + i), mean, square).intoMemorySegment(Lanes.ALL, weightsAt + i, Lanes.ORDER);
        }
        return 0;
    }

    private FloatVector momentum(FloatVector weight, FloatVector gradient, FloatVector mean) {
        return weight.fma(Lanes.all(decay), gradient.fma(Lanes.all(factor), mean.mul(keep1)));
    }

    private float sgd(int n) {
        FloatVector minus = Lanes.all(-rate);
        for (int i = 0; i < n; i += L) {
            FloatVector weight = Lanes.floats(w, i);
            FloatVector mean = momentum(weight, Lanes.floats(g, i), Lanes.floats(m, i));
            mean.intoArray(m, i);
            mean.fma(minus, weight).intoArray(w, i);
        }
        return 0;
    }

    private float sgdInPlace(int n) {
        FloatVector minus = Lanes.all(-rate);
        for (long i = 0; i < (long) n * Float.BYTES; i += L * Float.BYTES) {
            FloatVector weight = Lanes.floats(weightsAt + i);
            FloatVector mean = momentum(weight, Lanes.floats(gradientAt + i), Lanes.floats(firstAt + i));
            mean.intoMemorySegment(Lanes.ALL, firstAt + i, Lanes.ORDER);
            mean.fma(minus, weight).intoMemorySegment(Lanes.ALL, weightsAt + i, Lanes.ORDER);
        }
        return 0;
    }
}
