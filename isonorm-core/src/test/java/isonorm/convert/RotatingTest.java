package isonorm.convert;

import static isonorm.mutation.CleanLine.assertThrows;
import static java.util.Map.entry;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.architecture.Output;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.checkpoint.CheckpointException;
import isonorm.family.Fixtures;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.weights.Model;
import isonorm.weights.Rotation;
import isonorm.weights.SampleCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RotatingTest {

    private static final ObjectMapper JSON = new ObjectMapper();

    private static final String VALUES = ": a gain acts on each value of the stream by itself, and a rotated stream has others";
    private static final String SUM = "its stream is what norms with a gain give (%1$d of %1$d blocks have norms behind the sum)" + VALUES;
    private static final String BRANCH = "norms with a gain write into its stream (%1$d of %1$d blocks have norms on their outputs)" + VALUES;
    private static final String NONE = "sub-layers of it have no norm and read the stream as it is (1 of %d blocks)";

    private static Rotation rotation(Rotation.Kind kind) {
        return new Rotation(kind, 7, OptionalInt.empty());
    }

    private static Rotation random(int width) {
        return new Rotation(Rotation.Kind.RANDOM, 7, OptionalInt.of(width));
    }

    private static List<String> of(String... words) {
        return List.of(words);
    }

    private static List<String> sum(int blocks, String... others) {
        return Stream.concat(Stream.of(SUM.formatted(blocks)), Arrays.stream(others)).toList();
    }

    /** Reasons, and the fixtures they are given of. */
    private static final Map<List<String>, List<String>> REFUSED = Map.ofEntries(
            entry(of("its norms are of two kinds, rmsnorm and layernorm, of which one sees the mean of the stream"), of("internvl_vision-rms")),
            entry(of("it has no final norm: its output reads the stream as it is"), of("internvl_vision-bare")),
            entry(sum(2), of("bert-answers", "bert-generation", "bert-labels", "bert-next-sentence", "bert-token-labels", "camembert", "data2vec-audio",
                    "data2vec-audio-frames", "data2vec-text", "distilbert", "distilbert-base", "distilbert-labels", "electra-discriminator", "electra-generator",
                    "electra-labels", "ernie", "hubert-base", "hubert-labels", "mpnet", "mpnet-words", "roberta-base", "roberta-labels", "roberta-mask", "splinter",
                    "unispeech-sat", "unispeech-sat-ctc", "wav2vec2", "wav2vec2-frames", "wavlm-base", "xlm-roberta")),
            entry(sum(3), of("bert", "bert-base", "bert-mask", "opt-postln", "roberta")),
            entry(sum(3, "of its encoder: " + SUM.formatted(2)), of("bart", "marian", "plbart")),
            entry(of(BRANCH.formatted(2)), of("exaone4-full")),
            entry(of(BRANCH.formatted(3)), of("glm4", "hyperclovax", "olmo2")),
            entry(of(BRANCH.formatted(4)), of("exaone4", "gemma2", "olmo3", "olmo3-yarn")),
            entry(of(BRANCH.formatted(6)), of("gemma3_text")),
            entry(of(NONE.formatted(3)), of("modernbert-decoder", "modernbert-labels", "modernbert-mask", "modernbert-token-labels")),
            entry(of(NONE.formatted(4)), of("modernbert")));

    @Test
    void allOtherFixturesAreRotated() throws IOException {
        Map<List<String>, List<String>> reasons = new HashMap<>();
        for (String fixture : Fixtures.all()) {
            List<String> each = Rotating.refusals(Fixtures.open(fixture), rotation(Rotation.Kind.RANDOM), false);
            if (!each.isEmpty()) {
                reasons.computeIfAbsent(each, _ -> new ArrayList<>()).add(fixture);
            }
        }
        assertEquals(REFUSED, reasons);
    }

    private static String only(LoadedModel model, Rotation rotation) {
        List<String> reasons = Rotating.refusals(model, rotation, false);
        assertEquals(1, reasons.size());
        return reasons.getFirst();
    }

    @Test
    void widthsThatCutSomethingOffOrHaveNoHadamardMatrixAreRefused() throws IOException {
        LoadedModel gpt2 = Fixtures.open("gpt2");
        assertEquals(List.of(), Rotating.refusals(gpt2, random(47), false));
        assertEquals(List.of(), Rotating.refusals(gpt2, random(48), false));
        assertEquals("its stream has a width of 48, and a rotation can't make it wider, got a width of 49", only(gpt2, random(49)));
        assertEquals("a width of 46 cuts off a part of the stream, which takes 47 of its 48 values (its mean is not needed); what can be cut off is found by principal"
                + " components of data", only(gpt2, random(46)));
        assertTrue(only(gpt2, new Rotation(Rotation.Kind.HADAMARD, 0, OptionalInt.of(47))).startsWith("no Hadamard matrix of 47 rows is known here"));
        LoadedModel llama = Fixtures.open("llama");
        int width = llama.model().width();
        assertEquals("a width of " + (width - 1) + " cuts off a part of the stream, which takes " + width + " of its " + width + " values; what can be cut off is found by principal components of data",
                only(llama, random(width - 1)));
        LoadedModel t5 = Fixtures.open("t5");
        assertTrue(only(t5, random(t5.model().width() - 1)).startsWith("it has two stacks"));
    }

    private static Rotation padded(int width, int pad) {
        return new Rotation(Rotation.Kind.RANDOM, 7, OptionalInt.of(width), OptionalInt.of(pad), false);
    }

    @Test
    void zerosFillAStreamUpAndNotLess() throws IOException {
        LoadedModel gpt2 = Fixtures.open("gpt2");
        assertEquals(List.of(), Rotating.refusals(gpt2, padded(47, 47), false));
        assertEquals(List.of(), Rotating.refusals(gpt2, padded(48, 64), false));
        assertEquals("a stream of 48 values is padded to as many or more, got 40",
                only(gpt2, new Rotation(Rotation.Kind.RANDOM, 7, OptionalInt.empty(), OptionalInt.of(40), false)));
        assertThrows(IllegalArgumentException.class, () -> padded(47, 46));
        LoadedModel t5 = Fixtures.open("t5");
        assertTrue(only(t5, padded(t5.model().width(), t5.model().width() + 1)).startsWith("it has two stacks"));
    }

    /** What a rotation of the heads' values would have to pass. */
    @Test
    void headsThatCannotBeRotatedAreRefusedByName() throws IOException {
        Rotation heads = new Rotation(Rotation.Kind.RANDOM, 7, OptionalInt.empty(), OptionalInt.empty(), true);
        assertEquals(List.of(), Rotating.refusals(Fixtures.open("gpt2"), heads, false));
        assertEquals(List.of(), Rotating.refusals(Fixtures.open("qwen3"), heads, false)); // norms of queries and keys stay where they are
        assertEquals("its attention is latent: the heads' values are not rotated", only(Fixtures.open("deepseek_v2"), heads));
        assertEquals("its queries, keys and values are clamped, which a rotation of the heads' values does not pass", only(Fixtures.open("olmo-clip"), heads));
        assertEquals(List.of("Untie", "Centre", "ToRmsNorm", "Fold", "FoldOutput", "RotateHeads", "Rotate"), steps("gpt2", heads, false));
    }

    /** Llama's heads must divide its width, and what is written as one is made again from its report. */
    @Test
    void aRotatedModelIsWrittenAsAnotherFamilyWhereItsWidthHasAPlace(@TempDir Path folder) throws IOException {
        LoadedModel olmo = Fixtures.open("olmo");
        Conversion.Rotation narrow = Conversion.Rotation.of(random(47));
        String why = "a stream of 47 values has no place in llama, whose 4 heads must divide it; the nearest that they do are 44 (a slice, of principal components) and 48 (padded)";
        assertEquals(List.of(why), Conversion.refusals(olmo, narrow, "llama"));
        assertEquals(List.of(), Conversion.refusals(olmo, narrow, "ernie4_5_moe"));
        assertEquals(List.of(), Conversion.refusals(Fixtures.open("cohere2"), narrow, "cohere2_moe"));
        assertTrue(Conversion.refusals(Fixtures.open("gpt2"), narrow, "llama").contains("it adds learned positions to its tokens"));
        Conversion.Rotation padded = new Conversion.Rotation("random", 3, OptionalInt.of(47), OptionalInt.of(52), true);
        Conversion.Report report = Conversion.rotated(olmo, padded).inFormatOf("llama").writeTo(folder.resolve("llama"));
        assertEquals("llama", report.to());
        assertEquals(padded, report.rotation().orElseThrow());
        LoadedModel written = LoadedModel.open(folder.resolve("llama"));
        assertEquals("llama", written.config().textOr("", "model_type"));
        assertEquals(52, written.model().width());
        assertTrue(Conversion.again(olmo, written, Progress.NONE).orElseThrow().exact());
        assertFalse(Files.exists(folder.resolve("llama/modeling_isonorm.py")));
        Path own = folder.resolve("own");
        Conversion.rotated(olmo, padded).writeTo(own);
        assertEquals(JSON.readTree("{\"kind\": \"random\", \"seed\": 3, \"width\": 47, \"pad\": 52, \"heads\": true}"), JSON.readTree(own.resolve("config.json").toFile()).get("rotation"));
        assertTrue(Conversion.again(olmo, LoadedModel.open(own), Progress.NONE).orElseThrow().exact());
        assertTrue(Plan.refusals(LoadedModel.open(own), Form.PRE_LN).getFirst().startsWith("its stream is rotated (random, seed 3, padded to 52, heads too)"));
    }

    private static List<String> steps(String fixture, Rotation rotation, boolean untie) throws IOException {
        return Rotating.plan(Fixtures.open(fixture), rotation, List.of(), untie, Optional.empty()).rewrites().stream().map(rewrite -> rewrite.getClass().getSimpleName()).toList();
    }

    @Test
    void aPlanIsTheseSteps() throws IOException {
        Rotation whole = rotation(Rotation.Kind.RANDOM);
        assertEquals(List.of("Untie", "Centre", "ToRmsNorm", "Fold", "FoldOutput", "Rotate"), steps("gpt2", whole, false));
        assertEquals(List.of("Centre", "ToRmsNorm", "Fold", "FoldOutput", "Rotate"), steps("vit", whole, false));
        assertEquals(List.of("Untie", "NormTable", "Centre", "ToRmsNorm", "Fold", "FoldOutput", "Rotate"), steps("bloom", whole, false));
        assertEquals(List.of("Untie", "Enter", "Centre", "ToRmsNorm", "Fold", "FoldOutput", "Rotate"), steps("mbart", whole, false));
        assertEquals(List.of("Fold", "FoldOutput", "Rotate"), steps("llama", whole, false));
        assertEquals(List.of("Untie", "Fold", "FoldOutput", "Rotate"), steps("gemma", whole, false));
        // A norm without a gain gives a tied head what it got before, in the table's own basis; not of another width.
        assertEquals(List.of("Centre", "ToRmsNorm", "Fold", "FoldOutput", "Rotate"), steps("olmo-clip", whole, false));
        assertEquals("Untie", steps("olmo-clip", random(Fixtures.open("olmo-clip").model().width() - 1), false).getFirst());
        assertEquals("Untie", steps("olmo-clip", whole, true).getFirst());
    }

    @Test
    void aRotatedFileIsAnOrdinaryModelThatSaysHowItWasMade(@TempDir Path folder) throws IOException {
        LoadedModel source = Fixtures.open("gpt2");
        for (Rotation rotation : List.of(random(47), rotation(Rotation.Kind.HADAMARD))) {
            Path out = folder.resolve(rotation.kind().label());
            Conversion.Report report = Conversion.rotated(source, Conversion.Rotation.of(rotation)).writeTo(out);
            assertEquals(new Conversion.Rotation(rotation.kind().label(), 7, OptionalInt.of(rotation.width(48))), report.rotation().orElseThrow());
            assertEquals("pre-rmsnorm", report.to());
            JsonNode json = JSON.readTree(out.resolve("report.json").toFile());
            assertEquals(rotation.width(48), json.at("/rotation/width").asInt());
            LoadedModel written = LoadedModel.open(out);
            JsonNode config = JSON.readTree(out.resolve("config.json").toFile());
            assertEquals(JSON.readTree("{\"kind\": \"" + rotation.kind().label() + "\", \"seed\": 7, \"width\": " + rotation.width(48) + "}"), config.get("rotation"));
            assertEquals(1, config.get("format_version").asInt()); // a reader of version 1 computes it
            assertFalse(config.has("form"));
            assertEquals(List.of(), written.unknownKeys());
            Architecture architecture = Model.of(written.model()).architecture();
            assertEquals(isonorm.architecture.Stream.FREE, architecture.stream());
            assertEquals(rotation.width(48), architecture.width());
            assertFalse(architecture.tied());
            // It is made again value by value, and a value that is another is found.
            assertTrue(Conversion.again(source, written, Progress.NONE).orElseThrow().exact());
            for (Form form : Form.values()) {
                String reason = Plan.refusals(written, form).getFirst();
                assertTrue(reason.startsWith("its stream is rotated (" + rotation.kind().label() + ", seed 7)"), reason);
            }
            assertTrue(Rotating.refusals(written, rotation, false).getFirst().contains("convert the checkpoint it came from"));
            assertThrows(ConversionRefused.class, () -> Conversion.of(written, Form.PRE_LN).result());
        }
        SampleCheckpoint changed = SampleCheckpoint.of(folder.resolve("random"));
        changed.set("blocks.1.mlp.down.weight", 5, 3);
        Path other = changed.save(folder.resolve("changed"));
        Files.copy(folder.resolve("random/report.json"), other.resolve("report.json"));
        List<Conversion.Deviation> deviations = Conversion.again(source, LoadedModel.open(other), Progress.NONE).orElseThrow().deviations();
        assertEquals(List.of("blocks.1.mlp.down.weight"), deviations.stream().map(Conversion.Deviation::tensor).toList());
        ObjectNode config = (ObjectNode) JSON.readTree(other.resolve("config.json").toFile());
        config.putObject("rotation").put("kind", "twisted").put("seed", 7).put("width", 47);
        Files.writeString(other.resolve("config.json"), config.toString());
        CheckpointException unknown = assertThrows(CheckpointException.class, () -> LoadedModel.open(other));
        assertTrue(unknown.getMessage().contains("rotation"), unknown.getMessage());
    }

    @Test
    void formsOfOursAreNotRotated() throws IOException {
        LoadedModel rms = Models.loaded(Plan.of(Fixtures.open("gpt2"), Form.PRE_RMSNORM, false));
        assertEquals(List.of("it is in the pre-rmsnorm form; convert the checkpoint it came from"), Rotating.refusals(rms, rotation(Rotation.Kind.RANDOM), false));
    }

    /** Gain and bias of the final norm go into whatever reads it: nothing is left to apply. */
    @Test
    void noNormOfTheStreamAppliesAnything() throws IOException {
        for (String fixture : List.of("gpt2", "dinov2-classifier", "deit", "roberta-prelayernorm", "siglip", "t5", "opt", "esm")) {
            Architecture architecture = Rotating.plan(Fixtures.open(fixture), rotation(Rotation.Kind.RANDOM), List.of(), false, Optional.empty()).result().architecture();
            assertTrue(architecture.parameters().stream().map(parameter -> parameter.role()).noneMatch(role -> List.of(Part.ATTENTION_NORM, Part.MLP_NORM, Part.FINAL_NORM,
                    Part.CROSS_NORM).contains(role.part())), fixture);
        }
        assertTrue(Rotating.plan(Fixtures.open("gpt2"), rotation(Rotation.Kind.RANDOM), List.of(), false, Optional.empty()).result().architecture().output()
                instanceof Output.Words words && words.bias());
        assertTrue(Rotating.plan(Fixtures.open("mbart"), rotation(Rotation.Kind.RANDOM), List.of(), false, Optional.empty()).result().weights().containsKey(Role.of(Part.STREAM_ENTRY,
                Role.Field.WEIGHT)));
    }
}
