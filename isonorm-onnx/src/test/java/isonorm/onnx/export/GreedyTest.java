package isonorm.onnx.export;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import isonorm.inference.Inference;
import isonorm.inference.Sequence;
import isonorm.layer.Fixture;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.onnx.Here;
import isonorm.onnx.OnnxRuntime;
import isonorm.onnx.OnnxRuntime.Values;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Encoder;
import isonorm.onnx.graph.OnnxModel;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A text that a graph continues, token by token through its keys and values, is the one that Isonorm writes. */
class GreedyTest {

    private static final int NEW = 8;

    @ParameterizedTest
    @ValueSource(strings = {"gpt2", "opt", "llama", "gptj", "bloom", "falcon-alibi", "mpt", "mistral", "gemma2", "phi", "cohere", "mixtral", "deepseek_v2", "gpt_oss", "biogpt"})
    void isTheSame(String fixture, @TempDir Path folder) throws IOException {
        Model model = Fixture.named(fixture).model();
        long[] prompt = {5, 9, 2, 14, 3};
        long[] expected = new long[NEW];
        try (Inference inference = Inference.load(model, Compute.F32, 1); Sequence sequence = inference.start()) {
            int[] read = {5, 9, 2, 14, 3};
            for (int i = 0; i < NEW; i++) {
                float[] logits = inference.next(List.of(sequence), List.of(read)).getFirst();
                expected[i] = likeliest(logits, logits.length);
                read = new int[] {(int) expected[i]};
            }
        }
        OnnxModel graph = Exporter.graph(model, new Exporter.Options(23, ElementType.FLOAT, true));
        Path file = folder.resolve("model.onnx");
        Encoder.write(graph, file, false);
        long[] written = new long[expected.length];
        OnnxRuntime runtime = Here.runtime();
        try (OnnxRuntime.Session session = runtime.open(file, 1)) {
            Map<String, Values> given = session.run(Feeds.of(graph, Batch.Tokens.of(prompt)));
            for (int i = 0; i < written.length; i++) {
                Values.Reals logits = (Values.Reals) given.get("logits");
                written[i] = likeliest(logits.values(), (int) logits.shape()[2]);
                given = session.run(Feeds.next(graph, new long[][] {{written[i]}}, prompt.length + i, given));
            }
        }
        assertArrayEquals(expected, written);
    }

    /** Of the last position. */
    private static long likeliest(float[] logits, int words) {
        int from = logits.length - words;
        int best = 0;
        for (int i = 1; i < words; i++) {
            best = logits[from + i] > logits[from + best] ? i : best;
        }
        return best;
    }
}
