package isonorm.fused;

import isonorm.architecture.Mlp;
import isonorm.fused.Workspace.Use;
import isonorm.kernel.Kernels;
import isonorm.kernel.Normalization;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import isonorm.tensor.Finish;
import isonorm.weights.Scratch;
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
        if (mlp.clamp().isEmpty()) {
            pass.linear(read, gate.get(), gated, Finish.of(gateBias, mlp.activation()).times(upper));
            return gated;
        }
        pass.linear(read, gate.get(), gated, Finish.of(gateBias));
        pass.rows((first, count) -> {
            Rows some = gated.slice(first, count);
            clamp(mlp.clamp().get(), some, upper.slice(first, count));
            KERNELS.gate(some, upper.slice(first, count), Values.NONE, Values.NONE, Values.NONE, mlp.activation(), some);
        });
        return gated;
    }

    /** {@code gate = min(gate, limit)} and {@code up = clamp(up, -limit, limit) + added}. */
    static void clamp(Mlp.Clamp clamp, Rows gate, Rows up) {
        int n = gate.columns();
        try (Scratch scratch = Scratch.borrow(n)) {
            double[] values = scratch.values();
            for (int row = 0; row < gate.rows(); row++) {
                gate.read(row, 0, n, values);
                for (int i = 0; i < n; i++) {
                    values[i] = Math.min(values[i], clamp.limit());
                }
                gate.write(row, 0, n, values);
                up.read(row, 0, n, values);
                for (int i = 0; i < n; i++) {
                    values[i] = Math.clamp(values[i], -clamp.limit(), clamp.limit()) + clamp.added();
                }
                up.write(row, 0, n, values);
            }
        }
    }
}
