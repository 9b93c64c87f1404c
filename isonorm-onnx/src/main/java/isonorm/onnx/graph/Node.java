package isonorm.onnx.graph;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.TreeMap;

/**
 * One operator with the values it reads and gives, by their names; an input that is left out is empty.
 *
 * @param domain whose operator it is; empty for ONNX's own
 * @param rest what else its file says of it
 */
public record Node(String op, String domain, String name, List<String> inputs, List<String> outputs, Map<String, Attribute> attributes, List<byte[]> rest) {

    public Node {
        inputs = List.copyOf(inputs);
        outputs = List.copyOf(outputs);
        attributes = Collections.unmodifiableMap(new TreeMap<>(attributes));
        rest = List.copyOf(rest);
    }

    /** One of ONNX's own. */
    public static Node of(String op, String name, List<String> inputs, List<String> outputs, Map<String, Attribute> attributes) {
        return new Node(op, "", name, inputs, outputs, attributes, List.of());
    }

    /** Whether this is ONNX's own operator of that name. */
    public boolean is(String other) {
        return op.equals(other) && (domain.isEmpty() || domain.equals("ai.onnx"));
    }

    /** What it reads at a place; empty where that is left out. */
    public String input(int place) {
        return place < inputs.size() ? inputs.get(place) : "";
    }

    public String output() {
        return outputs.getFirst();
    }

    /** An attribute that is a whole number. */
    public OptionalLong integer(String key) {
        return attributes.get(key) instanceof Attribute.Integer(long value) ? OptionalLong.of(value) : OptionalLong.empty();
    }

    /** One that is several; none where there is no such. */
    public List<Long> integers(String key) {
        return attributes.get(key) instanceof Attribute.Integers(List<Long> values) ? values : List.of();
    }

    /** One that is a real number, or what it is where it is left out. */
    public double real(String key, double otherwise) {
        return attributes.get(key) instanceof Attribute.Real(float value) ? value : otherwise;
    }

    public Node withInputs(List<String> other) {
        return new Node(op, domain, name, other, outputs, attributes, rest);
    }

    public Node withOutputs(List<String> other) {
        return new Node(op, domain, name, inputs, other, attributes, rest);
    }
}
