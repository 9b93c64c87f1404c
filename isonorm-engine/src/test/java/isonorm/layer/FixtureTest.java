package isonorm.layer;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.checkpoint.CheckpointException;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every fixture gives what the reference implementation gives. */
class FixtureTest {

    /** How many models must have been compared for this test to mean anything. */
    private static final int FEWEST = 23;

    /** Asks for a residual behind the norm, which has no place in an architecture; opening it must say so. */
    private static final Set<String> REFUSED = Set.of("bloom-postln-residual");

    static List<Fixture> supported() throws IOException {
        return Fixture.all().stream().filter(fixture -> !REFUSED.contains(fixture.name())).toList();
    }

    @Test
    void enoughFixturesAreCompared() throws IOException {
        assertTrue(supported().size() >= FEWEST, supported().size() + " fixtures were found, " + FEWEST + " are needed");
    }

    @Test
    void refusedFixturesAreRefused() {
        for (String name : REFUSED) {
            assertThrows(CheckpointException.class, () -> Fixture.named(name).model());
        }
    }

    @ParameterizedTest
    @MethodSource("supported")
    void outputIsTheReferences(Fixture fixture) throws IOException {
        Model model = fixture.model();
        Batch batch = fixture.batch();
        Optional<Routes> routes = Routes.reference(model, batch);
        for (Compute compute : Compute.values()) {
            try (ForwardPass pass = ForwardPass.streaming(model, compute);
                    Result result = pass.run(batch)) {
                requireWithin(fixture.name() + " in " + compute.label(), Tolerance.original(compute),
                        Routes.worst(routes, pass, compute, fixture.output(), result.outputValues(), batch));
                assertEquals(fixture.encoder().isPresent(), result.companion().isPresent());
                if (fixture.encoder().isPresent() && batch instanceof Batch.Both both) {
                    requireWithin(fixture.name() + "'s encoder in " + compute.label(), Tolerance.original(compute),
                            Fixture.worst(fixture.encoder().get(), result.companion().orElseThrow().outputValues(), both.companion()));
                }
                assertEquals(fixture.pooled().isPresent(), result.pooledValues().isPresent());
                if (fixture.pooled().isPresent()) {
                    requireWithin(fixture.name() + ", pooled, in " + compute.label(), Tolerance.original(compute),
                            Fixture.worst(fixture.pooled().get(), result.pooledValues().orElseThrow()));
                }
            }
        }
    }

    /** Where the weights are must not change a bit of the result. */
    @ParameterizedTest
    @MethodSource("supported")
    void residentAndStreamingAgree(Fixture fixture) throws IOException {
        Model model = fixture.model();
        Batch batch = fixture.batch();
        try (ForwardPass streaming = ForwardPass.streaming(model, Compute.F32);
                ForwardPass resident = ForwardPass.resident(model, Compute.F32);
                Result a = streaming.run(batch);
                Result b = resident.run(batch)) {
            assertArrayEquals(a.outputValues(), b.outputValues());
        }
    }

    private static void requireWithin(String what, double tolerance, double worst) {
        assertTrue(worst <= tolerance, what + ": the worst element is " + worst + " of the deviation away, allowed are " + tolerance);
    }
}
