package isonorm.layer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Stream;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.LoadedModel;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A model and itself in a rotated stream are one function, as {@link ConvertedTest} has it of forms. */
class RotatedTest {

    record Case(Fixture fixture, Conversion.Rotation rotation) {
        @Override
        public String toString() {
            return fixture.name() + ", " + rotation.kind() + (rotation.width().isPresent() ? " to " + rotation.width().getAsInt() : "");
        }

        Conversion conversion() throws IOException {
            return Conversion.rotated(LoadedModel.open(fixture.folder()), rotation);
        }
    }

    static List<Case> cases() throws IOException {
        List<Case> cases = new ArrayList<>();
        for (Fixture fixture : FixtureTest.supported()) {
            LoadedModel model = LoadedModel.open(fixture.folder());
            List<Conversion.Rotation> some = new ArrayList<>(List.of(new Conversion.Rotation("random", 1, OptionalInt.of(model.model().width() - 1)),
                    new Conversion.Rotation("hadamard", 2, OptionalInt.empty()), new Conversion.Rotation("random", 3, OptionalInt.empty())));
            Collections.rotate(some, -(cases.size() % 3));
            some.stream().filter(rotation -> Conversion.refusals(model, rotation).isEmpty()).findFirst().ifPresent(rotation -> cases.add(new Case(fixture, rotation)));
        }
        return cases;
    }

    /** Some of them, or all with {@code -Disonorm.all=true}. */
    static List<Case> written() throws IOException {
        SplittableRandom random = new SplittableRandom(5);
        return cases().stream().filter(_ -> Boolean.getBoolean("isonorm.all") || random.nextInt(8) == 0).toList();
    }

    @Test
    void mostModelsAreThere() throws IOException {
        List<Case> cases = cases();
        assertTrue(cases.size() >= 100, () -> "only " + cases.size() + " models were compared");
        assertTrue(cases.stream().filter(one -> one.rotation().width().isPresent()).count() >= 20);
        assertTrue(cases.stream().filter(one -> one.rotation().kind().equals("hadamard")).count() >= 40);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void isTheSameFunction(Case one) throws IOException {
        LoadedModel source = LoadedModel.open(one.fixture().folder());
        Model rotated = Model.of(one.conversion().result());
        assertEquals(Stream.FREE, rotated.architecture().stream());
        assertEquals(one.rotation().width().orElse(source.model().width()), rotated.width());
        Comparison comparison = Verification.of(source.model(), rotated)
                .withInputs(List.of(one.fixture().batch()))
                .compute(Compute.F64, Compute.F64)
                .run(Progress.NONE);
        assertTrue(comparison.within(Tolerance.SAME_FUNCTION_F64), comparison.toString());
    }

    /** The file itself, against the reference's outputs: rounded once to float32. */
    @ParameterizedTest
    @MethodSource("written")
    void writtenInFloat32ItGivesTheReferencesOutput(Case one, @TempDir Path temporary) throws IOException {
        Path folder = temporary.resolve("out");
        one.conversion().inType(Dtype.F32).writeTo(folder, Progress.NONE);
        Batch batch = one.fixture().batch();
        try (ForwardPass pass = ForwardPass.resident(Model.of(LoadedModel.open(folder).model()), Compute.F64); Result result = pass.run(batch)) {
            double worst = Fixture.worst(one.fixture().output(), result.outputValues(), batch);
            assertTrue(worst <= Tolerance.CONVERTED_F64, one + " is " + worst + " away");
        }
    }
}
