package isonorm.onnx.rewrite;

import static java.util.Objects.requireNonNull;

import isonorm.onnx.graph.Node;
import isonorm.onnx.graph.Tensor;
import isonorm.onnx.rewrite.Editor.Use;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * A residual stream: all values that are joined by additions, and by operators that keep the model's axis as it is. What normalizes along that axis reads it;
 * what is computed otherwise writes to it, and so do constants.
 *
 * @param axes each value of the stream, and which of its dimensions is the model's
 * @param writers those of them where something enters
 * @param readers the LayerNorms
 */
record ResidualStream(Map<String, Integer> axes, List<String> writers, List<Node> readers) {

    private static final Set<String> KEEPING = Set.of("Identity", "Dropout", "Cast");

    /** A value and the place of the model's axis in it. */
    private record Place(String value, int axis) {}

    /** What follows streams in a graph. */
    record Follower(Editor editor, Shapes shapes, Map<String, Node> producers, Map<String, List<Use>> uses) {

        /**
         * The stream that a LayerNorm reads.
         *
         * @throws No if something else than a LayerNorm over its axis reads it
         */
        ResidualStream of(Node norm) throws No {
            Map<String, Integer> axes = new LinkedHashMap<>();
            List<String> writers = new ArrayList<>();
            List<Node> readers = new ArrayList<>();
            Deque<Place> todo = new ArrayDeque<>();
            todo.push(new Place(norm.input(0), shapes.rank(norm.input(0)) - 1));
            while (!todo.isEmpty()) {
                Place at = todo.pop();
                Integer before = axes.putIfAbsent(at.value, at.axis);
                if (before != null) {
                    if (before != at.axis) {
                        throw new No(at.value + " is read along two of its dimensions");
                    }
                    continue;
                }
                if (editor.constant(at.value).isPresent()) {
                    writers.add(at.value);
                    continue; // others may read the same constant; the stream gets a copy
                }
                if (editor.isOutput(at.value)) {
                    throw new No(at.value + " is an output of the graph");
                }
                for (Use use : uses.getOrDefault(at.value, List.of())) {
                    read(use, at, readers, todo);
                }
                Node producer = producers.get(at.value);
                if (producer == null || !back(producer, at, todo)) {
                    writers.add(at.value);
                }
            }
            return new ResidualStream(axes, writers, readers);
        }

        /** Follows a value to who reads it. */
        private void read(Use use, Place at, List<Node> readers, Deque<Place> todo) throws No {
            Node node = use.node();
            if (node.is("Shape") || node.is("Size")) {
                return;
            }
            if (node.is("LayerNormalization") && use.place() == 0) {
                long axis = node.integer("axis").orElse(-1);
                int rank = shapes.rank(at.value);
                if (at.axis != rank - 1 || axis != -1 && axis != rank - 1) {
                    throw new No("LayerNormalization " + node.name() + " normalizes other dimensions of " + at.value);
                }
                if (editor.constant(node.input(1)).isEmpty() || !node.input(2).isEmpty() && editor.constant(node.input(2)).isEmpty()) {
                    throw new No("LayerNormalization " + node.name() + " has a gain or a bias that is computed");
                }
                if (node.outputs().subList(1, node.outputs().size()).stream().anyMatch(output -> uses.containsKey(output) || editor.isOutput(output))) {
                    throw new No("the mean that LayerNormalization " + node.name() + " takes out is read");
                }
                readers.add(node);
                return;
            }
            if (node.is("Add")) {
                todo.push(behindSum(node, at));
                return;
            }
            if (scales(node, use.place())) {
                todo.push(new Place(node.output(), at.axis));
                return;
            }
            int to = use.place() == 0 || node.is("Concat") ? through(node, at.axis, true) : -1;
            if (to < 0) {
                throw new No(node.op() + " " + node.name() + " reads the stream, at " + at.value);
            }
            if (node.is("Split")) {
                node.outputs().forEach(output -> todo.push(new Place(output, to)));
            } else {
                todo.push(new Place(node.output(), to));
            }
        }

        private Place behindSum(Node add, Place at) throws No {
            return new Place(add.output(), at.axis + shapes.rank(add.output()) - shapes.rank(at.value));
        }

        /** Whether a number multiplies all of the stream. */
        private boolean scales(Node node, int place) {
            return node.is("Mul") && editor.constant(node.input(1 - place)).filter(by -> by.elements() == 1).isPresent()
                    || node.is("Div") && place == 0 && editor.constant(node.input(1)).filter(by -> by.elements() == 1).isPresent();
        }

        /** Follows a value to what it is made of; false where it is a writer's. */
        private boolean back(Node producer, Place at, Deque<Place> todo) throws No {
            if (producer.is("Add")) {
                for (String input : producer.inputs()) {
                    int axis = at.axis - shapes.rank(at.value) + shapes.rank(input);
                    long size = axis < 0 ? 1 : requireNonNull(shapes.of(input).orElse(null))[axis];
                    if (size == 1) {
                        throw new No("Add " + producer.name() + " adds the same to all values of the stream");
                    }
                    todo.push(new Place(input, axis));
                }
                return true;
            }
            for (int place = 0; place < Math.min(2, producer.inputs().size()); place++) {
                if (scales(producer, place) && editor.constant(producer.input(place)).isEmpty()) {
                    todo.push(new Place(producer.input(place), at.axis));
                    return true;
                }
            }
            int from = through(producer, at.axis, false);
            if (from < 0) {
                return false;
            }
            if (producer.is("Concat")) {
                producer.inputs().forEach(input -> todo.push(new Place(input, from)));
            } else {
                todo.push(new Place(producer.input(0), from));
            }
            return true;
        }

        /** Where the axis is on the other side of an operator that keeps it; -1 for one that doesn't. */
        private int through(Node node, int axis, boolean forward) throws No {
            if (KEEPING.contains(node.op()) && node.domain().isEmpty()) {
                return axis;
            }
            String in = node.input(0);
            String out = node.output();
            return switch (node.op()) {
                case "Expand" -> {
                    int moved = shapes.rank(out) - shapes.rank(in);
                    int at = forward ? axis + moved : axis - moved;
                    yield at >= 0 && same(in, forward ? axis : at, out, forward ? at : axis) ? at : -1;
                }
                case "Transpose" -> {
                    List<Long> order = node.integers("perm");
                    int rank = shapes.rank(in);
                    yield order.isEmpty() ? rank - 1 - axis : forward ? order.indexOf((long) axis) : (int) (long) order.get(axis);
                }
                case "Slice" -> sliced(node, axis) ? -1 : axis;
                case "Split", "Concat" -> along(node, shapes.rank(out)) == axis ? -1 : axis;
                case "Gather" -> gathered(node, axis, forward);
                case "Unsqueeze", "Squeeze", "Reshape", "Flatten" -> reshaped(in, out, axis, forward);
                default -> -1;
            };
        }

        private static int along(Node node, int rank) {
            int axis = (int) node.integer("axis").orElse(0);
            return axis < 0 ? axis + rank : axis;
        }

        private boolean same(String one, int axis, String other, int there) {
            long size = shapes.of(one).orElse(new long[0]).length > axis ? shapes.of(one).orElseThrow()[axis] : Shapes.ANY;
            long size2 = shapes.of(other).orElse(new long[0]).length > there ? shapes.of(other).orElseThrow()[there] : Shapes.ANY;
            return size == size2 && size > 1;
        }

        /** Whether the model's axis is among those that are cut, or that isn't known. */
        private boolean sliced(Node node, int axis) throws No {
            int rank = shapes.rank(node.input(0));
            Optional<Tensor> axes = editor.constant(node.input(3));
            if (axes.isEmpty()) {
                return true;
            }
            try {
                for (long each : axes.get().integers()) {
                    if ((each < 0 ? each + rank : each) == axis) {
                        return !wholly(node);
                    }
                }
            } catch (IOException e) {
                return true;
            }
            return false;
        }

        /** Whether a slice takes everything, as some exporters write it. */
        private boolean wholly(Node node) throws IOException {
            Optional<Tensor> starts = editor.constant(node.input(1));
            Optional<Tensor> ends = editor.constant(node.input(2));
            return starts.isPresent() && ends.isPresent() && starts.get().elements() == 1 && starts.get().integers()[0] == 0
                    && ends.get().integers()[0] >= Integer.MAX_VALUE && node.input(4).isEmpty()
                    || starts.isPresent() && ends.isPresent() && starts.get().elements() == 1 && starts.get().integers()[0] == 0
                    && ends.get().integers()[0] >= Integer.MAX_VALUE && editor.constant(node.input(4)).filter(Follower::ones).isPresent();
        }

        private static boolean ones(Tensor steps) {
            try {
                return Arrays.stream(steps.integers()).allMatch(step -> step == 1);
            } catch (IOException e) {
                return false;
            }
        }

        private int gathered(Node node, int axis, boolean forward) throws No {
            int data = shapes.rank(node.input(0));
            int indices = shapes.rank(node.input(1));
            int along = along(node, data);
            if (forward) {
                return axis == along ? -1 : axis < along ? axis : axis + indices - 1;
            }
            return axis < along ? axis : axis < along + indices ? -1 : axis - indices + 1;
        }

        /** The dimension of the same size behind which as many elements lie, or before which as many do. */
        private int reshaped(String in, String out, int axis, boolean forward) throws No {
            long[] from = shapes.of(forward ? in : out).orElse(null);
            long[] to = shapes.of(forward ? out : in).orElse(null);
            if (from == null || to == null || from[axis] == Shapes.ANY) {
                shapes.rank(in);
                shapes.rank(out);
                return -1;
            }
            int last = matching(from, to, axis);
            return last >= 0 ? last : leading(from, to, axis);
        }

        private static int matching(long[] from, long[] to, int axis) {
            long behind = product(from, axis + 1, from.length);
            for (int at = to.length - 1; at >= 0 && behind != Shapes.ANY; at--) {
                long there = product(to, at + 1, to.length);
                if (there == Shapes.ANY || there > behind) {
                    return -1;
                }
                if (there == behind && to[at] == from[axis]) {
                    return at;
                }
            }
            return -1;
        }

        /** Where all dimensions before the model's are kept, it stays where it is. */
        private static int leading(long[] from, long[] to, int axis) {
            if (axis >= to.length || to[axis] != from[axis]) {
                return -1;
            }
            for (int i = 0; i < axis; i++) {
                if (from[i] != to[i] && from[i] != Shapes.ANY && to[i] != Shapes.ANY) {
                    return -1;
                }
            }
            return axis == 1 ? axis : -1; // one unknown dimension before it, the batch, can only be the same
        }

        private static long product(long[] shape, int from, int to) {
            long product = 1;
            for (int i = from; i < to; i++) {
                if (shape[i] == Shapes.ANY) {
                    return Shapes.ANY;
                }
                product *= shape[i];
            }
            return product;
        }
    }
}
