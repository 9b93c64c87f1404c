package isonorm.layer;

import isonorm.architecture.Attention;
import isonorm.architecture.Part;
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Role;
import java.io.IOException;
import java.util.Optional;

/** What a table of distances adds to scores, or one of places: a number for each head and each bucket, (buckets, heads). */
record DistanceBiases(RelativeBias shape, double[] values, int heads) {

    /** That of block l, or of the first where it has none of its own; none where distances have no bias. */
    static Optional<DistanceBiases> load(Loader from, Attention attention, int l) throws IOException {
        Optional<RelativeBias> shape = attention.positions().relative();
        if (shape.isEmpty()) {
            return Optional.empty();
        }
        int heads = attention.heads().count();
        double[] values = new double[shape.get().buckets().count() * heads];
        Tensor table = from.matrix(Role.of(Part.RELATIVE_BIAS, shape.get().own() ? l : 0, Role.Field.WEIGHT));
        for (int bucket = 0; bucket < shape.get().buckets().count(); bucket++) {
            double[] row = new double[heads];
            table.rows().read(bucket, 0, heads, row);
            System.arraycopy(row, 0, values, bucket * heads, heads);
        }
        return Optional.of(new DistanceBiases(shape.get(), values, heads));
    }

    /** Adds to the scores of a query and a head's n keys from {@code first} on. */
    void add(double[] scores, int head, int query, int first, int n) {
        for (int j = 0; j < n; j++) {
            scores[j] += values[shape.buckets().of(query, first + j) * heads + head];
        }
    }
}
