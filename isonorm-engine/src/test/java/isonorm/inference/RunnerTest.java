package isonorm.inference;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.layer.Fixture;
import isonorm.tensor.Compute;
import java.io.IOException;
import org.junit.jupiter.api.Test;

class RunnerTest {

    @Test
    void modelsThatMemoryHasNoRoomForAreNotRunFused() {
        assertTrue(Runner.fused(1_000_000_000, Compute.F32, 8_000_000_000L));
        assertFalse(Runner.fused(1_000_000_001, Compute.F32, 8_000_000_000L));
        assertTrue(Runner.fused(2_000_000_000, Compute.BF16, 8_000_000_000L));
        assertFalse(Runner.fused(1, Compute.F64, 8_000_000_000L));
    }

    @Test
    void float64IsForTheLayers() throws IOException {
        try (Runner exact = Runner.of(Fixture.named("gpt2").model(), Compute.F64);
                Runner fast = Runner.of(Fixture.named("gpt2").model(), Compute.F32)) {
            assertInstanceOf(Runner.Layers.class, exact);
            assertInstanceOf(Runner.Fused.class, fast);
        }
    }
}
