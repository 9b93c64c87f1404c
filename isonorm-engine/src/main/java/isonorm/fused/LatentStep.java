package isonorm.fused;

import isonorm.architecture.LatentAttention;
import isonorm.fused.Workspace.Use;
import isonorm.kernel.Kernels;
import isonorm.kernel.Normalization;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import isonorm.tensor.Finish;
import java.util.Optional;

/**
 * What is around latent attention: queries, keys and values from what reads the stream, laid out as the heads of {@link LatentAttention#attention} are,
 * and the output projection of the values that these heads give. Keys and values are kept as heads have them.
 */
record LatentStep(
        LatentAttention latent, Weight reader, Values bias, Optional<Normalization> queryNorm, Optional<Weight> queryUp, Normalization keyNorm,
        Weight keyValueUp, Weight output) {

    private static final Kernels KERNELS = Kernels.provider();

    /** All heads' queries, then their keys, then their values: the turned values first, zeros behind what is shorter. */
    Rows project(Residual.Read read, Pass pass) {
        int n = pass.rows();
        int H = latent.heads();
        int P = latent.plainWidth();
        int R = latent.rotary().width();
        int V = latent.valueWidth();
        int W = latent.attention().heads().width();
        Rows all = pass.room().rows(Use.LATENT, n, latent.projectionWidth());
        pass.linear(read, reader, all, Finish.of(bias));
        Rows first = all.sliceColumns(0, latent.readQueries());
        Rows shared = all.sliceColumns(latent.readQueries(), latent.keyValueRank());
        Rows turned = all.sliceColumns(latent.readQueries() + latent.keyValueRank(), R);
        pass.rows((from, count) -> {
            queryNorm.ifPresent(norm -> KERNELS.norm(first.slice(from, count), norm, first.slice(from, count)));
            KERNELS.norm(shared.slice(from, count), keyNorm, shared.slice(from, count));
        });
        Rows queries = queryUp.isPresent() ? pass.room().rows(Use.LATENT_QUERIES, n, H * (P + R)) : first;
        queryUp.ifPresent(weight -> pass.linear(first, weight, queries));
        Rows both = pass.room().rows(Use.LATENT_KEYS, n, H * (P + V));
        pass.linear(shared, keyValueUp, both);
        Rows qkv = pass.room().rows(Use.PROJECTED, n, 3 * H * W);
        pass.rows((from, count) -> {
            Rows into = qkv.slice(from, count);
            Rows q = queries.slice(from, count);
            Rows kv = both.slice(from, count);
            clear(into);
            for (int h = 0; h < H; h++) {
                KERNELS.copy(q.sliceColumns(h * (P + R) + P, R), into.sliceColumns(h * W, R));
                KERNELS.copy(q.sliceColumns(h * (P + R), P), into.sliceColumns(h * W + R, P));
                KERNELS.copy(turned.slice(from, count), into.sliceColumns((H + h) * W, R));
                KERNELS.copy(kv.sliceColumns(h * (P + V), P), into.sliceColumns((H + h) * W + R, P));
                KERNELS.copy(kv.sliceColumns(h * (P + V) + P, V), into.sliceColumns((2 * H + h) * W, V));
            }
        });
        return qkv;
    }

    private static void clear(Rows rows) {
        long size = rows.type().bytes();
        for (int row = 0; row < rows.rows(); row++) {
            rows.data().asSlice((rows.offset() + (long) row * rows.stride()) * size, rows.columns() * size).fill((byte) 0);
        }
    }

    /** The output projection of each head's values. */
    Rows write(Rows attended, Pass pass) {
        int V = latent.valueWidth();
        int W = latent.attention().heads().width();
        Rows values = pass.room().rows(Use.LATENT_VALUES, pass.rows(), latent.outputColumns());
        pass.rows((from, count) -> {
            for (int h = 0; h < latent.heads(); h++) {
                KERNELS.copy(attended.slice(from, count).sliceColumns(h * W, V), values.slice(from, count).sliceColumns(h * V, V));
            }
        });
        Rows written = pass.room().rows(Use.ATTENTION_BRANCH, pass.rows(), output.outputs());
        pass.linear(values, output, written);
        return written;
    }
}
