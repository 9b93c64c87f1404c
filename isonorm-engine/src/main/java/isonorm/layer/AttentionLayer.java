package isonorm.layer;

import static isonorm.tensor.Ops.cast;
import static isonorm.tensor.Ops.clamp;
import static isonorm.tensor.Ops.concatenate;
import static isonorm.tensor.Ops.fillInPlace;
import static isonorm.tensor.Ops.softcap;
import static isonorm.tensor.Ops.softmax;
import static isonorm.tensor.Ops.stack;
import static isonorm.tensor.Ops.times;

import isonorm.architecture.Alibi;
import isonorm.architecture.Attention;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary;
import isonorm.tensor.Compute;
import isonorm.tensor.Memory;
import isonorm.tensor.Threads;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/**
 * {@code output(softmax(softcap(scale q k^T) + positions + mask) v)} with q, k and v from one projection, each head times its scale where
 * there are such.
 *
 * <p>Hidden scores are set to the lowest finite value: a query that sees no key at all gives every key the same weight, as
 * transformers' eager attention does, and never NaN. In the code B is rows of the batch, T tokens, H heads, K key-value heads,
 * G = H / K and D the head's width.
 */
record AttentionLayer(
        Attention attention,
        Linear projection,
        Optional<NormLayer> queryNorm,
        Optional<NormLayer> keyNorm,
        Optional<NormLayer> valueNorm,
        Optional<NormLayer> innerNorm,
        Optional<Tensor> headScales,
        Linear output,
        Compute compute) {

    /** How many scores a thread has in memory at once. */
    private static final long SCORES = 1_000_000;

    Tensor forward(Tensor x, Sight sight) throws IOException {
        long B = sight.count();
        long T = sight.length();
        long H = attention.heads();
        long K = attention.keyValueHeads();
        long D = attention.headWidth();
        Tensor qkv = projection.forward(x);
        if (attention.clip().isPresent()) {
            qkv = clamp(qkv, attention.clip().getAsDouble());
        }
        qkv = qkv.view(B, T, H + 2 * K, D);
        Tensor q = heads(turned(normed(qkv.narrow(2, 0, H), queryNorm), sight));
        Tensor k = heads(turned(normed(qkv.narrow(2, H, K), keyNorm), sight));
        Tensor v = heads(normed(qkv.narrow(2, H + K, K), valueNorm));
        Tensor attended = attend(q, k, v, sight).transpose(1, 2).reshape(B, T, H * D);
        Tensor read = innerNorm.isPresent() ? innerNorm.get().forward(attended) : attended;
        return output.forward(headScales.isPresent() ? cast(read.view(B, T, H, D).mul(headScales.get()), compute).view(B, T, H * D) : read);
    }

    /** (B, T, heads, D) to (B, heads, T, D). */
    private static Tensor heads(Tensor x) {
        return x.transpose(1, 2).contiguous();
    }

    private Tensor normed(Tensor x, Optional<NormLayer> norm) {
        if (norm.isEmpty()) {
            return x;
        }
        boolean together = attention.normSpan() == QueryKeyNorm.Span.PROJECTION;
        return together
                ? norm.get().forward(x.flatten(2, 3)).view(x.size(0), x.size(1), x.size(2), x.size(3))
                : norm.get().forward(x);
    }

    /** The first values of every head turned by their position's angles; x is (B, T, heads, D). */
    private Tensor turned(Tensor x, Sight sight) throws IOException {
        if (attention.rotary().isEmpty()) {
            return x;
        }
        Rotary rotary = attention.rotary().get();
        long width = rotary.width();
        Sight.Turn turn = sight.turn(rotary);
        Tensor cosine = turn.cosine().unsqueeze(1); // the same for all heads
        Tensor sine = turn.sine().unsqueeze(1);
        Tensor part = cast(x.narrow(3, 0, width), compute.statistics());
        Tensor y = switch (rotary.pairing()) {
            case HALVES -> {
                Tensor a = part.narrow(3, 0, width / 2);
                Tensor b = part.narrow(3, width / 2, width / 2);
                yield concatenate(3, a.mul(cosine).sub(b.mul(sine)), b.mul(cosine).add(a.mul(sine)));
            }
            case NEIGHBOURS -> {
                Tensor pairs = part.reshape(x.size(0), x.size(1), x.size(2), width / 2, 2);
                Tensor a = pairs.select(4, 0);
                Tensor b = pairs.select(4, 1);
                yield stack(4, a.mul(cosine).sub(b.mul(sine)), b.mul(cosine).add(a.mul(sine))).flatten(3, 4);
            }
        };
        Tensor rounded = cast(y, compute);
        return width == x.size(3) ? rounded : concatenate(3, rounded, x.narrow(3, width, x.size(3) - width));
    }

    /** (B, H, T, D), some key-value heads and some queries of one row at a time, so that few scores are in memory. */
    private Tensor attend(Tensor q, Tensor k, Tensor v, Sight sight) throws IOException {
        long B = sight.count();
        long T = sight.length();
        long H = attention.heads();
        long K = attention.keyValueHeads();
        long G = H / K;
        long D = attention.headWidth();
        Tensor out = Memory.empty(compute, B, K, G, T, D);
        long heads = Math.clamp(SCORES / (G * T * T), 1, Math.ceilDiv(K, Math.ceilDiv(Threads.share(), B))); // work for all
        long queries = Math.clamp(SCORES / (G * T), 1, T);
        List<Window> windows = new ArrayList<>();
        for (int row = 0; row < B; row++) {
            for (long head = 0; head < K; head += heads) {
                for (long query = 0; query < T; query += queries) {
                    windows.add(new Window(row, head, Math.min(heads, K - head), query, Math.min(queries, T - query)));
                }
            }
        }
        Threads.parallel(windows.size(), w -> Memory.scoped(() -> {
            Window at = windows.get(w);
            Tensor weights = weights(
                    at.of(q.select(0, at.row).view(K, G, T, D)), at.ofHeads(k.select(0, at.row)), at, sight);
            Tensor values = weights.bmm(at.ofHeads(v.select(0, at.row)));
            at.of(out.select(0, at.row)).copy_(values.view(at.heads, G, at.queries, D));
        }));
        return out.view(B, H, T, D);
    }

    /** Some key-value heads of one row with their groups of heads, and some queries. */
    private record Window(int row, long head, long heads, long query, long queries) {

        /** x is (K, G, T, D). */
        Tensor of(Tensor x) {
            return x.narrow(0, head, heads).narrow(2, query, queries);
        }

        Tensor ofHeads(Tensor x) {
            return x.narrow(0, head, heads);
        }
    }

    /** The softmax of the scores, (heads, G * queries, T); q is (heads, G, queries, D) and k is (heads, T, D). */
    private Tensor weights(Tensor q, Tensor k, Window at, Sight sight) throws IOException {
        long G = q.size(1);
        long T = k.size(1);
        Tensor products = q.reshape(at.heads, G * at.queries, q.size(3)).bmm(k.transpose(1, 2));
        Tensor scores = cast(products, compute.statistics()).view(at.heads, G, at.queries, T);
        scores = attention.alibi().isPresent()
                ? withAlibi(scores, attention.alibi().get(), at, sight)
                : scaled(scores);
        if (sight.hides(attention)) {
            fillInPlace(scores, sight.hidden(attention, at.row).narrow(0, at.query, at.queries), compute.lowest());
        }
        return cast(softmax(scores), compute).view(at.heads, G * at.queries, T);
    }

    private Tensor scaled(Tensor scores) {
        Tensor scaled = times(scores, attention.scale());
        return attention.softcap().isPresent() ? softcap(scaled, attention.softcap().getAsDouble()) : scaled;
    }

    private Tensor withAlibi(Tensor scores, Alibi alibi, Window at, Sight sight) throws IOException {
        long G = scores.size(1);
        Tensor biases = sight.biases(alibi, attention.heads()).select(0, at.row)
                .narrow(0, at.head * G, at.heads * G).view(at.heads, G, 1, scores.size(3));
        return switch (alibi) {
            case AFTER_SCALE, AFTER_SCALE_INTERLEAVED -> scaled(scores).add(biases);
            case BEFORE_SCALE_BFLOAT16 -> scaled(scores.add(biases));
        };
    }
}
