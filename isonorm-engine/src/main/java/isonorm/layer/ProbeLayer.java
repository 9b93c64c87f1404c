package isonorm.layer;

import isonorm.architecture.Output;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import isonorm.weights.Scratch;
import java.io.IOException;
import java.util.Optional;

/**
 * What a learned vector gets by asking all positions: {@code a + mlp(norm(a))} with
 * {@code a = output(softmax(query(probe) key(y)^T / sqrt(D)) value(y))}, D being a head's width.
 */
record ProbeLayer(int heads, Tensor probe, Linear query, Linear key, Linear value, Linear output, NormLayer norm, MlpLayer mlp, Compute compute) {

    static ProbeLayer load(Loader from, Output.Probe shape, int width) throws IOException {
        return new ProbeLayer(shape.heads(), from.vector(Role.of(Part.POOLER_PROBE, Role.Field.WEIGHT), width),
                linear(from, Part.POOLER_QUERY), linear(from, Part.POOLER_KEY), linear(from, Part.POOLER_VALUE), linear(from, Part.POOLER_OUTPUT),
                from.norm(Role.of(Part.POOLER_NORM, Role.Field.GAIN), shape.norm(), width),
                new MlpLayer(shape.mlp(), Optional.empty(), linear(from, Part.POOLER_UP), Optional.empty(), linear(from, Part.POOLER_DOWN),
                        from.compute()),
                from.compute());
    }

    private static Linear linear(Loader from, Part part) throws IOException {
        return from.linear(Role.of(part, Role.Field.WEIGHT), true);
    }

    /** A row for each row of the batch, of which y has {@code length} positions. */
    Tensor forward(Tensor y, int length) {
        Tensor q = query.forward(probe.to(Type.of(compute))).to(Type.wide(compute));
        Tensor k = key.forward(y);
        Tensor v = value.forward(y);
        int d = q.width();
        int D = d / heads;
        double[] asked = new double[d];
        q.rows().read(0, 0, d, asked);
        Tensor attended = y.every(length, 0).map((row, _, into) -> {
            for (int head = 0; head < heads; head++) {
                attend(asked, part(k, row, length, head, D), part(v, row, length, head, D), head * D, into);
            }
        });
        Tensor a = output.forward(attended).to(Type.wide(compute));
        return mlp.forward(norm.forward(a)).to(Type.wide(compute)).plus(a);
    }

    private static Rows part(Tensor x, int row, int length, int head, int width) {
        return x.rows().slice(row * length, length).sliceColumns(head * width, width);
    }

    /** One head's part of what is attended to, put behind {@code from} values of {@code into}. */
    private static void attend(double[] query, Rows keys, Rows values, int from, double[] into) {
        int n = keys.rows();
        int D = keys.columns();
        try (Scratch scores = Scratch.borrow(n); Scratch exponentials = Scratch.borrow(n); Scratch one = Scratch.borrow(D)) {
            double[] s = scores.values();
            double[] e = exponentials.values();
            double[] x = one.values();
            for (int j = 0; j < n; j++) {
                keys.read(j, 0, D, x);
                double sum = 0;
                for (int c = 0; c < D; c++) {
                    sum += query[from + c] * x[c];
                }
                s[j] = sum / Math.sqrt(D);
            }
            AttentionLayer.softmax(s, e, n, Double.NEGATIVE_INFINITY);
            for (int c = 0; c < D; c++) {
                into[from + c] = 0;
            }
            for (int j = 0; j < n; j++) {
                values.read(j, 0, D, x);
                for (int c = 0; c < D; c++) {
                    into[from + c] += e[j] * x[c];
                }
            }
        }
    }
}
