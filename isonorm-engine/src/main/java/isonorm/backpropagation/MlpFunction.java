package isonorm.backpropagation;

import static isonorm.architecture.Part.MLP_DOWN;
import static isonorm.architecture.Part.MLP_GATE;
import static isonorm.architecture.Part.MLP_INNER_NORM;
import static isonorm.architecture.Part.MLP_UP;
import static isonorm.architecture.Role.Field.BIAS;
import static isonorm.architecture.Role.Field.GAIN;
import static isonorm.architecture.Role.Field.WEIGHT;

import isonorm.architecture.Mlp;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import java.util.Optional;

/**
 * {@code down(activation(up(x)))}, or {@code down(activation(gate(x)) * up(x))} where it is gated, with a norm before {@code down} where
 * there is one, and the backward pass. The bias of {@code down} is left to the stream.
 */
final class MlpFunction {

    private final Mlp mlp;
    private final LinearFunction inner;
    private final Optional<Parameters.Entry> gateBias;
    private final Optional<Parameters.Entry> upBias;
    private final Optional<NormFunction> innerNorm;
    private final LinearFunction down;

    MlpFunction(Parameters from, Mlp mlp, int l) {
        this.mlp = mlp;
        Parameters.Entry up = from.get(MLP_UP, l, WEIGHT);
        this.inner = mlp.gated() ? LinearFunction.of(from.get(MLP_GATE, l, WEIGHT), up) : LinearFunction.of(up);
        this.gateBias = mlp.gated() ? bias(from, MLP_GATE, l) : Optional.empty();
        this.upBias = bias(from, MLP_UP, l);
        this.innerNorm = mlp.innerNorm().map(norm -> NormFunction.of(norm, Role.of(MLP_INNER_NORM, l, GAIN), from, mlp.hidden(), 1));
        this.down = LinearFunction.of(from.get(MLP_DOWN, l, WEIGHT));
    }

    private Optional<Parameters.Entry> bias(Parameters from, Part part, int l) {
        return mlp.bias() ? Optional.of(from.get(part, l, BIAS)) : Optional.empty();
    }

    private static Values values(Optional<Parameters.Entry> bias) {
        return bias.map(Parameters.Entry::values).orElse(Values.NONE);
    }

    private static Rows gradient(Optional<Parameters.Entry> bias) {
        return bias.map(Parameters.Entry::gradient).orElse(null);
    }

    Traced forward(Rows x, Step step) {
        Rows read = inner.forward(x, step);
        Rows hidden = step.room(mlp.hidden());
        step.each(read.rows(), (first, rows) -> activate(read.slice(first, rows), hidden.slice(first, rows), step));
        Rows normed = innerNorm.isEmpty() ? hidden : step.room(mlp.hidden());
        innerNorm.ifPresent(norm -> norm.forward(hidden, normed, step));
        Rows y = down.forward(normed, step);
        return new Traced(y, dy -> {
            Rows dHidden = down.backward(normed, dy, step);
            innerNorm.ifPresent(norm -> norm.backward(hidden, dHidden, dHidden, step));
            step.summing(read.rows(), new Rows[] {gradient(gateBias), gradient(upBias)}, (first, rows, sums) ->
                    activateBack(read.slice(first, rows), dHidden.slice(first, rows), sums, step));
            return inner.backward(x, read, step);
        });
    }

    private void activate(Rows read, Rows out, Step step) {
        if (mlp.gated()) {
            step.kernels().gate(gate(read), up(read), Values.NONE, values(gateBias), values(upBias), mlp.activation(), out);
        } else {
            step.gradients().activate(read, values(upBias), mlp.activation(), out);
        }
    }

    /** What was read by the activation becomes its gradient. */
    private void activateBack(Rows read, Rows dHidden, Rows[] sums, Step step) {
        if (mlp.gated()) {
            step.gradients().gate(gate(read), up(read), values(gateBias), values(upBias), mlp.activation(), dHidden, sums[0], sums[1]);
        } else {
            step.gradients().activation(read, values(upBias), mlp.activation(), dHidden, read, sums[1]);
        }
    }

    private Rows gate(Rows read) {
        return read.sliceColumns(0, mlp.hidden());
    }

    private Rows up(Rows read) {
        return read.sliceColumns(mlp.hidden(), mlp.hidden());
    }
}
