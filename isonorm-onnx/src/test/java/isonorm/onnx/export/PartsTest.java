package isonorm.onnx.export;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.inference.Inference;
import isonorm.inference.Sequence;
import isonorm.layer.Fixture;
import isonorm.layer.Tolerance;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.onnx.Here;
import isonorm.onnx.OnnxExport.Part;
import isonorm.onnx.OnnxRuntime;
import isonorm.onnx.OnnxRuntime.Values;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Encoder;
import isonorm.onnx.graph.OnnxModel;
import isonorm.onnx.graph.Value;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** An encoder, a decoder that begins and one that goes on, token by token through keys and values, give what the reference gives of the whole. */
class PartsTest {

    private static final int NEW = 8;

    @TempDir
    private Path folder;

    private OnnxRuntime.Session session(OnnxModel graph, Part part) throws IOException {
        Path file = folder.resolve(part + ".onnx");
        Encoder.write(graph, file, false);
        return Here.runtime().open(file, 1);
    }

    private static OnnxModel graph(Model model, Part part) throws IOException {
        return Exporter.graph(model, new Exporter.Options(23, ElementType.FLOAT, true, part));
    }

    private static Set<String> names(List<Value> values, String except) {
        return values.stream().map(Value::name).filter(name -> !name.matches(except)).collect(Collectors.toSet());
    }

    @ParameterizedTest
    @ValueSource(strings = {"bart", "marian", "m2m_100", "pegasus", "t5", "umt5", "whisper", "speech_to_text"})
    void giveWhatTheWholeGives(String name) throws IOException {
        Fixture fixture = Fixture.named(name);
        Model model = fixture.model();
        Batch.Both batch = (Batch.Both) fixture.batch();
        Batch.Tokens tokens = (Batch.Tokens) batch.main();
        Map<String, Values> given = encoded(model, batch);
        OnnxModel begins = graph(model, Part.DECODER);
        OnnxModel goesOn = graph(model, Part.DECODER_WITH_PAST);
        Set<String> mask = given.containsKey("encoder_attention_mask") ? Set.of("encoder_attention_mask", "input_ids") : Set.of("input_ids");
        assertEquals(union(mask, "encoder_hidden_states"), names(begins.graph().inputs(), "none"));
        assertEquals(mask, names(goesOn.graph().inputs(), "past_key_values\\.\\d+\\.(encoder|decoder)\\.(key|value)"));
        assertEquals(Set.of("logits"), names(goesOn.graph().outputs(), "present\\.\\d+\\.decoder\\.(key|value)"));
        int words = fixture.output().length / tokens.count() / tokens.length();
        double[] all = new double[fixture.output().length];
        try (OnnxRuntime.Session first = session(begins, Part.DECODER); OnnxRuntime.Session next = session(goesOn, Part.DECODER_WITH_PAST)) {
            int[] ends = {2, 3, tokens.length()};
            int read = 0;
            for (int end : ends) {
                long[][] ids = part(tokens, read, end);
                given.putAll(read == 0 ? first.run(Feeds.decoder(begins, ids, given)) : next.run(Feeds.decoder(goesOn, ids, given)));
                float[] logits = ((Values.Reals) given.get("logits")).values();
                for (int row = 0; row < tokens.count(); row++) {
                    for (int i = 0; i < (end - read) * words; i++) {
                        all[(row * tokens.length() + read) * words + i] = logits[row * (end - read) * words + i];
                    }
                }
                read = end;
            }
        }
        double worst = Fixture.worst(fixture.output(), all, tokens);
        assertTrue(worst <= Tolerance.ORIGINAL_F32, name + ": the worst element is " + worst + " of the deviation away");
    }

    /** What the encoder's graph gives, and which of it is no padding, where it reads tokens. */
    private Map<String, Values> encoded(Model model, Batch.Both batch) throws IOException {
        Map<String, Values> given = new HashMap<>();
        OnnxModel encoder = graph(model, Part.ENCODER);
        try (OnnxRuntime.Session session = session(encoder, Part.ENCODER)) {
            given.put("encoder_hidden_states", session.run(Feeds.of(encoder, batch)).get("last_hidden_state"));
        }
        if (batch.companion() instanceof Batch.Tokens texts) {
            long[][] mask = texts.mask().orElseGet(() -> ones(batch.count(), texts.length()));
            given.put("encoder_attention_mask", new Values.Integers(Arrays.stream(mask).flatMapToLong(Arrays::stream).toArray(), new long[] {mask.length, mask[0].length}));
        }
        return given;
    }

    @ParameterizedTest
    @ValueSource(strings = {"bart", "m2m_100", "t5", "whisper"})
    void writeTheTextThatIsonormWrites(String name) throws IOException {
        Fixture fixture = Fixture.named(name);
        Model model = fixture.model();
        Batch about = ((Batch.Both) fixture.batch()).companion() instanceof Batch.Sounds sounds ? sounds.slice(0, 1) : Batch.Tokens.of(new long[] {5, 9, 2, 14, 3});
        long[][] prompt = {{5, 9}};
        long[] expected = new long[NEW];
        try (Inference inference = Inference.load(model, Compute.F32, 1); Sequence sequence = inference.start(about)) {
            int[] read = {5, 9};
            for (int i = 0; i < NEW; i++) {
                float[] logits = inference.next(List.of(sequence), List.of(read)).getFirst();
                expected[i] = likeliest(logits, logits.length);
                read = new int[] {(int) expected[i]};
            }
        }
        long[] written = new long[NEW];
        OnnxModel begins = graph(model, Part.DECODER);
        OnnxModel goesOn = graph(model, Part.DECODER_WITH_PAST);
        Map<String, Values> given = encoded(model, new Batch.Both(about, Batch.Tokens.of(prompt)));
        try (OnnxRuntime.Session first = session(begins, Part.DECODER); OnnxRuntime.Session next = session(goesOn, Part.DECODER_WITH_PAST)) {
            for (int i = 0; i < NEW; i++) {
                given.putAll(i == 0 ? first.run(Feeds.decoder(begins, prompt, given)) : next.run(Feeds.decoder(goesOn, new long[][] {{written[i - 1]}}, given)));
                Values.Reals logits = (Values.Reals) given.get("logits");
                written[i] = likeliest(logits.values(), (int) logits.shape()[2]);
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

    private static long[][] ones(int rows, int columns) {
        long[][] ones = new long[rows][columns];
        Arrays.stream(ones).forEach(row -> Arrays.fill(row, 1));
        return ones;
    }

    private static Set<String> union(Set<String> some, String other) {
        return Stream.concat(some.stream(), Stream.of(other)).collect(Collectors.toSet());
    }

    private static long[][] part(Batch.Tokens all, int from, int to) {
        return Arrays.stream(all.ids()).map(row -> Arrays.copyOfRange(row, from, to)).toArray(long[][]::new);
    }
}
