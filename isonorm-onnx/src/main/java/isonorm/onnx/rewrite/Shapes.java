package isonorm.onnx.rewrite;

import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Graph;
import isonorm.onnx.graph.Node;
import isonorm.onnx.graph.Tensor;
import isonorm.onnx.graph.Value;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;

/**
 * What is known of the dimensions of a graph's values: those that its file says, and those that follow from operators. A dimension that is not known is
 * {@link #ANY}. Whole numbers that shapes are computed of are followed as far as they are known.
 */
final class Shapes {

    static final long ANY = -1;

    private static final Set<String> SAME = Set.of("Identity", "Cast", "Relu", "Gelu", "Erf", "Tanh", "Sigmoid", "Sqrt", "Neg", "Softmax", "LayerNormalization",
            "RMSNormalization", "SimplifiedLayerNormalization", "SkipLayerNormalization", "Dropout", "Clip", "Exp", "Abs", "Reciprocal", "Not", "QuickGelu", "FastGelu", "BiasGelu",
            "IsNaN", "CumSum", "Trilu", "Sin", "Cos", "Swish", "LeakyRelu", "HardSwish", "Log", "Floor", "Ceil", "Round", "ScatterND", "ScatterElements");
    private static final Set<String> SPREAD = Set.of("Add", "Sub", "Mul", "Div", "Pow", "Where", "And", "Or", "Equal", "Less", "Greater", "LessOrEqual",
            "GreaterOrEqual", "Max", "Min", "Mod");

    private final Map<String, long[]> shapes = new HashMap<>();
    private final Map<String, long[]> numbers = new HashMap<>();

    private Shapes() {}

    static Shapes of(Graph graph) throws IOException {
        Shapes known = new Shapes();
        for (Tensor constant : graph.constants()) {
            known.shapes.put(constant.name(), constant.shape().stream().mapToLong(Long::longValue).toArray());
            if ((constant.type() == ElementType.INT64 || constant.type() == ElementType.INT32) && constant.shape().size() < 2 && constant.elements() < 64) {
                known.numbers.put(constant.name(), constant.integers());
            }
        }
        Map<String, long[]> said = new HashMap<>();
        for (List<Value> values : List.of(graph.inputs(), graph.values(), graph.outputs())) {
            for (Value value : values) {
                value.type().flatMap(Value.Type::shape).ifPresent(shape ->
                        said.put(value.name(), shape.stream().mapToLong(each -> each.size().orElse(ANY)).toArray()));
            }
        }
        graph.inputs().forEach(input -> known.put(input.name(), said.get(input.name())));
        for (Node node : graph.nodes()) {
            known.follow(node);
            for (String output : node.outputs()) {
                known.put(output, said.get(output));
            }
        }
        return known;
    }

    /** The dimensions of a value, if it is known how many there are. */
    Optional<long[]> of(String value) {
        return Optional.ofNullable(shapes.get(value));
    }

    int rank(String value) throws No {
        long[] shape = shapes.get(value);
        if (shape == null) {
            throw new No("how many dimensions " + value + " has is not known; infer the graph's shapes and save them with it");
        }
        return shape.length;
    }

    /** Adds what another source knows. */
    private void put(String value, long @Nullable [] shape) {
        if (shape == null) {
            return;
        }
        long[] before = shapes.get(value);
        if (before == null || before.length != shape.length) {
            shapes.put(value, shape.clone());
            return;
        }
        for (int i = 0; i < shape.length; i++) {
            before[i] = before[i] == ANY ? shape[i] : before[i];
        }
    }

    private void follow(Node node) {
        long[] first = shapes.get(node.input(0));
        String op = node.op();
        if (SPREAD.contains(op)) {
            spread(node);
            compute(node);
        } else if (op.equals("Range")) {
            put(node.output(), filled(1));
        } else if (first != null) {
            follow(node, op, first);
        } else if (op.equals("Reshape") || op.equals("Expand") || op.equals("ConstantOfShape")) {
            reshaped(node, null);
        }
    }

    private void follow(Node node, String op, long[] first) {
        if (SAME.contains(op)) {
            put(node.output(), first);
            if (numbers.containsKey(node.input(0)) && Set.of("Identity", "Cast").contains(op)) {
                numbers.put(node.output(), numbers.get(node.input(0)));
            }
            return;
        }
        switch (op) {
            case "MatMul", "FusedMatMul" -> product(node, first);
            case "Gemm" -> {
                long[] b = shapes.get(node.input(1));
                if (b != null && b.length == 2) {
                    put(node.output(), new long[] {node.integer("transA").orElse(0) == 1 ? first[1] : first[0], node.integer("transB").orElse(0) == 1 ? b[0] : b[1]});
                }
            }
            case "Conv" -> {
                long[] weight = shapes.get(node.input(1));
                if (weight != null) {
                    long[] shape = filled(weight.length);
                    shape[0] = first[0];
                    shape[1] = weight[0];
                    put(node.output(), shape);
                }
            }
            case "Transpose" -> {
                long[] shape = new long[first.length];
                List<Long> order = node.integers("perm");
                for (int i = 0; i < shape.length; i++) {
                    shape[i] = first[order.isEmpty() ? shape.length - 1 - i : (int) (long) order.get(i)];
                }
                put(node.output(), shape);
            }
            case "Reshape", "Expand", "ConstantOfShape" -> reshaped(node, first);
            case "Gather" -> gathered(node, first);
            case "GatherElements" -> put(node.output(), shapes.get(node.input(1)));
            case "Shape" -> {
                int from = (int) node.integer("start").orElse(0);
                int to = (int) node.integer("end").orElse(first.length);
                from = from < 0 ? from + first.length : from;
                to = to < 0 ? to + first.length : Math.min(to, first.length);
                numbers.put(node.output(), Arrays.copyOfRange(first, from, Math.max(from, to)));
                put(node.output(), new long[] {Math.max(0, to - from)});
            }
            case "Concat" -> concatenated(node, first);
            case "Unsqueeze", "Squeeze" -> squeezed(node, first);
            case "Flatten" -> put(node.output(), filled(2));
            case "Slice" -> sliced(node, first);
            case "Split" -> {
                int axis = axis(node, first.length);
                long[] shape = first.clone();
                shape[axis] = ANY;
                node.outputs().forEach(output -> put(output, shape));
            }
            case "Tile", "Pad", "Resize" -> put(node.output(), filled(first.length));
            default -> {
                if (op.startsWith("Reduce")) {
                    reduced(node, first);
                }
            }
        }
    }

    private static long[] filled(int length) {
        long[] shape = new long[length];
        Arrays.fill(shape, ANY);
        return shape;
    }

    private static int axis(Node node, int rank) {
        int axis = (int) node.integer("axis").orElse(0);
        return axis < 0 ? axis + rank : axis;
    }

    private void spread(Node node) {
        long[] all = new long[0];
        for (String input : node.inputs()) {
            long[] shape = shapes.get(input);
            if (shape == null) {
                return;
            }
            all = together(all, shape);
        }
        put(node.output(), all);
    }

    private static long[] together(long[] a, long[] b) {
        long[] shape = new long[Math.max(a.length, b.length)];
        for (int i = 1; i <= shape.length; i++) {
            long x = i <= a.length ? a[a.length - i] : 1;
            long y = i <= b.length ? b[b.length - i] : 1;
            shape[shape.length - i] = x == 1 ? y : y == 1 ? x : x == ANY ? y : x;
        }
        return shape;
    }

    /** Whole numbers of which shapes are made. */
    private void compute(Node node) {
        long[] a = numbers.get(node.input(0));
        long[] b = numbers.get(node.input(1));
        if (a == null || b == null || a.length != b.length && a.length != 1 && b.length != 1) {
            return;
        }
        long[] made = new long[Math.max(a.length, b.length)];
        for (int i = 0; i < made.length; i++) {
            long x = a[a.length == 1 ? 0 : i];
            long y = b[b.length == 1 ? 0 : i];
            boolean unknown = x == ANY || y == ANY;
            switch (node.op()) {
                case "Add" -> made[i] = unknown ? ANY : x + y;
                case "Sub" -> made[i] = unknown ? ANY : x - y;
                case "Mul" -> made[i] = unknown ? ANY : x * y;
                case "Div" -> made[i] = unknown || y == 0 ? ANY : x / y;
                default -> made[i] = ANY;
            }
        }
        numbers.put(node.output(), made);
    }

    private void product(Node node, long[] a) {
        long[] b = shapes.get(node.input(1));
        if (b == null || a.length < 2 || b.length < 2) {
            return;
        }
        long[] batch = together(Arrays.copyOf(a, a.length - 2), Arrays.copyOf(b, b.length - 2));
        long[] shape = Arrays.copyOf(batch, batch.length + 2);
        boolean turned = node.integer("transB").orElse(0) == 1;
        shape[batch.length] = a[a.length - 2];
        shape[batch.length + 1] = turned ? b[b.length - 2] : b[b.length - 1];
        put(node.output(), shape);
    }

    private void reshaped(Node node, long @Nullable [] from) {
        String wanted = node.op().equals("ConstantOfShape") ? node.input(0) : node.input(1);
        long[] target = numbers.get(wanted);
        if (target == null) {
            long[] count = shapes.get(wanted);
            if (count != null && count.length == 1 && count[0] >= 0 && count[0] < 16) {
                long[] unknown = filled((int) count[0]);
                put(node.output(), node.op().equals("Expand") && from != null ? together(from, unknown) : unknown);
            }
            return;
        }
        long[] shape = target.clone();
        switch (node.op()) {
            case "Expand" -> put(node.output(), from == null ? shape : together(from, shape));
            case "Reshape" -> {
                for (int i = 0; i < shape.length; i++) {
                    shape[i] = shape[i] == 0 && node.integer("allowzero").orElse(0) == 0 ? from != null && i < from.length ? from[i] : ANY : shape[i];
                }
                put(node.output(), completed(shape, from));
            }
            default -> put(node.output(), shape);
        }
    }

    /** With the one dimension that is left of the number of elements, where that is known. */
    private static long[] completed(long[] shape, long @Nullable [] from) {
        long unknown = Arrays.stream(shape).filter(each -> each == ANY).count();
        if (from == null || unknown != 1 || Arrays.stream(from).anyMatch(each -> each == ANY)) {
            return shape;
        }
        long all = Arrays.stream(from).reduce(1, (x, y) -> x * y);
        long others = Arrays.stream(shape).filter(each -> each != ANY).reduce(1, (x, y) -> x * y);
        long[] whole = shape.clone();
        for (int i = 0; i < whole.length; i++) {
            whole[i] = whole[i] == ANY && others > 0 ? all / others : whole[i];
        }
        return whole;
    }

    private void gathered(Node node, long[] data) {
        long[] indices = shapes.get(node.input(1));
        if (indices == null) {
            return;
        }
        int axis = axis(node, data.length);
        long[] shape = new long[data.length - 1 + indices.length];
        for (int i = 0; i < shape.length; i++) {
            shape[i] = i < axis ? data[i] : i < axis + indices.length ? indices[i - axis] : data[i - indices.length + 1];
        }
        put(node.output(), shape);
        long[] from = numbers.get(node.input(0));
        long[] at = numbers.get(node.input(1));
        if (from != null && at != null) {
            numbers.put(node.output(), Arrays.stream(at).map(i -> i < 0 ? i + from.length : i).map(i -> i < 0 || i >= from.length ? ANY : from[(int) i]).toArray());
        }
    }

    private void concatenated(Node node, long[] first) {
        int axis = axis(node, first.length);
        long[] shape = first.clone();
        List<Long> all = new ArrayList<>();
        boolean known = true;
        shape[axis] = 0;
        for (String input : node.inputs()) {
            long[] part = shapes.get(input);
            shape[axis] = part == null || part.length != shape.length || part[axis] == ANY || shape[axis] == ANY ? ANY : shape[axis] + part[axis];
            long[] values = numbers.get(input);
            if (values != null) {
                Arrays.stream(values).forEach(all::add);
            } else if (part != null && part.length == 1 && part[0] >= 0 && part[0] < 16) {
                all.addAll(Collections.nCopies((int) part[0], ANY));
            } else {
                known = false;
            }
        }
        put(node.output(), shape);
        if (first.length == 1 && known) {
            numbers.put(node.output(), all.stream().mapToLong(Long::longValue).toArray());
        }
    }

    private void squeezed(Node node, long[] first) {
        long[] axes = node.inputs().size() > 1 ? numbers.get(node.input(1)) : node.integers("axes").stream().mapToLong(Long::longValue).toArray();
        if (axes == null) {
            return;
        }
        boolean more = node.op().equals("Unsqueeze");
        int rank = more ? first.length + axes.length : first.length;
        Set<Integer> at = new HashSet<>();
        for (long axis : axes) {
            at.add((int) (axis < 0 ? axis + rank : axis));
        }
        List<Long> shape = new ArrayList<>();
        for (int i = 0, from = 0; i < rank; i++) {
            if (more) {
                shape.add(at.contains(i) ? 1L : first[from++]);
            } else if (!at.contains(i)) {
                shape.add(first[i]);
            }
        }
        put(node.output(), shape.stream().mapToLong(Long::longValue).toArray());
        if (numbers.containsKey(node.input(0))) {
            numbers.put(node.output(), numbers.get(node.input(0)));
        }
    }

    private void sliced(Node node, long[] first) {
        long[] axes = node.input(3).isEmpty() ? LongStream.range(0, first.length).toArray() : numbers.get(node.input(3));
        if (axes == null) {
            put(node.output(), filled(first.length));
            return;
        }
        long[] shape = first.clone();
        for (long axis : axes) {
            shape[(int) (axis < 0 ? axis + first.length : axis)] = ANY;
        }
        put(node.output(), shape);
        long[] from = numbers.get(node.input(0));
        long[] starts = numbers.get(node.input(1));
        long[] ends = numbers.get(node.input(2));
        if (from != null && starts != null && ends != null && starts.length == 1 && ends.length == 1 && node.input(4).isEmpty()) {
            int begin = Math.clamp(starts[0] < 0 ? starts[0] + from.length : starts[0], 0, from.length);
            int end = Math.clamp(ends[0] < 0 ? ends[0] + from.length : ends[0], begin, from.length);
            numbers.put(node.output(), Arrays.copyOfRange(from, begin, end));
            shapes.put(node.output(), new long[] {end - begin});
        }
    }

    private void reduced(Node node, long[] first) {
        boolean kept = node.integer("keepdims").orElse(1) == 1;
        long[] axes = node.inputs().size() > 1 ? numbers.get(node.input(1)) : node.integers("axes").stream().mapToLong(Long::longValue).toArray();
        if (axes == null || axes.length == 0) {
            return;
        }
        Set<Integer> at = new HashSet<>();
        for (long axis : axes) {
            at.add((int) (axis < 0 ? axis + first.length : axis));
        }
        List<Long> shape = new ArrayList<>();
        for (int i = 0; i < first.length; i++) {
            if (!at.contains(i) || kept) {
                shape.add(at.contains(i) ? 1L : first[i]);
            }
        }
        put(node.output(), shape.stream().mapToLong(Long::longValue).toArray());
    }
}
