package isonorm.onnx.export;

import isonorm.architecture.Alibi;
import isonorm.architecture.Attention;
import isonorm.architecture.Part;
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Role;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Rotary.Scaling;
import isonorm.onnx.graph.Attribute;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Tensor;
import isonorm.weights.Numbers;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Supplier;

/**
 * What the positions of a stack mean to its attention: who sees whom, linear biases, biases of distances, rotary angles. Blocks share what is computed.
 * T are the positions that are read, S those of keys: T, and before them those that were read before.
 */
final class Sight {

    /** Cosines and signed sines of what each value of a head's turned part is turned by, (B, 1, T, width). */
    record Turn(String cosine, String sine) {}

    private final Operators graph;
    private final Weights weights;
    private final Optional<String> mask;
    private final String queries;
    private final String keys;
    private final String positions;
    private final Map<Object, String> known = new HashMap<>();
    private final Map<Rotary, Turn> turns = new HashMap<>();

    /**
     * @param mask 1 for keys to be seen, (B, S); none where all are
     * @param queries how many positions are read, as a list of one number
     * @param keys how many keys there are
     * @param positions of the queries, (B, T) or (1, T)
     */
    Sight(Operators graph, Weights weights, Optional<String> mask, String queries, String keys, String positions) {
        this.graph = graph;
        this.weights = weights;
        this.mask = mask;
        this.queries = queries;
        this.keys = keys;
        this.positions = positions;
    }

    Optional<String> mask() {
        return mask;
    }

    /** How many positions are read. */
    String queries() {
        return queries;
    }

    /** How many were read before. */
    String past() {
        return once("past", () -> graph.subtract(keys, queries));
    }

    private String once(Object key, Supplier<String> value) {
        String there = known.get(key);
        if (there != null) {
            return there;
        }
        graph.in("positions");
        String made = value.get();
        known.put(key, made);
        return made;
    }

    /** Numbers of the keys, (1, S). */
    private String keyPlaces() {
        return once("keys", () -> graph.unsqueeze(graph.range(graph.integers(0), keys), 0));
    }

    /** Numbers of the queries among the keys, (T, 1). */
    private String queryPlaces() {
        return once("queries", () -> graph.unsqueeze(graph.range(past(), keys), 1));
    }

    private record Sees(boolean causal, OptionalInt window) {}

    /** Which keys each query sees, (B or 1, 1, T or 1, S); none where it is all. */
    Optional<String> seen(Attention.Scores scores) {
        Optional<String> near = scores.causal() || scores.window().isPresent()
                ? Optional.of(once(new Sees(scores.causal(), scores.window()), () -> near(scores)))
                : Optional.empty();
        Optional<String> there = mask.map(given -> once("there", () -> graph.unsqueeze(graph.cast(given, ElementType.BOOL), 1, 2)));
        if (near.isEmpty() || there.isEmpty()) {
            return near.isPresent() ? near : there;
        }
        return Optional.of(once(List.of(new Sees(scores.causal(), scores.window())), () -> graph.apply("And", near.get(), there.get())));
    }

    private String near(Attention.Scores scores) {
        String all = "";
        if (scores.causal()) {
            all = graph.apply("LessOrEqual", keyPlaces(), queryPlaces());
        }
        if (scores.window().isPresent()) {
            String width = graph.integer(scores.window().getAsInt());
            all = both(all, graph.apply("Greater", keyPlaces(), graph.subtract(queryPlaces(), width)));
            all = scores.causal() ? all : both(all, graph.apply("Less", keyPlaces(), graph.add(queryPlaces(), width)));
        }
        return graph.unsqueeze(all, 0, 1);
    }

    private String both(String one, String other) {
        return one.isEmpty() ? other : graph.apply("And", one, other);
    }

    /** What is added to scores that are scaled already, (B, H, 1, S) or what spreads to that. */
    String linear(Alibi alibi, int heads, double scale) {
        return once(List.of(alibi, heads, scale), () -> {
            double[] slopes = alibi.slopes(heads);
            String places = switch (alibi) {
                case AFTER_SCALE, BEFORE_SCALE_BFLOAT16 -> counted();
                case AFTER_SCALE_INTERLEAVED -> graph.subtract(keyPlaces(), graph.subtract(keys, graph.integers(1)));
            };
            String reals = graph.cast(graph.unsqueeze(places, 1, 2), ElementType.FLOAT); // (B, 1, 1, S)
            if (alibi == Alibi.BEFORE_SCALE_BFLOAT16) {
                double[] rounded = Arrays.stream(slopes).map(slope -> Float.intBitsToFloat(Numbers.toBfloat16(slope) << 16)).toArray();
                String products = graph.multiply(perHead(rounded), bfloat16(reals));
                return narrow(graph.multiply(bfloat16(products), graph.number(ElementType.FLOAT, scale)));
            }
            return narrow(graph.multiply(perHead(slopes), reals));
        });
    }

    private String perHead(double[] values) {
        return graph.constant(Tensor.of("slopes/" + Arrays.hashCode(values), ElementType.FLOAT, List.of(1L, (long) values.length, 1L, 1L), values));
    }

    private String bfloat16(String x) {
        return graph.cast(graph.cast(x, ElementType.BFLOAT16), ElementType.FLOAT);
    }

    private String narrow(String x) {
        return graph.real() == ElementType.FLOAT ? x : graph.cast(x, graph.real());
    }

    /** Positions that count only the keys that are seen, 0 for the others, (B, S) or (1, S). */
    private String counted() {
        return once("counted", () -> mask.map(this::counted).orElseGet(this::keyPlaces));
    }

    /** {@code (number of ones up to here - 1) * one}. */
    private String counted(String ones) {
        String sums = graph.apply("CumSum", ones, graph.integer(1));
        return graph.multiply(graph.subtract(sums, graph.integer(1)), ones);
    }

    /** What a learned table adds to scores, (1, H, T, S). */
    String relative(RelativeBias bias, int l) {
        int owner = bias.own() ? l : 0;
        return once(List.of("relative", owner), () -> {
            String table = weights.table(Role.of(Part.RELATIVE_BIAS, owner, Role.Field.WEIGHT));
            String buckets = switch (bias.buckets()) {
                case RelativeBias.Distances distances -> buckets(distances);
                case RelativeBias.Grid grid -> buckets(grid);
            };
            return graph.unsqueeze(graph.transpose(graph.gather(table, buckets, 0), 2, 0, 1), 0);
        });
    }

    /** The bucket of each distance, of which all are alike that are further than the furthest. */
    private String buckets(RelativeBias.Distances shape) {
        int far = shape.furthest();
        long[] each = new long[2 * far + 1];
        for (int distance = -far; distance <= far; distance++) {
            each[distance + far] = shape.bucket(distance);
        }
        String table = graph.constant(Tensor.of("buckets/" + shape, List.of((long) each.length), each));
        String distances = graph.apply("Clip", graph.subtract(keyPlaces(), queryPlaces()), graph.integer(-far), graph.integer(far));
        return graph.gather(table, graph.add(distances, graph.integer(far)), 0);
    }

    private String buckets(RelativeBias.Grid grid) {
        int n = grid.rows() * grid.columns() + 1;
        long[] each = new long[n * n];
        for (int query = 0; query < n; query++) {
            for (int key = 0; key < n; key++) {
                each[query * n + key] = grid.of(query, key);
            }
        }
        return graph.constant(Tensor.of("buckets/" + grid, List.of((long) n, (long) n), each));
    }

    Turn turn(Rotary rotary) {
        return turns.computeIfAbsent(rotary, _ -> {
            graph.in("positions");
            return rotary.grid().isPresent() ? ofGrid(rotary, rotary.grid().get()) : counted(rotary);
        });
    }

    /** Which pair each value of the turned part belongs to, and whether it is the first of it. */
    private static int pair(Rotary rotary, int value) {
        return rotary.pairing() == Pairing.HALVES ? value % (rotary.width() / 2) : value / 2;
    }

    private static boolean first(Rotary rotary, int value) {
        return rotary.pairing() == Pairing.HALVES ? value < rotary.width() / 2 : value % 2 == 0;
    }

    /** Each value is turned by the same angles in every image. */
    private Turn ofGrid(Rotary rotary, Rotary.Grid grid) {
        int n = grid.before() + grid.rows() * grid.columns();
        int width = rotary.width();
        double[] cosines = new double[n * width];
        double[] sines = new double[n * width];
        for (int position = 0; position < n; position++) {
            double[] angles = rotary.angles(position);
            for (int value = 0; value < width; value++) {
                double angle = angles[pair(rotary, value)];
                cosines[position * width + value] = Math.cos(angle);
                sines[position * width + value] = first(rotary, value) ? -Math.sin(angle) : Math.sin(angle);
            }
        }
        List<Long> shape = List.of(1L, 1L, (long) n, (long) width);
        return new Turn(graph.constant(Tensor.of("cosines/" + rotary.hashCode(), graph.real(), shape, cosines)),
                graph.constant(Tensor.of("sines/" + rotary.hashCode(), graph.real(), shape, sines)));
    }

    /** Angles are computed in float64 and brought below a turn, so that they are as exact at the last position as at the first. */
    private Turn counted(Rotary rotary) {
        int width = rotary.width();
        double[] signs = new double[width];
        for (int value = 0; value < width; value++) {
            signs[value] = rotary.magnitude() * (first(rotary, value) ? -1 : 1);
        }
        String places = graph.cast(graph.unsqueeze(positions, 1, 3), ElementType.DOUBLE); // (B, 1, T, 1)
        String angles = graph.apply("Mod", Map.of("fmod", Attribute.of(1)), graph.multiply(places, frequencies(rotary)),
                graph.number(ElementType.DOUBLE, 2 * Math.PI));
        String small = graph.cast(angles, ElementType.FLOAT);
        String cosine = graph.apply("Cos", small);
        String sine = graph.multiply(graph.apply("Sin", small), reals("signs/" + rotary.hashCode(), ElementType.FLOAT, signs));
        String scaled = rotary.magnitude() == 1 ? cosine : graph.multiply(cosine, graph.number(ElementType.FLOAT, rotary.magnitude()));
        return new Turn(narrow(scaled), narrow(sine));
    }

    private String reals(String name, ElementType type, double[] values) {
        return graph.constant(Tensor.of(name, type, List.of((long) values.length), values));
    }

    /** By what each value is turned at position 1; where that depends on how many keys there are, it is computed. */
    private String frequencies(Rotary rotary) {
        return switch (rotary.scaling()) {
            case Scaling.Dynamic(double factor, int original) -> dynamic(rotary, factor, original);
            case Scaling.Long(List<Double> factors, List<Double> longFactors, int original, double _) when !factors.equals(longFactors) ->
                graph.where(longer(original), spread(rotary.at(original + 1), "long"), spread(rotary, ""));
            default -> spread(rotary, "");
        };
    }

    private String longer(int original) {
        return graph.apply("Greater", keys, graph.integer(original));
    }

    private String spread(Rotary rotary, String which) {
        double[] each = rotary.frequencies();
        double[] values = new double[rotary.width()];
        for (int value = 0; value < values.length; value++) {
            values[value] = each[pair(rotary, value)];
        }
        return reals("frequencies/" + rotary.hashCode() + which, ElementType.DOUBLE, values);
    }

    /** {@code (base (factor S / original - (factor - 1))^(divisor / (divisor - 2)))^(-2i / divisor)} where there are more keys than the original context. */
    private String dynamic(Rotary rotary, double factor, int original) {
        double divisor = rotary.divisor();
        String length = graph.cast(keys, ElementType.DOUBLE);
        String grown = graph.subtract(graph.multiply(length, wide(factor / original)), wide(factor - 1));
        String base = graph.multiply(graph.apply("Pow", graph.apply("Max", grown, wide(1)), wide(divisor / (divisor - 2))), wide(rotary.base()));
        double[] exponents = new double[rotary.width()];
        for (int value = 0; value < exponents.length; value++) {
            exponents[value] = -2.0 * pair(rotary, value) / divisor;
        }
        String longer = graph.apply("Pow", base, reals("exponents/" + rotary.hashCode(), ElementType.DOUBLE, exponents));
        return graph.where(longer(original), longer, spread(rotary, ""));
    }

    private String wide(double value) {
        return graph.number(ElementType.DOUBLE, value);
    }
}
