package isonorm.onnx.rewrite;

import static java.util.Objects.requireNonNull;

import isonorm.model.ConversionRefused;
import isonorm.onnx.graph.Attribute;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Node;
import isonorm.onnx.graph.OnnxModel;
import isonorm.onnx.graph.Tensor;
import isonorm.onnx.rewrite.Editor.Use;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** Brings what other programs write into one form: constants that are constants, LayerNorms that are one operator, and an opset that has what is wanted. */
final class Forms {

    /** The first opset from which on little has changed, and all of that is known here. */
    private static final int OLDEST = 13;

    private static final Set<String> QUANTIZED = Set.of("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "MatMulNBits",
            "QLinearMatMul", "QLinearConv", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QGemm", "QAttention");

    private Forms() {}

    /** Refuses what cannot be followed. */
    static void require(OnnxModel model) throws ConversionRefused {
        List<String> reasons = new ArrayList<>();
        Set<String> graphs = new TreeSet<>();
        Set<String> quantized = new TreeSet<>();
        for (Node node : model.graph().nodes()) {
            if (node.attributes().values().stream().anyMatch(attribute -> attribute instanceof Attribute.Other(byte[] _, boolean inside) && inside)) {
                graphs.add(node.op() + " " + node.name());
            }
            if (QUANTIZED.contains(node.op())) {
                quantized.add(node.op());
            }
        }
        if (!graphs.isEmpty()) {
            reasons.add("it has graphs within graphs, which are not followed: " + String.join(", ", graphs));
        }
        if (!quantized.isEmpty()) {
            reasons.add("it is quantized (" + String.join(", ", quantized) + "): means taken out of integers would change it; convert the graph that it was made of");
        }
        if (model.opset() < OLDEST) {
            reasons.add("it is of opset " + model.opset() + ", and " + OLDEST + " is the oldest that is read; export it with a later one");
        }
        if (model.opset() < 20 && model.graph().nodes().stream().anyMatch(node -> node.is("GridSample"))) {
            reasons.add("it has GridSample of opset " + model.opset() + ", which later ones spell otherwise; export it with opset 20 or later");
        }
        misplaced(model).ifPresent(reasons::add);
        if (!reasons.isEmpty()) {
            throw new ConversionRefused(reasons);
        }
    }

    /** An operator that reads what no one before it gives, or gives what is there. */
    private static Optional<String> misplaced(OnnxModel model) {
        Set<String> there = new HashSet<>(Set.of(""));
        model.graph().inputs().forEach(value -> there.add(value.name()));
        model.graph().constants().forEach(constant -> there.add(constant.name()));
        for (Node node : model.graph().nodes()) {
            for (String input : node.inputs()) {
                if (!there.contains(input)) {
                    return Optional.of(node.op() + " " + node.name() + " reads " + input + ", which nothing before it gives");
                }
            }
            for (String output : node.outputs()) {
                if (!output.isEmpty() && !there.add(output)) {
                    return Optional.of(node.op() + " " + node.name() + " gives " + output + ", which is there already");
                }
            }
        }
        return Optional.empty();
    }

    /** Constants of nodes, and what only turns or renames constants. */
    static void constants(Editor editor) {
        for (Node node : editor.nodes()) {
            if (editor.isOutput(node.output())) {
                continue;
            }
            constant(editor, node).ifPresent(tensor -> {
                editor.add(tensor);
                editor.remove(node);
            });
        }
    }

    private static Optional<Tensor> constant(Editor editor, Node node) {
        String name = node.output();
        if (node.is("Constant") && node.attributes().size() == 1) {
            return switch (node.attributes().values().iterator().next()) {
                case Attribute.Constant(Tensor value) -> Optional.of(value.named(name));
                case Attribute.Integer(long value) -> Optional.of(Tensor.of(name, List.of(), value));
                case Attribute.Real(float value) -> Optional.of(Tensor.of(name, ElementType.FLOAT, List.of(), value));
                case Attribute.Integers(List<Long> values) ->
                    Optional.of(Tensor.of(name, List.of((long) values.size()), values.stream().mapToLong(Long::longValue).toArray()));
                default -> Optional.empty();
            };
        }
        Optional<Tensor> of = editor.constant(node.input(0));
        if (of.isEmpty()) {
            return of;
        }
        if (node.is("Identity")) {
            return Optional.of(of.get().named(name));
        }
        boolean turned = node.is("Transpose") && of.get().shape().size() == 2 && of.get().type().dtype().isPresent() && !node.integers("perm").equals(List.of(0L, 1L));
        return turned ? Optional.of(Computed.turned(name, of.get())) : Optional.empty();
    }

    /** ONNX Runtime's fused sum and norm as two operators. */
    static void unfused(Editor editor) {
        for (Node node : editor.nodes()) {
            if (!node.op().equals("SkipLayerNormalization") || !node.domain().equals("com.microsoft")) {
                continue;
            }
            String sum = node.outputs().size() > 3 && !node.outputs().get(3).isEmpty() ? node.outputs().get(3) : node.output() + "/sum";
            List<Node> made = new ArrayList<>();
            String both = node.input(4).isEmpty() ? sum : sum + "/without_bias";
            made.add(Node.of("Add", node.name() + "/sum", List.of(node.input(0), node.input(1)), List.of(both), Map.of()));
            if (!node.input(4).isEmpty()) {
                made.add(Node.of("Add", node.name() + "/bias", List.of(both, node.input(4)), List.of(sum), Map.of()));
            }
            List<String> affine = node.input(3).isEmpty() ? List.of(sum, node.input(2)) : List.of(sum, node.input(2), node.input(3));
            made.add(Node.of("LayerNormalization", node.name(), affine, List.of(node.output()),
                    Map.of("axis", Attribute.of(-1), "epsilon", Attribute.of(node.real("epsilon", 1e-12)))));
            editor.inPlaceOf(node, made);
        }
    }

    /** {@code (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) gain + bias} of plain operators as one, with or without the gain and the bias. */
    static int composed(Editor editor) throws IOException {
        Map<String, Node> made = editor.producers();
        Map<String, List<Use>> uses = editor.uses();
        Shapes shapes = Shapes.of(editor.graph());
        int found = 0;
        for (Node node : editor.nodes()) {
            Optional<Plain> norm = Plain.of(editor, made, node);
            if (norm.isEmpty()) {
                continue;
            }
            Optional<Tensor> learned = affine(editor, uses, node, "Mul");
            Optional<Tensor> gain = learned.or(() -> ones(norm.get(), shapes));
            if (gain.isEmpty()) {
                continue; // how wide it is nobody says
            }
            editor.add(gain.get());
            Node last = learned.isPresent() ? requireNonNull(uses.get(node.output())).getFirst().node() : node;
            Optional<Tensor> bias = affine(editor, uses, last, "Add");
            List<String> inputs = new ArrayList<>(List.of(norm.get().x, gain.get().name()));
            bias.ifPresent(tensor -> inputs.add(tensor.name()));
            last = bias.isPresent() ? requireNonNull(uses.get(last.output())).getFirst().node() : last;
            editor.replace(last, Node.of("LayerNormalization", last.name(), inputs, List.of(last.output()),
                    Map.of("axis", Attribute.of(-1), "epsilon", Attribute.of(norm.get().epsilon))));
            found++;
        }
        return found;
    }

    /** The gain of a norm that has none, if it is known how wide it is. */
    private static Optional<Tensor> ones(Plain norm, Shapes shapes) {
        long[] shape = shapes.of(norm.x).orElse(new long[] {Shapes.ANY});
        long width = shape.length == 0 ? Shapes.ANY : shape[shape.length - 1];
        return width > 1 ? Optional.of(ones(norm.type, width)) : Optional.empty();
    }

    /** A vector of ones. */
    static Tensor ones(ElementType type, long width) {
        double[] one = new double[Math.toIntExact(width)];
        Arrays.fill(one, 1);
        return Tensor.of("isonorm/ones/" + type + "/" + width, type, List.of(width), one);
    }

    /** Norms without biases that add nothing. */
    static void withoutZeros(Editor editor) throws IOException {
        for (Node node : editor.nodes()) {
            Optional<Tensor> bias = editor.constant(node.input(2)).filter(tensor -> node.is("LayerNormalization") && tensor.type().dtype().isPresent());
            if (bias.isPresent() && Arrays.stream(bias.get().reals()).allMatch(value -> value == 0)) {
                editor.replace(node, node.withInputs(node.inputs().subList(0, 2)));
            }
        }
    }

    /** A vector that the only reader of a value multiplies it with, or adds to it. */
    private static Optional<Tensor> affine(Editor editor, Map<String, List<Use>> uses, Node of, String op) {
        List<Use> readers = uses.getOrDefault(of.output(), List.of());
        if (readers.size() != 1 || editor.isOutput(of.output()) || !readers.getFirst().node().is(op)) {
            return Optional.empty();
        }
        return editor.constant(readers.getFirst().node().input(1 - readers.getFirst().place())).filter(tensor -> tensor.shape().size() == 1 && tensor.elements() > 1);
    }

    /** A norm of plain operators, without its gain and bias. */
    private record Plain(String x, ElementType type, double epsilon) {

        /** What is centred divided by a root, or times one over it, on either side. */
        static Optional<Plain> of(Editor editor, Map<String, Node> made, Node scaling) throws IOException {
            if (scaling.is("Div")) {
                return of(editor, made, made.get(scaling.input(0)), made.get(scaling.input(1)));
            }
            for (int place = 0; scaling.is("Mul") && place < 2; place++) {
                Node inverse = made.get(scaling.input(place));
                if (inverse != null && inverse.is("Reciprocal")) {
                    return of(editor, made, made.get(scaling.input(1 - place)), made.get(inverse.input(0)));
                }
                if (inverse != null && inverse.is("Div") && isNumber(editor, inverse.input(0), 1)) {
                    return of(editor, made, made.get(scaling.input(1 - place)), made.get(inverse.input(1)));
                }
            }
            return Optional.empty();
        }

        private static Optional<Plain> of(Editor editor, Map<String, Node> made, @Nullable Node centred, @Nullable Node root) throws IOException {
            if (centred == null || root == null || !centred.is("Sub") || !root.is("Sqrt")) {
                return Optional.empty();
            }
            Node sum = made.get(root.input(0));
            Node mean = made.get(centred.input(1));
            if (sum == null || mean == null || !sum.is("Add") || !overLast(editor, mean) || !mean.input(0).equals(centred.input(0))) {
                return Optional.empty();
            }
            int place = editor.constant(sum.input(1)).isPresent() ? 1 : 0;
            Optional<Tensor> epsilon = editor.constant(sum.input(place)).filter(tensor -> tensor.elements() == 1 && tensor.type().dtype().isPresent());
            Node variance = made.get(sum.input(1 - place));
            if (epsilon.isEmpty() || variance == null || !overLast(editor, variance)) {
                return Optional.empty();
            }
            Node square = made.get(variance.input(0));
            boolean squares = square != null && square.input(0).equals(centred.output())
                    && (square.is("Mul") && square.input(1).equals(centred.output()) || square.is("Pow") && isNumber(editor, square.input(1), 2));
            return squares ? Optional.of(new Plain(centred.input(0), epsilon.get().type(), epsilon.get().reals()[0])) : Optional.empty();
        }

        private static boolean isNumber(Editor editor, String value, int number) throws IOException {
            Optional<Tensor> constant = editor.constant(value).filter(tensor -> tensor.elements() == 1);
            if (constant.isEmpty()) {
                return false;
            }
            return constant.get().type().dtype().isPresent() ? constant.get().reals()[0] == number : constant.get().integers()[0] == number;
        }

        private static boolean overLast(Editor editor, Node node) throws IOException {
            if (!node.is("ReduceMean") || node.integer("keepdims").orElse(1) != 1) {
                return false;
            }
            Optional<Tensor> axes = editor.constant(node.input(1));
            return node.integers("axes").equals(List.of(-1L)) || axes.isPresent() && Arrays.equals(axes.get().integers(), new long[] {-1});
        }
    }

    /** Operators as a later opset has them. */
    static void upgrade(Editor editor, long from, long to) {
        for (Node node : editor.nodes()) {
            boolean own = node.domain().isEmpty() || node.domain().equals("ai.onnx");
            if (own && from < 18 && to >= 18 && node.op().startsWith("Reduce") && !node.op().equals("ReduceSum") && node.attributes().containsKey("axes")) {
                long[] axes = node.integers("axes").stream().mapToLong(Long::longValue).toArray();
                String name = "isonorm/axes/" + node.integers("axes");
                editor.add(Tensor.of(name, List.of((long) axes.length), axes));
                editor.replace(node, Editor.with(node, "", Attribute.of(0), "axes").withInputs(List.of(node.input(0), name)));
            }
            if (own && from < 18 && to >= 18 && node.op().equals("Split") && node.input(1).isEmpty()) {
                editor.replace(node, Editor.with(node, "num_outputs", Attribute.of(node.outputs().size()), ""));
            }
        }
    }
}
