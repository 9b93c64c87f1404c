package isonorm.backpropagation;

import isonorm.kernel.Rows;
import isonorm.kernel.Values;

/**
 * The residual stream h of one step with its gradient, and what was written to it last and is not yet added.
 *
 * <p>Adding waits for the next norm, so that sum and norm are one pass over memory. Every h that somebody reads is kept for the way
 * back; there is one gradient, which each layer that wrote to the stream finds complete when its turn comes.
 */
final class TracedResidual {

    private final Step step;
    private final int carried;
    private final Rows gradient;
    private Rows h;
    private Rows branch;
    private Values bias = Values.NONE;

    /**
     * @param h what enters, whole rows in the type of streams
     * @param carried how many values of a row are carried: width, or width - 1
     */
    TracedResidual(Step step, Rows h, int carried) {
        this.step = step;
        this.carried = carried;
        this.h = h;
        this.gradient = step.wideRoom(h.columns());
    }

    /** The carried part of whole rows. */
    Rows carried(Rows x) {
        return x.sliceColumns(0, carried);
    }

    int width() {
        return h.columns();
    }

    /** The gradient of the loss with respect to the stream where the backward pass is now, whole rows. */
    Rows gradient() {
        return gradient;
    }

    /** {@code h += written + bias}, done later. */
    void add(Rows written, Values writtenBias) {
        settled();
        branch = written;
        bias = writtenBias;
    }

    /** {@code h} is something else now. */
    void set(Rows other) {
        h = other;
        branch = null;
    }

    /** The stream at a moment, with what waits to be added. */
    record State(Rows h, Rows branch, Values bias) {}

    State state() {
        return new State(h, branch, bias);
    }

    /** The stream is again what it was. */
    void restore(State state) {
        h = state.h;
        branch = state.branch;
        bias = state.bias;
    }

    /** Room for a state. */
    State stateRoom() {
        return new State(step.wideRoom(h.columns()), step.room(h.columns()), Values.NONE);
    }

    /** The stream lies in that room now. */
    void moveTo(State room) {
        step.copy(h, room.h);
        if (branch == null) {
            restore(new State(room.h, null, Values.NONE));
        } else {
            step.copy(branch, room.branch);
            restore(new State(room.h, room.branch, bias));
        }
    }

    /** What a norm gave of h, and that h. */
    record Normed(Rows h, Rows value) {}

    /** {@code norm(h)}, whole rows in the type of activations. */
    Normed read(NormFunction norm) {
        Rows out = step.room(h.columns());
        if (branch == null) {
            norm.forward(carried(h), carried(out), step);
        } else {
            Rows sum = step.wideRoom(h.columns());
            norm.forward(carried(h), carried(branch), bias, carried(sum), carried(out), step);
            set(sum);
        }
        return new Normed(h, out);
    }

    /** The stream with everything added, whole rows. */
    Rows settled() {
        if (branch != null) {
            set(plus(1, branch, bias));
        }
        return h;
    }

    /** {@code alpha h + written + bias} as new rows. */
    Rows plus(double alpha, Rows written, Values writtenBias) {
        Rows sum = step.wideRoom(h.columns());
        Rows from = h;
        step.each(h.rows(), (first, rows) -> {
            Rows some = sum.slice(first, rows);
            step.kernels().copy(from.slice(first, rows), some);
            if (alpha != 1) {
                step.gradients().scale(some, alpha);
            }
            step.gradients().add(written.slice(first, rows), 1, some);
            if (writtenBias.present()) {
                step.kernels().addBias(carried(some), writtenBias);
            }
        });
        return sum;
    }

    /** {@code factor h} as new rows. */
    Rows scaled(double factor) {
        Rows product = step.wideRoom(h.columns());
        Rows from = settled();
        step.each(from.rows(), (first, rows) -> {
            step.kernels().copy(from.slice(first, rows), product.slice(first, rows));
            step.gradients().scale(product.slice(first, rows), factor);
        });
        return product;
    }

    /** The sum of this stream's gradient and that of another, as new rows. */
    Rows gradientWith(TracedResidual other) {
        Rows sum = step.wideRoom(h.columns());
        step.each(sum.rows(), (first, rows) -> {
            step.kernels().copy(gradient.slice(first, rows), sum.slice(first, rows));
            step.gradients().add(other.gradient.slice(first, rows), 1, sum.slice(first, rows));
        });
        return sum;
    }
}
