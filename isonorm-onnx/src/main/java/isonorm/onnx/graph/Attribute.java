package isonorm.onnx.graph;

import java.util.Arrays;
import java.util.List;

/** What a node is told besides its inputs. */
public sealed interface Attribute {

    record Integer(long value) implements Attribute {}

    record Real(float value) implements Attribute {}

    record Text(String value) implements Attribute {}

    record Integers(List<Long> values) implements Attribute {
        public Integers {
            values = List.copyOf(values);
        }
    }

    record Constant(Tensor value) implements Attribute {}

    /**
     * Another one, as it stands in its file.
     *
     * @param graphs whether it is a graph, or several
     */
    record Other(byte[] message, boolean graphs) implements Attribute {}

    static Attribute of(long value) {
        return new Integer(value);
    }

    static Attribute of(double value) {
        return new Real((float) value);
    }

    static Attribute of(String value) {
        return new Text(value);
    }

    static Attribute of(long[] values) {
        return new Integers(Arrays.stream(values).boxed().toList());
    }
}
