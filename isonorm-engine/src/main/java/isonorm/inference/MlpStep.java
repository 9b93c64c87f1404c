package isonorm.inference;

import isonorm.architecture.Mlp;
import isonorm.inference.Workspace.Use;
import isonorm.kernel.Kernels;
import isonorm.kernel.Normalization;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import java.util.Optional;

/**
 * {@code down(activation(up(x)))}, or {@code down(activation(gate(x)) * up(x))} where there is a gate. What {@code down} reads
 * is normalized where there is an inner norm; what it adds as a bias is left to the stream.
 */
record MlpStep(
        Mlp mlp, Optional<Weight> gate, Values gateBias, Weight up, Values upBias, Optional<Normalization> innerNorm, Weight down) {

    private static final Kernels KERNELS = Kernels.provider();

    /** The columns of a tile are a multiple of this, so that its rows begin on cache lines. */
    private static final int STEP = 32;

    Rows forward(Residual.Read read, Pass pass) {
        Rows inner = pass.room().rows(Use.INNER, pass.rows(), mlp.hidden());
        Rows gated = gate.isPresent() ? pass.room().rows(Use.GATE, pass.rows(), mlp.hidden()) : inner;
        pass.linear(read, up, inner, STEP, (tile, scales, column) -> {
            if (gate.isEmpty()) {
                KERNELS.activate(tile, scales, upBias.slice(column, tile.columns()), mlp.activation());
            }
        });
        if (gate.isPresent()) {
            gate(read, inner, gated, pass);
        }
        innerNorm.ifPresent(norm -> pass.rows((first, count) -> KERNELS.norm(gated.slice(first, count), norm, gated.slice(first, count))));
        Rows written = pass.room().rows(Use.MLP_BRANCH, pass.rows(), down.outputs());
        pass.linear(gated, down, written);
        return written;
    }

    private void gate(Residual.Read read, Rows inner, Rows gated, Pass pass) {
        pass.grid(gated.columns(), STEP, (row, rows, column, columns) -> {
            Residual.Read some = read.slice(row, rows);
            Rows tile = gated.slice(row, rows).sliceColumns(column, columns);
            gate.orElseThrow().multiply(some.x(), column, tile);
            KERNELS.gate(tile, inner.slice(row, rows).sliceColumns(column, columns), some.scales(), gateBias.slice(column, columns),
                    upBias.slice(column, columns), mlp.activation(), tile);
        });
    }
}
