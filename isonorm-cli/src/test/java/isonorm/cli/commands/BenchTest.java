package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import isonorm.cli.Run;
import isonorm.cli.report.NormReport;
import isonorm.measure.Generation;
import isonorm.measure.Loaded;
import isonorm.measure.Machine;
import isonorm.measure.NormTimes;
import isonorm.measure.Quartiles;
import isonorm.measure.Shape;
import isonorm.measure.Variant;
import isonorm.model.Compute;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.function.BiConsumer;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code isonorm bench}: what it prints of known numbers, what it measures, and what it refuses. */
class BenchTest {

    private static final List<String> FIELDS = List.of("model", "batch", "dtype", "form", "median_ms", "q25_ms", "q75_ms", "ratio_to_pre_ln",
            "ratio_q25", "ratio_q75", "machine");

    private static final String MACHINE = "AMD EPYC, AVX-512 and bf16; kernels of 512 bits; products f32 OpenBLAS; 2 threads";

    @TempDir
    Path folder;

    @Test
    void normsAreMeasuredAndDrawn() throws IOException {
        Path plot = folder.resolve("norms.svg");
        Run run = Run.of("bench", "norms", "--model", "vit-ti", "--batch", 1, "--dtype", "f32", "--runs", 1, "--warm-up", 0, "--plot", plot, "--json",
                "--quiet").ended(0);
        assertEquals("", run.err());
        JsonNode rows = run.json();
        assertEquals(List.of("none", "pre-ln", "pre-rmsnorm", "pre-crmsnorm"),
                StreamSupport.stream(rows.spliterator(), false).map(row -> row.path("form").asText()).toList());
        for (JsonNode row : rows) {
            assertEquals(FIELDS, row.properties().stream().map(Map.Entry::getKey).toList());
            assertEquals("vit-ti", row.path("model").asText());
            assertEquals(1, row.path("batch").asInt());
            assertEquals("f32", row.path("dtype").asText());
            assertTrue(row.path("median_ms").asDouble() > 0, row.toString());
            assertEquals(Machine.here().line(Runtime.getRuntime().availableProcessors()), row.path("machine").asText());
        }
        assertEquals(1, rows.path(1).path("ratio_to_pre_ln").asDouble());
        assertTrue(Files.readString(plot).contains("vit-ti"));
        assertEquals(List.of("norms.svg"), Run.names(folder));
    }

    @Test
    void everyFormatSaysTheSame() {
        assertEquals("""
                AMD EPYC, AVX-512 and bf16; kernels of 512 bits; products f32 OpenBLAS; 2 threads
                                        median ms       quartiles  to pre-ln
                  vit-s, batch 8, bf16
                    none                    80.00  72.00 to 88.00      0.800
                    pre-ln                    100    90.00 to 110      1.000
                """, printed(NormReport::table));
        assertEquals("""
                AMD EPYC, AVX-512 and bf16; kernels of 512 bits; products f32 OpenBLAS; 2 threads

                | model | batch | type | form | median ms | quartiles | to pre-ln |
                |---|--:|---|---|--:|--:|--:|
                | vit-s | 8 | bf16 | `none` | 80.00 | 72.00 to 88.00 | 0.800 |
                | vit-s | 8 | bf16 | `pre-ln` | 100 | 90.00 to 110 | 1.000 |
                """, printed(NormReport::markdown));
        assertEquals("""
                model,batch,dtype,form,median_ms,q25_ms,q75_ms,ratio_to_pre_ln,ratio_q25,ratio_q75,machine
                vit-s,8,bf16,none,80.0,72.0,88.0,0.8,0.75,0.85,"%1$s"
                vit-s,8,bf16,pre-ln,100.0,90.0,110.0,1.0,1.0,1.0,"%1$s"
                """.formatted(MACHINE), printed(NormReport::csv));
        assertTrue(NormReport.chart(rows()).svg().contains("bf16, vit-s, batch 8, none: 0.800 (0.750 to 0.850)"));
    }

    private static ArrayNode rows() {
        return JsonNodeFactory.instance.arrayNode()
                .add(Speeds.row(new NormTimes.Time("vit-s", 8, Compute.BF16, Variant.NONE, new Quartiles(72, 80, 88), new Quartiles(.75, .8, .85)), MACHINE))
                .add(Speeds.row(new NormTimes.Time("vit-s", 8, Compute.BF16, Variant.PRE_LN, new Quartiles(90, 100, 110), new Quartiles(1, 1, 1)), MACHINE));
    }

    private static String printed(BiConsumer<ArrayNode, PrintStream> report) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        report.accept(rows(), new PrintStream(out, true, StandardCharsets.UTF_8));
        return out.toString(StandardCharsets.UTF_8).replace(System.lineSeparator(), "\n");
    }

    @Test
    void generationIsOneLineOfJson() throws IOException {
        Run run = Run.of("bench", "generate", Run.HOME.resolve("examples/shakespeare-gpt2"), "--prompt", 8, "--tokens", 2, "--warm-up", 0.25, "--quiet").ended(0);
        assertEquals("", run.err());
        assertEquals(1, run.out().lines().count());
        JsonNode json = run.json();
        assertEquals(List.of("dir", "dtype", "prompt", "tokens", "threads", "warm_up_s", "first_prefill_tokens_per_s", "prefill_tokens_per_s", "prefill_all_logits_tokens_per_s",
                "decode_tokens_per_s", "peak_mib", "read_bandwidth_gb_per_s", "bytes_per_token", "bandwidth_share", "machine"),
                json.properties().stream().map(Map.Entry::getKey).toList());
        assertEquals(8, json.path("prompt").asInt());
        assertEquals(2, json.path("tokens").asInt());
        assertEquals(0.25, json.path("warm_up_s").asDouble());
        assertEquals(2, json.path("threads").asInt());
        assertTrue(json.path("decode_tokens_per_s").asDouble() > 0, run.out());
        assertEquals(Machine.here().line(2), json.path("machine").asText());
    }

    @Test
    void trainingIsOneLineOfJsonWithTheMachine() throws IOException {
        Run run = Run.of("bench", "train", "--width", 16, "--layers", 1, "--heads", 1, "--vocab", 16, "--seq", 8, "--batch", 1, "--steps", 2, "--warmup", 0,
                "--threads", 1, "--quiet").ended(0);
        assertEquals(1, run.out().lines().count());
        assertTrue(run.json().path("median_s").asDouble() >= 0, run.out());
        assertEquals(Machine.here().line(1), run.json().path("machine").asText());
    }

    @Test
    void aPeakThatNobodySaysIsNull() {
        JsonNode json = Speeds.generation("x", "f32", new Generation(Loaded.Engine.INFERENCE, 2, 8, 2, Duration.ZERO),
                new Generation.Speed(50, 100, 50, 10, 20, 1_000_000_000, OptionalLong.empty()), MACHINE);
        assertTrue(json.path("peak_mib").isNull(), json.toString());
        assertEquals(0.5, json.path("bandwidth_share").asDouble());
    }

    @Test
    void helpNamesEveryShapeAndHasAnExample() {
        String norms = Run.of("bench", "norms", "--help").ended(0).out();
        String words = norms.replaceAll("\\s+", " ");
        Shape.names().forEach(name -> assertTrue(words.contains(name), name));
        for (String help : List.of(norms, Run.of("bench", "generate", "--help").ended(0).out(), Run.of("bench", "--help").ended(0).out())) {
            assertTrue(help.contains("Usage: isonorm bench"), help);
            assertTrue(help.contains("  isonorm bench "), help);
        }
    }

    @Test
    void whatIsReadAndWrittenFitsAShortContext() throws IOException {
        JsonNode all = Run.of("bench", "generate", Run.fixture("gpt2"), "--warm-up", 0, "--quiet").ended(0).json();
        assertEquals("48 and 16", all.path("prompt") + " and " + all.path("tokens"));
        JsonNode most = Run.of("bench", "generate", Run.fixture("gpt2"), "--prompt", 60, "--warm-up", 0, "--quiet").ended(0).json();
        assertEquals("60 and 4", most.path("prompt") + " and " + most.path("tokens"));
    }

    @Test
    void whatCannotBeMeasuredIsSaidInOneLine() {
        refused("this one gives scores", "bench", "generate", Run.fixture("vit"));
        refused("this one sees the tokens it would predict", "bench", "generate", Run.fixture("bert"));
        refused("this one gives hidden states", "bench", "generate", Run.fixture("gpt2-base"));
        refused("this model has 64 positions, got a prompt of 512 tokens", "bench", "generate", Run.fixture("gpt2"), "--prompt", 512);
        refused("gpt2-small has 1024 positions, got prompts of 1025 tokens", "bench", "norms", "--model", "vit-ti,gpt2-small", "--tokens", 1025);
    }

    private static void refused(String message, Object... arguments) {
        Run run = Run.of(arguments).ended(1);
        assertEquals(1, run.errors().size(), run.err());
        assertEquals("", run.out());
        assertTrue(run.err().contains(message), run.err());
    }

    @Test
    void aPlotThatCannotBeWrittenLeavesNothing() throws IOException {
        for (Path plot : List.of(folder, folder.resolve("missing/norms.svg"))) {
            Run run = Run.of("bench", "norms", "--plot", plot).ended(2);
            assertTrue(run.err().contains("--plot must be a file in a folder that exists, got " + plot), run.err());
        }
        assertFalse(Files.exists(folder.resolve("missing")));
        assertEquals(List.of(), Run.names(folder));
    }
}
