package isonorm.weights;

import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Parameter;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Role;
import isonorm.architecture.Wiring;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class PositionsTest {

    private static final int ROWS = 64;
    private static final int WIDTH = 128;

    /** Rows that go on from each other up to one of them, and draws behind it. */
    private static double[] table(int trained, double tail) {
        SplittableRandom random = Seed.of(3).random();
        double[] table = new double[ROWS * WIDTH];
        for (int i = 0; i < table.length; i++) {
            double draw = random.nextGaussian();
            table[i] = i / WIDTH >= trained ? tail * draw : i < WIDTH ? draw : 0.9 * table[i - WIDTH] + 0.3 * draw;
        }
        return table;
    }

    private static OptionalInt untrainedFrom(double[] table, int offset) throws IOException {
        Norm norm = Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN_AND_BIAS);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, Attention.of(2, WIDTH / 2), Mlp.plain(8, Activation.GELU));
        Architecture architecture = Architecture.of("test", WIDTH, ROWS - offset,
                Embedding.Tokens.of(5, WIDTH).withPositions(ROWS, offset, false), List.of(block), Optional.of(norm), Output.Words.of(true));
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        for (Parameter parameter : architecture.parameters()) {
            int rows = Math.max(1, parameter.rows());
            weights.put(parameter.role(), Dense.of(rows, parameter.columns(),
                    parameter.role().part() == Part.POSITION_EMBEDDING ? table : new double[rows * parameter.columns()]));
        }
        return Positions.untrainedFrom(new Model(architecture, weights));
    }

    @Test
    void rowsThatAreDrawsEachForItselfWereNeverTrained() throws IOException {
        assertEquals(OptionalInt.of(40), untrainedFrom(table(40, 0.02), 0));
        assertEquals(OptionalInt.of(38), untrainedFrom(table(40, 0.02), 2));
        assertEquals(OptionalInt.of(40), untrainedFrom(table(40, 0), 0));
    }

    @Test
    void aTableThatWasTrainedToItsEndHasNone() throws IOException {
        assertEquals(OptionalInt.empty(), untrainedFrom(table(ROWS, 1), 0));
        assertEquals(OptionalInt.empty(), untrainedFrom(table(ROWS - 3, 1), 0));
    }

    /** A short training leaves neighbours apart everywhere, and says nothing of the end. */
    @Test
    void aTableOfDrawsAloneTellsNothing() throws IOException {
        assertEquals(OptionalInt.empty(), untrainedFrom(table(0, 1), 0));
        assertEquals(OptionalInt.empty(), untrainedFrom(new double[ROWS * WIDTH], 0));
    }
}
