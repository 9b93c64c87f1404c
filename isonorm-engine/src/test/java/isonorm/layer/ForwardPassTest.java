package isonorm.layer;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.checkpoint.CheckpointException;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

class ForwardPassTest {

    /** Batches of different lengths go through together and give what each gives alone. */
    @Test
    void batchesDoNotMeet() throws IOException {
        Model model = Fixture.named("llama").model();
        List<Batch> batches = List.of(random(1, 3, 160), random(3, 17, 160), random(2, 1, 160));
        try (ForwardPass pass = ForwardPass.streaming(model, Compute.F64)) {
            List<Result> together = pass.run(batches, Progress.NONE);
            for (int i = 0; i < batches.size(); i++) {
                try (Result one = together.get(i);
                        Result alone = pass.run(batches.get(i))) {
                    assertArrayEquals(alone.outputShape(), one.outputShape());
                    assertArrayEquals(alone.outputValues(), one.outputValues());
                }
            }
        }
    }

    @Test
    void progressCoversAllSteps() throws IOException {
        Model model = Fixture.named("gpt2").model();
        List<Long> steps = new ArrayList<>();
        try (ForwardPass pass = ForwardPass.streaming(model, Compute.F32)) {
            pass.run(List.of(random(1, 4, 160)), (_, done, total) -> {
                        steps.add(done);
                        assertEquals(model.architecture().blocks().size() + 2, total);
                    })
                    .forEach(Result::close);
        }
        assertEquals(List.of(1L, 2L, 3L, 4L, 5L), steps);
    }

    @Test
    void whatDoesNotFitIsRefused() throws IOException {
        try (ForwardPass words = ForwardPass.streaming(Fixture.named("gpt2").model(), Compute.F32);
                ForwardPass images = ForwardPass.streaming(Fixture.named("vit").model(), Compute.F32)) {
            refused("token ids must be 0 to 159, got 160", () -> words.run(Batch.Tokens.of(new long[] {1, 160})));
            refused("token ids must be 0 to 159, got -1", () -> words.run(Batch.Tokens.of(new long[] {-1})));
            refused("this model has 64 positions, got a row of 65 tokens", () -> words.run(random(1, 65, 160)));
            refused("this model reads tokens, got images", () -> words.run(new Batch.Images(new float[3], 1, 3, 1, 1)));
            refused("this model reads images, got tokens", () -> images.run(Batch.Tokens.of(new long[] {1})));
            refused("this model reads images of 3 x", () -> images.run(new Batch.Images(new float[3], 1, 3, 1, 1)));
        }
        refused("the rows of a batch must be equally long: row 1 of ids has 1 values where 2 are needed", () -> Batch.Tokens.of(new long[] {1, 2}, new long[] {1}));
        refused("a mask holds 0 and 1, got 2", () -> new Batch.Tokens(new long[][] {{1}}, Optional.of(new long[][] {{2}})));
        refused("a compute type is one of f64, f32, bf16, f16, got f8", () -> Compute.named("f8"));
    }

    @Test
    void aWeightThatDoesNotFitTheTypeIsNamed() throws IOException {
        Model model = Fixture.named("gpt2").model();
        Role norm = Role.of(Part.FINAL_NORM, Role.Field.GAIN);
        Map<Role, Matrix> weights = new LinkedHashMap<>(model.weights());
        weights.put(norm, Dense.constant(model.architecture().width(), 70_000));
        Model large = new Model(model.architecture(), weights);
        CheckpointException e = assertThrows(CheckpointException.class, () -> ForwardPass.resident(large, Compute.F16));
        assertEquals("final_norm.gain holds a value that does not fit f16; compute in f32 or f64", e.getMessage());
    }

    @Test
    void aClosedResultSaysSo() throws IOException {
        try (ForwardPass pass = ForwardPass.streaming(Fixture.named("gpt2").model(), Compute.F32)) {
            Result result = pass.run(random(1, 2, 160));
            result.close();
            result.close();
            assertThrows(IllegalStateException.class, result::outputValues);
        }
    }

    /**
     * A pass leaves nothing behind: not the outputs of 40 passes, 52 MB, nor what was computed in between. The heap grows under this test too,
     * and so does what the allocator keeps for each thread, but not every time.
     */
    @Test
    @EnabledOnOs(OS.LINUX)
    void residentMemoryStaysFlat() throws IOException {
        Model model = Fixture.named("llama").model();
        Batch batch = random(4, 256, 160);
        try (ForwardPass resident = ForwardPass.resident(model, Compute.F64);
                ForwardPass streaming = ForwardPass.streaming(model, Compute.F64)) {
            for (int i = 0; i < 60; i++) { // the heap and the allocator's own pools settle
                run(resident, batch);
                run(streaming, batch);
            }
            long[] grown = new long[5];
            for (int i = 0; i < grown.length; i++) {
                long before = residentKilobytes();
                for (int j = 0; j < 20; j++) {
                    run(resident, batch);
                    run(streaming, batch);
                }
                grown[i] = residentKilobytes() - before;
            }
            Arrays.sort(grown);
            assertTrue(grown[2] < 20_000, "resident memory grew by " + Arrays.toString(grown) + " kB, each in 40 passes");
        }
    }

    private static void run(ForwardPass pass, Batch batch) throws IOException {
        try (Result result = pass.run(batch)) {
            assertEquals(3, result.outputShape().length);
        }
    }

    private static long residentKilobytes() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith("VmRSS:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                .findFirst()
                .orElseThrow();
    }

    private static void refused(String message, org.junit.jupiter.api.function.Executable what) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, what);
        assertTrue(e.getMessage().startsWith(message), e.getMessage());
    }

    static Batch.Tokens random(int count, int length, int vocabulary) {
        SplittableRandom random = new SplittableRandom(length);
        long[][] ids = new long[count][length];
        for (long[] row : ids) {
            Arrays.setAll(row, _ -> random.nextInt(vocabulary));
        }
        return Batch.Tokens.of(ids);
    }
}
