package isonorm.generate;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.inference.Inference;
import isonorm.layer.Fixture;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Transformer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What encoders beside decoders write, and decoders with beams, is what transformers' {@code generate} gives, which make_generations.py has written down. */
class EncoderDecoderTest {

    private static final ObjectMapper JSON = new ObjectMapper();

    /** How many tokens of a decoder's input are its prompt, as in make_generations.py. */
    private static final int PROMPT = 6;

    @TempDir
    Path folder;

    /** The rows of generations.json of one fixture. */
    record Case(String fixture, List<JsonNode> rows) {
        @Override
        public String toString() {
            return fixture;
        }
    }

    static List<Case> cases() throws IOException {
        JsonNode all = JSON.readTree(Fixture.named("bart").folder().resolveSibling("generations.json").toFile());
        List<JsonNode> rows = StreamSupport.stream(all.spliterator(), false).toList();
        return rows.stream().map(row -> row.path("fixture").asText()).distinct()
                .map(fixture -> new Case(fixture, rows.stream().filter(row -> row.path("fixture").asText().equals(fixture)).toList())).toList();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void writeWhatTransformersWrites(Case one) throws IOException {
        LoadedModel source = LoadedModel.open(Fixture.named(one.fixture).folder());
        requireSame(one, source.model(), one.fixture);
        Optional<Form> form = List.of(Form.PRE_CRMSNORM, Form.PRE_RMSNORM, Form.RMSNORM).stream()
                .filter(each -> Conversion.refusals(source, each).isEmpty()).findFirst();
        if (form.isPresent()) {
            requireSame(one, Conversion.of(source, form.get()).result(), one.fixture + " as " + form.get().label());
        }
    }

    private void requireSame(Case one, Transformer model, String what) throws IOException {
        assertTrue(one.rows.size() >= 6, "cases of " + what + ": " + one.rows.size());
        try (Inference inference = Inference.load(model, Compute.F32, 2)) {
            for (JsonNode row : one.rows) {
                long[] expected = ids(row.path("ids"));
                assertArrayEquals(expected, written(one.fixture, row, inference), what + ", " + row);
            }
        }
    }

    private static long[] ids(JsonNode list) {
        return StreamSupport.stream(list.spliterator(), false).mapToLong(JsonNode::asLong).toArray();
    }

    /** With the options of a row in the checkpoint's own generation_config.json. */
    private long[] written(String fixture, JsonNode row, Inference inference) throws IOException {
        Path source = Fixture.named(fixture).folder();
        Path copy = Files.createDirectories(folder.resolve(fixture));
        for (String file : List.of("config.json", "model.safetensors")) {
            if (!Files.exists(copy.resolve(file))) {
                Files.copy(source.resolve(file), copy.resolve(file));
            }
        }
        Path own = source.resolve("generation_config.json");
        ObjectNode config = Files.exists(own) ? (ObjectNode) JSON.readTree(own.toFile()) : JSON.createObjectNode();
        row.path("options").properties().forEach(entry -> config.set(entry.getKey(), entry.getValue()));
        Files.writeString(copy.resolve("generation_config.json"), config.toString());
        LoadedModel loaded = LoadedModel.open(copy);
        Sampling sampling = Sampling.greedy().repetitionPenalty(row.path("options").path("repetition_penalty").asDouble(1));
        int beams = row.path("options").path("num_beams").asInt(1);
        int number = row.path("row").asInt();
        Batch given = Fixture.named(fixture).batch();
        Batch batch = given instanceof Batch.Both both ? both.companion() : given;
        if (batch instanceof Batch.Tokens tokens) {
            long[] input = IntStream.range(0, tokens.length()).filter(i -> tokens.seen(number, i)).mapToLong(i -> tokens.ids()[number][i])
                    .limit(given == batch ? PROMPT : tokens.length()).toArray();
            return Generator.generateTokens(inference, loaded, List.of(input), Options.tokens(12).sampling(sampling).beams(beams)).rows().getFirst().ids();
        }
        Batch.Sounds sound = ((Batch.Sounds) batch).slice(number, 1);
        return Generator.generateAbout(inference, loaded, sound, new long[0], Options.tokens(12).sampling(sampling).beams(beams)).rows().getFirst().ids();
    }

    /** With few words and a few tokens every text can be looked at: as many beams as there are texts find the likeliest. */
    @Test
    void enoughBeamsFindTheLikeliestText() throws IOException {
        Invented words = Invented.random(100, 4);
        long[] best = {};
        double most = Double.NEGATIVE_INFINITY;
        for (int text = 0; text < 64; text++) {
            List<Integer> sequence = new ArrayList<>(List.of(1));
            double sum = 0;
            for (int i = 0; i < 3; i++) {
                float[] logits = words.logits().apply(sequence);
                int id = text >> 2 * i & 3;
                double all = 0;
                for (float logit : logits) {
                    all += Math.exp(logit);
                }
                sum += logits[id] - Math.log(all);
                sequence.add(id);
            }
            if (sum > most) {
                most = sum;
                best = sequence.subList(1, 4).stream().mapToLong(Integer::longValue).toArray();
            }
        }
        GeneratedTokens.Row row = TokenGenerator.of(words).beams(new Beams(16, 1, Beams.Stopping.NEVER))
                .generate(List.of(new long[] {1}), 3, Sampling.greedy(), Set.of(), (_, _) -> true).rows().getFirst();
        assertArrayEquals(best, row.ids());
        assertEquals(GeneratedTokens.Ending.LENGTH, row.ending());
        assertEquals(List.of(), words.open());
    }

    @Test
    void whatIsSaidTwiceOrNeverOrFirst() {
        Constraints constraints = new Constraints(Set.of(3L), 2, 0, List.of(new long[] {6}, new long[] {4, 7}), 5, List.of(), List.of(8L), List.of(), List.of());
        float none = Float.NEGATIVE_INFINITY;
        float[] open = new float[9];
        assertArrayEquals(new float[] {0, 0, 0, none, 0, none, none, none, 0}, constraints.apply(open, new long[0], new long[] {4, 5, 2, 4}, 1, false));
        assertArrayEquals(new float[] {0, 0, 0, 0, 0, 0, none, 0, 0}, constraints.apply(open, new long[0], new long[] {4, 5, 2, 0, 1}, 1, false));
        assertArrayEquals(new float[] {none, none, none, none, none, none, none, none, 0}, constraints.apply(open, new long[0], new long[] {4, 5, 2, 0, 1}, 1, true));
        assertArrayEquals(new float[] {none, none, 0, none, none, none, none, none, none}, constraints.withFirst(2).apply(open, new long[0], new long[] {1}, 1, false));
        assertArrayEquals(new float[9], open);
    }

    @Test
    void whatACheckpointSaysWronglyIsRefusedInOneLine() throws IOException {
        refused("early_stopping must be true, false or \"never\", got 7", "{\"early_stopping\": 7}");
        refused("bad_words_ids must be a token's id or a list of them", "{\"bad_words_ids\": [[\"no\"]]}");
        refused("no_repeat_ngram_size must be a number of tokens, got -1", "{\"no_repeat_ngram_size\": -1}");
        refused("forced_bos_token_id must be a token's id", "{\"forced_bos_token_id\": \"fr\"}");
        LoadedModel whisper = LoadedModel.open(Fixture.named("whisper").folder());
        assertTrue(assertThrows(IllegalArgumentException.class, () -> Writer.encoder(whisper)).getMessage().contains("reads sounds; give their features"));
        assertEquals(Optional.empty(), Writer.encoder(LoadedModel.open(Fixture.named("gpt2").folder())));
    }

    private void refused(String message, String generation) throws IOException {
        Path copy = Files.createDirectories(folder.resolve("wrong"));
        for (String file : List.of("config.json", "model.safetensors")) {
            if (!Files.exists(copy.resolve(file))) {
                Files.copy(Fixture.named("bart").folder().resolve(file), copy.resolve(file));
            }
        }
        Files.writeString(copy.resolve("generation_config.json"), generation);
        LoadedModel loaded = LoadedModel.open(copy);
        String said = assertThrows(IOException.class, () -> {
            Constraints.of(loaded);
            Beams.of(2, loaded);
        }).getMessage();
        assertTrue(said.contains(message), said);
    }
}
