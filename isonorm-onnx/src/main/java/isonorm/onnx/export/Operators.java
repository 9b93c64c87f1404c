package isonorm.onnx.export;

import isonorm.onnx.graph.Attribute;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Node;
import isonorm.onnx.graph.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** A graph as it grows: operators are appended, and give the names of the values that they compute. */
final class Operators {

    /** From which version on there are those operators that a version exported here can lack. */
    private static final Map<String, Integer> SINCE = Map.of("Gelu", 20, "RMSNormalization", 23);

    private final ElementType real;
    private final List<Node> nodes = new ArrayList<>();
    private final Map<String, Tensor> constants = new LinkedHashMap<>();
    private final Map<String, Integer> needed = new TreeMap<>();
    private String scope = "";

    /** A graph whose real numbers are of this type. */
    Operators(ElementType real) {
        this.real = real;
    }

    ElementType real() {
        return real;
    }

    List<Node> nodes() {
        return nodes;
    }

    List<Tensor> constants() {
        return List.copyOf(constants.values());
    }

    /** What is appended from here on is named after a part of the model. */
    void in(String part) {
        scope = part;
    }

    /** The operators in use that a version lacks, each with the first version that has it. */
    List<String> lacking(int opset) {
        return needed.entrySet().stream().filter(each -> each.getValue() > opset).map(each -> each.getKey() + " (" + each.getValue() + ")").toList();
    }

    /** Adds a constant under its own name, if none of it is there yet. */
    String constant(Tensor tensor) {
        constants.putIfAbsent(tensor.name(), tensor);
        return tensor.name();
    }

    /** A list of whole numbers. */
    String integers(long... values) {
        return constant(Tensor.of("integers/" + joined(values), List.of((long) values.length), values));
    }

    /** One whole number, without dimensions. */
    String integer(long value) {
        return constant(Tensor.of("integer/" + value, List.of(), value));
    }

    /** One real number, without dimensions. */
    String number(double value) {
        return number(real, value);
    }

    String number(ElementType type, double value) {
        return constant(Tensor.of(type + "/" + value, type, List.of(), value));
    }

    private static String joined(long... values) {
        return Arrays.stream(values).mapToObj(String::valueOf).collect(Collectors.joining(","));
    }

    /** The lowest number there is of the graph's type: what hides a score. */
    String lowest() {
        return number(real == ElementType.FLOAT16 ? -65504 : -Float.MAX_VALUE);
    }

    private String name(String op) {
        return scope + "/" + op + "_" + nodes.size();
    }

    /** Appends an operator that gives several values. */
    List<String> several(String op, int outputs, Map<String, Attribute> attributes, String... inputs) {
        String name = name(op);
        List<String> given = new ArrayList<>();
        for (int i = 0; i < outputs; i++) {
            given.add(name + "/" + i);
        }
        append(Node.of(op, name, List.of(inputs), given, attributes));
        return given;
    }

    /** Appends an operator. */
    String apply(String op, Map<String, Attribute> attributes, String... inputs) {
        return several(op, 1, attributes, inputs).getFirst();
    }

    String apply(String op, String... inputs) {
        return apply(op, Map.of(), inputs);
    }

    private void append(Node node) {
        nodes.add(node);
        if (SINCE.containsKey(node.op())) {
            needed.put(node.op(), SINCE.get(node.op()));
        }
    }

    /** Gives a value the name of an output. */
    void output(String value, String name) {
        in("output");
        append(Node.of("Identity", name("Identity"), List.of(value), List.of(name), Map.of()));
    }

    String add(String a, String b) {
        return apply("Add", a, b);
    }

    String subtract(String a, String b) {
        return apply("Sub", a, b);
    }

    String multiply(String a, String b) {
        return apply("Mul", a, b);
    }

    /** Times a number, unless that is one. */
    String times(String x, double factor) {
        return factor == 1 ? x : multiply(x, number(factor));
    }

    String divide(String a, String b) {
        return apply("Div", a, b);
    }

    String product(String a, String b) {
        return apply("MatMul", a, b);
    }

    /** Other dimensions: 0 keeps the one at its place, -1 is what is left. */
    String reshape(String x, long... shape) {
        return apply("Reshape", x, integers(shape));
    }

    String transpose(String x, long... order) {
        return apply("Transpose", Map.of("perm", Attribute.of(order)), x);
    }

    /** Parts along a dimension. */
    List<String> split(String x, int axis, long... sizes) {
        return several("Split", sizes.length, Map.of("axis", Attribute.of(axis)), x, integers(sizes));
    }

    String concat(int axis, String... parts) {
        return parts.length == 1 ? parts[0] : apply("Concat", Map.of("axis", Attribute.of(axis)), parts);
    }

    String slice(String x, int axis, long from, long to) {
        return apply("Slice", x, integers(from), integers(to), integers(axis));
    }

    String unsqueeze(String x, long... axes) {
        return apply("Unsqueeze", x, integers(axes));
    }

    String squeeze(String x, long... axes) {
        return apply("Squeeze", x, integers(axes));
    }

    String gather(String table, String places, int axis) {
        return apply("Gather", Map.of("axis", Attribute.of(axis)), table, places);
    }

    String cast(String x, ElementType type) {
        return apply("Cast", Map.of("to", Attribute.of(type.number())), x);
    }

    String softmax(String x) {
        return apply("Softmax", Map.of("axis", Attribute.of(-1)), x);
    }

    String where(String condition, String yes, String no) {
        return apply("Where", condition, yes, no);
    }

    /** Over the last dimension, which is then one. */
    String sum(String x) {
        return reduced("ReduceSum", x, -1, true);
    }

    String mean(String x) {
        return reduced("ReduceMean", x, -1, true);
    }

    String reduced(String op, String x, int axis, boolean kept) {
        return apply(op, Map.of("keepdims", Attribute.of(kept ? 1 : 0)), x, integers(axis));
    }

    /** The size of one dimension, as a list of one number. */
    String size(String x, int axis) {
        return apply("Shape", Map.of("start", Attribute.of(axis), "end", Attribute.of(axis + 1L)), x);
    }

    /** Whole numbers from one to another, which is not among them; both are lists of one. */
    String range(String from, String to) {
        return apply("Range", squeeze(from, 0), squeeze(to, 0), integer(1));
    }

    String sigmoid(String x) {
        return apply("Sigmoid", x);
    }
}
