package isonorm.onnx.measure;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.layer.Fixture;
import isonorm.measure.NormTimes;
import isonorm.measure.Variant;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.onnx.Here;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

class RuntimeEngineTest {

    /** Also that the three are one function there, or nothing is measured. */
    @Test
    void allVariantsOfTextsAndImagesAreTimed() throws IOException {
        NormTimes times = new NormTimes(new RuntimeEngine(Here.runtime()), 1, 2, Duration.ZERO, 6);
        for (String fixture : List.of("gpt2", "vit")) {
            List<NormTimes.Time> made = times.of(fixture, Fixture.named(fixture).model().architecture(), Compute.F32, List.of(1, 2), Progress.NONE);
            assertEquals(2 * Variant.values().length, made.size());
            assertTrue(made.stream().allMatch(time -> time.milliseconds().median() > 0));
        }
    }

    @Test
    void otherTypesAreRefused() {
        NormTimes times = new NormTimes(new RuntimeEngine(Here.runtime()), 1, 1, Duration.ZERO, 6);
        assertEquals("ONNX Runtime is timed in f32, got bf16", assertThrows(IllegalArgumentException.class,
                () -> times.of("gpt2", Fixture.named("gpt2").model().architecture(), Compute.BF16, List.of(1), Progress.NONE)).getMessage());
    }
}
