package isonorm.convert;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.convert.PlainForward.Input;
import isonorm.convert.PlainForward.Result;
import isonorm.family.Fixtures;
import isonorm.family.Isonorm;
import isonorm.model.Progress;
import isonorm.rewrite.Rewrite;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A compressed stream need not leave its last dimension out. */
class LeftOutTest {

    @TempDir
    Path folder;

    private static double[] values(Matrix matrix) throws IOException {
        matrix.prepare();
        try {
            return matrix.all();
        } finally {
            matrix.release();
        }
    }

    /** What reads a centred stream computes the same whatever number is added to all values of a row. */
    private static double[] settled(Matrix matrix, int width) throws IOException {
        double[] all = values(matrix);
        for (int r = 0; r < matrix.rows() && matrix.rows() > 1 && matrix.columns() == width; r++) {
            double mean = 0;
            for (int c = 0; c < width; c++) {
                mean += all[r * width + c] / width;
            }
            for (int c = 0; c < width; c++) {
                all[r * width + c] -= mean;
            }
        }
        return all;
    }

    @ParameterizedTest
    @ValueSource(strings = {"gpt2", "gpt2-untied", "gpt_neox", "gptj", "opt", "vit", "phi"})
    void anyDimensionCanBeLeftOutAndComesBack(String fixture) throws IOException {
        LoadedModel source = Models.inMemory(fixture);
        Input input = Models.sample(Fixtures.golden(fixture));
        Result wanted = new PlainForward(source.model()).run(input);
        Plan other = Plan.of(source, Form.PRE_CRMSNORM, false, new LeftOut.Known(OptionalInt.of(3)));
        double difference = Models.difference(source.model(), wanted, new PlainForward(other.result()).run(input));
        assertTrue(difference < ConversionTolerance.SAME, fixture + " is off by " + difference);
        assertTrue(other.notes().getLast().startsWith("Dimension 3 of the stream is the one that is left out"), other.notes().toString());

        Plan last = Plan.of(source, Form.PRE_CRMSNORM, false);
        for (Form form : List.of(Form.PRE_LN, Form.PRE_RMSNORM)) {
            Model expected = Plan.of(Models.loaded(last), form, false).result();
            Model back = Plan.of(Models.loaded(other), form, false).result();
            assertEquals(expected.architecture(), back.architecture());
            for (Role role : expected.weights().keySet()) {
                int width = source.model().width();
                assertArrayEquals(settled(expected.weight(role), width), settled(back.weight(role), width), 1e-9, fixture + " in " + form + ": " + role);
            }
        }
    }

    /** The first block's readers hold large values in their last column. */
    private static LoadedModel withOutlier() throws IOException {
        LoadedModel source = Models.inMemory("gpt2");
        Model model = Model.of(source.model());
        Map<Role, Matrix> weights = new LinkedHashMap<>(model.weights());
        for (Part norm : List.of(Part.ATTENTION_NORM, Part.MLP_NORM)) {
            Role role = Role.of(norm, 1, Role.Field.GAIN);
            double[] gain = values(weights.get(role));
            gain[gain.length - 1] = 40;
            weights.put(role, Dense.of(1, gain.length, gain));
        }
        return new LoadedModel(source.checkpoint(), source.config(), new Model(model.architecture(), weights), source.unused());
    }

    private static Model rounded(Model model) throws IOException {
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        for (Map.Entry<Role, Matrix> each : model.weights().entrySet()) {
            double[] all = values(each.getValue());
            for (int i = 0; i < all.length && each.getValue().rows() > 1; i++) {
                all[i] = Float.intBitsToFloat(Numbers.toBfloat16(all[i]) << 16);
            }
            weights.put(each.getKey(), Dense.of(each.getValue().rows(), each.getValue().columns(), all));
        }
        return new Model(model.architecture(), weights);
    }

    @Test
    void theOneIsLeftOutThatCostsLeast() throws IOException {
        LoadedModel source = withOutlier();
        Model centred = Rewrite.all(Model.of(source.model()), List.of(new Rewrite.Centre(false), new Rewrite.ToRmsNorm(), new Rewrite.Fold()));
        int found = new LeftOut.Cheapest().of(centred).orElseThrow();
        double[] costs = Rewrite.Swap.costs(centred);
        Matrix up = new Rewrite.Swap(found).apply(centred).weight(Role.of(Part.MLP_UP, 1, Role.Field.WEIGHT));
        assertTrue(costs[found] < costs[costs.length - 1] / 10, costs[found] + " and " + costs[costs.length - 1]);
        assertEquals(costs.length, up.columns());
        Input input = Models.sample(Fixtures.golden("gpt2"));
        Result wanted = new PlainForward(source.model()).run(input);
        double[] apart = new double[2];
        for (int i = 0; i < 2; i++) {
            LeftOut leftOut = i == 0 ? new LeftOut.Last() : new LeftOut.Known(OptionalInt.of(found));
            apart[i] = Models.difference(source.model(), wanted, new PlainForward(rounded(Plan.of(source, Form.PRE_CRMSNORM, false, leftOut).result())).run(input));
        }
        assertTrue(apart[1] < apart[0] / 2, "bfloat16 takes " + apart[0] + " of the last, " + apart[1] + " of dimension " + found);

        Conversion.of(source, Form.PRE_CRMSNORM).inType(Dtype.BF16).writeTo(folder.resolve("bf16"));
        LoadedModel written = LoadedModel.open(folder.resolve("bf16"));
        assertEquals(OptionalInt.of(found), Isonorm.leftOut(written.config(), 48));
        assertTrue(Conversion.again(source, written, Progress.NONE).orElseThrow().exact());
        Conversion.of(source, Form.PRE_CRMSNORM).inType(Dtype.F32).writeTo(folder.resolve("f32"));
        assertEquals(OptionalInt.empty(), Isonorm.leftOut(LoadedModel.open(folder.resolve("f32")).config(), 48));
        assertEquals("config.json has left_out_dimension = 48; supported is a dimension of the stream, 0 to 47",
                assertThrows(CheckpointException.class, () -> Isonorm.leftOut(Isonorm.withLeftOut(written.config(), 48), 48)).getMessage());
    }
}
