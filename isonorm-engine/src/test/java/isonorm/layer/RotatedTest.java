package isonorm.layer;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Architecture;
import isonorm.architecture.Output;
import isonorm.architecture.Stream;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.convert.SampleBases;
import isonorm.fused.FusedModel;
import isonorm.measure.StreamBasis;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.rewrite.Rewrite;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Basis;
import isonorm.weights.Model;
import isonorm.weights.Rotation;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
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

    private static final Conversion.Rotation PRINCIPAL = new Conversion.Rotation("principal", 0, OptionalInt.empty());

    record Case(Fixture fixture, Conversion.Rotation rotation) {
        @Override
        public String toString() {
            return fixture.name() + ", " + rotation.kind() + (rotation.width().isPresent() ? " to " + rotation.width().getAsInt() : "")
                    + (rotation.pad().isPresent() ? " in " + rotation.pad().getAsInt() : "") + (rotation.heads() ? ", heads" : "");
        }

        Conversion conversion() throws IOException {
            return Conversion.rotated(LoadedModel.open(fixture.folder()), rotation);
        }
    }

    static List<Case> cases() throws IOException {
        List<Case> cases = new ArrayList<>();
        for (Fixture fixture : FixtureTest.supported()) {
            LoadedModel model = LoadedModel.open(fixture.folder());
            int d = model.model().width();
            OptionalInt same = OptionalInt.empty();
            List<Conversion.Rotation> some = new ArrayList<>(List.of(new Conversion.Rotation("random", 1, OptionalInt.of(d - 1), same, false),
                    new Conversion.Rotation("hadamard", 2, same, same, true), new Conversion.Rotation("random", 3, same, OptionalInt.of(d + 5), true),
                    new Conversion.Rotation("random", 4, OptionalInt.of(d - 1), OptionalInt.of(d), true), new Conversion.Rotation("hadamard", 5, same, same, false)));
            Collections.rotate(some, -(cases.size() % 5));
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
        assertTrue(cases.stream().filter(one -> one.rotation().pad().isPresent()).count() >= 20);
        assertTrue(cases.stream().filter(one -> one.rotation().heads()).count() >= 40);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void isTheSameFunction(Case one) throws IOException {
        LoadedModel source = LoadedModel.open(one.fixture().folder());
        Model rotated = Model.of(one.conversion().result());
        assertEquals(Stream.FREE, rotated.architecture().stream());
        assertEquals(one.rotation().pad().orElse(one.rotation().width().orElse(source.model().width())), rotated.width());
        Comparison comparison = Verification.of(source.model(), rotated)
                .withInputs(List.of(one.fixture().batch()))
                .compute(Compute.F64, Compute.F64)
                .run(Progress.NONE);
        assertTrue(comparison.within(Tolerance.SAME_FUNCTION_F64), comparison.toString());
    }

    /** Turned and turned back the source's function is there again, and a slice is another. */
    @Test
    void aRotationAndItsInverseChangeNothing() throws IOException {
        for (String name : List.of("gpt2", "llama")) {
            Fixture fixture = FixtureTest.supported().stream().filter(each -> each.name().equals(name)).findFirst().orElseThrow();
            LoadedModel source = LoadedModel.open(fixture.folder());
            int d = source.model().width();
            Basis basis = Basis.of(new Rotation(Rotation.Kind.RANDOM, 9, OptionalInt.empty()), d, false);
            basis.prepare();
            double[] identity = new double[d * d];
            for (int i = 0; i < d; i++) {
                identity[i * (d + 1)] = 1;
            }
            double[] rows = new double[d * d];
            basis.rows(identity, d, rows);
            Model turned = Model.of(Conversion.rotated(source, new Conversion.Rotation("random", 9, OptionalInt.empty())).result());
            Model back = new Rewrite.Rotate(new Rotation(Rotation.Kind.PRINCIPAL, 0, OptionalInt.of(d)), List.of(Basis.given(d, rows))).apply(turned);
            assertTrue(compared(source, back, fixture).within(Tolerance.SAME_FUNCTION_F64));
            Model twice = new Rewrite.Rotate(new Rotation(Rotation.Kind.RANDOM, 9, OptionalInt.empty()), List.of()).apply(turned);
            assertTrue(compared(source, twice, fixture).within(Tolerance.SAME_FUNCTION_F64)); // a rotated model is one that can be rotated

            double[] cut = Arrays.copyOf(rows, (d - 8) * d);
            Conversion slice = Conversion.rotated(source, PRINCIPAL, cut);
            assertEquals(d - 8, slice.result().width());
            assertTrue(compared(source, Model.of(slice.result()), fixture).largestError() > .1, "a part that is cut off is missed");
        }
    }

    /** Of as many values as there are, each sub-layer in a basis of its own is the same function, layer by layer, fused, and in a file; a slice is another. */
    @Test
    void aBasisForEachSubLayerChangesNothingButWhatIsCutOff(@TempDir Path folder) throws IOException {
        for (String name : List.of("gpt2", "gptj", "llama", "vit", "falcon-new", "ast")) {
            Fixture fixture = Fixture.named(name);
            LoadedModel source = LoadedModel.open(fixture.folder());
            int d = source.model().width();
            List<double[]> bases = SampleBases.of(source);
            Conversion.Rotation asked = new Conversion.Rotation("principal", 0, OptionalInt.empty(), OptionalInt.of(d + 3), false);
            Conversion conversion = Conversion.rotated(source, asked, bases);
            assertTrue(compared(source, Model.of(conversion.result()), fixture).within(Tolerance.SAME_FUNCTION_F64), name);
            Path out = folder.resolve(name);
            conversion.inType(Dtype.F32).verifiedBy(Verification.verifier()).writeTo(out);
            LoadedModel written = LoadedModel.open(out);
            Architecture architecture = Model.of(written.model()).architecture();
            assertTrue(architecture.bases().skips() && architecture.width() == d + 3, name);
            assertEquals("per-block", written.config().object("rotation").textOr("", "basis"));
            try (Runner fused = FusedModel.orLayers(Model.of(written.model()), Compute.F32); Result result = fused.run(fixture.batch())) {
                double worst = Fixture.worst(fixture.output(), result.outputValues(), fixture.batch());
                assertTrue(worst <= Tolerance.CONVERTED_F32, name + " fused is " + worst + " away");
            }
            if (bases.getFirst().length < d * d) {
                List<double[]> cut = bases.stream().map(each -> Arrays.copyOf(each, (d - 9) * d)).toList();
                assertTrue(compared(source, Model.of(Conversion.rotated(source, PRINCIPAL, cut).result()), fixture).largestError() > .05, name);
            }
        }
    }

    /** With blocks left out the stream passes them from basis to basis: what the model gives without them is what the source gives. */
    @Test
    void blocksThatAreLeftOutAreStillPassed() throws IOException {
        Fixture fixture = Fixture.named("gpt2");
        LoadedModel source = LoadedModel.open(fixture.folder());
        Model turned = Model.of(Conversion.rotated(source, PRINCIPAL, SampleBases.of(source)).result());
        for (int left : new int[] {0, source.model().depth() - 1}) {
            try (ForwardPass plain = ForwardPass.resident(Model.of(source.model()), Compute.F64); ForwardPass passed = ForwardPass.resident(turned, Compute.F64);
                    FusedModel fused = FusedModel.load(turned, Compute.F32, 1);
                    Result expected = plain.run(fixture.batch(), l -> l != left); Result result = passed.run(fixture.batch(), l -> l != left);
                    Result fast = fused.run(fixture.batch(), l -> l != left)) {
                assertTrue(Fixture.worst(expected.outputValues(), result.outputValues(), fixture.batch()) <= Tolerance.SAME_FUNCTION_F64);
                assertTrue(Fixture.worst(expected.outputValues(), fast.outputValues(), fixture.batch()) <= Tolerance.CONVERTED_F32);
            }
        }
    }

    private static StreamBasis.Inputs windows(long[] ids, int first, int end) {
        return StreamBasis.Inputs.of(TokenizedText.of(16, ids), first, end);
    }

    private static Comparison compared(LoadedModel source, Model other, Fixture fixture) throws IOException {
        return Verification.of(source.model(), other).withInputs(List.of(fixture.batch())).compute(Compute.F64, Compute.F64).run(Progress.NONE);
    }

    /** A slice is verified against itself before it is rounded, and cannot be made again. */
    @Test
    void aSliceIsVerifiedAndSaysThatItIsAnotherFunction(@TempDir Path folder) throws IOException {
        Fixture fixture = FixtureTest.supported().stream().filter(each -> each.name().equals("gpt2")).findFirst().orElseThrow();
        LoadedModel source = LoadedModel.open(fixture.folder());
        double[] columns = StreamBasis.of(source.model(), windows(new SplittableRandom(4).longs(128, 0, 150).toArray(), 0, 8), 40, Progress.NONE);
        double[] kept = StreamBasis.kept(source.model(), windows(new SplittableRandom(5).longs(128, 0, 150).toArray(), 4, 8), columns, Progress.NONE);
        assertArrayEquals(columns, StreamBasis.of(source.model(), windows(new SplittableRandom(4).longs(128, 0, 150).toArray(), 0, 8), 40, Progress.NONE));
        assertEquals(source.model().depth() + 1, kept.length);
        assertTrue(Arrays.stream(kept).allMatch(part -> part > .8 && part < 1), Arrays.toString(kept));
        Conversion.Report report = Conversion.rotated(source, PRINCIPAL, columns).verifiedBy(Verification.verifier()).writeTo(folder.resolve("out"));
        assertTrue(report.slice() && report.verification().isPresent());
        assertTrue(report.notes().stream().anyMatch(note -> note.startsWith("It is another function: of 48 values of the stream the 40")), report.notes().toString());
        assertTrue(Conversion.again(source, LoadedModel.open(folder.resolve("out")), Progress.NONE).isEmpty());
        // What the principal components of d - 1 values leave is all there is.
        double[] whole = StreamBasis.of(source.model(), windows(new SplittableRandom(4).longs(32, 0, 150).toArray(), 0, 2), 47, Progress.NONE);
        assertTrue(compared(source, Model.of(Conversion.rotated(source, PRINCIPAL, whole).result()), fixture).within(Tolerance.SAME_FUNCTION_F64));
        IOException foreign = assertThrows(IOException.class, () -> StreamBasis.of(source.model(), StreamBasis.Inputs.of(TokenizedText.of(2, 5, 4000), 0, 1), 40, Progress.NONE));
        assertTrue(foreign.getMessage().startsWith("the data has token 4000, and the model's vocabulary has"), foreign.getMessage());
    }

    /** What is measured of a model as if it were rotated is what is measured of the rotated one, and a compressed stream counts with the value that it implies. */
    @Test
    void theShapeOfARotatedStreamIsThatOfTheRotatedModel() throws IOException {
        Fixture fixture = FixtureTest.supported().stream().filter(each -> each.name().equals("gpt2")).findFirst().orElseThrow();
        LoadedModel source = LoadedModel.open(fixture.folder());
        StreamBasis.Inputs inputs = windows(new SplittableRandom(4).longs(128, 0, 150).toArray(), 0, 8);
        List<StreamBasis.Shape> plain = StreamBasis.shapes(source.model(), inputs, Progress.NONE);
        List<StreamBasis.Shape> rotated = StreamBasis.shapes(Conversion.rotated(source, new Conversion.Rotation("hadamard", 0, OptionalInt.empty())).result(), inputs, Progress.NONE);
        List<StreamBasis.Shape> compressed = StreamBasis.shapes(Conversion.of(source, Form.PRE_CRMSNORM).result(), inputs, Progress.NONE);
        assertEquals(source.model().depth() + 1, plain.size());
        for (int l = 0; l < plain.size(); l++) {
            assertEquals(plain.get(l).effectiveRank(), rotated.get(l).effectiveRank(), 1e-3);
            assertEquals(plain.get(l).rotatedKurtosis(), rotated.get(l).kurtosis(), 1e-3);
            assertEquals(plain.get(l).rotatedLargest(), rotated.get(l).largest(), 1e-3);
            assertEquals(plain.get(l).effectiveRank(), compressed.get(l).effectiveRank(), 1e-3);
            assertEquals(plain.get(l).kurtosis(), compressed.get(l).kurtosis(), 1e-3);
            assertEquals(plain.get(l).largest(), compressed.get(l).largest(), 1e-3);
        }
    }

    /** The file itself, against the reference's outputs: rounded once to float32. */
    @ParameterizedTest
    @MethodSource("written")
    void writtenInFloat32ItGivesTheReferencesOutput(Case one, @TempDir Path temporary) throws IOException {
        Path folder = temporary.resolve("out");
        one.conversion().inType(Dtype.F32).writeTo(folder, Progress.NONE);
        Batch batch = one.fixture().batch();
        try (ForwardPass pass = ForwardPass.resident(Model.of(LoadedModel.open(folder).model()), Compute.F64); Result result = pass.run(batch)) {
            // What is the stream itself has lost its mean, and what is pooled of it has not.
            boolean bareStream = Model.of(LoadedModel.open(folder).model()).architecture().output() instanceof Output.Hidden hidden && hidden.pooler().bareStream();
            double worst = bareStream ? Fixture.worst(one.fixture().pooled().orElseThrow(), result.pooledValues().orElseThrow())
                    : Fixture.worst(one.fixture().output(), result.outputValues(), batch);
            assertTrue(worst <= Tolerance.CONVERTED_F64, one + " is " + worst + " away");
        }
    }
}
