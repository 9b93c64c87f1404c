package isonorm.onnx;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Conversion;
import isonorm.convert.LoadedModel;
import isonorm.convert.SampleBases;
import isonorm.layer.Fixture;
import isonorm.model.Progress;
import isonorm.onnx.graph.Content;
import isonorm.onnx.graph.Decoder;
import isonorm.onnx.graph.Tensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.module.ModuleDescriptor;
import java.net.URISyntaxException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is written where, and what is not. */
class OnnxExportTest {

    @TempDir
    private Path folder;

    private static OnnxExport of(String fixture) throws IOException {
        return OnnxExport.of(LoadedModel.open(Fixture.named(fixture).folder()));
    }

    private List<String> names() throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.map(entry -> entry.getFileName().toString()).sorted().toList();
        }
    }

    /** Matrices through which a stream is entered and left, and those on its skips. */
    @Test
    void aStreamThatGoesFromBasisToBasisIsExported() throws IOException {
        Conversion.Rotation one = new Conversion.Rotation("random", 1, OptionalInt.empty());
        for (String name : List.of("gpt2", "gptj", "whisper", "clip", "ast", "mbart", "dinov2")) {
            LoadedModel model = LoadedModel.open(Fixture.named(name).folder());
            boolean several = name.startsWith("gpt");
            (several ? Conversion.rotated(model, one, SampleBases.of(model)) : Conversion.rotated(model, one)).inType(Dtype.F32).writeTo(folder.resolve(name));
            OnnxExport.Report report = OnnxExport.of(LoadedModel.open(folder.resolve(name))).verifiedBy(Here.runtime()).writeTo(folder.resolve(name + ".onnx"), Progress.NONE);
            assertTrue(report.error().orElse(1) < 5e-5, name + ": " + report);
        }
    }

    @Test
    void aGraphIsVerifiedAndAppears() throws IOException {
        Path file = folder.resolve("new/gpt2.onnx");
        OnnxExport.Report report = of("gpt2").verifiedBy(Here.runtime()).writeTo(file, Progress.NONE);
        assertEquals(List.of(file), report.files());
        assertEquals(Files.size(file), report.bytes());
        assertTrue(report.error().orElse(1) < 5e-5, report.toString());
        assertEquals(Map.of("LayerNormalization", 2 * 3 + 1), report.operators());
        assertEquals(List.of("input_ids", "attention_mask", "position_ids", "past_key_values.0.key"), report.inputs().subList(0, 4));
        assertEquals(List.of("logits", "present.0.key", "present.0.value"), report.outputs().subList(0, 3));
    }

    @Test
    void tensorsOutsideBeginAtPagesAndAreTheSame() throws IOException {
        Path inside = folder.resolve("inside.onnx");
        Path outside = folder.resolve("outside.onnx");
        of("llama").writeTo(inside, Progress.NONE);
        OnnxExport.Report report = of("llama").externalData().verifiedBy(Here.runtime()).writeTo(outside, Progress.NONE);
        assertEquals(List.of("inside.onnx", "outside.onnx", "outside.onnx.data"), names());
        assertTrue(report.error().isPresent());
        long outer = 0;
        for (Tensor tensor : Decoder.read(outside).graph().constants()) {
            if (tensor.content().length() >= 1024 && tensor.content() instanceof Content.Held(MemorySegment bytes)) {
                outer++;
                assertEquals(0, bytes.address() % 4096, tensor.name()); // files are mapped at pages
            }
        }
        assertTrue(outer > 10, outer + " tensors");
        assertTrue(Files.size(outside) < Files.size(inside) / 2);
    }

    @Test
    void whatIsThereIsReplacedOnlyWhenThatIsAskedFor() throws IOException {
        Path file = folder.resolve("vit.onnx");
        of("vit").externalData().writeTo(file, Progress.NONE);
        byte[] first = Files.readAllBytes(file);
        String message = assertThrows(CheckpointException.class, () -> of("vit").writeTo(file, Progress.NONE)).getMessage();
        assertEquals(file + " exists already; replace it with --overwrite", message);
        assertArrayEquals(first, Files.readAllBytes(file));
        of("vit").overwriting().writeTo(file, Progress.NONE);
        assertEquals(List.of("vit.onnx"), names());
        assertTrue(Files.size(file) > first.length);
    }

    @Test
    void theSameCheckpointGivesTheSameBytes() throws IOException {
        of("gemma2").writeTo(folder.resolve("a.onnx"), Progress.NONE);
        of("gemma2").writeTo(folder.resolve("b.onnx"), Progress.NONE);
        assertArrayEquals(Files.readAllBytes(folder.resolve("a.onnx")), Files.readAllBytes(folder.resolve("b.onnx")));
    }

    @Test
    void halvesAreComputedInHalves() throws IOException {
        for (String fixture : List.of("gpt2", "llama", "bert", "vit")) {
            OnnxExport.Report report = of(fixture).inType(Dtype.F16).verifiedBy(Here.runtime()).writeTo(folder.resolve(fixture + ".onnx"), Progress.NONE);
            double error = report.error().orElseThrow();
            assertTrue(error > 1e-5 && error < .05, fixture + " " + error);
        }
        assertThrows(IllegalArgumentException.class, () -> of("gpt2").inType(Dtype.BF16));
    }

    @Test
    void anEncoderAndADecoderAreWrittenApart() throws IOException {
        for (OnnxExport.Part part : OnnxExport.Part.values()) {
            for (String fixture : List.of("t5", "whisper")) {
                assertTrue(of(fixture).part(part).verifiedBy(Here.runtime()).writeTo(folder.resolve(fixture + part + ".onnx"), Progress.NONE).error().orElseThrow() < 5e-5);
            }
        }
        assertEquals(8, names().size());
        assertEquals("a model of an encoder and a decoder has parts, and this one is none",
                assertThrows(IllegalArgumentException.class, () -> of("gpt2").part(OnnxExport.Part.DECODER)).getMessage());
        assertThrows(IOException.class, () -> of("t5").part(OnnxExport.Part.DECODER_WITH_PAST).verifiedBy(new Wrong(Here.runtime())).writeTo(folder.resolve("x.onnx"), Progress.NONE));
        assertEquals(8, names().size());
    }

    @Test
    void everyVersionOfOperatorsHasWhatTheGraphSays() throws IOException {
        for (int opset : List.of(18, 22, 23, 25)) {
            Path file = folder.resolve("o" + opset + ".onnx");
            assertTrue(of("opt").opset(opset).verifiedBy(Here.runtime()).writeTo(file, Progress.NONE).error().isPresent()); // ReLU and LayerNorm
        }
    }

    @Test
    void whatAVersionLacksIsSaid() throws IOException {
        Path file = folder.resolve("x.onnx");
        assertEquals("opset 22 lacks RMSNormalization (23), which this model needs; ask for a later --opset, 23 for instance",
                assertThrows(IllegalArgumentException.class, () -> of("llama").opset(22).writeTo(file, Progress.NONE)).getMessage());
        assertEquals("opset 19 lacks Gelu (20) and RMSNormalization (23), which this model needs; ask for a later --opset, 23 for instance",
                assertThrows(IllegalArgumentException.class, () -> of("gemma2").opset(19).writeTo(file, Progress.NONE)).getMessage());
        for (int opset : List.of(17, 26)) {
            assertEquals("a graph is of an opset from 18 to 25, got " + opset,
                    assertThrows(IllegalArgumentException.class, () -> of("gpt2").opset(opset)).getMessage());
        }
        assertEquals(List.of(), names());
    }

    @Test
    void nothingIsLeftOfAGraphThatGivesSomethingElse() throws IOException {
        OnnxRuntime wrong = new Wrong(Here.runtime());
        String message = assertThrows(IOException.class, () -> of("bert").verifiedBy(wrong).writeTo(folder.resolve("x.onnx"), Progress.NONE)).getMessage();
        assertTrue(message.startsWith("x.onnx gives other outputs in ONNX Runtime wrong than the checkpoint: they are off by "), message);
        assertEquals(List.of(), names());
    }

    /** A runtime that adds a thousandth to the first number that it gives. */
    private record Wrong(OnnxRuntime right) implements OnnxRuntime {
        @Override
        public String version() {
            return "wrong";
        }

        @Override
        public Session open(Path model, int threads) throws IOException {
            Session session = right.open(model, threads);
            return new Session() {
                @Override
                public Map<String, Values> run(Map<String, Values> inputs) throws IOException {
                    Map<String, Values> given = new LinkedHashMap<>(session.run(inputs));
                    ((Values.Reals) given.values().iterator().next()).values()[0] += 1e-3f;
                    return given;
                }

                @Override
                public void run(Map<String, Values> inputs, String output, ByteBuffer into, long... shape) {
                    throw new UnsupportedOperationException();
                }

                @Override
                public void close() {
                    session.close();
                }
            };
        }
    }

    @Test
    void aRuntimeIsFoundOrNot() throws IOException {
        assertEquals(Optional.empty(), RuntimeLibrary.load(folder.resolve("none.jar")));
        assertEquals("1.29.0", Here.runtime().version());
        assertTrue(OnnxRuntime.howToGet().contains("onnxruntime:1.29.0"));
    }

    /** What users of this module see is little. */
    @Test
    void onePackageIsExported() throws IOException, URISyntaxException {
        Path root = Path.of(OnnxExport.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        ModuleDescriptor module = ModuleDescriptor.read(Files.newInputStream(root.resolve("module-info.class")));
        assertEquals(List.of("isonorm.onnx"), module.exports().stream().filter(each -> !each.isQualified()).map(ModuleDescriptor.Exports::source).toList());
        try (Stream<Path> classes = Files.list(root.resolve("isonorm/onnx"))) {
            List<String> types = classes.map(file -> file.getFileName().toString()).filter(name -> name.endsWith(".class") && !name.matches(".*[$-].*"))
                    .sorted().collect(Collectors.toList());
            assertEquals(List.of("GraphFiles.class", "GraphTrial.class", "OnnxConversion.class", "OnnxExport.class", "OnnxRuntime.class", "RuntimeLibrary.class", "Trial.class"), types);
        }
    }
}
