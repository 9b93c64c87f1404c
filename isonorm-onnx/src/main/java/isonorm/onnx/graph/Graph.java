package isonorm.onnx.graph;

import java.util.List;

/**
 * Operators in an order in which each comes behind those whose values it reads.
 *
 * @param values what is known of values in between
 * @param rest what else its file says of it
 */
public record Graph(String name, List<Node> nodes, List<Tensor> constants, List<Value> inputs, List<Value> outputs, List<Value> values, List<byte[]> rest) {

    public Graph {
        nodes = List.copyOf(nodes);
        constants = List.copyOf(constants);
        inputs = List.copyOf(inputs);
        outputs = List.copyOf(outputs);
        values = List.copyOf(values);
        rest = List.copyOf(rest);
    }
}
