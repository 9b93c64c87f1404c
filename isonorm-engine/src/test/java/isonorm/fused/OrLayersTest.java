package isonorm.fused;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.layer.Fixture;
import isonorm.layer.ForwardPass;
import isonorm.layer.Runner;
import isonorm.model.Compute;
import java.io.IOException;
import org.junit.jupiter.api.Test;

class OrLayersTest {

    @Test
    void modelsThatMemoryHasNoRoomForAreNotRunFused() {
        assertTrue(FusedModel.fits(1_000_000_000, Compute.F32, 8_000_000_000L));
        assertFalse(FusedModel.fits(1_000_000_001, Compute.F32, 8_000_000_000L));
        assertTrue(FusedModel.fits(2_000_000_000, Compute.BF16, 8_000_000_000L));
        assertFalse(FusedModel.fits(1, Compute.F64, 8_000_000_000L));
    }

    @Test
    void float64IsForTheLayers() throws IOException {
        try (Runner exact = FusedModel.orLayers(Fixture.named("gpt2").model(), Compute.F64);
                Runner fast = FusedModel.orLayers(Fixture.named("gpt2").model(), Compute.F32)) {
            assertInstanceOf(ForwardPass.class, exact);
            assertInstanceOf(FusedModel.class, fast);
        }
    }
}
