package isonorm.fused;

import isonorm.architecture.Mlp;
import isonorm.fused.Workspace.Use;
import isonorm.kernel.Kernels;
import isonorm.kernel.Normalization;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import isonorm.tensor.Finish;
import java.util.Optional;

/**
 * {@code down(activation(up(x)))}, or {@code down(activation(gate(x)) * up(x))} where there is a gate. What {@code down} reads
 * is normalized where there is an inner norm; what it adds as a bias is left to the stream.
 */
record MlpStep(
        Mlp mlp, Optional<Weight> gate, Values gateBias, Weight up, Values upBias, Optional<Normalization> innerNorm, Weight down) {

    private static final Kernels KERNELS = Kernels.provider();

    Rows forward(Residual.Read read, Pass pass) {
        Rows inner = inner(read, pass);
        innerNorm.ifPresent(norm -> pass.rows((first, count) -> KERNELS.norm(inner.slice(first, count), norm, inner.slice(first, count))));
        Rows written = pass.room().rows(Use.MLP_BRANCH, pass.rows(), down.outputs());
        pass.linear(inner, down, written);
        return written;
    }

    private Rows inner(Residual.Read read, Pass pass) {
        Rows upper = pass.room().rows(Use.INNER, pass.rows(), mlp.hidden());
        if (gate.isEmpty()) {
            pass.linear(read, up, upper, Finish.of(upBias, mlp.activation()));
            return upper;
        }
        pass.linear(read, up, upper, Finish.of(upBias));
        Rows gated = pass.room().rows(Use.GATE, pass.rows(), mlp.hidden());
        pass.linear(read, gate.get(), gated, Finish.of(gateBias, mlp.activation()).times(upper));
        return gated;
    }
}
