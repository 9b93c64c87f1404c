package isonorm.convert;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.family.Fixtures;
import isonorm.model.ConversionRefused;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Quantization;
import isonorm.weights.Quantized;
import isonorm.weights.QuantizedParts;
import isonorm.weights.SampleCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Matrices in few bits: what a file holds are codes times scales, each value near what it was. */
class QuantizingTest {

    @TempDir
    Path folder;

    private LoadedModel written(String name, Conversion.Bits bits) throws IOException {
        Path out = folder.resolve("out");
        Conversion.quantized(Fixtures.open(name), bits, Map.of(), "rtn").writeTo(out);
        return LoadedModel.open(out);
    }

    @ParameterizedTest
    @CsvSource({"gpt2, 4, 8, 32", "llama, 8, 8, 64", "mixtral, 4, 4, 32", "bart, 4, 8, 32", "deepseek_v2, 8, 4, 32", "bert, 4, 8, 96", "cohere, 8, 8, 32", "whisper, 4, 8, 32"})
    void aFileHoldsWhatRoundingGivesAndTheRestAsItWas(String name, int bits, int ends, int group) throws IOException {
        LoadedModel source = Fixtures.open(name);
        LoadedModel written = written(name, new Conversion.Bits(bits, ends, group, List.of()));
        Model before = Model.of(source.model());
        Model rounded = new QuantizedParts(new Quantization(bits, group), new Quantization(ends, group), Set.of()).applyTo(before);
        assertEquals(before.architecture().parameters(), Model.of(written.model()).architecture().parameters());
        for (Map.Entry<Role, Matrix> weight : before.weights().entrySet()) {
            Role role = weight.getKey();
            double[] now = Model.of(written.model()).weight(role).all();
            double[] was = weight.getValue().all();
            assertArrayEquals(rounded.weight(role).all(), now, role.path());
            assertEquals(QuantizedParts.applies(role), Model.of(written.model()).weight(role) instanceof Quantized, role.path());
            if (!QuantizedParts.applies(role)) {
                assertArrayEquals(was, now, role.path());
            }
        }
        assertTrue(before.weights().keySet().stream().filter(QuantizedParts::applies).count() > before.architecture().blocks().size());
        assertEquals(Math.min(bits, ends), written.bits().orElseThrow());
    }

    @ParameterizedTest
    @CsvSource({"4", "8"})
    void aTileIsReadFromAnyColumnOn(int bits) throws IOException {
        Role role = Role.of(Part.MLP_DOWN, 1, Role.Field.WEIGHT);
        Matrix stored = Model.of(written("gpt2", new Conversion.Bits(bits, 8, 32, List.of())).model()).weight(role);
        double[] all = stored.all();
        Matrix rounded = Quantized.of(Model.of(Fixtures.open("gpt2").model()).weight(role), Quantization.of(bits));
        for (int column : new int[] {0, 31, 33, 64, 95}) {
            Matrix.Tile tile = new Matrix.Tile(3, 5, column, Math.min(40, stored.columns() - column));
            double[] expected = new double[tile.size()];
            for (int r = 0; r < tile.rows(); r++) {
                System.arraycopy(all, (tile.row() + r) * stored.columns() + column, expected, r * tile.columns(), tile.columns());
            }
            for (Matrix matrix : List.of(stored, rounded)) {
                double[] values = new double[tile.size()];
                matrix.prepare();
                matrix.read(tile, values);
                matrix.release();
                assertArrayEquals(expected, values, "from column " + column);
            }
        }
    }

    @Test
    void noValueIsOffByMoreThanHalfAScaleOrAWholeOneOppositeTheLargest() throws IOException {
        Quantization quantization = Quantization.of(4);
        double[] values = new double[75];
        for (int i = 0; i < values.length; i++) {
            values[i] = Math.sin(3.7 * i) * (1 + i / 32 * 10);
        }
        values[31] = 9; // the last of a group counts too
        byte[] codes = new byte[75];
        short[] scales = new short[3];
        quantization.round(values, 0, 75, codes, 0, scales, 0);
        for (int i = 0; i < values.length; i++) {
            double scale = Float.float16ToFloat(scales[i / 32]);
            double most = codes[i] == 7 ? 1 : .51; // the scale itself is rounded to float16
            assertEquals(values[i], codes[i] * scale, Math.abs(scale) * most, "value " + i);
        }
        assertEquals(-8, codes[31], "the largest has the code of the largest size");
        assertEquals(-9. / 8, Float.float16ToFloat(scales[0]));
        assertTrue(Math.abs(Float.float16ToFloat(scales[1])) < Math.abs(Float.float16ToFloat(scales[2])) / 1.5, "groups have scales of their own");
    }

    @Test
    void whatIsKeptStays() throws IOException {
        LoadedModel written = written("gpt2", new Conversion.Bits(4, 8, 32, List.of("blocks.0.*", "embedding.token")));
        Model model = Model.of(written.model());
        assertFalse(model.weight(Role.of(Part.TOKEN_EMBEDDING, Role.Field.WEIGHT)) instanceof Quantized);
        model.weights().forEach((role, matrix) -> {
            if (QuantizedParts.isLayer(role)) {
                assertEquals(role.block() != 0, matrix instanceof Quantized, role.path());
            }
        });
        IllegalArgumentException none = assertThrows(IllegalArgumentException.class, () -> written("gpt2", new Conversion.Bits(4, 8, 32, List.of("h.0.*"))));
        assertTrue(none.getMessage().contains("no matrix that would be quantized is called h.0.*; one is called "), none.getMessage());
    }

    @Test
    void aFormStaysAndGoesNoFurther() throws IOException {
        Path form = folder.resolve("form");
        Conversion.of(Fixtures.open("gpt2"), Form.PRE_RMSNORM).writeTo(form);
        Path out = folder.resolve("few");
        Conversion.quantized(LoadedModel.open(form), new Conversion.Bits(8, 8, 32, List.of()), Map.of(), "rtn").writeTo(out);
        LoadedModel few = LoadedModel.open(out);
        assertEquals(Form.PRE_RMSNORM, Conversion.formOf(few).orElseThrow());
        assertTrue(few.unknownKeys().isEmpty(), few.unknownKeys().toString());
        for (Form other : Form.values()) {
            assertEquals(1, Conversion.refusals(few, other).stream().filter(reason -> reason.startsWith("its weights are in few bits")).count(), other.label());
        }
        assertTrue(assertThrows(ConversionRefused.class, () -> Pruning.of(few, List.of(0))).getMessage().contains("few bits"));
    }

    private String refusal(Consumer<SampleCheckpoint> change) throws IOException {
        SampleCheckpoint changed = SampleCheckpoint.of(folder.resolve("out"));
        change.accept(changed);
        Path at = changed.save(Files.createTempDirectory(folder, "changed"));
        String message = assertThrows(CheckpointException.class, () -> {
            for (Matrix matrix : Model.of(LoadedModel.open(at).model()).weights().values()) {
                matrix.all();
            }
        }).getMessage();
        contains(at.toString(), message);
        return message;
    }

    private static Consumer<SampleCheckpoint> says(String method, int bits, int group) {
        return model -> model.config.putObject("quantization_config").put("quant_method", method).put("bits", bits).put("head_bits", 8).put("group_size", group);
    }

    private static final String UP = "blocks.1.mlp.up";

    @Test
    void whatDoesNotFitIsNamed() throws IOException {
        written("gpt2", new Conversion.Bits(4, 8, 32, List.of()));
        contains("tensor " + UP + ".scales is missing", refusal(model -> model.tensors.remove(UP + ".scales")));
        contains("tensor " + UP + ".codes is I8 [3] where config.json needs U8 [", refusal(model -> model.put(UP + ".codes", Dtype.I8, List.of(3L), 1, 2, 3)));
        contains("tensor " + UP + ".scales holds a value that is NaN or infinite", refusal(model -> model.set(UP + ".scales", 1, Double.NaN)));
        contains("weights are quantized to 8 or 4 bits, got 3", refusal(says("isonorm", 3, 32)));
        contains("a group is a multiple of 32 inputs", refusal(says("isonorm", 4, 7)));
        contains("only weights of F64, F32, F16 or BF16 are read", refusal(says("gptq", 4, 32)));
    }

    private static void contains(String part, String message) {
        assertTrue(message.contains(part), message);
    }
}
