package isonorm.onnx;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.checkpoint.TensorInfo;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.embed.Pooling;
import isonorm.embed.SentenceEmbedder;
import isonorm.embed.SentenceSettings;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.onnx.graph.Decoder;
import isonorm.onnx.graph.Graph;
import isonorm.onnx.graph.Node;
import isonorm.onnx.graph.Tensor;
import isonorm.text.Tokenizer;
import isonorm.verify.Verification;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A model that people really use, all-MiniLM-L6-v2: its graph's weights as a checkpoint, converted, against the graph itself in ONNX Runtime. */
class MiniLmTest {

    private static final Path SENTENCES = Path.of("..", "examples", "tinyshakespeare-heldout.txt");
    private static final int COUNT = 200;
    private static final int TOGETHER = 25;

    /** The cosine of the embeddings of a sentence, by the bits of the layers: of 25, the least is above it. */
    private static final Map<Integer, Double> IN_FEW_BITS = Map.of(8, .999, 4, .95);

    @TempDir
    private Path folder;

    private Path resource(String name) throws IOException {
        try (InputStream in = MiniLmTest.class.getResourceAsStream("/" + name)) {
            Path file = folder.resolve(name);
            Files.copy(in, file);
            return file;
        }
    }

    /** Lines of different lengths, sorted so that little is padding. */
    private static List<String> sentences() throws IOException {
        return Files.readAllLines(SENTENCES).stream().filter(line -> line.length() > 3).limit(COUNT).sorted(Comparator.comparingInt(String::length)).toList();
    }

    /**
     * The BERT whose graph this is. Tables and vectors kept their names; matrices are constants, (in, out), of products whose nodes are named after
     * the layer.
     */
    private Path checkpoint(Path graph, Path tokenizer) throws IOException {
        Graph exported = Decoder.read(graph).graph();
        Map<String, Tensor> constants = exported.constants().stream().collect(Collectors.toMap(Tensor::name, Function.identity()));
        Map<String, double[]> values = new TreeMap<>();
        Map<String, List<Long>> shapes = new TreeMap<>();
        for (Tensor each : exported.constants()) {
            if (each.name().matches("(embeddings|encoder)\\..*") && !each.name().endsWith("_ids")) {
                values.put(each.name(), each.reals());
                shapes.put(each.name(), each.shape());
            }
        }
        for (Node node : exported.nodes()) {
            if (node.is("MatMul") && constants.containsKey(node.input(1))) {
                String layer = node.name().replaceFirst("/MatMul$", "").substring(1).replace('/', '.');
                Tensor matrix = constants.get(node.input(1));
                values.put(layer + ".weight", turned(matrix.reals(), matrix.shape().get(0).intValue(), matrix.shape().get(1).intValue()));
                shapes.put(layer + ".weight", matrix.shape().reversed());
            }
        }
        Path checkpoint = Files.createDirectories(folder.resolve("minilm"));
        List<TensorInfo> infos = shapes.entrySet().stream().map(entry -> new TensorInfo(entry.getKey(), Dtype.F32, entry.getValue())).toList();
        try (SafetensorsWriter writer = SafetensorsWriter.create(checkpoint.resolve("model.safetensors"), infos, Map.of("format", "pt"))) {
            for (TensorInfo info : infos) {
                double[] all = values.get(info.name());
                MemorySegment bytes = MemorySegment.ofArray(new byte[all.length * Float.BYTES]);
                Numbers.encode(all, 0, all.length, bytes, Dtype.F32, 0);
                writer.write(info.name(), 0, bytes);
            }
        }
        Config.of(Map.of("architectures", List.of("BertModel"), "model_type", "bert", "hidden_size", 384, "num_hidden_layers", 6, "num_attention_heads", 12,
                "intermediate_size", 1536, "vocab_size", 30522, "hidden_act", "gelu", "layer_norm_eps", 1e-12)).writeTo(checkpoint.resolve("config.json"));
        Files.copy(tokenizer, checkpoint.resolve("tokenizer.json"));
        return checkpoint;
    }

    private static double[] turned(double[] matrix, int rows, int columns) {
        double[] turned = new double[matrix.length];
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < columns; c++) {
                turned[c * rows + r] = matrix[r * columns + c];
            }
        }
        return turned;
    }

    @Test
    void theConvertedModelEmbedsAsTheGraphDoes() throws IOException {
        OnnxRuntime runtime = Here.runtime();
        Path graph = resource("all-minilm-l6-v2.onnx");
        Path checkpoint = checkpoint(graph, resource("all-minilm-l6-v2-tokenizer.json"));
        LoadedModel original = LoadedModel.open(checkpoint);
        Conversion.of(original, Form.RMSNORM).verifiedBy(Verification.verifier()).writeTo(folder.resolve("rmsnorm"));
        List<String> sentences = sentences();
        List<double[]> expected = byGraph(runtime, graph, sentences);
        SentenceSettings settings = SentenceSettings.NONE.withPooling(Pooling.MEAN).normalized();
        for (Path each : List.of(checkpoint, folder.resolve("rmsnorm"))) {
            assertEquals(1, leastCosine(each, settings, sentences, expected), 1e-6, each.getFileName().toString());
        }
        List<String> some = sentences.subList(0, TOGETHER);
        for (Map.Entry<Integer, Double> each : IN_FEW_BITS.entrySet()) {
            Path quantized = folder.resolve("bits-" + each.getKey());
            Conversion.quantized(original, new Conversion.Bits(each.getKey(), 8, 32, List.of()), Map.of(), "rtn").writeTo(quantized);
            double cosine = leastCosine(quantized, settings, some, expected);
            assertTrue(cosine > each.getValue() && cosine < 1 - 1e-6, each.getKey() + " bits: " + cosine);
        }
    }

    private static double leastCosine(Path checkpoint, SentenceSettings settings, List<String> sentences, List<double[]> expected) throws IOException {
        try (SentenceEmbedder embedder = SentenceEmbedder.open(LoadedModel.open(checkpoint), settings, Compute.F32)) {
            List<SentenceEmbedder.Embedded> embedded = embedder.embed(sentences, Progress.NONE);
            assertEquals(sentences.size(), embedded.size());
            double least = Double.POSITIVE_INFINITY;
            for (int s = 0; s < sentences.size(); s++) {
                double cosine = 0;
                for (int c = 0; c < embedder.width(); c++) {
                    cosine += expected.get(s)[c] * embedded.get(s).vector()[c];
                }
                least = Math.min(least, cosine);
            }
            return least;
        }
    }

    /** Means of what the graph gives, of length 1. */
    private List<double[]> byGraph(OnnxRuntime runtime, Path graph, List<String> sentences) throws IOException {
        List<double[]> vectors = new ArrayList<>();
        try (OnnxRuntime.Session session = runtime.open(graph, Runtime.getRuntime().availableProcessors());
                Tokenizer tokenizer = Tokenizer.open(folder.resolve("minilm/tokenizer.json"))) {
            for (int first = 0; first < sentences.size(); first += TOGETHER) {
                List<long[]> rows = new ArrayList<>();
                for (String sentence : sentences.subList(first, Math.min(first + TOGETHER, sentences.size()))) {
                    rows.add(tokenizer.framed(sentence));
                }
                int length = rows.stream().mapToInt(row -> row.length).max().orElseThrow();
                long[] ids = rows.stream().flatMapToLong(row -> Arrays.stream(Arrays.copyOf(row, length))).toArray();
                long[] mask = rows.stream().flatMapToLong(row -> Arrays.stream(new long[length])).toArray();
                for (int r = 0; r < rows.size(); r++) {
                    Arrays.fill(mask, r * length, r * length + rows.get(r).length, 1);
                }
                long[] shape = {rows.size(), length};
                OnnxRuntime.Values.Reals states = (OnnxRuntime.Values.Reals) session.run(Map.of(
                        "input_ids", new OnnxRuntime.Values.Integers(ids, shape),
                        "attention_mask", new OnnxRuntime.Values.Integers(mask, shape),
                        "token_type_ids", new OnnxRuntime.Values.Integers(new long[ids.length], shape))).values().iterator().next();
                int d = (int) states.shape()[2];
                for (int r = 0; r < rows.size(); r++) {
                    double[] vector = new double[d];
                    for (int t = 0; t < rows.get(r).length; t++) {
                        for (int c = 0; c < d; c++) {
                            vector[c] += states.values()[(r * length + t) * d + c];
                        }
                    }
                    double size = Math.sqrt(Arrays.stream(vector).map(x -> x * x).sum());
                    vectors.add(Arrays.stream(vector).map(x -> x / size).toArray());
                }
            }
        }
        return vectors;
    }
}
