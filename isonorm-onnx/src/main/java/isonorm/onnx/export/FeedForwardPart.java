package isonorm.onnx.export;

import static isonorm.architecture.Part.MLP_DOWN;
import static isonorm.architecture.Part.MLP_GATE;
import static isonorm.architecture.Part.MLP_INNER_NORM;
import static isonorm.architecture.Part.MLP_UP;
import static isonorm.architecture.Part.ROUTER;
import static isonorm.architecture.Part.ROUTER_CORRECTION;
import static isonorm.architecture.Part.SHARED_DOWN;
import static isonorm.architecture.Part.SHARED_GATE;
import static isonorm.architecture.Part.SHARED_UP;
import static isonorm.architecture.Part.SHARED_WEIGHT;

import isonorm.architecture.Activation;
import isonorm.architecture.Experts;
import isonorm.architecture.FeedForward;
import isonorm.architecture.Mlp;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Routing;
import isonorm.architecture.Routing.Groups;
import isonorm.architecture.Routing.Scores;
import isonorm.onnx.graph.Attribute;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Tensor;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** What sees each position by itself: an MLP, or experts of which each position passes through those that it chooses. */
record FeedForwardPart(Operators graph, Weights weights, Norms norms) {

    /** What keeps a sum of scores that are all too small from being zero, in float32. */
    private static final double LEAST = 1e-20;

    /** What block l's layer makes of x, (B, T, d). */
    String of(FeedForward layer, int l, String x) throws IOException {
        graph.in("blocks." + l + "/mlp");
        return switch (layer) {
            case Mlp mlp -> of(mlp, Role.of(MLP_GATE, l, Field.WEIGHT), Role.of(MLP_UP, l, Field.WEIGHT), Role.of(MLP_DOWN, l, Field.WEIGHT), x);
            case Experts experts -> of(experts, l, x);
        };
    }

    /** {@code down(activation(up(x)))}, or {@code down(activation(gate(x)) * up(x))}. */
    String of(Mlp mlp, Role gate, Role up, Role down, String x) throws IOException {
        String inner = weights.linear(x, up, mlp.bias());
        String hidden = mlp.gated() ? gated(mlp, weights.linear(x, gate, mlp.bias()), inner) : activated(mlp.activation(), inner);
        if (mlp.innerNorm().isPresent()) {
            hidden = norms.of(hidden, mlp.innerNorm().get(), Role.of(MLP_INNER_NORM, up.block(), Field.GAIN), mlp.hidden());
        }
        return weights.linear(hidden, down, mlp.outputBias());
    }

    private String gated(Mlp mlp, String gate, String up) {
        if (mlp.clamp().isEmpty()) {
            return graph.multiply(activated(mlp.activation(), gate), up);
        }
        double limit = mlp.clamp().get().limit();
        String bounded = graph.apply("Min", gate, graph.number(limit));
        String both = graph.apply("Clip", up, graph.number(-limit), graph.number(limit));
        double added = mlp.clamp().get().added();
        return graph.multiply(activated(mlp.activation(), bounded), added == 0 ? both : graph.add(both, graph.number(added)));
    }

    String activated(Activation activation, String x) {
        return switch (activation) {
            case GELU -> graph.apply("Gelu", x);
            case GELU_TANH -> graph.apply("Gelu", Map.of("approximate", Attribute.of("tanh")), x);
            case QUICK_GELU -> graph.multiply(x, graph.sigmoid(graph.times(x, 1.702)));
            case RELU -> graph.apply("Relu", x);
            case RELU_SQUARED -> {
                String positive = graph.apply("Relu", x);
                yield graph.multiply(positive, positive);
            }
            case SILU -> graph.multiply(x, graph.sigmoid(x));
            case TANH -> graph.apply("Tanh", x);
        };
    }

    /** Rows of all positions; each expert is given those that chose it, and what it gives is added to theirs. */
    private String of(Experts experts, int l, String x) throws IOException {
        int count = experts.count();
        String shape = graph.apply("Shape", x);
        String rows = graph.apply("Flatten", Map.of("axis", Attribute.of(-1)), x);
        Role router = Role.of(ROUTER, l, Field.WEIGHT);
        String outputs = weights.linear(rows, router, experts.routing().bias());
        String wide = graph.real() == ElementType.FLOAT ? outputs : graph.cast(outputs, ElementType.FLOAT);
        String shares = narrow(shares(experts, l, wide));
        List<String> columns = graph.split(shares, 1, ones(count));
        String sum = zeros(rows, weights.model().architecture().streamWidth());
        for (int e = 0; e < count; e++) {
            graph.in("blocks." + l + "/mlp/" + e);
            String chosen = graph.transpose(graph.apply("NonZero", graph.squeeze(columns.get(e), 1)), 1, 0); // (some, 1)
            String places = graph.squeeze(chosen, 1);
            String given = of(experts.expert(), Role.of(MLP_GATE, l, Field.WEIGHT).ofExpert(e), Role.of(MLP_UP, l, Field.WEIGHT).ofExpert(e),
                    Role.of(MLP_DOWN, l, Field.WEIGHT).ofExpert(e), graph.gather(rows, places, 0));
            String weighed = graph.multiply(given, graph.gather(columns.get(e), places, 0));
            sum = graph.apply("ScatterND", Map.of("reduction", Attribute.of("add")), sum, chosen, weighed);
        }
        if (experts.shared().isPresent()) {
            graph.in("blocks." + l + "/mlp/shared");
            Experts.Shared shared = experts.shared().get();
            String all = of(shared.mlp(), Role.of(SHARED_GATE, l, Field.WEIGHT), Role.of(SHARED_UP, l, Field.WEIGHT), Role.of(SHARED_DOWN, l, Field.WEIGHT), rows);
            if (shared.gated()) {
                all = graph.multiply(all, graph.sigmoid(weights.linear(rows, Role.of(SHARED_WEIGHT, l, Field.WEIGHT), experts.routing().bias())));
            }
            sum = graph.add(sum, all);
        }
        return graph.apply("Reshape", sum, shape);
    }

    private static long[] ones(int count) {
        long[] ones = new long[count];
        Arrays.fill(ones, 1);
        return ones;
    }

    private String zeros(String rows, int width) {
        Tensor zero = Tensor.of("zero", graph.real(), List.of(1L), 0);
        return graph.apply("ConstantOfShape", Map.of("value", new Attribute.Constant(zero)), graph.concat(0, graph.size(rows, 0), graph.integers(width)));
    }

    private String narrow(String x) {
        return graph.real() == ElementType.FLOAT ? x : graph.cast(x, graph.real());
    }

    private String number(double value) {
        return graph.number(ElementType.FLOAT, value);
    }

    /** The weight of each expert for each position, zero for those that it did not choose, (positions, experts); see {@link Routing}. */
    private String shares(Experts experts, int l, String outputs) throws IOException {
        Routing routing = experts.routing();
        String scores = switch (routing.scores()) {
            case Scores.Softmax() -> graph.softmax(outputs);
            case Scores.Sigmoid() -> graph.sigmoid(outputs);
            case Scores.SparseMixer(double jitter) -> sparse(outputs, experts.count(), jitter);
        };
        if (routing.scores() instanceof Scores.SparseMixer) { // which has chosen
            return routing.scale() == 1 ? scores : graph.multiply(scores, number(routing.scale()));
        }
        String compared = scores;
        if (routing.correction()) {
            double[] correction = weights.numbers(Role.of(ROUTER_CORRECTION, l, Field.WEIGHT));
            compared = graph.add(scores, graph.constant(Tensor.of("blocks." + l + ".mlp.router_correction", ElementType.FLOAT, List.of((long) correction.length), correction)));
        }
        if (routing.groups().kept() < routing.groups().count()) {
            compared = ofBestGroups(compared, experts.count(), routing.groups());
        }
        String best = best(compared, routing.chosen()).get(1);
        String taken = graph.apply("GatherElements", Map.of("axis", Attribute.of(1)), scores, best);
        if (routing.normalized()) {
            taken = graph.divide(taken, graph.add(graph.sum(taken), number(LEAST)));
        }
        taken = routing.scale() == 1 ? taken : graph.multiply(taken, number(routing.scale()));
        return scattered(scores, best, taken);
    }

    /** The largest of each row and their places, the first of equal ones. */
    private List<String> best(String values, long count) {
        return graph.several("TopK", 2, Map.of("axis", Attribute.of(-1)), values, graph.integers(count));
    }

    /** Values at places of each row, and zero elsewhere; as many columns as {@code like} has. */
    private String scattered(String like, String places, String values) {
        String none = graph.multiply(like, number(0));
        return graph.apply("ScatterElements", Map.of("axis", Attribute.of(1)), none, places, values);
    }

    /** The lowest number instead of those that are in none of the best groups. */
    private String ofBestGroups(String compared, int count, Groups groups) {
        long size = count / groups.count();
        String each = graph.reshape(compared, -1, groups.count(), size);
        String scores = graph.reduced("ReduceSum", best(each, Math.min(groups.scoredBy(), size)).get(0), -1, false);
        List<String> kept = best(scores, groups.kept());
        String ones = graph.add(graph.multiply(kept.get(0), number(0)), number(1));
        String mask = graph.unsqueeze(graph.apply("Greater", scattered(scores, kept.get(1), ones), number(0)), 2);
        return graph.reshape(graph.where(mask, each, number(-Float.MAX_VALUE)), -1, count);
    }

    /** SparseMixer's two experts: each has the softmax of its output over those near it, the second without the first. */
    private String sparse(String outputs, int count, double jitter) {
        List<String> two = best(outputs, 2);
        List<String> largest = graph.split(two.get(0), 1, 1, 1);
        String first = graph.split(two.get(1), 1, 1, 1).getFirst();
        String numbers = graph.unsqueeze(graph.range(graph.integers(0), graph.integers(count)), 0);
        String isFirst = graph.apply("Equal", numbers, first);
        String one = near(outputs, largest.get(0), graph.apply("Not", graph.apply("Equal", numbers, numbers)), jitter);
        String other = near(outputs, largest.get(1), isFirst, jitter);
        return scattered(outputs, two.get(1), graph.concat(1, one, other));
    }

    /** {@code 1 / sum of exp(x - m)} over those x with {@code (m - x) / max(|x|, m) <= 2 jitter}. */
    private String near(String x, String m, String without, double jitter) {
        String behind = graph.subtract(m, x);
        String far = graph.apply("Greater", graph.divide(behind, graph.apply("Max", graph.apply("Abs", x), m)), number(2 * jitter));
        String all = graph.where(graph.apply("Or", far, without), number(0), graph.apply("Exp", graph.apply("Neg", behind)));
        return graph.apply("Reciprocal", graph.sum(all));
    }
}
