package isonorm.layer;

import isonorm.architecture.Attention;
import isonorm.architecture.Part;
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Role;
import java.io.IOException;
import java.util.Optional;

/**
 * What a table of distances adds to scores, or one of places: a number for each head and each bucket, (buckets, heads).
 *
 * @param gates what each query multiplies it with
 */
record DistanceBiases(RelativeBias shape, double[] values, int heads, Optional<Gates> gates) {

    /** Of two numbers for each head that a linear layer makes of what a query reads. */
    record Gates(Linear numbers, double[] scales) {

        /** The gate of each query and head, (tokens, heads). */
        double[] of(Tensor x) {
            Tensor made = numbers.forward(x);
            int heads = scales.length;
            double[] gates = new double[x.count() * heads];
            double[] row = new double[2 * heads];
            for (int query = 0; query < x.count(); query++) {
                made.rows().read(query, 0, row.length, row);
                for (int head = 0; head < heads; head++) {
                    gates[query * heads + head] = RelativeBias.Gates.of(row[head], row[heads + head], scales[head]);
                }
            }
            return gates;
        }
    }

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
        Optional<Gates> gates = attention.gates() != RelativeBias.Gates.NONE
                ? Optional.of(new Gates(from.linear(Role.of(Part.RELATIVE_GATE, l, Role.Field.WEIGHT), true),
                        from.numbers(Role.of(Part.RELATIVE_GATE_SCALE, l, Role.Field.WEIGHT))))
                : Optional.empty();
        return Optional.of(new DistanceBiases(shape.get(), values, heads, gates));
    }

    /** Adds to the scores of a query and a head's n keys from {@code first} on, times the query's gate. */
    void add(double[] scores, int head, int query, int first, int n, double gate) {
        for (int j = 0; j < n; j++) {
            scores[j] += gate * values[shape.buckets().of(query, first + j) * heads + head];
        }
    }
}
