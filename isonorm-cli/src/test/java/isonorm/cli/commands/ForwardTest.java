package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsFile;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.checkpoint.TensorInfo;
import isonorm.cli.Run;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code isonorm forward} against outputs of the reference implementation, and on inputs that do not fit. */
class ForwardTest {

    /** What the fixtures' own reference rounds, of the outputs' deviation; see isonorm.layer.Tolerance. */
    private static final double REFERENCE = 2e-6;

    @TempDir
    Path folder;

    @ParameterizedTest
    @CsvSource({"gpt2, f64, F64", "vit, f64, F64", "clip_vision, f64, F64", "clip, f64, F64", "clip-mask, f64, F64", "siglip, f64, F64", "mbart-mask, f64, F64", "whisper, f64, F64", "speech_to_text, f64, F64", "wav2vec2, f64, F64", "gpt2, f32, F32", "gpt2, bf16, F32"})
    void givesTheGoldenOutput(String fixture, String compute, Dtype dtype) throws IOException {
        Path out = folder.resolve("out.safetensors");
        Path golden = Run.fixture(fixture).resolve("golden.safetensors");
        Run run = Run.of("forward", Run.fixture(fixture), "--inputs", golden, "--output", out, "--compute", compute).ended(0);
        assertEquals("", run.err());
        SafetensorsFile expected = SafetensorsFile.open(golden);
        SafetensorsFile actual = SafetensorsFile.open(out);
        assertEquals(List.of("out.safetensors"), Run.names(folder));
        assertTrue(actual.tensors().containsKey("output"));
        double tolerance = switch (compute) {
            case "f64" -> REFERENCE;
            case "f32" -> 1e-4;
            default -> 0.5;
        };
        for (TensorInfo info : actual.tensors().values()) {
            assertEquals(dtype, info.dtype());
            assertEquals(expected.tensors().get(info.name()).shape(), info.shape());
            double[] wanted = values(expected, info.name());
            double[] given = values(actual, info.name());
            double deviation = Math.sqrt(Arrays.stream(wanted).map(x -> x * x).average().orElseThrow());
            for (int i = 0; i < given.length; i++) {
                assertEquals(wanted[i], given[i], tolerance * deviation, info.name() + " " + i);
            }
        }
    }

    private static double[] values(SafetensorsFile file, String name) throws IOException {
        TensorInfo info = file.tensors().get(name);
        double[] values = new double[(int) info.elements()];
        try (Arena arena = Arena.ofConfined()) {
            Numbers.decode(file.map(name, arena), info.dtype(), 0, values.length, values, 0);
        }
        return values;
    }

    @Test
    void aPlaceThatCannotBeWrittenIsFoundBeforeTheWork() {
        Path output = folder.resolve("missing/out.safetensors");
        Run run = Run.of("forward", Run.fixture("gpt2"), "--inputs", folder.resolve("nothing.safetensors"), "--output", output).ended(1);
        assertTrue(run.err().contains(output + " cannot be written: its folder does not exist"), run.err());
    }

    @Test
    void anOutputIsOnlyReplacedWhenAsked() throws IOException {
        Path out = Files.writeString(folder.resolve("out.safetensors"), "mine");
        Path golden = Run.fixture("gpt2").resolve("golden.safetensors");
        Run run = Run.of("forward", Run.fixture("gpt2"), "--inputs", golden, "--output", out).ended(1);
        assertTrue(run.err().contains("--overwrite"), run.err());
        assertEquals("mine", Files.readString(out));
        Run.of("forward", Run.fixture("gpt2"), "--inputs", golden, "--output", out, "--overwrite", "--json").ended(0).json();
        SafetensorsFile.open(out);
    }

    @Test
    void idsOfFourBytesAndTruthValuesAreTaken() throws IOException {
        Path in = write(ints("input_ids", Dtype.I32, 2, 3, 1, 2, 3, 4, 5, 6), ints("attention_mask", Dtype.BOOL, 2, 3, 1, 1, 1, 0, 1, 1));
        Run.of("forward", Run.fixture("gpt2"), "--inputs", in, "--output", folder.resolve("out.safetensors")).ended(0);
    }

    @Test
    void inputsThatDoNotFitAreOneLine() throws IOException {
        refused("gpt2", "has no input_ids", ints("ids", Dtype.I64, 1, 2, 1, 2));
        refused("gpt2", "must be I64 or I32", ints("input_ids", Dtype.F32, 1, 2, 1, 2));
        refused("gpt2", "token ids must be 0 to", ints("input_ids", Dtype.I64, 1, 2, 1, 1_000_000));
        refused("gpt2", "positions", ints("input_ids", Dtype.I64, 1, 5000, new long[5000]));
        refused("gpt2", "at least one value", ints("input_ids", Dtype.I64, 0, 2));
        refused("gpt2", "attention_mask must have the shape of input_ids",
                ints("input_ids", Dtype.I64, 1, 2, 1, 2), ints("attention_mask", Dtype.I64, 1, 3, 1, 1, 1));
        refused("gpt2", "a mask holds 0 and 1", ints("input_ids", Dtype.I64, 1, 2, 1, 2), ints("attention_mask", Dtype.I64, 1, 2, 1, 7));
        refused("bart", "has no decoder_input_ids", ints("input_ids", Dtype.I64, 1, 2, 1, 2));
        refused("bart", "a row for each", ints("input_ids", Dtype.I64, 2, 2, 1, 2, 1, 2), ints("decoder_input_ids", Dtype.I64, 1, 2, 1, 2));
        refused("vit", "has no pixel_values", ints("input_ids", Dtype.I64, 1, 2, 1, 2));
        refused("vit", "batch x 3 x", ints("pixel_values", Dtype.F32, 1, 2, 1, 2));
        refused("whisper", "has no input_features", ints("input_ids", Dtype.I64, 1, 2, 1, 2));
        refused("whisper", "must be batch x lines x frames", ints("input_features", Dtype.F32, 1, 2, 1, 2));
        refused("whisper", "with 16 lines", zeros("input_features", 1L, 15L, 60L));
        refused("whisper", "sounds of 16 lines and 60 frames, got 16 lines and 59", zeros("input_features", 1L, 16L, 59L), ints("decoder_input_ids", Dtype.I64, 1, 2, 1, 2));
        refused("wav2vec2", "must be batch x samples", zeros("input_values", 1L, 2L, 60L));
        refused("wav2vec2", "shorter than the convolutions", zeros("input_values", 1L, 13L));
        refused("speech_to_text", "must be batch x frames x lines", zeros("input_features", 1L, 20L));
        refused("speech_to_text", "which has 32; cut it", zeros("input_features", 1L, 124L, 20L), ints("decoder_input_ids", Dtype.I64, 1, 2, 1, 2));
        refused("speech_to_text", "read without attention_mask", zeros("input_features", 1L, 60L, 20L), ints("attention_mask", Dtype.I64, 1, 60, new long[60]));
    }

    private void refused(String fixture, String message, Input... inputs) throws IOException {
        Path out = folder.resolve("refused.safetensors");
        Run run = Run.of("forward", Run.fixture(fixture), "--inputs", write(inputs), "--output", out).ended(1);
        assertEquals(1, run.errors().size(), run.err());
        assertTrue(run.err().contains(message), run.err());
        assertEquals(List.of(), Run.names(folder).stream().filter(name -> name.contains("refused")).toList());
    }

    private record Input(TensorInfo info, long[] values) {}

    private static Input ints(String name, Dtype dtype, long rows, long columns, long... values) {
        return new Input(new TensorInfo(name, dtype, List.of(rows, columns)), values);
    }

    private static Input zeros(String name, Long... shape) {
        TensorInfo info = new TensorInfo(name, Dtype.F32, List.of(shape));
        return new Input(info, new long[(int) info.elements()]);
    }

    private Path write(Input... inputs) throws IOException {
        Path file = folder.resolve("in.safetensors");
        Files.deleteIfExists(file);
        List<TensorInfo> infos = Arrays.stream(inputs).map(Input::info).toList();
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, infos, Map.of())) {
            for (Input input : inputs) {
                byte[] bytes = new byte[(int) input.info().bytes()];
                int size = input.info().dtype().bytes();
                for (int i = 0; i < input.values().length; i++) {
                    for (int b = 0; b < size; b++) {
                        bytes[i * size + b] = (byte) (input.values()[i] >> 8 * b);
                    }
                }
                writer.write(input.info().name(), 0, MemorySegment.ofArray(bytes));
            }
        }
        return file;
    }
}
