package isonorm.onnx.export;

import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Tensor;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * A stack's parameters as constants of a graph, which are there once each however often they are asked for.
 *
 * @param prefix what names of a second stack begin with
 * @param names of the constants that were made of matrices, of both stacks: a table can be shared
 */
record Weights(Operators graph, Model model, String prefix, Map<Weights.Laid, String> names) {

    /** A matrix, the same object, and how it lies. */
    record Laid(Matrix matrix, List<Long> shape, boolean turned) {
        @Override
        public boolean equals(Object other) {
            return other instanceof Laid laid && laid.matrix == matrix && laid.turned == turned && laid.shape.equals(shape);
        }

        @Override
        public int hashCode() {
            return System.identityHashCode(matrix) + shape.hashCode();
        }
    }

    /** As the checkpoint has it: a table, (rows, columns). */
    String table(Role role) {
        Matrix matrix = model.weight(role);
        return laid(role, false, matrix.rows(), matrix.columns());
    }

    /** What a product multiplies rows with, (in, out). */
    String turned(Role role) {
        Matrix matrix = model.weight(role);
        return laid(role, true, matrix.columns(), matrix.rows());
    }

    String vector(Role role) {
        return laid(role, false, model.weight(role).columns());
    }

    /** All values in other dimensions. */
    String shaped(Role role, long... shape) {
        return laid(role, false, shape);
    }

    private String laid(Role role, boolean turned, long... shape) {
        Matrix matrix = model.weight(role);
        ElementType type = graph.real();
        List<Long> dimensions = Arrays.stream(shape).boxed().toList();
        return names.computeIfAbsent(new Laid(matrix, dimensions, turned), _ -> {
            String name = prefix + role.path();
            String free = names.containsValue(name) ? name + "." + dimensions.size() + (turned ? "t" : "") : name;
            return graph.constant(new Tensor(free, type, dimensions, new MatrixContent(matrix, turned, type.dtype().orElseThrow(), free)));
        });
    }

    /** {@code x W^T + b}. */
    String linear(String x, Role weight, boolean bias) {
        String y = graph.product(x, turned(weight));
        return bias ? graph.add(y, vector(weight.field(Field.BIAS))) : y;
    }

    double number(Role role) throws IOException {
        return numbers(role)[0];
    }

    /** All values of a vector. */
    double[] numbers(Role role) throws IOException {
        return model.weight(role).vector();
    }

    /** All values of a matrix, row after row. */
    double[] values(Role role) throws IOException {
        return model.weight(role).all();
    }
}
