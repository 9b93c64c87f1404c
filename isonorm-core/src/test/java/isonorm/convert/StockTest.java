package isonorm.convert;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary;
import isonorm.architecture.Wiring;
import isonorm.family.Fixtures;
import isonorm.family.Isonorm;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.model.Transformer;
import isonorm.weights.Model;
import isonorm.weights.SampleCheckpoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Centred models written as ordinary ones of families with RMSNorms. */
class StockTest {

    /** Rounding each weight to float32, in parts of the output's standard deviation. */
    private static final double ROUNDED = 5e-6;

    @TempDir
    Path folder;

    private static double difference(Transformer a, Transformer b, int vocabulary) {
        int[] ids = java.util.Arrays.stream(Strategies.ids(12, 3)).map(id -> id % vocabulary).toArray();
        PlainForward.Input input = Model.of(a).architecture().embedding() instanceof Embedding.Patches patches
                ? new PlainForward.Input(null, new SplittableRandom(3).doubles(patches.channels() * patches.height() * patches.width(), -1, 1).toArray(), null)
                : PlainForward.Input.tokens(ids);
        double[][] one = new PlainForward(a).run(input).output();
        double[][] other = new PlainForward(b).run(input).output();
        double largest = 0;
        double squares = 0;
        for (int i = 0; i < one.length; i++) {
            for (int j = 0; j < one[i].length; j++) {
                largest = Math.max(largest, Math.abs(one[i][j] - other[i][j]));
                squares += one[i][j] * one[i][j] / (one.length * one[i].length);
            }
        }
        return largest / Math.sqrt(squares);
    }

    /** A matrix row by row, in an order of its own where asked for. */
    private static List<String> rows(SampleCheckpoint.Tensor tensor, boolean ordered) {
        int length = tensor.bytes().length / Math.toIntExact(tensor.shape().getFirst());
        List<String> rows = new ArrayList<>();
        for (int from = 0; from < tensor.bytes().length; from += length) {
            rows.add(java.util.HexFormat.of().formatHex(tensor.bytes(), from, from + length));
        }
        return ordered ? rows.stream().sorted().toList() : rows;
    }

    @Test
    void whatFitsIsTheSameFunctionReadAsThatFamilyWithItsReadersBitForBit() throws IOException {
        List<String> fit = new ArrayList<>();
        for (String name : Fixtures.all()) {
            LoadedModel source = Fixtures.open(name);
            for (String family : Conversion.families()) {
                if (!Conversion.refusals(source, family).isEmpty()) {
                    continue;
                }
                fit.add(name + " " + family);
                Path out = folder.resolve(name + "-as-" + family);
                Conversion.Report report = Conversion.as(source, family).writeTo(out);
                assertEquals(family, report.to());
                assertTrue(report.code().isEmpty());
                LoadedModel written = LoadedModel.open(out);
                Architecture architecture = Model.of(written.model()).architecture();
                assertEquals(family, architecture.family());
                assertEquals(List.of(), written.unknownKeys());
                Norm norm = Norm.of(NormKind.RMS, Model.of(source.model()).architecture().finalNorm().orElseThrow().epsilon(), Affine.GAIN);
                assertTrue(architecture.blocks().stream().allMatch(block -> block.norm().equals(norm)));
                assertTrue(difference(source.model(), written.model(), 31) < ROUNDED, name);
                assertEquals(family.equals("internvl_vision") ? NormKind.LAYER : NormKind.RMS, architecture.finalNorm().orElseThrow().kind());
                assertEquals(new Conversion.Remade(true, List.of()), Conversion.again(source, written, Progress.NONE).orElseThrow());
                Map<String, SampleCheckpoint.Tensor> before = Fixtures.sample(name).tensors;
                SampleCheckpoint.of(out).tensors.forEach((tensor, after) -> {
                    boolean ordered = family.equals("ernie4_5_moe") && tensor.matches(".*(q_proj|k_proj).weight"); // by what is turned together
                    if (tensor.matches(".*(q_proj|k_proj|v_proj)\\.weight") && before.containsKey(tensor)) {
                        assertEquals(rows(before.get(tensor), ordered), rows(after, ordered), tensor);
                    }
                    if (tensor.matches(family.equals("ernie4_5_moe") ? "none" : ".*(gate_proj|up_proj|input_layernorm|model\\.norm)\\.weight") && before.containsKey(tensor)) {
                        assertArrayEquals(before.get(tensor).bytes(), after.bytes(), tensor);
                    }
                });
            }
        }
        assertEquals(List.of("cohere cohere2_moe", "cohere2 cohere2_moe", "cohere2_moe-layernorm cohere2_moe", "dinov2 internvl_vision",
                "gpt_neox-sequential ernie4_5_moe", "gpt_neox_japanese ernie4_5_moe", "internvl_vision internvl_vision", "jais2 ernie4_5_moe", "nemotron ernie4_5_moe",
                "olmo llama", "olmo ernie4_5_moe", "stablelm ernie4_5_moe", "starcoder2 ernie4_5_moe", "timm-features internvl_vision", "vit_mae internvl_vision",
                "vit_msn internvl_vision"), fit);
    }

    @Test
    void aTiedTableStaysTiedWhereTheHeadCannotTell() throws IOException {
        SampleCheckpoint tied = Fixtures.sample("olmo");
        tied.config.put("tie_word_embeddings", true);
        tied.tensors.remove("lm_head.weight");
        LoadedModel source = LoadedModel.open(tied.save(folder.resolve("tied")));
        Conversion.as(source, "llama").writeTo(folder.resolve("out"));
        LoadedModel written = LoadedModel.open(folder.resolve("out"));
        assertTrue(Model.of(written.model()).architecture().tied());
        assertFalse(written.checkpoint().names().contains("lm_head.weight"));
        assertTrue(difference(source.model(), written.model(), 31) < ROUNDED);
        assertFalse(Model.of(Conversion.as(source, "llama").untied().result()).architecture().tied());
        assertFalse(Model.of(Conversion.as(Fixtures.open("cohere"), "cohere2_moe").result()).architecture().tied());
    }

    @Test
    void biasesOfNormsGoToWhatReadsThem() throws IOException {
        Norm norm = Norm.of(NormKind.LAYER, 1e-3, Affine.GAIN_AND_BIAS);
        Attention attention = Attention.of(4, 6).withKeyValueHeads(2).withRotary(Rotary.of(6, 10_000, Rotary.Pairing.HALVES)).withBiases(false, true);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention, Mlp.gated(20, Activation.SILU));
        Architecture architecture = Architecture.of("own", 16, 64, Embedding.Tokens.of(31, 16), List.of(block, block),
                Optional.of(norm.withAffine(Affine.GAIN)), Output.Words.of(true));
        LoadedModel source = new LoadedModel(Fixtures.open("gpt2").checkpoint(), Isonorm.config(architecture, "0"), Strategies.random(architecture), List.of());
        Model result = Model.of(Conversion.as(source, "llama").result());
        Attention written = result.architecture().blocks().getFirst().mixer().attention();
        assertTrue(written.bias() && written.outputBias());
        assertTrue(difference(source.model(), result, 31) < 1e-12);
        assertEquals(List.of("its MLP has biases", "its norms have biases, which its MLP would get"), Conversion.refusals(new LoadedModel(source.checkpoint(),
                source.config(), Strategies.random(architecture.withBlocks(List.of(block.withFeedForward(Mlp.gated(20, Activation.SILU).withBiases(true, true))))),
                List.of()), "cohere2_moe").stream().filter(reason -> reason.contains("MLP")).toList());
    }

    /** The words of transformers, which are the same in every family. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "{'rope_type': 'linear', 'factor': 2.5}", "{'type': 'dynamic', 'factor': 2.5}",
        "{'rope_type': 'llama3', 'factor': 8, 'low_freq_factor': 1, 'high_freq_factor': 4, 'original_max_position_embeddings': 16}",
        "{'rope_type': 'yarn', 'factor': 4, 'original_max_position_embeddings': 16, 'rope_theta': 700}",
        "{'rope_type': 'proportional', 'partial_rotary_factor': 0.5, 'factor': 2}"})
    void scaledRotaryPositionsStayScaled(String scaling) throws IOException {
        JsonNode words = new ObjectMapper().readTree(scaling.replace('\'', '"'));
        for (String each : List.of("olmo llama", "olmo ernie4_5_moe", "cohere cohere2_moe", "starcoder2 ernie4_5_moe")) {
            String[] names = each.split(" ");
            SampleCheckpoint sample = Fixtures.sample(names[0]);
            sample.config.remove("rope_parameters");
            sample.config.set("rope_scaling", words);
            LoadedModel source = LoadedModel.open(sample.save(folder.resolve("of-" + each)));
            Conversion.as(source, names[1]).writeTo(folder.resolve(each));
            LoadedModel written = LoadedModel.open(folder.resolve(each));
            assertEquals(Model.of(source.model()).architecture().blocks().getFirst().mixer().attention().positions().rotary().orElseThrow().scaling(),
                    Model.of(written.model()).architecture().blocks().getFirst().mixer().attention().positions().rotary().orElseThrow().scaling());
            assertTrue(difference(source.model(), written.model(), 31) < ROUNDED, each);
        }
    }

    @Test
    void whatDoesNotFitIsRefusedWithEveryReason() throws IOException {
        assertEquals(List.of("it adds learned positions to its tokens", "it has no rotary positions", "its MLP has no gate",
                "its final norm has a bias, for which llama has no place behind its head"), Conversion.refusals(Fixtures.open("gpt2"), "llama"));
        assertEquals(List.of("its queries, keys and values are clamped"), Conversion.refusals(Fixtures.open("olmo-clip"), "llama"));
        assertEquals(List.of("norms or scales stand inside its attention"), Conversion.refusals(Fixtures.open("cohere-qknorm"), "cohere2_moe"));
        assertTrue(Conversion.refusals(Fixtures.open("mistral"), "llama").getFirst().startsWith("its norms are rmsnorm already"));
        assertTrue(Conversion.refusals(Fixtures.open("vit"), "llama").contains("it reads no tokens"));
        assertEquals(List.of("it has a head or a pooler"), Conversion.refusals(Fixtures.open("vit"), "internvl_vision"));
        assertEquals(List.of("before its patches stand other vectors than one class token"), Conversion.refusals(Fixtures.open("dinov2-registers"), "internvl_vision"));
        assertEquals(List.of("its MLP is more than ViT's"), Conversion.refusals(Fixtures.open("dinov2-swiglu"), "internvl_vision"));
        assertTrue(Conversion.refusals(Fixtures.open("dinov3"), "internvl_vision").contains("its attention is more than ViT's"));
        assertTrue(Conversion.refusals(Fixtures.open("olmo"), "internvl_vision").contains("it reads no images"));
        Path centred = folder.resolve("form");
        Conversion.of(Fixtures.open("olmo"), Form.PRE_RMSNORM).writeTo(centred);
        ConversionRefused refused = assertThrows(ConversionRefused.class, () -> Conversion.as(LoadedModel.open(centred), "llama").writeTo(folder.resolve("no")));
        assertEquals(List.of("it is in the pre-rmsnorm form; convert the checkpoint it came from"), refused.reasons());
        assertEquals("models of other families are not written as gpt2; known are llama, cohere2_moe, ernie4_5_moe, internvl_vision",
                assertThrows(IllegalArgumentException.class, () -> Conversion.as(Fixtures.open("olmo"), "gpt2")).getMessage());
    }
}
