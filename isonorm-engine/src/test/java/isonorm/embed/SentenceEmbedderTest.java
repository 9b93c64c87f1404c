package isonorm.embed;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.checkpoint.Config;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.layer.Fixture;
import isonorm.layer.ForwardPass;
import isonorm.layer.Tolerance;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.mutation.Mutations;
import isonorm.mutation.Mutator;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Embeddings against the formula on hidden states of one text at a time, which the fixtures hold to the reference. */
class SentenceEmbedderTest {

    private static final List<String> TEXTS = List.of("w5 w6 w7", "w9", "", "w11 w12 w13 w14 w15 w16 w17 w18 w19 w20", "w5 w6 w7");

    @TempDir
    private Path folder;

    /** A fixture with a tokenizer of words, w3 being 3, between 1 and 2. */
    private Path checkpoint(String fixture) throws IOException {
        Path checkpoint = Files.createDirectories(folder.resolve(fixture));
        for (String name : List.of("config.json", "model.safetensors")) {
            Files.copy(Fixture.named(fixture).folder().resolve(name), checkpoint.resolve(name));
        }
        StringBuilder words = new StringBuilder("\"[CLS]\": 1, \"[SEP]\": 2");
        IntStream.range(3, 40).forEach(id -> words.append(", \"w").append(id).append("\": ").append(id));
        Files.writeString(checkpoint.resolve("tokenizer.json"), """
                {"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
                 "pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": null,
                 "post_processor": {"type": "TemplateProcessing",
                   "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                   "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                   "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}},
                 "model": {"type": "WordLevel", "vocab": {%s}, "unk_token": "w3"}}
                """.formatted(words));
        return checkpoint;
    }

    private static SentenceSettings settings(Pooling pooling, boolean normalizes) {
        return new SentenceSettings(Optional.of(pooling), normalizes, OptionalInt.empty(), false, "");
    }

    private static List<SentenceEmbedder.Embedded> embed(Path checkpoint, SentenceSettings settings, Compute compute, List<String> texts) throws IOException {
        try (SentenceEmbedder embedder = SentenceEmbedder.open(LoadedModel.open(checkpoint), settings, compute)) {
            return embedder.embed(texts, Progress.NONE);
        }
    }

    /** By the formula. */
    private static double[] plain(Path checkpoint, String text, Pooling pooling, boolean normalizes) throws IOException {
        long[] words = Arrays.stream(text.split(" ")).filter(word -> !word.isEmpty()).mapToLong(word -> Long.parseLong(word.substring(1))).toArray();
        long[] ids = new long[words.length + 2];
        ids[0] = 1;
        System.arraycopy(words, 0, ids, 1, words.length);
        ids[words.length + 1] = 2;
        Model model = Model.of(LoadedModel.open(checkpoint).model());
        try (ForwardPass pass = ForwardPass.fitting(model, Compute.F64); Result result = pass.run(Batch.Tokens.of(ids))) {
            double[] h = result.outputValues();
            int d = model.width();
            double[] vector = new double[d];
            for (int c = 0; c < d; c++) {
                int column = c;
                vector[c] = pooling == Pooling.CLS ? h[c] : IntStream.range(0, ids.length).mapToDouble(t -> h[t * d + column]).sum() / ids.length;
            }
            double length = normalizes ? Math.sqrt(Arrays.stream(vector).map(x -> x * x).sum()) : 1;
            return Arrays.stream(vector).map(x -> x / length).toArray();
        }
    }

    private static double[][] vectors(List<SentenceEmbedder.Embedded> embedded) {
        return embedded.stream().map(SentenceEmbedder.Embedded::vector).toArray(double[][]::new);
    }

    /** Those of one stream, of positions that begin behind a padding token, and with a norm behind the blocks. */
    @ParameterizedTest
    @CsvSource({"bert-base, MEAN, true", "bert-base, CLS, false", "roberta-base, MEAN, false", "roberta-base, CLS, true"})
    void textsOfDifferentLengthsGetWhatEachGetsAlone(String fixture, Pooling pooling, boolean normalizes) throws IOException {
        Path checkpoint = checkpoint(fixture);
        List<SentenceEmbedder.Embedded> exact = embed(checkpoint, settings(pooling, normalizes), Compute.F64, TEXTS);
        double[][] fast = vectors(embed(checkpoint, settings(pooling, normalizes), Compute.F32, TEXTS));
        for (int t = 0; t < TEXTS.size(); t++) {
            double[] expected = plain(checkpoint, TEXTS.get(t), pooling, normalizes);
            double scale = Math.sqrt(Arrays.stream(expected).map(x -> x * x).average().orElseThrow());
            assertArrayEquals(expected, exact.get(t).vector(), Tolerance.SAME_FUNCTION_F64 * scale, "text " + t);
            assertArrayEquals(expected, fast[t], Tolerance.ORIGINAL_F32 * scale, "text " + t);
            assertEquals(2 + TEXTS.get(t).split(" ").length - (TEXTS.get(t).isEmpty() ? 1 : 0), exact.get(t).tokens());
        }
    }

    /** What a model with a head embeds is what stands before that. */
    @Test
    void aHeadIsLeftOut() throws IOException {
        Path checkpoint = checkpoint("megatron-bert");
        Path bare = folder.resolve("bare");
        Files.createDirectories(bare);
        for (String name : List.of("model.safetensors", "tokenizer.json")) {
            Files.copy(checkpoint.resolve(name), bare.resolve(name));
        }
        Config.parse(Files.readString(checkpoint.resolve("config.json"))).with("architectures", List.of("MegatronBertModel")).writeTo(bare.resolve("config.json"));
        double[] expected = plain(bare, "w5 w6", Pooling.MEAN, true);
        assertArrayEquals(expected, embed(checkpoint, settings(Pooling.MEAN, true), Compute.F64, List.of("w5 w6")).getFirst().vector(), 1e-12);
        Path converted = folder.resolve("converted");
        Conversion.of(LoadedModel.open(checkpoint), Form.PRE_RMSNORM).writeTo(converted);
        assertTrue(assertThrows(IllegalArgumentException.class, () -> embed(converted, SentenceSettings.NONE, Compute.F32, TEXTS)).getMessage()
                .contains("a part of its last norm"));
    }

    @ParameterizedTest
    @CsvSource({"bert-base, RMSNORM"})
    void aConvertedEncoderEmbedsTheSame(String fixture, Form form) throws IOException {
        Path checkpoint = checkpoint(fixture);
        pooling(checkpoint, "{\"pooling_mode_mean_tokens\": true}", ", {\"path\": \"2_Normalize\", \"type\": \"sentence_transformers.models.Normalize\"}");
        Path converted = folder.resolve("converted");
        Conversion.of(LoadedModel.open(checkpoint), form).writeTo(converted);
        SentenceSettings settings = SentenceSettings.read(converted);
        assertEquals(SentenceSettings.read(checkpoint), settings);
        double[][] expected = vectors(embed(checkpoint, settings, Compute.F64, TEXTS));
        double[][] given = vectors(embed(converted, settings, Compute.F32, TEXTS));
        for (int t = 0; t < TEXTS.size(); t++) {
            assertArrayEquals(expected[t], given[t], Tolerance.CONVERTED_F32);
        }
    }

    private static void pooling(Path checkpoint, String pooling, String more) throws IOException {
        Files.createDirectories(checkpoint.resolve("1_Pooling"));
        Files.writeString(checkpoint.resolve("1_Pooling/config.json"), pooling);
        Files.writeString(checkpoint.resolve("modules.json"), """
                [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                 {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}%s]""".formatted(more));
    }

    @Test
    void longTextsAreCutBehindAndKeepWhatIsAround() throws IOException {
        Path checkpoint = checkpoint("bert-base");
        Files.writeString(checkpoint.resolve("sentence_bert_config.json"), "{\"max_seq_length\": 5, \"do_lower_case\": true}");
        SentenceSettings settings = SentenceSettings.read(checkpoint);
        List<SentenceEmbedder.Embedded> embedded = embed(checkpoint, settings, Compute.F64, List.of(" W5 W6 W7 ", "w5 w6 w7 w8"));
        assertArrayEquals(plain(checkpoint, "w5 w6 w7", Pooling.MEAN, false), embedded.get(0).vector(), 1e-12);
        assertArrayEquals(embedded.get(0).vector(), embedded.get(1).vector(), 1e-12);
        assertFalse(embedded.get(0).cut());
        assertTrue(embedded.get(1).cut());
        assertEquals(5, embedded.get(1).tokens());
        Files.writeString(checkpoint.resolve("sentence_bert_config.json"), "{\"max_seq_length\": 2}");
        assertThrows(IllegalArgumentException.class, () -> embed(checkpoint, SentenceSettings.read(checkpoint), Compute.F64, TEXTS));
        String longest = "w5 ".repeat(100);
        assertEquals(64, embed(checkpoint, SentenceSettings.NONE, Compute.F32, List.of(longest)).getFirst().tokens(), "as many as the model has positions");
    }

    @Test
    void filesOfSentenceTransformersSayHow() throws IOException {
        assertEquals(SentenceSettings.NONE, SentenceSettings.read(folder));
        pooling(folder, "{\"word_embedding_dimension\": 48, \"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false, \"include_prompt\": true}", "");
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"model_max_length\": 512}");
        Files.writeString(folder.resolve("config_sentence_transformers.json"), "{\"prompts\": {\"query\": \"w4 \"}, \"default_prompt_name\": \"query\"}");
        assertEquals(new SentenceSettings(Optional.of(Pooling.CLS), false, OptionalInt.of(512), false, "w4 "), SentenceSettings.read(folder));
        Files.writeString(folder.resolve("sentence_bert_config.json"), "{\"max_seq_length\": 128, \"do_lower_case\": false}");
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"model_max_length\": 1000000000000000019884624838656}");
        pooling(folder, "{\"embedding_dimension\": 48, \"pooling_mode\": \"mean\"}", ", {\"path\": \"2_Normalize\", \"type\": \"sentence_transformers.models.Normalize\"}");
        assertEquals(new SentenceSettings(Optional.of(Pooling.MEAN), true, OptionalInt.of(128), false, "w4 "), SentenceSettings.read(folder));
        Path checkpoint = checkpoint("bert-base");
        SentenceSettings prompted = new SentenceSettings(Optional.of(Pooling.MEAN), false, OptionalInt.empty(), false, "w4 ");
        assertArrayEquals(plain(checkpoint, "w4 w9", Pooling.MEAN, false), embed(checkpoint, prompted, Compute.F64, List.of("w9")).getFirst().vector(), 1e-12);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', value = {
        "1_Pooling/config.json | {\"pooling_mode_max_tokens\": true} | has pooling by max_tokens; mean or cls is computed",
        "1_Pooling/config.json | {\"pooling_mode_mean_tokens\": true, \"pooling_mode_cls_token\": true} | has pooling by mean_tokens and cls_token",
        "1_Pooling/config.json | {} | has pooling by nothing",
        "1_Pooling/config.json | {\"pooling_mode\": \"mean\", \"include_prompt\": false} | has include_prompt false",
        "1_Pooling/config.json | [] | is no JSON that can be read",
        "modules.json | [{\"type\": \"a.Transformer\", \"path\": \"0_Transformer\"}] | has the model in the folder 0_Transformer",
        "modules.json | [{\"type\": \"a.Transformer\", \"path\": \"\"}] | has no Pooling",
        "modules.json | [{\"type\": \"a.Pooling\", \"path\": \"1_Pooling\"}, {\"type\": \"a.Dense\", \"path\": \"2_Dense\"}] | has the module a.Dense",
        "modules.json | [{\"type\": \"a.Pooling\", \"path\": \"../x\"}] | has pooling in the folder ../x",
        "modules.json | [ | is no JSON that can be read",
        "sentence_bert_config.json | {\"max_seq_length\": 1.5} | has max_seq_length = 1.5; a number of tokens is needed",
        "sentence_bert_config.json | {\"unpad\": true} | has unpad, of which nothing is known",
        "tokenizer_config.json | {\"truncation_side\": \"left\"} | has truncation_side left"
    })
    void whatTheyAskForAndIsNotComputedIsRefused(String file, String text, String message) throws IOException {
        pooling(folder, "{\"pooling_mode\": \"mean\"}", "");
        Files.writeString(folder.resolve(file), text);
        String said = assertThrows(IOException.class, () -> SentenceSettings.read(folder)).getMessage();
        assertTrue(said.contains(folder.resolve(file) + " " + message), said);
    }

    @Test
    void whateverTheFilesSayTheyAreReadOrRefused() throws IOException {
        pooling(folder, "{\"pooling_mode\": \"mean\"}", ", {\"path\": \"2_Normalize\", \"type\": \"a.Normalize\"}");
        Files.writeString(folder.resolve("config_sentence_transformers.json"), "{\"prompts\": {\"query\": \"w4 \"}, \"default_prompt_name\": \"query\"}");
        Files.writeString(folder.resolve("sentence_bert_config.json"), "{\"max_seq_length\": 128, \"do_lower_case\": false}");
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"model_max_length\": 512, \"truncation_side\": \"right\"}");
        for (String name : List.of("modules.json", "1_Pooling/config.json", "config_sentence_transformers.json", "sentence_bert_config.json", "tokenizer_config.json")) {
            Path file = folder.resolve(name);
            byte[] valid = Files.readAllBytes(file);
            Mutations.run(name + " of sentence-transformers", 100, List.of(valid), Mutator::json, input -> {
                Files.write(file, input);
                SentenceSettings.read(folder);
            });
            Files.write(file, valid);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"gpt2", "vit", "bart", "clip_text"})
    void onlyEncodersOfTextsEmbed(String fixture) throws IOException {
        LoadedModel model = LoadedModel.open(Fixture.named(fixture).folder());
        String said = assertThrows(IllegalArgumentException.class, () -> SentenceEmbedder.open(model, SentenceSettings.NONE, Compute.F32)).getMessage();
        assertTrue(said.startsWith("sentences are embedded by an encoder of texts"), said);
    }
}
