package isonorm.layer;

import isonorm.architecture.Alibi;
import isonorm.architecture.Attention;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import isonorm.kernel.Exponentials;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import isonorm.tensor.Products;
import isonorm.tensor.Room;
import isonorm.weights.Scratch;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;

/**
 * {@code output(softmax(softcap(scale q k^T) + positions + distances + mask) v)} with q, k and v from one projection, each head times its scale where
 * there are such, and distances times their query's gate.
 *
 * <p>A query that sees no key at all gives every key the same weight, as transformers' eager attention does, and never NaN. In the code T is
 * tokens of a row, H heads, K key-value heads, H / K of which share one, and D the head's width.
 */
record AttentionLayer(
        Attention attention,
        UnaryOperator<Tensor> projection,
        Optional<NormLayer> queryNorm,
        Optional<NormLayer> keyNorm,
        Optional<NormLayer> valueNorm,
        Optional<NormLayer> innerNorm,
        Optional<Tensor> headScales,
        double[] sinks,
        Optional<DistanceBiases> distances,
        UnaryOperator<Tensor> output,
        Compute compute) {

    /** How many queries of a head a thread looks at together: their scores stay in its cache. */
    private static final int QUERIES = 128;

    private static final Room SCORES = new Room();

    private static final double[] NO_GATES = {};

    Tensor forward(Tensor x, Sight sight) {
        int H = attention.heads().count();
        int K = attention.heads().keyValue();
        int D = attention.heads().width();
        Tensor qkv = projection.apply(x);
        if (attention.clip().isPresent()) {
            qkv = clipped(qkv, attention.clip().getAsDouble());
        }
        Tensor q = turned(normed(qkv.columns(0, H * D), H, queryNorm), H, sight);
        Tensor k = turned(normed(qkv.columns(H * D, K * D), K, keyNorm), K, sight);
        Tensor v = normed(qkv.columns((H + K) * D, K * D), K, valueNorm);
        double[] gates = distances.flatMap(DistanceBiases::gates).map(each -> each.of(x)).orElse(NO_GATES);
        Tensor attended = attend(q, k, v, gates, sight);
        Tensor read = innerNorm.isPresent() ? innerNorm.get().forward(attended) : attended;
        return output.apply(headScales.isPresent()
                ? read.to(Type.wide(compute)).split(H).times(headScales.get()).joined(H).to(Type.of(compute))
                : read);
    }

    private static Tensor clipped(Tensor x, double limit) {
        return x.map((_, row, y) -> {
            for (int i = 0; i < x.width(); i++) {
                y[i] = Math.clamp(row[i], -limit, limit);
            }
        });
    }

    private Tensor normed(Tensor x, int heads, Optional<NormLayer> norm) {
        if (norm.isEmpty()) {
            return x;
        }
        boolean together = attention.norms().span() == QueryKeyNorm.Span.PROJECTION;
        return together ? norm.get().forward(x) : norm.get().forward(x.split(heads)).joined(heads);
    }

    /** The first values of every head turned by their position's angles: {@code (a cos - b sin, b cos + a sin)} for each pair (a, b). */
    private Tensor turned(Tensor x, int heads, Sight sight) {
        if (attention.positions().rotary().isEmpty()) {
            return x;
        }
        Rotary rotary = attention.positions().rotary().get();
        Sight.Turn turn = sight.turn(rotary);
        int D = attention.heads().width();
        boolean halves = rotary.pairing() == Pairing.HALVES;
        int step = halves ? 1 : 2;
        int beside = halves ? turn.pairs() : 1;
        return x.map((row, values, y) -> {
            System.arraycopy(values, 0, y, 0, heads * D);
            int angle = row % sight.length() * turn.pairs();
            for (int head = 0; head < heads; head++) {
                for (int i = 0; i < turn.pairs(); i++) {
                    int at = head * D + step * i;
                    double a = values[at];
                    double b = values[at + beside];
                    double cosine = turn.cosine()[angle + i];
                    double sine = turn.sine()[angle + i];
                    y[at] = a * cosine - b * sine;
                    y[at + beside] = b * cosine + a * sine;
                }
            }
        });
    }

    /** Some queries of one head of one row, with the keys that any of them can see. */
    private record Window(int row, int head, int query, int queries, int from, int to) {}

    /** The values each query attends to, (tokens, H D). */
    private Tensor attend(Tensor q, Tensor k, Tensor v, double[] gates, Sight sight) {
        Tensor out = q.space().empty(q.type(), q.count(), q.width());
        List<Window> windows = windows(sight);
        q.space().each(windows.size(), w -> {
            Window at = windows.get(w);
            Rows scores = SCORES.rows(q.type(), at.queries, at.to - at.from);
            Products.product(queries(q, at, sight), keys(k, at, sight), true, scores);
            weigh(scores, at, gates, sight);
            Products.product(scores, keys(v, at, sight), false, queries(out, at, sight));
        });
        return out;
    }

    private List<Window> windows(Sight sight) {
        int T = sight.length();
        List<Window> windows = new ArrayList<>();
        for (int row = 0; row < sight.count(); row++) {
            for (int head = 0; head < attention.heads().count(); head++) {
                for (int query = 0; query < T; query += QUERIES) {
                    int queries = Math.min(QUERIES, T - query);
                    windows.add(sight.padded() // then a query may see nothing, and weighs all keys alike
                            ? new Window(row, head, query, queries, 0, T)
                            : new Window(row, head, query, queries, sight.from(attention, query), sight.to(attention, query + queries - 1)));
                }
            }
        }
        return windows;
    }

    private Rows queries(Tensor x, Window at, Sight sight) {
        int D = attention.heads().width();
        return x.rows().slice(at.row * sight.length() + at.query, at.queries).sliceColumns(at.head * D, D);
    }

    private Rows keys(Tensor x, Window at, Sight sight) {
        int D = attention.heads().width();
        int shared = attention.heads().count() / attention.heads().keyValue();
        return x.rows().slice(at.row * sight.length() + at.from, at.to - at.from).sliceColumns(at.head / shared * D, D);
    }

    /** Replaces the products of each query with its keys by the softmax of its scores. */
    private void weigh(Rows scores, Window at, double[] gates, Sight sight) {
        int keys = scores.columns();
        double[] biases = attention.positions().alibi().isPresent()
                ? sight.biases(attention.positions().alibi().get(), attention.heads().count(), at.row)[at.head]
                : new double[0];
        try (Scratch products = Scratch.borrow(keys); Scratch exponentials = Scratch.borrow(keys)) {
            double[] s = products.values();
            double[] e = exponentials.values();
            for (int i = 0; i < at.queries; i++) {
                int from = sight.from(attention, at.query + i);
                int n = sight.to(attention, at.query + i) - from;
                scores.read(i, from - at.from, n, s);
                score(s, e, n, biases, from);
                int query = at.query + i;
                double gate = gates.length > 0 ? gates[(at.row * sight.length() + query) * attention.heads().count() + at.head] : 1;
                distances.ifPresent(table -> table.add(s, at.head, query, from, n, gate));
                for (int j = 0; sight.padded() && j < n; j++) {
                    s[j] = sight.seen(at.row, from + j) ? s[j] : Double.NEGATIVE_INFINITY;
                }
                boolean sees = softmax(s, e, n, sinks.length > 0 ? sinks[at.head] : Double.NEGATIVE_INFINITY);
                Arrays.fill(s, 0, keys, sees ? 0 : 1.0 / keys);
                if (sees) {
                    System.arraycopy(e, 0, s, from - at.from, n);
                }
                scores.write(i, 0, keys, s);
            }
        }
    }

    /** Makes n products scores, those of the keys from {@code first} on. */
    private void score(double[] s, double[] room, int n, double[] biases, int first) {
        boolean before = attention.positions().alibi().filter(alibi -> alibi == Alibi.BEFORE_SCALE_BFLOAT16).isPresent();
        if (before) {
            add(s, n, biases, first);
        }
        for (int j = 0; j < n; j++) {
            s[j] *= attention.scores().scale();
        }
        if (attention.scores().softcap().isPresent()) {
            softcap(s, room, n, attention.scores().softcap().getAsDouble());
        }
        if (attention.positions().alibi().isPresent() && !before) {
            add(s, n, biases, first);
        }
    }

    private static void add(double[] s, int n, double[] biases, int first) {
        for (int j = 0; j < n; j++) {
            s[j] += biases[first + j];
        }
    }

    /** {@code s = cap * tanh(s / cap)} for n values. */
    static void softcap(double[] s, double[] room, int n, double cap) {
        for (int j = 0; j < n; j++) {
            room[j] = s[j] / cap;
        }
        Exponentials.tanh(room, s, n);
        for (int j = 0; j < n; j++) {
            s[j] *= cap;
        }
    }

    /** {@code e = exp(s) / (sum(exp(s)) + exp(sink))} for n scores; false where all of them are minus infinity. */
    static boolean softmax(double[] s, double[] e, int n, double sink) {
        double largest = Double.NEGATIVE_INFINITY;
        for (int j = 0; j < n; j++) {
            largest = Math.max(largest, s[j]);
        }
        if (largest == Double.NEGATIVE_INFINITY) {
            return false;
        }
        largest = Math.max(largest, sink);
        for (int j = 0; j < n; j++) {
            s[j] -= largest; // or the exponential could be infinite
        }
        Exponentials.exp(s, e, n);
        double sum = Tensor.sum(e, n) + Math.exp(sink - largest);
        for (int j = 0; j < n; j++) {
            e[j] /= sum;
        }
        return true;
    }
}
