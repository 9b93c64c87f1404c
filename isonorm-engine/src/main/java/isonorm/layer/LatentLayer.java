package isonorm.layer;

import isonorm.architecture.LatentAttention;
import isonorm.weights.Scratch;
import java.util.Arrays;
import java.util.Optional;

/**
 * What is around latent attention: queries, keys and values from what reads the stream, laid out as the heads of {@link LatentAttention#attention} are,
 * and the output projection of the values that these heads give.
 */
record LatentLayer(
        LatentAttention latent, Linear reader, Optional<NormLayer> queryNorm, Optional<Linear> queryUp, NormLayer keyNorm, Linear keyValueUp, Linear output) {

    /** All heads' queries, then their keys, then their values: the turned values first, zeros behind what is shorter. */
    Tensor project(Tensor x) {
        Tensor read = reader.forward(x);
        Tensor first = read.columns(0, latent.readQueries());
        Tensor queries = queryUp.isPresent() ? queryUp.get().forward(queryNorm.orElseThrow().forward(first)) : first;
        Tensor both = keyValueUp.forward(keyNorm.forward(read.columns(latent.readQueries(), latent.keyValueRank())));
        Tensor turned = read.columns(latent.readQueries() + latent.keyValueRank(), latent.rotary().width());
        int H = latent.heads();
        int P = latent.plainWidth();
        int R = latent.rotary().width();
        int V = latent.valueWidth();
        int W = latent.attention().heads().width();
        return queries.map(queries.type(), 3 * H * W, (row, q, y) -> {
            Arrays.fill(y, 0, 3 * H * W, 0);
            try (Scratch keys = Scratch.borrow(H * (P + V)); Scratch key = Scratch.borrow(R)) {
                both.rows().read(row, 0, H * (P + V), keys.values());
                turned.rows().read(row, 0, R, key.values());
                for (int h = 0; h < H; h++) {
                    System.arraycopy(q, h * (P + R) + P, y, h * W, R);
                    System.arraycopy(q, h * (P + R), y, h * W + R, P);
                    System.arraycopy(key.values(), 0, y, (H + h) * W, R);
                    System.arraycopy(keys.values(), h * (P + V), y, (H + h) * W + R, P);
                    System.arraycopy(keys.values(), h * (P + V) + P, y, (2 * H + h) * W, V);
                }
            }
        });
    }

    /** The output projection of each head's values. */
    Tensor write(Tensor attended) {
        int V = latent.valueWidth();
        int W = latent.attention().heads().width();
        return output.forward(attended.map(attended.type(), latent.outputColumns(), (_, x, y) -> {
            for (int h = 0; h < latent.heads(); h++) {
                System.arraycopy(x, h * W, y, h * V, V);
            }
        }));
    }
}
