package isonorm.layer;

import isonorm.architecture.Attention;
import isonorm.architecture.CrossAttention;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.kernel.Rows;
import isonorm.tensor.Products;
import isonorm.tensor.Room;
import isonorm.weights.Scratch;
import java.io.IOException;
import java.util.Arrays;

/**
 * {@code output(softmax(scale q k^T) v)} with q from the decoder's stream and k and v from what an encoder gives.
 *
 * <p>A query whose encoder's tokens are all padding gives every one the same weight, as {@link AttentionLayer} does. H heads, K key-value
 * heads and D the head's width.
 */
record CrossAttentionLayer(CrossAttention attention, Linear query, Linear keyValue, Linear output) {

    private static final Room SCORES = new Room();

    static CrossAttentionLayer load(Loader from, CrossAttention attention, int l) throws IOException {
        return new CrossAttentionLayer(attention,
                from.linear(Role.of(Part.CROSS_QUERY, l, Role.Field.WEIGHT), attention.bias()),
                from.linear(Role.of(Part.CROSS_KEY_VALUE, l, Role.Field.WEIGHT), attention.keyValueBias()),
                from.linear(Role.of(Part.CROSS_OUTPUT, l, Role.Field.WEIGHT), attention.outputBias()));
    }

    /** What each token of x gets of its row's encoded tokens. */
    Tensor forward(Tensor x, Sight sight) {
        Attention.Heads heads = attention.heads();
        int H = heads.count();
        int K = heads.keyValue();
        int D = heads.width();
        Sight.Encoded encoded = sight.encoded();
        Tensor q = query.forward(x);
        Tensor kv = keyValue.forward(encoded.rows());
        Tensor out = x.space().empty(q.type(), q.count(), q.width());
        x.space().each(sight.count() * H, at -> {
            int row = at / H;
            int head = at % H;
            int shared = head / (H / K) * D;
            Rows queries = q.rows().slice(row * sight.length(), sight.length()).sliceColumns(head * D, D);
            Rows both = kv.rows().slice(row * encoded.length(), encoded.length());
            Rows scores = SCORES.rows(q.type(), sight.length(), encoded.length());
            Products.product(queries, both.sliceColumns(shared, D), true, scores);
            weigh(scores, encoded, row);
            Products.product(scores, both.sliceColumns(K * D + shared, D), false,
                    out.rows().slice(row * sight.length(), sight.length()).sliceColumns(head * D, D));
        });
        return output.forward(out);
    }

    /** Replaces the products of each query with all keys of its row by the softmax of its scores. */
    private void weigh(Rows scores, Sight.Encoded encoded, int row) {
        int keys = scores.columns();
        try (Scratch products = Scratch.borrow(keys); Scratch exponentials = Scratch.borrow(keys)) {
            double[] s = products.values();
            double[] e = exponentials.values();
            for (int i = 0; i < scores.rows(); i++) {
                scores.read(i, 0, keys, s);
                for (int j = 0; j < keys; j++) {
                    s[j] = encoded.seen(row, j) ? s[j] * attention.scale() : Double.NEGATIVE_INFINITY;
                }
                if (!AttentionLayer.softmax(s, e, keys, Double.NEGATIVE_INFINITY)) {
                    Arrays.fill(e, 0, keys, 1.0 / keys);
                }
                scores.write(i, 0, keys, e);
            }
        }
    }
}
