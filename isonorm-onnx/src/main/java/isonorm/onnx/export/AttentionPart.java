package isonorm.onnx.export;

import static isonorm.architecture.Part.ATTENTION_HEAD_SCALE;
import static isonorm.architecture.Part.ATTENTION_INNER_NORM;
import static isonorm.architecture.Part.ATTENTION_OUTPUT;
import static isonorm.architecture.Part.ATTENTION_SINK;
import static isonorm.architecture.Part.CROSS_KEY_VALUE;
import static isonorm.architecture.Part.CROSS_OUTPUT;
import static isonorm.architecture.Part.CROSS_QUERY;
import static isonorm.architecture.Part.KEY_NORM;
import static isonorm.architecture.Part.KEY_VALUE_UP;
import static isonorm.architecture.Part.QUERY_KEY_VALUE;
import static isonorm.architecture.Part.QUERY_NORM;
import static isonorm.architecture.Part.QUERY_UP;
import static isonorm.architecture.Part.RELATIVE_GATE;
import static isonorm.architecture.Part.RELATIVE_GATE_SCALE;
import static isonorm.architecture.Part.VALUE_NORM;

import isonorm.architecture.Alibi;
import isonorm.architecture.Attention;
import isonorm.architecture.CrossAttention;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mixer;
import isonorm.architecture.Norm;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.QueryKeyNorm.Span;
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import isonorm.onnx.graph.ElementType;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Supplier;
import java.util.stream.LongStream;

/**
 * {@code output(softmax(softcap(scale q k^T) + positions + distances + mask) v)}. B rows, T queries, S keys, H heads, K key-value heads, D a head's
 * width; a query that sees nothing weighs all keys alike, as everywhere in Isonorm.
 */
final class AttentionPart {

    /** Keys and values that were computed before, (B, K, S - T, D) each, and those there are now. */
    interface Cache {
        String keys(int block, String now);

        String values(int block, String now);

        Cache NONE = new Cache() {
            @Override
            public String keys(int block, String now) {
                return now;
            }

            @Override
            public String values(int block, String now) {
                return now;
            }
        };
    }

    /** Keys or values of what an encoder gives, (B, K, S, D): those that are computed, or others. */
    @FunctionalInterface
    interface Cross {
        String of(int block, String which, Supplier<String> computed);

        Cross NONE = (_, _, computed) -> computed.get();
    }

    /** What an encoder gives, and which of it is no padding. */
    record Encoded(String states, Optional<String> mask, Cross cross) {}

    private final Operators graph;
    private final Weights weights;
    private final Norms norms;
    private final Sight sight;
    private final Cache cache;

    AttentionPart(Operators graph, Weights weights, Norms norms, Sight sight, Cache cache) {
        this.graph = graph;
        this.weights = weights;
        this.norms = norms;
        this.sight = sight;
        this.cache = cache;
    }

    /** What block l's mixer makes of x, (B, T, d). */
    String of(Mixer mixer, int l, String x) throws IOException {
        return switch (mixer) {
            case Attention attention -> of(attention, l, x);
            case LatentAttention latent -> of(latent, l, x);
        };
    }

    private String of(Attention attention, int l, String x) throws IOException {
        int H = attention.heads().count();
        int K = attention.heads().keyValue();
        int D = attention.heads().width();
        Optional<Norm> queryKey = attention.norms().queryKey().map(QueryKeyNorm::norm);
        Optional<Rotary> rotary = attention.positions().rotary();
        Optional<Sight.Turn> turn = rotary.map(sight::turn);
        Optional<String> biases = biases(attention, l); // before this block's own operators, which they are no part of
        Optional<String> seen = sight.seen(attention.scores());
        graph.in("blocks." + l + "/attention");
        String qkv = weights.linear(x, Role.of(QUERY_KEY_VALUE, l, Field.WEIGHT), attention.bias());
        if (attention.clip().isPresent()) {
            double limit = attention.clip().getAsDouble();
            qkv = graph.apply("Clip", qkv, graph.number(-limit), graph.number(limit));
        }
        List<String> parts = graph.split(qkv, -1, (long) H * D, (long) K * D, (long) K * D);
        String q = heads(parts.get(0), H, D, queryKey, Role.of(QUERY_NORM, l, Field.GAIN), attention);
        String k = heads(parts.get(1), K, D, queryKey, Role.of(KEY_NORM, l, Field.GAIN), attention);
        String v = heads(parts.get(2), K, D, attention.norms().value(), Role.of(VALUE_NORM, l, Field.GAIN), attention);
        if (rotary.isPresent()) {
            q = turned(q, D, rotary.get(), turn.orElseThrow());
            k = turned(k, D, rotary.get(), turn.orElseThrow());
        }
        if (attention.gates() != RelativeBias.Gates.NONE) {
            biases = Optional.of(graph.multiply(biases.orElseThrow(), gates(attention, l, x)));
        }
        String attended = attend(q, cache.keys(l, k), cache.values(l, v), new Meeting(attention.heads(), D, attention.scores().scale(),
                attention.scores().softcap(), biases, seen, attention.scores().sinks() ? Optional.of(Role.of(ATTENTION_SINK, l, Field.WEIGHT)) : Optional.empty()));
        if (attention.norms().inner().isPresent()) {
            attended = norms.of(attended, attention.norms().inner().get(), Role.of(ATTENTION_INNER_NORM, l, Field.GAIN), H * D);
        }
        if (attention.norms().headScales()) {
            String scales = weights.shaped(Role.of(ATTENTION_HEAD_SCALE, l, Field.WEIGHT), H, 1);
            attended = graph.reshape(graph.multiply(graph.reshape(attended, 0, 0, H, D), scales), 0, 0, (long) H * D);
        }
        return weights.linear(attended, Role.of(ATTENTION_OUTPUT, l, Field.WEIGHT), attention.outputBias());
    }

    /** What each query multiplies its biases with, {@code a (c b - 1) + 2}, (B, H, T, 1). */
    private String gates(Attention attention, int l, String x) {
        int H = attention.heads().count();
        boolean shared = attention.gates() == RelativeBias.Gates.SHARED;
        String read = shared ? graph.reshape(x, 0, 0, H, attention.heads().width()) : x;
        String given = weights.linear(read, Role.of(RELATIVE_GATE, l, Field.WEIGHT), true);
        String sums = shared ? graph.reduced("ReduceSum", graph.reshape(given, 0, 0, 2L * H, RelativeBias.Gates.SUMMED), -1, false) : given;
        List<String> numbers = shared ? graph.split(graph.sigmoid(graph.reshape(sums, 0, 0, H, 2)), 3, 1, 1)
                : graph.split(graph.sigmoid(graph.reshape(sums, 0, 0, 2L * H, 1)), 2, H, H);
        String scale = weights.shaped(Role.of(RELATIVE_GATE_SCALE, l, Field.WEIGHT), H, 1);
        String gates = graph.add(graph.multiply(numbers.get(0), graph.subtract(graph.multiply(numbers.get(1), scale), graph.number(1))), graph.number(2));
        return graph.transpose(gates, 0, 2, 1, 3);
    }

    private Optional<String> biases(Attention attention, int l) {
        Optional<String> linear = attention.positions().alibi().map(alibi -> sight.linear(alibi, attention.heads().count(),
                alibi == Alibi.BEFORE_SCALE_BFLOAT16 ? attention.scores().scale() : 1));
        Optional<String> relative = attention.positions().relative().map(bias -> sight.relative(bias, l));
        return linear.isPresent() && relative.isPresent() ? Optional.of(graph.add(linear.get(), relative.get())) : linear.isPresent() ? linear : relative;
    }

    /** (B, heads, T, D) of (B, T, heads D), normalized where there is a norm. */
    private String heads(String x, int heads, int D, Optional<Norm> norm, Role gain, Attention attention) throws IOException {
        boolean together = norm.isPresent() && attention.norms().span() == Span.PROJECTION;
        String whole = together ? norms.of(x, norm.get(), gain, heads * D) : x;
        String split = graph.reshape(whole, 0, 0, heads, D);
        if (norm.isPresent() && !together) {
            split = attention.norms().span() == Span.EACH_HEAD ? norms.ofHeads(split, norm.get(), gain, heads, D) : norms.of(split, norm.get(), gain, D);
        }
        return graph.transpose(split, 0, 2, 1, 3);
    }

    /** The first values of every head turned: {@code (a cos - b sin, b cos + a sin)} for each pair (a, b). */
    private String turned(String x, int D, Rotary rotary, Sight.Turn turn) {
        int width = rotary.width();
        List<String> parts = width < D ? graph.split(x, -1, width, D - width) : List.of(x);
        String first = parts.getFirst();
        String others;
        if (rotary.pairing() == Pairing.HALVES) {
            List<String> halves = graph.split(first, -1, width / 2, width / 2);
            others = graph.concat(-1, halves.get(1), halves.get(0));
        } else {
            others = graph.gather(first, graph.integers(LongStream.range(0, width).map(value -> value ^ 1).toArray()), -1);
        }
        String y = graph.add(graph.multiply(first, turn.cosine()), graph.multiply(others, turn.sine()));
        return width < D ? graph.concat(-1, y, parts.get(1)) : y;
    }

    private String of(LatentAttention latent, int l, String x) throws IOException {
        int H = latent.heads();
        int P = latent.plainWidth();
        int R = latent.rotary().width();
        int V = latent.valueWidth();
        Sight.Turn turn = sight.turn(latent.rotary());
        Optional<String> seen = sight.seen(latent.scores());
        graph.in("blocks." + l + "/attention");
        List<String> read = graph.split(weights.linear(x, Role.of(QUERY_KEY_VALUE, l, Field.WEIGHT), latent.bias()), -1,
                latent.readQueries(), latent.keyValueRank(), R);
        String queries = read.get(0);
        if (latent.queryRank().isPresent()) {
            queries = weights.linear(norms.of(queries, latent.norm(), Role.of(QUERY_NORM, l, Field.GAIN), latent.readQueries()),
                    Role.of(QUERY_UP, l, Field.WEIGHT), false);
        }
        List<String> q = graph.split(graph.transpose(graph.reshape(queries, 0, 0, H, P + R), 0, 2, 1, 3), -1, P, R);
        String both = weights.linear(norms.of(read.get(1), latent.norm(), Role.of(KEY_NORM, l, Field.GAIN), latent.keyValueRank()),
                Role.of(KEY_VALUE_UP, l, Field.WEIGHT), false);
        List<String> kv = graph.split(graph.transpose(graph.reshape(both, 0, 0, H, P + V), 0, 2, 1, 3), -1, P, V);
        String turnedKey = turned(graph.unsqueeze(read.get(2), 1), R, latent.rotary(), turn); // (B, 1, T, R), of all heads
        String key = graph.concat(-1, graph.apply("Expand", turnedKey, graph.integers(1, H, 1, 1)), kv.get(0));
        String query = graph.concat(-1, turned(q.get(1), R, latent.rotary(), turn), q.get(0));
        String attended = attend(query, cache.keys(l, key), cache.values(l, kv.get(1)), new Meeting(new Attention.Heads(H, H, P + R), V,
                latent.scores().scale(), latent.scores().softcap(), Optional.empty(), seen, Optional.empty()));
        return weights.linear(attended, Role.of(ATTENTION_OUTPUT, l, Field.WEIGHT), latent.outputBias());
    }

    /** Attention to what an encoder gives. */
    String cross(CrossAttention attention, int l, String x, Encoded encoded) {
        graph.in("blocks." + l + "/cross_attention");
        int H = attention.heads().count();
        int K = attention.heads().keyValue();
        int D = attention.heads().width();
        String q = graph.transpose(graph.reshape(weights.linear(x, Role.of(CROSS_QUERY, l, Field.WEIGHT), attention.bias()), 0, 0, H, D), 0, 2, 1, 3);
        List<String> kv = encoded.states.isEmpty() ? List.of() : graph.split(weights.linear(encoded.states, Role.of(CROSS_KEY_VALUE, l, Field.WEIGHT),
                attention.keyValueBias()), -1, (long) K * D, (long) K * D);
        String k = encoded.cross.of(l, "key", () -> graph.transpose(graph.reshape(kv.get(0), 0, 0, K, D), 0, 2, 1, 3));
        String v = encoded.cross.of(l, "value", () -> graph.transpose(graph.reshape(kv.get(1), 0, 0, K, D), 0, 2, 1, 3));
        Optional<String> seen = encoded.mask.map(mask -> graph.unsqueeze(graph.cast(mask, ElementType.BOOL), 1, 2));
        String attended = attend(q, k, v,
                new Meeting(attention.heads(), D, attention.scale(), OptionalDouble.empty(), Optional.empty(), seen, Optional.empty()));
        return weights.linear(attended, Role.of(CROSS_OUTPUT, l, Field.WEIGHT), attention.outputBias());
    }

    /**
     * How queries meet keys.
     *
     * @param valueWidth of a head
     * @param biases added to the scores, (B, H, T, S) or what spreads to that
     * @param seen which keys are, (B, 1, T, S) or what spreads to that
     */
    private record Meeting(
            Attention.Heads heads, int valueWidth, double scale, OptionalDouble softcap, Optional<String> biases, Optional<String> seen, Optional<Role> sinks) {

        /** How many query heads share a key-value head. */
        int shared() {
            return heads.count() / heads.keyValue();
        }
    }

    /** (B, T, H D) of queries, keys and values of (B, heads, T or S, D). */
    private String attend(String queries, String keys, String values, Meeting how) {
        int H = how.heads.count();
        int K = how.heads.keyValue();
        boolean grouped = how.shared() > 1;
        String q = graph.times(queries, how.scale);
        q = grouped ? graph.reshape(q, 0, K, how.shared(), -1, how.heads.width()) : q;
        String k = grouped ? graph.unsqueeze(keys, 2) : keys;
        String v = grouped ? graph.unsqueeze(values, 2) : values;
        String scores = graph.product(q, grouped ? graph.transpose(k, 0, 1, 2, 4, 3) : graph.transpose(k, 0, 1, 3, 2));
        if (how.softcap.isPresent()) {
            double cap = how.softcap.getAsDouble();
            scores = graph.times(graph.apply("Tanh", graph.times(scores, 1 / cap)), cap);
        }
        if (how.biases.isPresent()) {
            scores = graph.add(scores, grouped ? byGroups(how.biases.get(), how) : how.biases.get());
        }
        if (how.seen.isPresent()) {
            scores = graph.where(grouped ? graph.unsqueeze(how.seen.get(), 1) : how.seen.get(), scores, graph.lowest());
        }
        String weighed = how.sinks.isPresent() ? besideSinks(scores, how) : graph.softmax(scores);
        String y = graph.product(weighed, v);
        y = grouped ? graph.reshape(y, 0, H, -1, how.valueWidth) : y;
        return graph.reshape(graph.transpose(y, 0, 2, 1, 3), 0, 0, (long) H * how.valueWidth);
    }

    /** Biases of (B, H, T, S) as those of (B, K, H / K, T, S), of any of which there can be one alone. */
    private String byGroups(String biases, Meeting how) {
        return graph.reshape(graph.unsqueeze(biases, 2), 0, how.heads.keyValue(), how.shared(), 0, -1);
    }

    /** The softmax over scores and one more a head, whose weight is left out. */
    private String besideSinks(String scores, Meeting how) {
        boolean grouped = how.shared() > 1;
        long H = how.heads.count();
        String sinks = grouped
                ? weights.shaped(how.sinks.orElseThrow(), how.heads.keyValue(), how.shared(), 1, 1)
                : weights.shaped(how.sinks.orElseThrow(), H, 1, 1);
        String column = graph.add(graph.multiply(graph.slice(scores, -1, 0, 1), graph.number(0)), sinks);
        return graph.slice(graph.softmax(graph.concat(-1, scores, column)), -1, 0, -1);
    }

    /** Asks all positions with one learned vector; see {@link isonorm.architecture.Output.Probe}. */
    String ask(String probe, int heads, int width, String key, String value) {
        int D = width / heads;
        String q = graph.transpose(graph.reshape(probe, 1, 1, heads, D), 0, 2, 1, 3);
        String k = graph.transpose(graph.reshape(key, 0, 0, heads, D), 0, 2, 1, 3);
        String v = graph.transpose(graph.reshape(value, 0, 0, heads, D), 0, 2, 1, 3);
        return attend(q, k, v, new Meeting(new Attention.Heads(heads, heads, D), D, 1 / Math.sqrt(D), OptionalDouble.empty(), Optional.empty(),
                Optional.empty(), Optional.empty()));
    }
}
