package isonorm.onnx.rewrite;

import isonorm.onnx.graph.Attribute;
import isonorm.onnx.graph.Graph;
import isonorm.onnx.graph.Node;
import isonorm.onnx.graph.OnnxModel;
import isonorm.onnx.graph.Tensor;
import isonorm.onnx.graph.Value;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** A graph while it is changed; an operator is known by the first value that it gives. */
final class Editor {

    /** Where a value is read: by which operator, as which of its inputs. */
    record Use(Node node, int place) {}

    private final OnnxModel model;
    private final Map<String, Node> nodes = new LinkedHashMap<>();
    private final Map<String, Tensor> constants = new LinkedHashMap<>();
    private final Map<String, List<Node>> behind = new HashMap<>();
    private final Set<String> inputs = new HashSet<>();
    private final Set<String> outputs = new HashSet<>();

    Editor(OnnxModel model) {
        this.model = model;
        model.graph().nodes().forEach(node -> nodes.put(node.output(), node));
        model.graph().inputs().forEach(value -> inputs.add(value.name()));
        model.graph().outputs().forEach(value -> outputs.add(value.name()));
        model.graph().constants().forEach(constant -> constants.put(constant.name(), constant));
    }

    List<Node> nodes() {
        return new ArrayList<>(nodes.values());
    }

    /** A constant; none where whoever runs the graph can give another value. */
    Optional<Tensor> constant(String name) {
        return inputs.contains(name) ? Optional.empty() : Optional.ofNullable(constants.get(name));
    }

    void add(Tensor constant) {
        constants.put(constant.name(), constant);
    }

    /** A name that no constant has yet. */
    String free(String wanted) {
        String name = wanted;
        for (int i = 1; constants.containsKey(name); i++) {
            name = wanted + "." + i;
        }
        return name;
    }

    boolean isOutput(String value) {
        return outputs.contains(value);
    }

    boolean isInput(String value) {
        return inputs.contains(value);
    }

    /** Who gives each value. */
    Map<String, Node> producers() {
        Map<String, Node> producers = new HashMap<>();
        nodes.values().forEach(node -> node.outputs().forEach(output -> producers.put(output, node)));
        return producers;
    }

    /** Who reads each value. */
    Map<String, List<Use>> uses() {
        Map<String, List<Use>> uses = new HashMap<>();
        for (Node node : nodes.values()) {
            for (int place = 0; place < node.inputs().size(); place++) {
                uses.computeIfAbsent(node.inputs().get(place), _ -> new ArrayList<>()).add(new Use(node, place));
            }
        }
        return uses;
    }

    /** The operator as it is now that gave this value first. */
    Node now(Node node) {
        return nodes.getOrDefault(node.output(), node);
    }

    void replace(Node before, Node now) {
        nodes.put(before.output(), now);
    }

    /** Several operators where one stood; what each gives it gives under the same name. */
    void inPlaceOf(Node node, List<Node> several) {
        Map<String, Node> all = new LinkedHashMap<>();
        nodes.forEach((key, each) -> {
            if (key.equals(node.output())) {
                several.forEach(one -> all.put(one.output(), one));
            } else {
                all.put(key, each);
            }
        });
        nodes.clear();
        nodes.putAll(all);
    }

    void remove(Node node) {
        nodes.remove(node.output());
    }

    void input(Node node, int place, String value) {
        Node before = now(node);
        List<String> read = new ArrayList<>(before.inputs());
        while (read.size() <= place) {
            read.add("");
        }
        read.set(place, value);
        replace(node, before.withInputs(read));
    }

    /** Operators that follow one at once. */
    void after(Node node, List<Node> added) {
        behind.computeIfAbsent(node.output(), _ -> new ArrayList<>()).addAll(added);
    }

    /** Takes out operators that nobody reads. */
    void prune() {
        Set<String> read = new HashSet<>(outputs);
        for (Node node : nodes().reversed()) {
            if (node.outputs().stream().anyMatch(read::contains)) {
                read.addAll(node.inputs());
            } else {
                remove(node);
            }
        }
    }

    /** The graph as it is now. */
    Graph graph() {
        Graph before = model.graph();
        return new Graph(before.name(), nodes(), new ArrayList<>(constants.values()), before.inputs(), before.outputs(), before.values(), before.rest());
    }

    /** The model with these operators, without those and the constants that nobody reads. */
    OnnxModel result(long opset, Map<String, String> metadata) {
        List<Node> all = new ArrayList<>();
        nodes.forEach((key, node) -> {
            all.add(node);
            all.addAll(behind.getOrDefault(key, List.of()));
        });
        Set<String> read = new HashSet<>(outputs);
        List<Node> kept = new ArrayList<>();
        for (Node node : all.reversed()) {
            if (node.outputs().stream().anyMatch(read::contains)) {
                kept.addFirst(node);
                read.addAll(node.inputs());
            }
        }
        Graph before = model.graph();
        List<Tensor> left = constants.values().stream().filter(constant -> read.contains(constant.name())).toList();
        List<Value> given = before.inputs().stream().filter(value -> read.contains(value.name()) || !constants.containsKey(value.name())).toList();
        Map<String, Long> opsets = new HashMap<>(model.opsets());
        opsets.remove("ai.onnx");
        opsets.put("", opset);
        Map<String, String> said = new HashMap<>(model.metadata());
        said.putAll(metadata);
        return new OnnxModel(Math.max(model.format(), opset >= 23 ? 11 : 8), model.producer(), model.producerVersion(), opsets, said,
                new Graph(before.name(), kept, left, given, before.outputs(), List.of(), before.rest()), model.rest());
    }

    /** One more attribute, and one less. */
    static Node with(Node node, String key, Attribute value, String without) {
        Map<String, Attribute> attributes = new HashMap<>(node.attributes());
        attributes.remove(without);
        if (!key.isEmpty()) {
            attributes.put(key, value);
        }
        return new Node(node.op(), node.domain(), node.name(), node.inputs(), node.outputs(), attributes, node.rest());
    }
}
