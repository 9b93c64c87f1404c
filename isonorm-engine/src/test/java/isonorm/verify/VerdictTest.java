package isonorm.verify;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Conversion.Deviation;
import isonorm.convert.Conversion.Remade;
import isonorm.convert.Evidence;
import isonorm.convert.Evidence.Limits;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.family.Families;
import isonorm.layer.Fixture;
import isonorm.layer.Tolerance;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.rewrite.ModelWriter;
import isonorm.rewrite.Rewrite;
import isonorm.verify.Verification.Judgement;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Numbers;
import isonorm.weights.Source;
import isonorm.weights.Stored;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is called equal is, and what is broken is not, in types of 16 bits. {@code -Disonorm.all=true} runs every case there is. */
class VerdictTest {

    private static final boolean ALL = Boolean.getBoolean("isonorm.all");
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    private Path folder;

    private static Judgement verdict(LoadedModel a, Path b) throws IOException {
        return Verification.judge(a, LoadedModel.open(b), Compute.F64, Optional.empty(), OptionalDouble.empty(), Progress.NONE);
    }

    private Path convert(LoadedModel source, Form form, Dtype dtype, String name) throws IOException {
        Path out = folder.resolve(name);
        Conversion.of(source, form).inType(dtype).writeTo(out);
        return out;
    }

    // True conversions

    /** A source, the type it is stored in, a form and the type that is written. */
    record True(Path source, Dtype stored, Form form, Dtype dtype) {}

    static List<True> trueConversions() throws IOException {
        List<Path> sources = new ArrayList<>(Fixture.all().stream().map(Fixture::folder).toList());
        Path example = Path.of("..", "examples", "shakespeare-gpt2");
        sources.add(example);
        SplittableRandom random = new SplittableRandom(17);
        List<True> all = new ArrayList<>();
        for (Path source : sources) {
            LoadedModel model;
            try {
                model = LoadedModel.open(source);
            } catch (CheckpointException e) {
                continue; // A fixture of what is refused.
            }
            for (Form form : Form.values()) {
                for (Dtype dtype : List.of(Dtype.BF16, Dtype.F16)) {
                    for (Dtype stored : List.of(Model.of(model.model()).coarsest(), Dtype.BF16, Dtype.F16)) {
                        if (Conversion.refusals(model, form).isEmpty() && (ALL || random.nextInt(source.equals(example) ? 6 : 120) == 0)) {
                            all.add(new True(source, stored, form, dtype));
                        }
                    }
                }
            }
        }
        return all;
    }

    @ParameterizedTest
    @MethodSource("trueConversions")
    void noTrueConversionIsRefused(True conversion) throws IOException {
        LoadedModel source = inType(LoadedModel.open(conversion.source), conversion.stored);
        Path out = folder.resolve("out");
        Conversion.of(source, conversion.form).inType(conversion.dtype).verifiedBy(Verification.verifier()).writeTo(out);
        Judgement verdict = verdict(source, out);
        assertTrue(verdict.equal(), verdict.toString());
        assertTrue(verdict.remade().orElseThrow().exact(), verdict.toString());
    }

    /** The same model in files of another type. */
    private LoadedModel inType(LoadedModel model, Dtype dtype) throws IOException {
        if (Model.of(model.model()).coarsest() == dtype) {
            return model;
        }
        Path out = Files.createDirectory(folder.resolve("plain-" + dtype));
        ModelWriter.write(out, Model.of(model.model()), model.config(), Families.describe(model.config(), model.checkpoint().names()).naming(), dtype);
        return LoadedModel.open(out);
    }

    static List<Path> preLnSources() throws IOException {
        List<Path> all = new ArrayList<>();
        for (Fixture fixture : Fixture.all()) {
            try {
                if (Conversion.refusals(LoadedModel.open(fixture.folder()), Form.PRE_RMSNORM).isEmpty()) {
                    all.add(fixture.folder());
                }
            } catch (CheckpointException e) {
                continue; // A fixture of what is refused.
            }
        }
        return all.stream().filter(path -> ALL || Set.of("gpt2", "mpt", "bloom").contains(path.getFileName().toString())).toList();
    }

    /** What rounding a file has done to what is equal in it, a mean of zero or a bias that a norm's gives, is taken back before it goes on. */
    @ParameterizedTest
    @MethodSource("preLnSources")
    void filesOfSixteenBitsGoOnAndBack(Path path) throws IOException {
        LoadedModel source = LoadedModel.open(path);
        for (Dtype dtype : ALL ? List.of(Dtype.BF16, Dtype.F16) : List.of(Dtype.BF16)) {
            LoadedModel centred = LoadedModel.open(convert(source, Form.PRE_RMSNORM, dtype, "centred-" + dtype));
            LoadedModel compressed = LoadedModel.open(convert(source, Form.PRE_CRMSNORM, dtype, "compressed-" + dtype));
            for (Form form : List.of(Form.PRE_LN, Form.PRE_CRMSNORM)) {
                for (Dtype written : List.of(dtype, Dtype.F32)) {
                    Evidence evidence = goesOn(centred, form, written);
                    Comparison file = evidence.comparisons().stream().filter(row -> row.model() == Evidence.Subject.SOURCE).findFirst().orElseThrow().comparison();
                    assertTrue(file.rootMeanSquareError() > 0 && file.rootMeanSquareError() < .05, file.toString());
                }
            }
            assertTrue(goesOn(compressed, Form.PRE_RMSNORM, dtype).comparisons().stream().noneMatch(row -> row.model() == Evidence.Subject.SOURCE));
            goesOn(compressed, Form.PRE_LN, dtype);
            goesOn(compressed, Form.PRE_LN, Dtype.F32);
            Judgement verdict = verdict(compressed, folder.resolve("on"));
            assertTrue(verdict.equal() && verdict.remade().orElseThrow().exact(), verdict.toString());
        }
    }

    private Evidence goesOn(LoadedModel source, Form form, Dtype dtype) throws IOException {
        Path out = folder.resolve("on");
        Conversion.Report report = Conversion.of(source, form).inType(dtype).overwriting().verifiedBy(Verification.verifier()).writeTo(out);
        Remade remade = Conversion.again(source, LoadedModel.open(out), Progress.NONE).orElseThrow();
        assertTrue(remade.exact(), remade.toString());
        return report.verification().orElseThrow();
    }

    @ParameterizedTest
    @ValueSource(strings = {"BF16", "F16"})
    void whatAnotherToolRoundedIsOneRoundingAway(Dtype dtype) throws IOException {
        LoadedModel source = LoadedModel.open(Fixture.named("gpt2").folder());
        Path rounded = inType(source, dtype).checkpoint().folder();
        Judgement verdict = verdict(source, rounded);
        assertTrue(verdict.equal() && verdict.remade().isEmpty(), verdict.toString());
        assertEquals(1, verdict.evidence().timesRounding(), 1e-2);
        Judgement swapped = verdict(LoadedModel.open(rounded), source.checkpoint().folder());
        assertTrue(swapped.equal(), swapped.toString());
    }

    /** Against a copy of the source that was rounded, no tensor is what it should be and the outputs alone decide: they are two roundings away. */
    @Test
    void aCopyOfTheSourceInAnotherTypeIsNotTheSource() throws IOException {
        LoadedModel source = LoadedModel.open(Fixture.named("gpt2").folder());
        Path out = convert(source, Form.PRE_RMSNORM, Dtype.BF16, "out");
        Judgement verdict = verdict(inType(source, Dtype.BF16), out);
        assertFalse(verdict.remade().orElseThrow().source(), verdict.toString());
        assertTrue(verdict.equal() && verdict.evidence().timesRounding() > .5, verdict.toString());
    }

    @ParameterizedTest
    @ValueSource(strings = {"F32", "BF16", "F16"})
    void everyTypeThatIsComputedInHasRoomForItsOwnRounding(Compute compute) throws IOException {
        LoadedModel source = LoadedModel.open(Fixture.named("gpt2").folder());
        for (Dtype dtype : List.of(Dtype.F32, Dtype.BF16)) {
            Path out = convert(source, Form.PRE_CRMSNORM, dtype, "out-" + dtype);
            Judgement verdict = Verification.judge(source, LoadedModel.open(out), compute, Optional.empty(), OptionalDouble.empty(), Progress.NONE);
            assertTrue(verdict.equal(), verdict.toString());
        }
    }

    // Faults

    /** What can be wrong with a tensor. */
    enum Fault {
        ZEROED,
        NEGATED,
        SCALED,
        ROWS_SWAPPED,
        OF_ANOTHER_SEED,
        A_STEP_FORGOTTEN
    }

    @ParameterizedTest
    @CsvSource({"gpt2, PRE_RMSNORM, BF16", "gpt2, CENTRED, F16", "bloom, PRE_RMSNORM, F16", "bloom, PRE_CRMSNORM, BF16", "bert, RMSNORM, BF16",
        "gpt2, PRE_CRMSNORM, F16"})
    void everyFaultIsFoundAndNamed(String family, Form form, Dtype dtype) throws IOException {
        LoadedModel source = LoadedModel.open(Fixture.named(family).folder());
        Path out = convert(source, form, dtype, "out");
        Path file = out.resolve("model.safetensors");
        LoadedModel written = LoadedModel.open(out);
        byte[] whole = Files.readAllBytes(file);
        SplittableRandom random = new SplittableRandom(17);
        List<String> what = new ArrayList<>();
        OwnRounding rounding = OwnRounding.of(Model.of(source.model()), Model.of(written.model())).orElseThrow();
        Verification outputs = Verification.of(Model.of(source.model()), rounding.draws().getFirst());
        for (Role role : kinds(Model.of(written.model()))) {
            for (Fault fault : Fault.values()) {
                Stored stored = (Stored) Model.of(written.model()).weight(role);
                Optional<double[]> values = values(fault, role, source, form, written, random);
                boolean run = ALL || random.nextInt(8) == 0;
                if (!run && random.nextInt(3) > 0 || values.isEmpty() || !patch(file, stored, values.get())) {
                    continue;
                }
                String name = role + " " + fault;
                Remade remade = Conversion.again(source, LoadedModel.open(out), Progress.NONE).orElseThrow();
                List<String> named = remade.deviations().stream().map(Deviation::tensor).toList();
                assertTrue(!named.isEmpty() && stored.source().tensors().containsAll(named), name + ": " + named);
                if (run) {
                    what.add(name);
                    outputs = outputs.and(with(Model.of(written.model()), role, values.get()), Compute.F32);
                }
                Files.write(file, whole);
            }
        }
        List<Comparison> comparisons = outputs.runAll(Progress.NONE);
        Limits limits = Tolerance.rounded(comparisons.getFirst(), Model.of(source.model()), Model.of(written.model()));
        int found = 0;
        for (int i = 0; i < what.size(); i++) {
            Comparison comparison = comparisons.get(i + 1);
            if (comparison.rootMeanSquareError() > 3 * comparisons.getFirst().rootMeanSquareError()) {
                found += limits.allow(comparison) ? 0 : 1;
                assertTrue(form == Form.PRE_CRMSNORM || !limits.allow(comparison), what.get(i) + ": " + comparison);
            }
        }
        assertTrue(found > 2, "found " + found + " of " + what);
    }

    private static Model with(Model model, Role role, double[] values) {
        Map<Role, Matrix> weights = new LinkedHashMap<>(model.weights());
        weights.put(role, Dense.of(model.weight(role).rows(), model.weight(role).columns(), values));
        return new Model(model.architecture(), weights);
    }

    /** One role of each kind, of the second block where there are blocks. */
    private static Set<Role> kinds(Model model) {
        Set<Role> kinds = new LinkedHashSet<>();
        for (Parameter parameter : model.architecture().parameters()) {
            if (parameter.role().block() < 0 || parameter.role().block() == 1) {
                kinds.add(parameter.role());
            }
        }
        return kinds;
    }

    private static Optional<double[]> values(Fault fault, Role role, LoadedModel source, Form form, LoadedModel written, SplittableRandom random)
            throws IOException {
        double[] values = all(Model.of(written.model()).weight(role));
        int columns = Model.of(written.model()).weight(role).columns();
        switch (fault) {
            case ZEROED -> Arrays.fill(values, 0);
            case NEGATED -> Arrays.setAll(values, i -> -values[i]);
            case SCALED -> Arrays.setAll(values, i -> 1.05 * values[i]);
            case ROWS_SWAPPED -> {
                int count = Model.of(written.model()).weight(role).rows() == 1 ? 1 : columns;
                int last = values.length - count;
                for (int i = 0; i < count; i++) {
                    double first = values[i];
                    values[i] = values[last + i];
                    values[last + i] = first;
                }
            }
            case OF_ANOTHER_SEED -> {
                double size = Math.sqrt(Arrays.stream(values).map(value -> value * value).sum() / values.length);
                Arrays.setAll(values, _ -> size * random.nextGaussian());
            }
            case A_STEP_FORGOTTEN -> {
                List<Rewrite> steps = steps(form);
                for (int without = 0; without < steps.size(); without++) {
                    try {
                        List<Rewrite> fewer = new ArrayList<>(steps);
                        fewer.remove(without);
                        Matrix other = Rewrite.all(Model.of(source.model()), fewer).weights().get(role);
                        if (other != null && other.rows() * other.columns() == values.length && !near(all(other), values)) {
                            return Optional.of(all(other));
                        }
                    } catch (IllegalArgumentException e) {
                        continue; // What is left does not fit together.
                    }
                }
                return Optional.empty();
            }
        }
        return Optional.of(values);
    }

    private static List<Rewrite> steps(Form form) {
        return switch (form) {
            case CENTRED -> List.of(new Rewrite.Centre(true));
            case PRE_RMSNORM -> List.of(new Rewrite.Centre(false), new Rewrite.ToRmsNorm(), new Rewrite.Fold());
            case PRE_CRMSNORM -> List.of(new Rewrite.Centre(false), new Rewrite.ToRmsNorm(), new Rewrite.Fold(), new Rewrite.Compress());
            case RMSNORM -> List.of(new Rewrite.PostToRmsNorm());
            case PRE_LN -> List.of();
        };
    }

    private static boolean near(double[] one, double[] other) {
        double differences = 0;
        double squares = 0;
        for (int i = 0; i < one.length; i++) {
            differences += (one[i] - other[i]) * (one[i] - other[i]);
            squares += other[i] * other[i];
        }
        return differences < 1e-4 * squares;
    }

    private static double[] all(Matrix matrix) throws IOException {
        double[] values = new double[matrix.rows() * matrix.columns()];
        matrix.prepare();
        try {
            matrix.read(0, matrix.rows(), values);
        } finally {
            matrix.release();
        }
        return values;
    }

    /** Overwrites the values of a role in a file, and says whether that changed a byte. */
    private static boolean patch(Path file, Stored stored, double[] values) throws IOException {
        byte[] before = Files.readAllBytes(file);
        byte[] after = before.clone();
        int header = (int) ByteBuffer.wrap(before).order(ByteOrder.LITTLE_ENDIAN).getLong();
        JsonNode tensors = JSON.readTree(before, 8, header);
        int columns = stored.isVector() ? 1 : stored.columns();
        int rows = values.length / columns;
        int at = 0;
        for (Source.Piece piece : stored.source().pieces()) {
            JsonNode tensor = tensors.path(piece.tensor());
            Dtype type = Dtype.named(tensor.path("dtype").asText()).orElseThrow();
            int begin = 8 + header + tensor.path("data_offsets").path(0).asInt();
            MemorySegment into = MemorySegment.ofArray(after).asSlice(begin);
            for (int r = 0; r < piece.count(); r++) {
                for (int c = 0; c < columns; c++) {
                    boolean transposed = stored.source().transposed() && !stored.isVector();
                    long index = transposed ? (long) c * rows + piece.from() + r : (long) (piece.from() + r) * columns + c;
                    Numbers.encode(values, (at + r) * columns + c, 1, into, type, index);
                }
            }
            at += piece.count();
        }
        Files.write(file, after);
        return !Arrays.equals(before, after);
    }

    /** What was made of a file that nothing says anything of any more is still found by most of its values. */
    @Test
    void aTensorIsNamedWithoutAReport() throws IOException {
        LoadedModel source = LoadedModel.open(Fixture.named("gpt2").folder());
        Path out = convert(source, Form.PRE_RMSNORM, Dtype.BF16, "out");
        Path bare = Files.createDirectory(folder.resolve("bare"));
        Files.copy(out.resolve("config.json"), bare.resolve("config.json"));
        byte[] bytes = Files.readAllBytes(out.resolve("model.safetensors"));
        String header = new String(bytes, StandardCharsets.ISO_8859_1);
        Files.write(bare.resolve("model.safetensors"), header.replace("\"isonorm\"", "\"another\"").getBytes(StandardCharsets.ISO_8859_1));
        LoadedModel written = LoadedModel.open(bare);
        Role role = kinds(Model.of(written.model())).stream().filter(each -> each.path().equals("blocks.1.mlp.down.weight")).findFirst().orElseThrow();
        assertTrue(verdict(source, bare).remade().orElseThrow().exact());
        patch(bare.resolve("model.safetensors"), (Stored) Model.of(written.model()).weight(role),
                values(Fault.SCALED, role, source, Form.PRE_RMSNORM, written, new SplittableRandom(1)).orElseThrow());
        Judgement verdict = verdict(source, bare);
        assertEquals(List.of("blocks.1.mlp.down.weight"), verdict.remade().map(Remade::deviations).orElseThrow().stream().map(Deviation::tensor).toList());
        assertFalse(verdict.equal());
    }

    // Where

    @ParameterizedTest
    @CsvSource({"blocks.0.mlp.down.weight, block 0", "blocks.1.attention.output.weight, block 1", "blocks.2.mlp.up.weight, block 2",
        "embedding.token.weight, embedding", "head.weight, the output"})
    void theBlockThatDiffersIsSaid(String path, String words) throws IOException {
        LoadedModel source = LoadedModel.open(Fixture.named("gpt2-untied").folder());
        Path out = convert(source, Form.PRE_RMSNORM, Dtype.BF16, "out");
        LoadedModel written = LoadedModel.open(out);
        Role damaged = Model.of(written.model()).weights().keySet().stream().filter(each -> each.path().equals(path)).findFirst().orElseThrow();
        patch(out.resolve("model.safetensors"), (Stored) Model.of(written.model()).weight(damaged),
                values(Fault.NEGATED, damaged, source, Form.PRE_RMSNORM, written, new SplittableRandom(1)).orElseThrow());
        Judgement verdict = verdict(source, out);
        assertTrue(verdict.where().orElseThrow().contains(words), damaged + ": " + verdict.where());
    }
}
