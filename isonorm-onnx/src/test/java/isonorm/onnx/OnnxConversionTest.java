package isonorm.onnx;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.onnx.graph.Attribute;
import isonorm.onnx.graph.Decoder;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Encoder;
import isonorm.onnx.graph.Graph;
import isonorm.onnx.graph.Node;
import isonorm.onnx.graph.OnnxModel;
import isonorm.onnx.graph.Tensor;
import isonorm.onnx.graph.Value;
import isonorm.onnx.rewrite.GraphRewrite;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Graphs that torch's two exporters, and ONNX Runtime's optimizer, made of tiny models: make_graphs.py beside them. */
class OnnxConversionTest {

    @TempDir
    private Path folder;

    static Path graph(String name) {
        try {
            return Path.of(OnnxConversionTest.class.getResource("/graphs/make_graphs.py").toURI()).resolveSibling(name + ".onnx");
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "gpt2-dynamo, 5, 5", "opt-dynamo, 5, 5", "opt-script, 5, 5", "bloom-dynamo, 6, 6", "bloom-script, 6, 6", "gpt_neox-dynamo, 5, 5", "phi-dynamo, 3, 3", "falcon-dynamo, 3, 3",
        "falcon-script, 3, 3", "vit-dynamo, 5, 5", "vit-script, 5, 5", "vit-old, 5, 5", "vit-fused, 5, 5", "dinov2-dynamo, 5, 5", "dinov2-script, 5, 5",
        "siglip_vision-dynamo, 5, 5", "siglip_vision-script, 5, 5", "whisper_encoder-dynamo, 5, 5", "whisper_encoder-script, 5, 5", "whisper_decoder-dynamo, 7, 7",
        "whisper_decoder-script, 7, 7", "clip_text-dynamo, 5, 5", "clip_text-script, 5, 5", "clip_vision-dynamo, 6, 6", "clip_vision-script, 6, 6", "opt_cached-script, 5, 5", "gpt_neox_cached-dynamo, 5, 5",
        "cohere-dynamo, 3, 3", "cohere-script, 3, 3", "olmo-script, 5, 5", "olmo-old, 5, 5", "gptj-script, 3, 3"})
    void normsThatCanBeAreRmsNorm(String name, int norms, int changed) throws IOException {
        OnnxConversion.Report report = OnnxConversion.of(graph(name)).verifiedBy(Here.runtime()).writeTo(folder.resolve("out.onnx"), Progress.NONE);
        assertEquals(norms, report.norms());
        assertEquals(changed, report.changed(), report::toString);
        assertTrue(report.error().orElse(1) < 5e-5, report.toString());
        String kept = System.getProperty("isonorm.graphs", "");
        if (!kept.isEmpty()) { // for check_onnx.py
            Files.copy(folder.resolve("out.onnx"), Path.of(kept).resolve(name + "-rms.onnx"));
        }
        OnnxModel before = Decoder.read(graph(name));
        OnnxModel after = Decoder.read(folder.resolve("out.onnx"));
        assertEquals(names(before.graph().inputs()), names(after.graph().inputs()));
        assertEquals(names(before.graph().outputs()), names(after.graph().outputs()));
        assertEquals(changed, after.graph().nodes().stream().filter(node -> node.is("RMSNormalization")).count());
    }

    /** Behind casts, where batch and length are asked of a norm's output, where a bias adds nothing, and where a norm of plain operators has no gain. */
    @ParameterizedTest
    @CsvSource({"cohere-script, 3, 3", "olmo-script, 5, 0", "olmo-old, 5, 5", "opt-script, 4, 0", "vit-old, 4, 5"})
    void gainsGoIntoProducts(String name, int folded, int composed) throws IOException {
        OnnxConversion.Report report = OnnxConversion.of(graph(name)).verifiedBy(Here.runtime()).writeTo(folder.resolve("out.onnx"), Progress.NONE);
        assertEquals(List.of(folded, composed), List.of(report.folded(), report.composed()), report::toString);
        assertTrue(report.error().orElse(1) < 5e-5, report.toString());
        long added = Decoder.read(folder.resolve("out.onnx")).graph().nodes().stream().filter(node -> node.is("Add") && node.input(0).endsWith("/rms")).count();
        assertEquals(report.changed() - folded, added, "biases of the others");
    }

    /** As a checkpoint's report: everything that was done, and why the rest was not. */
    @Test
    void aReportLiesBesideTheGraph() throws IOException {
        Path file = folder.resolve("out.onnx");
        OnnxConversion.Report bert = OnnxConversion.of(graph("bert-dynamo")).verifiedBy(Here.runtime()).writeTo(file, Progress.NONE);
        assertEquals(List.of(file, folder.resolve("out.onnx.report.json")), bert.files());
        JsonNode report = new ObjectMapper().readTree(bert.files().getLast().toFile());
        assertEquals(Fingerprint.sha256(graph("bert-dynamo")), report.path("source_files").path(0).path("sha256").asText());
        assertEquals(Fingerprint.sha256(file), report.path("result_files").path(0).path("sha256").asText());
        assertEquals(bert.left(), report.path("left").valueStream().map(JsonNode::asText).toList());
        assertEquals(bert.error().orElseThrow(), report.path("verification").path("largest_error").asDouble());
        assertEquals(1, report.path("streams").path(0).path("norms").size());
        List<String> constants = Decoder.read(graph("bert-dynamo")).graph().constants().stream().map(Tensor::name).toList();
        JsonNode writers = report.path("streams").path(0).path("writers");
        assertEquals(bert.streams().getFirst().writers().keySet(), writers.propertyStream().map(Map.Entry::getKey).collect(Collectors.toSet()));
        assertTrue(writers.path("table").size() > 0 && writers.path("table").valueStream().allMatch(table -> constants.contains(table.asText())), writers::toString);
        OnnxConversion.of(graph("vit-script")).overwriting().writeTo(file, Progress.NONE);
        JsonNode other = new ObjectMapper().readTree(bert.files().getLast().toFile());
        assertEquals(5, other.path("streams").path(0).path("norms").size());
        assertEquals(List.of(false, false), List.of(other.path("verified").asBoolean(true), other.has("verification")));
    }

    private static List<String> names(List<Value> values) {
        return values.stream().map(Value::name).toList();
    }

    private List<String> refused(String name) {
        return assertThrows(ConversionRefused.class, () -> OnnxConversion.of(graph(name)).writeTo(folder.resolve("out.onnx"), Progress.NONE)).reasons();
    }

    @Test
    void whatReadsAStreamBesideNormsIsNamed() throws IOException {
        OnnxConversion.Report bert = OnnxConversion.of(graph("bert-dynamo")).verifiedBy(Here.runtime()).writeTo(folder.resolve("out.onnx"), Progress.NONE);
        List<String> reasons = bert.left();
        assertEquals(1, bert.changed(), "Post-LN: but for the norm of the tables' sum");
        assertTrue(bert.error().orElse(1) < 5e-5, bert.toString());
        assertTrue(reasons.stream().allMatch(reason -> reason.matches("MatMul \\S+ reads the stream, at \\S+")), reasons::toString);
        assertEquals(List.of("its norms are RMSNorm already, which see the mean of what they read"), refused("llama-dynamo"));
    }

    /** Centred graphs stay of their opset, and constants outside are found again. */
    @Test
    void normsCanBeKept() throws IOException {
        OnnxModel model = Decoder.read(graph("gpt2-dynamo"));
        Path outside = folder.resolve("outside.onnx");
        Encoder.write(model, outside, true);
        Path file = folder.resolve("out.onnx");
        OnnxConversion.Report report = OnnxConversion.of(outside).keepingLayerNorm().verifiedBy(Here.runtime()).writeTo(file, Progress.NONE);
        assertEquals(5, report.changed());
        assertEquals(0, report.folded());
        assertEquals(18, report.opset());
        assertTrue(report.error().orElse(1) < 5e-5, report.toString());
        Graph made = Decoder.read(file).graph();
        assertEquals(5, made.nodes().stream().filter(node -> node.is("LayerNormalization")).count());
        Tensor table = made.constants().stream().filter(constant -> constant.name().endsWith("/centred") && constant.shape().equals(List.of(40L, 16L))).findFirst().orElseThrow();
        double[] values = table.reals();
        for (int row = 0; row < 40; row++) {
            assertEquals(0, Arrays.stream(values, 16 * row, 16 * row + 16).sum(), 1e-5);
        }
    }

    @Test
    void whatIsReadIsWrittenAsItWas() throws IOException {
        for (String name : List.of("bloom-script", "vit-fused", "whisper_encoder-dynamo")) {
            OnnxModel model = Decoder.read(graph(name));
            Encoder.write(model, folder.resolve(name), false);
            OnnxModel again = Decoder.read(folder.resolve(name));
            assertEquals(model.graph().nodes().stream().map(OnnxConversionTest::said).toList(), again.graph().nodes().stream().map(OnnxConversionTest::said).toList());
            assertEquals(model.opsets(), again.opsets());
            assertEquals(0, GraphTrial.difference(model, graph(name), folder.resolve(name), Here.runtime()));
        }
    }

    private static String said(Node node) {
        return node.domain() + " " + node.op() + " " + node.inputs() + " " + node.outputs() + " " + node.attributes().keySet();
    }

    /** An operator more at the end of a graph, or another opset. */
    private OnnxModel changed(Node more, long opset) throws IOException {
        OnnxModel model = Decoder.read(graph("vit-dynamo"));
        Graph graph = model.graph();
        List<Node> nodes = new ArrayList<>(graph.nodes());
        nodes.add(more);
        return new OnnxModel(model.format(), "", "", Map.of("", opset), Map.of(),
                new Graph(graph.name(), nodes, graph.constants(), graph.inputs(), graph.outputs(), graph.values(), graph.rest()), List.of());
    }

    /** Cohere's graph with another operator instead of one kind. */
    private static OnnxModel cohere(String op, Function<Node, Node> instead) throws IOException {
        OnnxModel model = Decoder.read(graph("cohere-dynamo"));
        Graph graph = model.graph();
        List<Tensor> constants = new ArrayList<>(graph.constants());
        constants.add(Tensor.of("one", ElementType.FLOAT, List.of(), 1));
        return new OnnxModel(model.format(), "", "", model.opsets(), Map.of(), new Graph(graph.name(),
                graph.nodes().stream().map(node -> node.is(op) ? instead.apply(node) : node).toList(), constants, graph.inputs(), graph.outputs(), graph.values(), graph.rest()), List.of());
    }

    /** As torch's older exporter writes it, whose graph of Cohere ONNX Runtime does not run. */
    @Test
    void oneOverARootIsAQuotientToo() throws IOException {
        Path file = folder.resolve("quotients.onnx");
        Encoder.write(cohere("Reciprocal", node -> Node.of("Div", node.name(), List.of("one", node.input(0)), node.outputs(), Map.of())), file, false);
        OnnxConversion.Report report = OnnxConversion.of(file).verifiedBy(Here.runtime()).writeTo(folder.resolve("out.onnx"), Progress.NONE);
        assertEquals(3, report.changed(), report::toString);
        assertTrue(report.error().orElse(1) < 5e-5, report.toString());
    }

    /** Norms of which none is recognized take a mean out all the same. */
    @Test
    void whatTakesAMeanOutIsNotSaidToBeRmsNorm() throws IOException {
        assertEquals(List.of("it has no LayerNormalization, neither as an operator nor of plain ones as exporters write it"),
                refused(cohere("Sqrt", node -> Node.of("Exp", node.name(), node.inputs(), node.outputs(), Map.of()))));
        assertEquals(List.of("it has no LayerNormalization, neither as an operator nor of plain ones as exporters write it"),
                refused(cohere("Reciprocal", node -> Node.of("Div", node.name(), List.of(node.input(0), "one"), node.outputs(), Map.of()))));
    }

    private List<String> refused(OnnxModel model) {
        return assertThrows(ConversionRefused.class, () -> GraphRewrite.of(model, false)).reasons();
    }

    @Test
    void whatCannotBeFollowedIsRefusedWhole() throws IOException {
        byte[] none = {};
        assertEquals(List.of("it has graphs within graphs, which are not followed: If n"),
                refused(changed(Node.of("If", "n", List.of("x"), List.of("z"), Map.of("then_branch", new Attribute.Other(none, true))), 18)));
        assertEquals(List.of("it is quantized (MatMulInteger): means taken out of integers would change it; convert the graph that it was made of"),
                refused(changed(Node.of("MatMulInteger", "n", List.of("x"), List.of("z"), Map.of()), 18)));
        assertEquals(List.of("it is of opset 12, and 13 is the oldest that is read; export it with a later one"),
                refused(changed(Node.of("Identity", "n", List.of("x"), List.of("z"), Map.of()), 12)));
    }

    @Test
    void filesThatAreNoneAreRefusedInALine() throws IOException {
        Path file = folder.resolve("text.onnx");
        Files.writeString(file, "this is no model");
        assertEquals(file + ": is no ONNX model, or damaged", assertThrows(IOException.class, () -> Decoder.read(file)).getMessage());
        assertEquals(folder.resolve("none.onnx") + " does not exist, or is no file",
                assertThrows(IOException.class, () -> Decoder.read(folder.resolve("none.onnx"))).getMessage());
        Files.copy(graph("vit-dynamo"), folder.resolve("same.onnx"));
        assertEquals(folder.resolve("same.onnx") + " exists already; replace it with --overwrite", assertThrows(IOException.class,
                () -> OnnxConversion.of(folder.resolve("same.onnx")).writeTo(folder.resolve("same.onnx"), Progress.NONE)).getMessage());
        assertTrue(assertThrows(IOException.class, () -> OnnxConversion.of(folder.resolve("same.onnx")).overwriting().writeTo(folder.resolve("same.onnx"), Progress.NONE))
                .getMessage().endsWith(" is the graph to convert; write to another file"));
    }
}
