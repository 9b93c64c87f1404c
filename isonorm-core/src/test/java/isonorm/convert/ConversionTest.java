package isonorm.convert;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsFile;
import isonorm.convert.Conversion.HashedFile;
import isonorm.family.Fixtures;
import isonorm.family.Isonorm;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.weights.Model;
import isonorm.weights.SampleCheckpoint;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a conversion leaves on the disk. */
class ConversionTest {

    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    private Path temporary;

    private Path out;

    @BeforeEach
    void name() {
        out = temporary.resolve("out");
    }

    private static Conversion.Report convert(Path source, Form form, Path to) throws IOException {
        return Conversion.of(LoadedModel.open(source), form).writeTo(to);
    }

    private Map<String, SampleCheckpoint.Tensor> converted(String fixture, Form form) throws IOException {
        convert(Fixtures.folder(fixture), form, out);
        return SampleCheckpoint.read(out.resolve("model.safetensors"));
    }

    private static String sha256(Path file) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file)));
    }

    private static Map<String, String> snapshot(Path folder) throws Exception {
        Map<String, String> files = new TreeMap<>();
        try (Stream<Path> paths = Files.walk(folder)) {
            for (Path path : paths.toList()) {
                files.put(folder.relativize(path).toString(), Files.isDirectory(path) ? "" : sha256(path));
            }
        }
        return files;
    }

    private static CheckpointException refused(Reason reason, Executable action, String... named) {
        CheckpointException e = assertThrows(CheckpointException.class, action);
        assertEquals(reason, e.reason(), e.getMessage());
        for (String name : named) {
            assertTrue(e.getMessage().contains(name), () -> name + " is not in: " + e.getMessage());
        }
        return e;
    }

    // Contents

    @Test
    void aCompressedFileHasOneColumnLessWhereTheStreamPasses() throws IOException {
        Map<String, SampleCheckpoint.Tensor> tensors = converted("gpt2", Form.PRE_CRMSNORM);
        Map<String, List<Long>> shapes = new TreeMap<>();
        tensors.forEach((name, tensor) -> shapes.put(name, tensor.shape()));
        Map<String, List<Long>> wanted = new TreeMap<>(Map.of("embedding.token.weight", List.of(160L, 47L), "embedding.token.means", List.of(160L),
                "embedding.position.weight", List.of(64L, 47L), "final_norm.gain", List.of(48L), "final_norm.bias", List.of(48L)));
        for (int l = 0; l < 3; l++) {
            wanted.put("blocks." + l + ".attention.query_key_value.weight", List.of(144L, 47L));
            wanted.put("blocks." + l + ".attention.query_key_value.bias", List.of(144L));
            wanted.put("blocks." + l + ".attention.output.weight", List.of(47L, 48L));
            wanted.put("blocks." + l + ".attention.output.bias", List.of(47L));
            wanted.put("blocks." + l + ".mlp.up.weight", List.of(192L, 47L));
            wanted.put("blocks." + l + ".mlp.up.bias", List.of(192L));
            wanted.put("blocks." + l + ".mlp.down.weight", List.of(47L, 192L));
            wanted.put("blocks." + l + ".mlp.down.bias", List.of(47L));
        }
        assertEquals(wanted, shapes);
        double[] table = Fixtures.sample("gpt2").tensors.get("transformer.wte.weight").values();
        double[] written = tensors.get("embedding.token.weight").values();
        double[] means = tensors.get("embedding.token.means").values();
        for (int row = 0; row < 160; row++) {
            double mean = 0;
            for (int c = 0; c < 48; c++) {
                mean += table[row * 48 + c] / 48;
            }
            assertEquals((float) mean, means[row], 1e-9);
            for (int c = 0; c < 47; c++) {
                double value = table[row * 48 + c] - mean;
                assertEquals(value, written[row * 47 + c], Math.ulp((float) value), "row " + row);
            }
        }
        JsonNode config = JSON.readTree(out.resolve("config.json").toFile());
        assertEquals("isonorm", config.get("model_type").asText());
        assertEquals(1, config.get("format_version").asInt());
        assertEquals("pre-crmsnorm", config.get("form").asText());
        assertEquals("compressed", config.at("/architecture/stream").asText());
        assertEquals("crmsnorm", config.at("/architecture/blocks/0/norm/kind").asText());
        assertEquals(Fixtures.sample("gpt2").config, config.get("source_config"));
    }

    @Test
    void aCentredFileIsTheFamilysOwn() throws IOException {
        SampleCheckpoint source = Fixtures.sample("nemotron"); // gains stored minus one, separate query, key and value
        Map<String, SampleCheckpoint.Tensor> tensors = converted("nemotron", Form.CENTRED);
        assertEquals(new TreeSet<>(source.tensors.keySet()), new TreeSet<>(tensors.keySet()));
        assertEquals(source.config, JSON.readTree(out.resolve("config.json").toFile()));
        Set<String> changed = new TreeSet<>();
        source.tensors.forEach((name, tensor) -> {
            assertEquals(tensor.shape(), tensors.get(name).shape());
            assertEquals(tensor.dtype(), tensors.get(name).dtype());
            if (!Arrays.equals(tensor.bytes(), tensors.get(name).bytes())) {
                changed.add(name.replaceAll("\\d+", "*"));
            }
        });
        assertEquals(Set.of("model.embed_tokens.weight", "model.layers.*.self_attn.o_proj.weight", "model.layers.*.mlp.down_proj.weight"), changed,
                "all else is kept to the last bit");
    }

    @Test
    void everyLayoutIsWrittenAsItWasRead() throws IOException {
        // Centring twice changes nothing but rounding, so a reader of every layout must find what was written.
        for (String fixture : List.of("gpt2-untied", "gpt_bigcode", "codegen", "falcon-new", "gpt_neox-sharded", "dinov2-swiglu", "mpt",
                "cohere-qknorm", "stablelm-parallel", "vit")) {
            Path once = temporary.resolve(fixture + "-once");
            Path twice = temporary.resolve(fixture + "-twice");
            convert(Fixtures.folder(fixture), Form.CENTRED, once);
            convert(once, Form.CENTRED, twice);
            SampleCheckpoint first = SampleCheckpoint.of(once);
            SampleCheckpoint second = SampleCheckpoint.of(twice);
            SampleCheckpoint original = Fixtures.sample(fixture);
            assertTrue(first.tensors.keySet().containsAll(original.tensors.keySet()), fixture);
            first.tensors.forEach((name, tensor) -> {
                double[] a = tensor.values();
                double[] b = second.tensors.get(name).values();
                for (int i = 0; i < a.length; i++) {
                    assertEquals(a[i], b[i], 1e-6, fixture + " " + name);
                }
                if (name.contains("q_proj") || name.contains("c_attn") || name.contains("qkv") || name.contains("query") || name.contains("weights_in")) {
                    assertArrayEquals(original.tensors.get(name).bytes(), tensor.bytes(), fixture + " " + name);
                }
            });
        }
    }

    @Test
    void tensorsOfManyTilesAreWrittenWhole() throws IOException {
        // More rows than a tile has, more columns, and neither a multiple: vocabulary 601, width 84, hidden 1100.
        SampleCheckpoint large = Fixtures.sample("gpt2");
        large.config.put("n_embd", 84).put("n_inner", 1100).put("n_layer", 1).put("vocab_size", 601);
        SplittableRandom random = new SplittableRandom(8);
        large.tensors.clear();
        Map<String, List<Long>> shapes = Map.ofEntries(Map.entry("wte.weight", List.of(601L, 84L)), Map.entry("wpe.weight", List.of(64L, 84L)),
                Map.entry("h.0.ln_1.weight", List.of(84L)), Map.entry("h.0.ln_1.bias", List.of(84L)),
                Map.entry("h.0.attn.c_attn.weight", List.of(84L, 252L)), Map.entry("h.0.attn.c_attn.bias", List.of(252L)),
                Map.entry("h.0.attn.c_proj.weight", List.of(84L, 84L)), Map.entry("h.0.attn.c_proj.bias", List.of(84L)),
                Map.entry("h.0.ln_2.weight", List.of(84L)), Map.entry("h.0.ln_2.bias", List.of(84L)),
                Map.entry("h.0.mlp.c_fc.weight", List.of(84L, 1100L)), Map.entry("h.0.mlp.c_fc.bias", List.of(1100L)),
                Map.entry("h.0.mlp.c_proj.weight", List.of(1100L, 84L)), Map.entry("h.0.mlp.c_proj.bias", List.of(84L)),
                Map.entry("ln_f.weight", List.of(84L)), Map.entry("ln_f.bias", List.of(84L)));
        shapes.forEach((name, shape) -> {
            long count = shape.stream().reduce(1L, (a, b) -> a * b);
            large.put("transformer." + name, Dtype.F32, shape, random.doubles(count, -1, 1).map(v -> Math.rint(v * 64) / 64).toArray());
        });
        Path source = large.save(temporary.resolve("large"));
        convert(source, Form.CENTRED, temporary.resolve("centred"));
        Map<String, SampleCheckpoint.Tensor> centred = SampleCheckpoint.read(temporary.resolve("centred/model.safetensors"));
        for (String kept : List.of("h.0.attn.c_attn.weight", "h.0.mlp.c_fc.weight", "h.0.mlp.c_fc.bias", "ln_f.weight")) {
            assertArrayEquals(large.tensors.get("transformer." + kept).bytes(), centred.get("transformer." + kept).bytes(), kept);
        }
        assertArrayEquals(large.tensors.get("transformer.wte.weight").bytes(), centred.get("lm_head.weight").bytes());
        // A row of each is one vector of the stream: of tables, and of writers stored (in, out).
        for (String name : List.of("wte.weight", "wpe.weight", "h.0.attn.c_proj.weight", "h.0.mlp.c_proj.weight")) {
            assertCentred(large.tensors.get("transformer." + name).values(), centred.get("transformer." + name).values(), 84, name);
        }
        convert(source, Form.PRE_RMSNORM, out);
        Map<String, SampleCheckpoint.Tensor> rms = SampleCheckpoint.read(out.resolve("model.safetensors"));
        for (String[] reader : new String[][] {{"attn.c_attn", "attention.query_key_value", "ln_1"}, {"mlp.c_fc", "mlp.up", "ln_2"}}) {
            double[] stored = large.tensors.get("transformer.h.0." + reader[0] + ".weight").values();
            double[] gain = large.tensors.get("transformer.h.0." + reader[2] + ".weight").values();
            double[] shift = large.tensors.get("transformer.h.0." + reader[2] + ".bias").values();
            double[] bias = large.tensors.get("transformer.h.0." + reader[0] + ".bias").values();
            double[] weight = rms.get("blocks.0." + reader[1] + ".weight").values();
            double[] folded = rms.get("blocks.0." + reader[1] + ".bias").values();
            int rows = bias.length;
            for (int r = 0; r < rows; r++) {
                double sum = bias[r];
                for (int c = 0; c < 84; c++) {
                    assertEquals((float) (stored[c * rows + r] * gain[c]), weight[r * 84 + c]);
                    sum += stored[c * rows + r] * shift[c];
                }
                assertEquals(sum, folded[r], 1e-6);
            }
        }
    }

    private static void assertCentred(double[] before, double[] after, int width, String name) {
        assertEquals(before.length, after.length);
        for (int row = 0; row < before.length / width; row++) {
            double mean = 0;
            for (int c = 0; c < width; c++) {
                mean += before[row * width + c] / width;
            }
            for (int c = 0; c < width; c++) {
                assertEquals(before[row * width + c] - mean, after[row * width + c], 6e-8, name + " row " + row);
            }
        }
    }

    @Test
    void theMaskTokenIsCentredThoughNoForwardPassReadsIt() throws IOException {
        Map<String, SampleCheckpoint.Tensor> tensors = converted("dinov2", Form.PRE_CRMSNORM);
        double[] before = Fixtures.sample("dinov2").tensors.get("embeddings.mask_token").values();
        convert(out, Form.PRE_LN, temporary.resolve("back"));
        assertCentred(before, SampleCheckpoint.read(temporary.resolve("back/model.safetensors")).get("embeddings.mask_token").values(), 48, "mask token");
        assertEquals(List.of(47L), tensors.get("embedding.mask_token.weight").shape());
    }

    @ParameterizedTest
    @CsvSource({"pegasus,model.shared.weight,model.decoder.embed_tokens.weight", "blenderbot-untied,model.shared.weight,",
        "megatron-bert,cls.predictions.bias,cls.predictions.decoder.bias",
        "esm,esm.contact_head.regression.weight,", "dinov3-gated,embeddings.register_tokens,"})
    void whatOnlyOtherProgramsAskForIsInAFamilysFileToo(String fixture, String besides, @Nullable String original) throws IOException {
        Conversion.Report report = convert(Fixtures.folder(fixture), Form.CENTRED, out);
        Map<String, SampleCheckpoint.Tensor> tensors = SampleCheckpoint.read(out.resolve("model.safetensors"));
        assertEquals(List.of(), report.leftOut());
        assertTrue(tensors.keySet().containsAll(Fixtures.sample(fixture).tensors.keySet()));
        SampleCheckpoint.Tensor wanted = original == null ? Fixtures.sample(fixture).tensors.get(besides) : tensors.get(original);
        assertEquals(wanted.shape(), tensors.get(besides).shape());
        assertArrayEquals(wanted.bytes(), tensors.get(besides).bytes());
        assertTrue(report.tensors().stream().anyMatch(tensor -> tensor.name().equals(besides)));
        convert(Fixtures.folder(fixture), Form.PRE_RMSNORM, temporary.resolve("own"));
        convert(temporary.resolve("own"), Form.PRE_LN, temporary.resolve("back"));
        Map<String, SampleCheckpoint.Tensor> back = SampleCheckpoint.read(temporary.resolve("back").resolve("model.safetensors"));
        assertEquals(!fixture.equals("esm"), back.containsKey(besides));
        assertEquals(fixture.equals("esm"), back.containsKey("esm.rotary_embeddings.inv_freq"));
    }

    @Test
    void typesAreKeptAndVectorsOfIsonormFormsAreFloat32AtLeast() throws IOException {
        for (String fixture : List.of("gpt2-f16", "gpt2-bf16", "gpt2")) {
            Dtype own = fixture.endsWith("bf16") ? Dtype.BF16 : fixture.endsWith("f16") ? Dtype.F16 : Dtype.F32;
            for (Form form : List.of(Form.CENTRED, Form.PRE_RMSNORM, Form.PRE_CRMSNORM)) {
                Path to = temporary.resolve(fixture + form);
                convert(Fixtures.folder(fixture), form, to);
                for (Map.Entry<String, SampleCheckpoint.Tensor> entry : SampleCheckpoint.of(to).tensors.entrySet()) {
                    boolean vector = entry.getValue().shape().size() == 1;
                    assertEquals(vector && !form.isFamilyFormat() ? Dtype.F32 : own, entry.getValue().dtype(), fixture + " " + form + " " + entry.getKey());
                }
            }
        }
    }

    @Test
    void anyTypeCanBeAskedFor() throws IOException {
        LoadedModel source = LoadedModel.open(Fixtures.folder("gpt2"));
        double[] exact = null;
        for (Dtype dtype : List.of(Dtype.F64, Dtype.F32, Dtype.F16, Dtype.BF16)) {
            for (Form form : List.of(Form.CENTRED, Form.PRE_RMSNORM)) {
                Path to = temporary.resolve(dtype + "-" + form);
                Conversion.of(source, form).inType(dtype).writeTo(to, Progress.NONE);
                SampleCheckpoint written = SampleCheckpoint.of(to);
                for (Map.Entry<String, SampleCheckpoint.Tensor> entry : written.tensors.entrySet()) {
                    boolean widened = entry.getValue().shape().size() == 1 && !form.isFamilyFormat() && dtype.bytes() < 4;
                    assertEquals(widened ? Dtype.F32 : dtype, entry.getValue().dtype());
                }
                String word = Map.of(Dtype.F64, "float64", Dtype.F32, "float32", Dtype.F16, "float16", Dtype.BF16, "bfloat16").get(dtype);
                JsonNode family = form.isFamilyFormat() ? written.config : written.config.get("source_config");
                assertEquals(word, family.get("dtype").asText());
                assertFalse(family.has("torch_dtype"), "a key that was not there stays away");
                if (!form.isFamilyFormat()) {
                    double[] down = written.tensors.get("blocks.1.mlp.down.weight").values();
                    exact = dtype == Dtype.F64 ? down : exact;
                    double unit = Map.of(Dtype.F64, 0.0, Dtype.F32, 0x1p-24, Dtype.F16, 0x1p-11, Dtype.BF16, 0x1p-8).get(dtype);
                    for (int i = 0; i < down.length; i++) {
                        assertEquals(exact[i], down[i], Math.abs(exact[i]) * unit + 0x1p-25, "rounded once, to the nearest");
                    }
                }
            }
        }
    }

    // Refusals

    private void assertNothingIsLeft(String... expected) throws IOException {
        try (Stream<Path> entries = Files.list(temporary)) {
            assertEquals(Set.of(expected), entries.map(path -> path.getFileName().toString()).collect(Collectors.toSet()));
        }
    }

    @Test
    void aValueThatDoesNotFitIsRefusedByName() throws IOException {
        Path large = Fixtures.sample("gpt2").set("transformer.h.1.mlp.c_proj.weight", 77, 1e6).save(temporary.resolve("large"));
        LoadedModel source = LoadedModel.open(large);
        refused(Reason.OVERFLOW, () -> Conversion.of(source, Form.PRE_RMSNORM).inType(Dtype.F16).writeTo(out, Progress.NONE),
                "blocks.1.mlp.down.weight", "F16", "f32");
        refused(Reason.OVERFLOW, () -> Conversion.of(source, Form.CENTRED).inType(Dtype.F16).writeTo(out, Progress.NONE),
                "transformer.h.1.mlp.c_proj.weight");
        assertNothingIsLeft("large");
        Conversion.of(source, Form.PRE_RMSNORM).inType(Dtype.BF16).writeTo(out, Progress.NONE);
        Path bias = Fixtures.sample("gpt2").set("transformer.h.1.mlp.c_fc.bias", 7, 1e6).save(temporary.resolve("bias"));
        refused(Reason.OVERFLOW, () -> Conversion.of(LoadedModel.open(bias), Form.CENTRED).inType(Dtype.F16).writeTo(temporary.resolve("b"), Progress.NONE),
                "transformer.h.1.mlp.c_fc.bias");
        Conversion.of(LoadedModel.open(bias), Form.PRE_RMSNORM).inType(Dtype.F16).writeTo(temporary.resolve("b"), Progress.NONE); // a float32 vector
    }

    @Test
    void aWeightThatIsNotFiniteIsRefusedByNameWhereverItIs() throws IOException {
        int tried = 0;
        for (String name : Fixtures.sample("gpt2").tensors.keySet()) {
            if (name.contains(".h.0.") || name.contains(".h.2.")) {
                continue; // as in the other block
            }
            double bad = tried % 2 == 0 ? Double.NaN : Double.NEGATIVE_INFINITY;
            SampleCheckpoint sample = Fixtures.sample("gpt2");
            int last = sample.tensors.get(name).values().length - 1;
            Path source = sample.set(name, tried % 3 == 0 ? last : last / 2, bad).save(temporary.resolve("source"));
            Form form = tried % 4 < 2 ? Form.CENTRED : Form.PRE_CRMSNORM;
            refused(Reason.NOT_FINITE, () -> convert(source, form, out), name);
            assertNothingIsLeft("source");
            tried++;
        }
        assertEquals(16, tried);
    }

    @Test
    void aRefusedFormLeavesNothing() throws IOException {
        ConversionRefused e = assertThrows(ConversionRefused.class, () -> convert(Fixtures.folder("llama"), Form.PRE_RMSNORM, out.resolve("deep/er")));
        assertEquals(1, e.reasons().size());
        assertNothingIsLeft();
    }

    @Test
    void whatIsThereIsReplacedOnlyWhenAsked() throws Exception {
        LoadedModel source = LoadedModel.open(Fixtures.folder("gpt2"));
        convert(Fixtures.folder("gpt2"), Form.CENTRED, out);
        Files.writeString(out.resolve("old.txt"), "old");
        Map<String, String> before = snapshot(temporary);
        refused(Reason.OUTPUT_EXISTS, () -> Conversion.of(source, Form.PRE_RMSNORM).writeTo(out, Progress.NONE), "--overwrite");
        assertEquals(before, snapshot(temporary));
        Path nan = Fixtures.sample("gpt2").set("transformer.wte.weight", 0, Double.NaN).save(Files.createTempDirectory("isonorm").resolve("nan"));
        refused(Reason.NOT_FINITE, () -> Conversion.of(LoadedModel.open(nan), Form.PRE_RMSNORM).overwriting().writeTo(out, Progress.NONE));
        assertEquals(before, snapshot(temporary), "a failed conversion leaves what it would have replaced");
        Conversion.of(source, Form.PRE_RMSNORM).overwriting().writeTo(out, Progress.NONE);
        assertFalse(Files.exists(out.resolve("old.txt")));
        assertEquals(Form.PRE_RMSNORM, Plan.currentForm(LoadedModel.open(out)).orElseThrow());
        Path mine = Files.createDirectory(temporary.resolve("mine"));
        Files.writeString(mine.resolve("thesis.tex"), "years of work");
        refused(Reason.OUTPUT_EXISTS, () -> Conversion.of(source, Form.PRE_RMSNORM).overwriting().writeTo(mine, Progress.NONE));
        assertEquals("years of work", Files.readString(mine.resolve("thesis.tex")));
        Files.delete(nan.resolve("config.json"));
        Files.delete(nan.resolve("model.safetensors"));
        Files.delete(nan);
        Files.delete(nan.getParent());
    }

    @Test
    void theSourceIsNeverTouched() throws Exception {
        Path source = Fixtures.sample("gpt2").save(temporary.resolve("a/b/source"));
        Path link = Files.createSymbolicLink(temporary.resolve("link"), source);
        Map<String, String> before = snapshot(temporary.resolve("a"));
        LoadedModel model = LoadedModel.open(source);
        for (Path target : List.of(source, source.resolve("."), source.getParent(), temporary.resolve("a"), link, temporary.resolve("x/../a/b/source"))) {
            for (Conversion conversion : List.of(Conversion.of(model, Form.CENTRED), Conversion.of(model, Form.CENTRED).overwriting())) {
                refused(Reason.OUTPUT_EXISTS, () -> conversion.writeTo(target, Progress.NONE), "write to another folder");
            }
        }
        assertEquals(before, snapshot(temporary.resolve("a")));
        for (Form form : List.of(Form.CENTRED, Form.PRE_RMSNORM, Form.PRE_CRMSNORM)) {
            convert(source, form, temporary.resolve("to-" + form));
        }
        assertEquals(before, snapshot(temporary.resolve("a")));
        convert(source, Form.CENTRED, source.resolve("centred")); // beside the files of the source is no harm
        assertEquals(before.get("b/source/model.safetensors"), sha256(source.resolve("model.safetensors")));
    }

    // Verification

    @Test
    void aResultThatIsNotEqualIsNotKept() throws IOException {
        List<Path> seen = new ArrayList<>();
        LoadedModel source = LoadedModel.open(Fixtures.folder("gpt2"));
        Verifier unequal = (_, original, rewritten, written, _) -> {
            seen.add(written.checkpoint().folder());
            assertEquals(source.model(), original);
            assertEquals(Model.of(rewritten).architecture(), Model.of(written.model()).architecture());
            assertEquals(Form.PRE_RMSNORM, Plan.currentForm(written).orElseThrow());
            throw new IOException("they differ");
        };
        Conversion conversion = Conversion.of(source, Form.PRE_RMSNORM).verifiedBy(unequal);
        assertEquals("they differ", assertThrows(IOException.class, () -> conversion.writeTo(out, Progress.NONE)).getMessage());
        assertNothingIsLeft();
        assertEquals(1, seen.size());
        assertNotEquals(out, seen.getFirst(), "nobody can see it before it is verified");
    }

    @Test
    void whatWasMeasuredIsReported() throws IOException {
        Comparison comparison = new Comparison(1e-7, 2e-8, 1e-8, Double.NaN, Double.NaN, Double.NaN, Double.NaN, 12, 2.5, "hidden states");
        Evidence evidence = new Evidence(List.of(new Evidence.Measured(Evidence.Subject.WRITTEN, "f64", comparison)), Evidence.Limits.ofLargestError(1e-4), Optional.empty());
        Conversion.Report report = Conversion.of(LoadedModel.open(Fixtures.folder("gpt2")), Form.PRE_RMSNORM)
                .verifiedBy((_, _, _, _, _) -> evidence).writeTo(out);
        assertEquals(Optional.of(evidence), report.verification());
        assertEquals(JSON.readTree("""
                {"reference": "original, f64", "compared": "hidden states", "positions": 12, "output_deviation": 2.5, "tolerance": 1e-4,
                 "comparisons": [{"model": "written", "compute": "f64", "largest_error": 1e-7, "rms_error": 2e-8, "mean_error": 1e-8}]}"""), report().get("verification"));
    }

    /** A file that another program writes to meanwhile, in place, by another of its name, or so that even its times are as they were. */
    @DisabledOnOs(value = OS.WINDOWS, disabledReason = "nobody can write to a mapped file there")
    @ParameterizedTest
    @ValueSource(strings = {"in place", "replaced", "with its old time", "config.json"})
    void aSourceThatChangesMeanwhileIsRefused(String how) throws IOException {
        Path folder = Files.createDirectory(temporary.resolve("source"));
        for (String name : List.of("config.json", "model.safetensors")) {
            Files.copy(Fixtures.folder("gpt2").resolve(name), folder.resolve(name));
        }
        LoadedModel source = LoadedModel.open(folder);
        Path file = folder.resolve(how.equals("config.json") ? how : "model.safetensors");
        FileTime before = Files.getLastModifiedTime(file);
        byte[] bytes = Files.readAllBytes(file);
        Progress other = (what, done, total) -> {
            if (what.equals("converting") && done > total / 2) {
                try {
                    if (how.equals("replaced")) {
                        Files.move(Files.write(folder.resolve("new"), bytes), file, StandardCopyOption.REPLACE_EXISTING);
                    } else {
                        bytes[bytes.length - 1] ^= 1;
                        Files.write(file, bytes);
                    }
                    if (how.equals("with its old time")) {
                        Files.setLastModifiedTime(file, before);
                    }
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        };
        CheckpointException refused =
                assertThrows(CheckpointException.class, () -> Conversion.of(source, Form.PRE_RMSNORM).writeTo(out, other));
        assertEquals(Reason.CHANGED, refused.reason(), refused.getMessage());
        assertTrue(refused.getMessage().startsWith(file.toString()), refused.getMessage());
        try (Stream<Path> left = Files.list(temporary)) {
            assertEquals(List.of(folder), left.toList());
        }
    }

    // Values

    @ParameterizedTest
    @CsvSource({"gpt2, CENTRED, BF16", "gpt2, PRE_CRMSNORM, F32", "bloom, PRE_RMSNORM, F16", "gpt_neo, CENTRED, BF16", "gpt_neox-sharded, CENTRED, F16",
        "bert, RMSNORM, BF16", "vit, CENTRED, F32", "dinov2, CENTRED, BF16", "gpt2-bf16, PRE_CRMSNORM, BF16", "opt, CENTRED, F64"})
    void eachValueIsTheRoundingOfTheRewrittenOne(String fixture, Form form, Dtype dtype) throws IOException {
        LoadedModel source = LoadedModel.open(Fixtures.folder(fixture));
        Conversion.of(source, form).inType(dtype).writeTo(out);
        LoadedModel written = LoadedModel.open(out);
        Plan plan = Plan.of(source, form, false, new LeftOut.Known(Isonorm.leftOut(written.config(), source.model().width())));
        assertEquals(List.of(), Roundings.deviations(plan.result(), written, Progress.NONE));
        Conversion.Remade remade = Conversion.again(source, written, Progress.NONE).orElseThrow();
        assertTrue(remade.exact(), remade.toString());

        Path file = written.checkpoint().weightFiles().getLast();
        SafetensorsFile tensors = SafetensorsFile.open(file);
        String last = List.copyOf(tensors.tensors().keySet()).getLast();
        byte[] bytes = Files.readAllBytes(file);
        bytes[bytes.length - 1] ^= 1; // the last value's sign or exponent
        Files.write(file, bytes);
        List<Conversion.Deviation> deviations = Conversion.again(source, LoadedModel.open(out), Progress.NONE).orElseThrow().deviations();
        assertEquals(List.of(last), deviations.stream().map(Conversion.Deviation::tensor).toList());
        assertEquals(1, deviations.getFirst().different());
    }

    // Reports

    private JsonNode report() throws IOException {
        return JSON.readTree(out.resolve("report.json").toFile());
    }

    private static JsonNode header(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        return JSON.readTree(bytes, 8, (int) ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong());
    }

    private static long elements(Map<String, SampleCheckpoint.Tensor> tensors) {
        return tensors.values().stream().mapToLong(tensor -> tensor.bytes().length / tensor.dtype().bytes()).sum();
    }

    @Test
    void theReportSaysWhatWasDone() throws Exception {
        Conversion.Report returned = convert(Fixtures.folder("gpt2"), Form.PRE_CRMSNORM, out);
        JsonNode report = report();
        assertEquals(report, JSON.readTree(Reports.json(returned).toString()));
        assertEquals("gpt2", report.get("family").asText());
        assertEquals("the family's checkpoint", report.get("from").asText());
        assertEquals("pre-crmsnorm", report.get("to").asText());
        assertEquals(elements(Fixtures.sample("gpt2").tensors), report.get("parameters_before").asLong());
        assertEquals(elements(SampleCheckpoint.read(out.resolve("model.safetensors"))), report.get("parameters_after").asLong());
        assertEquals(0, report.get("notes").size());
        assertEquals(0, report.get("left_out").size());
        assertEquals(1, report.get("source_files").size());
        assertEquals("model.safetensors", report.at("/source_files/0/file").asText());
        assertEquals(sha256(Fixtures.folder("gpt2").resolve("model.safetensors")), report.at("/source_files/0/sha256").asText());
        assertEquals(1, report.get("result_files").size());
        assertEquals(sha256(out.resolve("model.safetensors")), report.at("/result_files/0/sha256").asText());
        assertFalse(report.has("verification"));
        JsonNode down = report.at("/tensors/blocks.2.mlp.down.weight");
        assertEquals("F32", down.get("dtype").asText());
        assertEquals("[47,192]", down.get("shape").toString());
        assertEquals("[\"read transformer.h.2.mlp.c_proj.weight (stored (in, out))\",\"took the mean out of each column\",\"dropped the last row\"]",
                down.get("steps").toString());
        assertEquals("[\"read transformer.h.0.attn.c_attn.weight (stored (in, out))\",\"folded the norm's bias into the bias\"]",
                report.at("/tensors/blocks.0.attention.query_key_value.bias/steps").toString());

        JsonNode header = header(out.resolve("model.safetensors"));
        assertEquals("pt", header.at("/__metadata__/format").asText());
        ObjectNode inside = (ObjectNode) JSON.readTree(header.at("/__metadata__/isonorm").asText());
        ObjectNode known = (ObjectNode) report.deepCopy();
        known.remove("result_files"); // no file can hold its own hash
        known.remove("code"); // nor need it change with what lies beside it
        assertEquals(known, inside);
        Set<String> names = new TreeSet<>();
        header.fieldNames().forEachRemaining(names::add);
        names.remove("__metadata__");
        Set<String> reported = new TreeSet<>();
        report.get("tensors").fieldNames().forEachRemaining(reported::add);
        assertEquals(names, reported);
    }

    @Test
    void aSecondConversionReportsWhereItCameFrom() throws IOException {
        convert(Fixtures.folder("clip_vision"), Form.PRE_CRMSNORM, out);
        Conversion.Report report = convert(out, Form.PRE_RMSNORM, temporary.resolve("second"));
        assertEquals("pre-crmsnorm", report.from());
        assertEquals("clip_vision_model", report.family());
        assertTrue(report.notes().getFirst().contains("without each token's mean"));
    }

    @Test
    void progressOnlyGrowsAndEndsWhole() throws IOException {
        Map<String, long[]> last = new TreeMap<>();
        Conversion.of(LoadedModel.open(Fixtures.folder("gpt2")), Form.CENTRED).writeTo(out, (what, done, total) -> {
            long[] before = last.getOrDefault(what, new long[] {0, total});
            assertTrue(done >= before[0] && done <= total && total == before[1], what);
            last.put(what, new long[] {done, total});
        });
        assertEquals(Set.of("reading the source", "converting", "syncing"), last.keySet());
        last.forEach((what, at) -> assertEquals(at[1], at[0], what));
        assertEquals(elements(Fixtures.sample("gpt2").tensors) * 4 + 160 * 48 * 4, last.get("converting")[1], "the untied head is written too");
    }

    @Test
    void companionFilesAreCarriedAndOthersAreNot() throws Exception {
        Path source = Fixtures.sample("gpt2").save(temporary.resolve("source"));
        for (String name : List.of("tokenizer.json", "tokenizer_config.json", "merges.txt", "vocab.json", "generation_config.json",
                "special_tokens_map.json", "tokenizer.model", "README.md", "modeling_gpt2.py", "pytorch_model.bin", "modules.json", "sentence_bert_config.json",
                "1_Pooling/config.json", "2_Dense/config.json")) {
            Files.createDirectories(source.resolve(name).getParent());
            Files.writeString(source.resolve(name), "of " + name);
        }
        convert(source, Form.PRE_RMSNORM, out);
        assertEquals(Set.of("", "config.json", "report.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "merges.txt",
                "vocab.json", "generation_config.json", "special_tokens_map.json", "tokenizer.model", "configuration_isonorm.py", "modeling_isonorm.py", "modules.json", "sentence_bert_config.json",
                "1_Pooling", "1_Pooling/config.json"),
                snapshot(out).keySet());
        assertEquals("of merges.txt", Files.readString(out.resolve("merges.txt")));
        convert(Fixtures.folder("gpt_neox-sharded"), Form.CENTRED, temporary.resolve("neox"));
        assertArrayEquals(Files.readAllBytes(Fixtures.folder("gpt_neox-sharded").resolve("generation_config.json")),
                Files.readAllBytes(temporary.resolve("neox/generation_config.json")));
    }

    // Shards

    @Test
    void aShardedSourceBecomesOneFile() throws Exception {
        Conversion.Report report = convert(Fixtures.folder("gpt_neox-sharded"), Form.CENTRED, out);
        assertEquals(3, report.sourceFiles().size());
        for (HashedFile file : report.sourceFiles()) {
            assertEquals(sha256(Fixtures.folder("gpt_neox-sharded").resolve(file.name())), file.sha256());
        }
        assertEquals(1, report.resultFiles().size());
        assertFalse(Files.exists(out.resolve("model.safetensors.index.json")));
        assertEquals(Fixtures.sample("gpt_neox-sharded").tensors.keySet(), SampleCheckpoint.read(out.resolve("model.safetensors")).keySet());
    }

    @Test
    void aLargeResultIsSplitAndIndexed() throws Exception {
        LoadedModel source = LoadedModel.open(Fixtures.folder("gpt2"));
        Conversion.Report report = Conversion.of(source, Form.PRE_RMSNORM).splitAt(100_000).writeTo(out);
        Conversion.of(source, Form.PRE_RMSNORM).writeTo(temporary.resolve("one"));
        Map<String, SampleCheckpoint.Tensor> whole = SampleCheckpoint.read(temporary.resolve("one/model.safetensors"));
        JsonNode index = JSON.readTree(out.resolve("model.safetensors.index.json").toFile());
        int files = report.resultFiles().size();
        assertTrue(files > 3, "only " + files);
        assertEquals(elements(whole) * 4, index.at("/metadata/total_size").asLong());
        assertEquals(whole.keySet().stream().sorted().toList(), index.get("weight_map").propertyStream().map(Map.Entry::getKey).toList());
        Set<String> seen = new TreeSet<>();
        for (int f = 0; f < files; f++) {
            String name = String.format(Locale.ROOT, "model-%05d-of-%05d.safetensors", f + 1, files);
            assertEquals(new HashedFile(name, sha256(out.resolve(name))), report.resultFiles().get(f));
            Map<String, SampleCheckpoint.Tensor> tensors = SampleCheckpoint.read(out.resolve(name));
            JsonNode inside = JSON.readTree(header(out.resolve(name)).at("/__metadata__/isonorm").asText());
            assertEquals(tensors.keySet(), inside.get("tensors").propertyStream().map(Map.Entry::getKey).collect(Collectors.toCollection(TreeSet::new)));
            assertTrue(tensors.size() == 1 || tensors.values().stream().mapToLong(t -> t.bytes().length).sum() <= 100_000);
            tensors.forEach((tensor, values) -> {
                assertEquals(name, index.get("weight_map").get(tensor).asText());
                assertArrayEquals(whole.get(tensor).bytes(), values.bytes(), tensor);
                assertTrue(seen.add(tensor));
            });
        }
        assertEquals(whole.keySet(), seen);
        assertEquals(whole.size(), Model.of(LoadedModel.open(out).model()).weights().size());
    }

    // Surroundings

    @Test
    void filesAreTheSameInEveryLanguage() throws Exception {
        Locale before = Locale.getDefault();
        LoadedModel source = LoadedModel.open(Fixtures.folder("gpt2"));
        Conversion.of(source, Form.PRE_RMSNORM).splitAt(100_000).writeTo(out, Progress.NONE);
        try {
            for (String language : List.of("tr-TR", "ar-EG-u-nu-arab", "hi-IN-u-nu-deva")) {
                Locale.setDefault(Locale.forLanguageTag(language));
                Path other = temporary.resolve(language);
                Conversion.of(source, Form.PRE_RMSNORM).splitAt(100_000).writeTo(other, Progress.NONE);
                assertEquals(snapshot(out), snapshot(other), language);
            }
        } finally {
            Locale.setDefault(before);
        }
    }

    @Test
    void theSameConversionGivesTheSameBytes() throws Exception {
        for (String fixture : List.of("codegen", "bert")) {
            Form form = fixture.equals("bert") ? Form.RMSNORM : Form.PRE_CRMSNORM;
            convert(Fixtures.folder(fixture), form, temporary.resolve(fixture + 1));
            convert(Fixtures.folder(fixture), form, temporary.resolve(fixture + 2));
            assertEquals(snapshot(temporary.resolve(fixture + 1)), snapshot(temporary.resolve(fixture + 2)));
        }
    }
}
