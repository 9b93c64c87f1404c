package isonorm.onnx.rewrite;

import static java.util.Objects.requireNonNull;

import isonorm.model.ConversionRefused;
import isonorm.onnx.graph.Attribute;
import isonorm.onnx.graph.Node;
import isonorm.onnx.graph.OnnxModel;
import isonorm.onnx.graph.Tensor;
import isonorm.onnx.rewrite.Editor.Use;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/**
 * Takes the mean out of every residual stream of a graph, whatever model it is of, so that a LayerNormalization that reads one is an RMSNormalization.
 *
 * <p>What is written to a {@link ResidualStream} is centred in the constants that it is computed with, where it is: tables, matrices, convolutions, biases,
 * learned scales. Of what is computed otherwise the mean is taken out by two operators, where more norms gain from it than that costs. Gains and biases of
 * the norms are folded into the products behind them.
 */
public final class GraphRewrite {

    /** The first opset with RMSNormalization. */
    private static final long OPSET = 23;

    private static final String NORM = "LayerNormalization";

    /**
     * One stream that was changed.
     *
     * @param norms the LayerNorms that read it
     * @param writers what writes to it, by kind: names of constants that were centred, and of values whose mean is taken out
     */
    public record Changed(List<String> norms, Map<String, List<String>> writers) {}

    /**
     * What was made.
     *
     * @param norms how many LayerNorms the graph has
     * @param folded how many of those that were changed gave gain and bias away
     * @param composed how many of them were of plain operators
     * @param left why others were left as they are
     */
    public record Made(OnnxModel model, int norms, int folded, int composed, List<Changed> streams, List<String> left) {

        /** How many norms take no mean out any more. */
        public int changed() {
            return streams.stream().mapToInt(stream -> stream.norms().size()).sum();
        }
    }

    private final Editor editor;
    private final boolean kept;
    private final long opset;
    private Map<String, Node> producers = Map.of();
    private Map<String, List<Use>> uses = Map.of();

    private GraphRewrite(OnnxModel model, boolean kept) {
        this.editor = new Editor(model);
        this.kept = kept;
        this.opset = Math.max(model.opset(), kept ? 17 : OPSET);
    }

    /**
     * The rewritten graph; constants are computed when it is written.
     *
     * @param keepLayerNorm whether norms stay as they are, and streams are only centred
     * @throws ConversionRefused with every reason, if no norm can be changed
     */
    public static Made of(OnnxModel model, boolean keepLayerNorm) throws IOException {
        Forms.require(model);
        try {
            return new GraphRewrite(model, keepLayerNorm).made(model);
        } catch (IndexOutOfBoundsException | ArithmeticException | IllegalArgumentException | NegativeArraySizeException | NoSuchElementException | NullPointerException e) {
            throw new IOException("what operators of the graph are told does not fit what they read, so it cannot be followed", e);
        }
    }

    private Made made(OnnxModel model) throws IOException {
        Forms.constants(editor);
        Forms.unfused(editor);
        int composed = Forms.composed(editor);
        Forms.withoutZeros(editor);
        editor.prune();
        Forms.upgrade(editor, model.opset(), opset);
        Shapes shapes = Shapes.of(editor.graph());
        producers = editor.producers();
        uses = editor.uses();
        List<Node> norms = editor.nodes().stream().filter(node -> node.is(NORM)).toList();
        if (norms.isEmpty()) {
            throw new ConversionRefused(List.of(hasRmsNorm() ? "its norms are RMSNorm already, which see the mean of what they read"
                    : "it has no LayerNormalization, neither as an operator nor of plain ones as exporters write it"));
        }
        Set<String> done = new HashSet<>();
        Set<String> left = new LinkedHashSet<>();
        List<Changed> streams = new ArrayList<>();
        List<Node> readers = new ArrayList<>();
        ResidualStream.Follower follower = new ResidualStream.Follower(editor, shapes, producers, uses);
        for (Node norm : norms) {
            if (done.contains(norm.output())) {
                continue;
            }
            try {
                ResidualStream stream = follower.of(norm);
                streams.add(centre(norm, stream, shapes));
                stream.readers().forEach(reader -> done.add(reader.output()));
                readers.addAll(stream.readers());
            } catch (No no) {
                left.add(no.getMessage());
            }
        }
        if (streams.isEmpty()) {
            throw new ConversionRefused(List.copyOf(left));
        }
        int folded = 0;
        for (Node reader : kept ? List.<Node>of() : readers) {
            folded += rewritten(reader, shapes) ? 1 : 0;
        }
        return new Made(editor.result(opset, Map.of("isonorm", "residual streams centred")), norms.size(), folded, composed, streams, List.copyOf(left));
    }

    private boolean hasRmsNorm() {
        return editor.nodes().stream().anyMatch(node -> node.op().equals("RMSNormalization") || node.op().equals("SimplifiedLayerNormalization")
                || node.op().equals("SkipSimplifiedLayerNormalization")
                || node.is("ReduceMean") && Optional.ofNullable(producers.get(node.input(0))).filter(square -> square.is("Pow") && !isCentred(square.input(0))).isPresent());
    }

    /** Whether a mean was taken out of a value: what is squared then is a LayerNorm's, and not RMSNorm's. */
    private boolean isCentred(String value) {
        Node difference = producers.get(value);
        return difference != null && difference.is("Sub")
                && Optional.ofNullable(producers.get(difference.input(1))).filter(mean -> mean.is("ReduceMean")).isPresent();
    }

    /** How a writer is centred; a step that changes the graph. */
    @FunctionalInterface
    private interface Centring {
        void apply();
    }

    private record Writer(String kind, String name, Centring centring) {}

    private Changed centre(Node norm, ResidualStream stream, Shapes shapes) throws No {
        List<Writer> writers = new ArrayList<>();
        for (String value : stream.writers()) {
            writers.add(writer(value, requireNonNull(stream.axes().get(value)), stream, shapes));
        }
        long explicit = writers.stream().filter(writer -> writer.kind.equals("explicit mean")).count();
        if (stream.readers().size() <= explicit) {
            throw new No(stream.readers().size() + (stream.readers().size() == 1 ? " norm reads" : " norms read") + " what " + explicit
                    + " operators write that no constant can be centred for (" + norm.name() + ")");
        }
        Map<String, List<String>> kinds = new TreeMap<>();
        for (Writer writer : writers) {
            writer.centring.apply();
            kinds.computeIfAbsent(writer.kind, _ -> new ArrayList<>()).add(writer.name);
        }
        return new Changed(stream.readers().stream().map(reader -> reader.name().isEmpty() ? reader.output() : reader.name()).toList(), kinds);
    }

    private Writer writer(String value, int axis, ResidualStream stream, Shapes shapes) throws No {
        Optional<Tensor> constant = editor.constant(value);
        if (constant.isPresent()) {
            Tensor tensor = real(constant.get());
            return new Writer(tensor.shape().size() == 1 ? "bias or vector" : "table", value, () -> {
                String copy = added(Computed.centred(editor.free(value + "/centred"), tensor, axis));
                for (Use use : uses.getOrDefault(value, List.of())) {
                    if (stream.axes().containsKey(use.node().output())) {
                        editor.input(use.node(), use.place(), copy);
                    }
                }
            });
        }
        Node producer = producers.get(value);
        int rank = shapes.rank(value);
        if (producer == null) {
            return explicit(value, axis, Optional.empty());
        }
        if (axis == rank - 1 && (producer.is("MatMul") || producer.is("Gemm")) && product(producer)) {
            return new Writer("matrix", producer.input(1), () -> centreProduct(producer, Optional.empty()));
        }
        boolean convolution = producer.is("Conv") && axis == 1 && producer.integer("group").orElse(1) == 1 && isReal(producer.input(1))
                && (producer.input(2).isEmpty() || isReal(producer.input(2)));
        if (convolution) {
            return new Writer("convolution", producer.input(1), () -> {
                replaced(producer, 1, tensor -> Computed.centred(editor.free(tensor.name() + "/centred"), tensor, 0));
                replaced(producer, 2, tensor -> Computed.centred(editor.free(tensor.name() + "/centred"), tensor, 0));
            });
        }
        Optional<Writer> scaled = axis == rank - 1 && producer.is("Mul") ? scaled(producer) : Optional.empty();
        return scaled.isPresent() ? scaled.get() : explicit(value, axis, Optional.of(producer));
    }

    private static Tensor real(Tensor tensor) throws No {
        if (tensor.type().dtype().isEmpty()) {
            throw new No("constant " + tensor.name() + " enters the stream and is of " + tensor.type());
        }
        return tensor;
    }

    private boolean isReal(String name) {
        return editor.constant(name).filter(tensor -> tensor.type().dtype().isPresent()).isPresent();
    }

    /** Whether a product's matrix is a constant, and its bias too where it has one. */
    private boolean product(Node node) {
        return isReal(node.input(1)) && editor.constant(node.input(1)).orElseThrow().shape().size() == 2
                && (node.is("MatMul") || node.input(2).isEmpty() || isReal(node.input(2)) && !editor.constant(node.input(2)).orElseThrow().shape().isEmpty());
    }

    private static int outputs(Node product) {
        return product.is("Gemm") && product.integer("transB").orElse(0) == 1 ? 0 : 1;
    }

    /** The matrix and the bias of a product, first times learned scales where there are such. */
    private void centreProduct(Node node, Optional<Tensor> scales) {
        replaced(node, 1, tensor -> centred(tensor, outputs(node), scales));
        if (node.is("Gemm")) {
            replaced(node, 2, tensor -> centred(tensor, tensor.shape().size() - 1, scales));
        }
    }

    private Tensor centred(Tensor tensor, int axis, Optional<Tensor> scales) {
        Tensor scaled = scales.map(by -> Computed.times(editor.free(tensor.name() + "/scaled"), tensor, axis, by)).orElse(tensor);
        return Computed.centred(editor.free(tensor.name() + "/centred"), scaled, axis);
    }

    private String added(Tensor tensor) {
        editor.add(tensor);
        return tensor.name();
    }

    @FunctionalInterface
    private interface Change {
        Tensor of(Tensor tensor);
    }

    /** Another constant as one of an operator's inputs, if that is one. */
    private void replaced(Node node, int place, Change change) {
        editor.constant(editor.now(node).input(place)).ifPresent(tensor -> editor.input(node, place, added(change.of(tensor))));
    }

    /** A learned vector that multiplies a linear layer (LayerScale) goes into that, if nobody else reads it. */
    private Optional<Writer> scaled(Node times) {
        for (int place = 0; place < 2; place++) {
            Optional<Tensor> scales = editor.constant(times.input(place)).filter(tensor -> tensor.type().dtype().isPresent() && tensor.shape().size() == 1 && tensor.elements() > 1);
            if (scales.isEmpty()) {
                continue;
            }
            String value = times.input(1 - place);
            Node sum = producers.get(value);
            if (sum == null || uses.getOrDefault(value, List.of()).size() != 1) {
                continue;
            }
            if ((sum.is("MatMul") || sum.is("Gemm")) && product(sum)) {
                return Optional.of(new Writer("scaled matrix", sum.input(1), () -> {
                    centreProduct(sum, scales);
                    through(times, value);
                }));
            }
            for (int bias = 0; sum.is("Add") && bias < 2; bias++) {
                int at = bias;
                Node product = producers.get(sum.input(1 - bias));
                if (isReal(sum.input(bias)) && product != null && product.is("MatMul") && product(product)
                        && uses.getOrDefault(product.output(), List.of()).size() == 1) {
                    return Optional.of(new Writer("scaled matrix", product.input(1), () -> {
                        centreProduct(product, scales);
                        replaced(sum, at, tensor -> centred(tensor, tensor.shape().size() - 1, scales));
                        through(times, value);
                    }));
                }
            }
        }
        return Optional.empty();
    }

    private void through(Node node, String value) {
        editor.replace(node, Node.of("Identity", node.name(), List.of(value), node.outputs(), Map.of()));
    }

    /** The mean taken out by operators. */
    private Writer explicit(String value, int axis, Optional<Node> producer) throws No {
        if (producer.isEmpty()) {
            throw new No(value + " is an input of the graph and enters the stream");
        }
        return new Writer("explicit mean", value, () -> {
            String mean = value + "/mean";
            String centred = value + "/centred";
            Node average;
            if (opset >= 18) {
                String axes = "isonorm/axis/" + axis;
                editor.add(Tensor.of(axes, List.of(1L), axis));
                average = Node.of("ReduceMean", mean, List.of(value, axes), List.of(mean), Map.of("keepdims", Attribute.of(1)));
            } else {
                average = Node.of("ReduceMean", mean, List.of(value), List.of(mean), Map.of("keepdims", Attribute.of(1), "axes", Attribute.of(new long[] {axis})));
            }
            uses.getOrDefault(value, List.of()).forEach(use -> editor.input(use.node(), use.place(), centred));
            editor.after(producer.get(), List.of(average, Node.of("Sub", centred, List.of(value, mean), List.of(centred), Map.of())));
        });
    }

    /** An RMSNormalization instead; true where its gain and bias are in the products behind it. */
    private boolean rewritten(Node norm, Shapes shapes) throws IOException {
        boolean folded = folded(norm, shapes);
        Tensor gain = editor.constant(norm.input(1)).orElseThrow();
        Optional<Tensor> bias = editor.constant(norm.input(2));
        boolean added = !folded && bias.isPresent();
        Tensor ones = Forms.ones(gain.type(), gain.elements());
        if (folded) {
            editor.add(ones);
        }
        String output = added ? norm.output() + "/rms" : norm.output();
        Node rms = Node.of("RMSNormalization", norm.name(), List.of(editor.now(norm).input(0), folded ? ones.name() : gain.name()), List.of(output),
                Map.of("axis", Attribute.of(-1), "epsilon", Attribute.of(norm.real("epsilon", 1e-5))));
        List<Node> made = new ArrayList<>(List.of(rms));
        if (added) {
            made.add(Node.of("Add", norm.name() + "/bias", List.of(output, norm.input(2)), List.of(norm.output()), Map.of()));
        }
        editor.inPlaceOf(norm, made);
        return folded;
    }

    /** A product behind a norm, and where its bias is: an input of its own, or that of a sum behind it. */
    private record Reader(Node product, Node sum, int place) {}

    private boolean folded(Node norm, Shapes shapes) {
        Tensor gain = editor.constant(norm.input(1)).orElseThrow();
        Optional<Tensor> bias = editor.constant(norm.input(2));
        List<Reader> readers = new ArrayList<>();
        if (editor.isOutput(norm.output()) || !readers(norm.output(), gain.elements(), bias.isPresent(), shapes, readers)) {
            return false;
        }
        for (Reader reader : readers) {
            Node product = reader.product;
            Tensor matrix = editor.constant(editor.now(product).input(1)).orElseThrow();
            int inputs = 1 - outputs(product);
            bias.ifPresent(b -> replaced(reader.sum, reader.place,
                    before -> Computed.plusProduct(editor.free(before.name() + "/folded"), before, matrix, outputs(product) == 0, b)));
            replaced(product, 1, before -> Computed.times(editor.free(before.name() + "/folded"), before, inputs, gain));
        }
        return true;
    }

    /** Collects the products that read a value; false where something else does, or has no bias that could take what the norm's adds. */
    private boolean readers(String value, long width, boolean biased, Shapes shapes, List<Reader> into) {
        List<Use> all = uses.getOrDefault(value, List.of());
        for (Use use : all) {
            Node node = use.node();
            if (use.place() != 0) {
                return false;
            }
            if (node.is("Shape") || node.is("Size")) {
                continue; // exporters ask a norm's output for what batch and length are
            }
            if (node.is("Identity") || node.is("Reshape") || node.is("Cast")) {
                long[] shape = shapes.of(node.output()).orElse(new long[] {Shapes.ANY});
                boolean keeps = shape.length > 1 && shape[shape.length - 1] == width && !editor.isOutput(node.output());
                if (!keeps || !readers(node.output(), width, biased, shapes, into)) {
                    return false;
                }
                continue;
            }
            Optional<Reader> reader = reader(node, biased);
            if (reader.isEmpty()) {
                return false;
            }
            into.add(reader.get());
        }
        return !into.isEmpty();
    }

    private Optional<Reader> reader(Node node, boolean biased) {
        if (node.is("Gemm")) {
            boolean plain = product(node) && node.integer("transA").orElse(0) == 0 && node.real("alpha", 1) == 1 && node.real("beta", 1) == 1;
            return plain && (!biased || !node.input(2).isEmpty() && editor.constant(node.input(2)).orElseThrow().shape().size() == 1)
                    ? Optional.of(new Reader(node, node, 2))
                    : Optional.empty();
        }
        if (!node.is("MatMul") || !product(node)) {
            return Optional.empty();
        }
        if (!biased) {
            return Optional.of(new Reader(node, node, 2));
        }
        List<Use> sums = uses.getOrDefault(node.output(), List.of());
        if (sums.size() != 1 || !sums.getFirst().node().is("Add") || editor.isOutput(node.output())) {
            return Optional.empty();
        }
        int place = 1 - sums.getFirst().place();
        Optional<Tensor> added = editor.constant(sums.getFirst().node().input(place));
        long outputs = editor.constant(node.input(1)).orElseThrow().shape().get(1);
        return added.filter(tensor -> tensor.type().dtype().isPresent() && tensor.shape().equals(List.of(outputs))).map(_ -> new Reader(node, sums.getFirst().node(), place));
    }
}
