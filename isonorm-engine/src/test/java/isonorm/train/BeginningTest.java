package isonorm.train;

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
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Stream;
import isonorm.architecture.Wiring;
import isonorm.backpropagation.Parameters;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import isonorm.weights.Independence;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class BeginningTest {

    private static final double DEVIATION = 0.1;

    /** The value that a compressed stream leaves out is minus the sum of the others: of 63 independent values it would be 8 times as large. */
    @Test
    void whatACompressedStreamLeavesOutIsNoLargerThanTheRest() {
        Norm norm = Norm.of(NormKind.CRMS, 1e-5, Affine.NONE);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, Attention.of(2, 32), Mlp.plain(256, Activation.GELU));
        Architecture architecture = Architecture.of("test", 64, 32, Embedding.Tokens.of(500, 64), Collections.nCopies(1, block), Optional.of(norm),
                Output.Words.of(false)).withStream(Stream.COMPRESSED);
        try (Team team = Team.of(1); Parameters parameters = Parameters.of(architecture, Type.F32, Type.F32)) {
            new Beginning(_ -> BlockStrategy.Initialization.NORMAL, DEVIATION, 1).fill(parameters, architecture, team);
            for (Parameters.Entry entry : parameters.all()) {
                Rows w = entry.stored(entry.weights());
                if (entry.role().part() == Part.TOKEN_EMBEDDING) {
                    assertEquals(DEVIATION, deviation(w.rows(), w.columns(), w::get), 0.01);
                } else if (List.of(Part.ATTENTION_OUTPUT, Part.MLP_DOWN).contains(entry.role().part()) && w.rows() > 1) {
                    assertEquals(DEVIATION, deviation(w.columns(), w.rows(), (i, j) -> w.get(j, i)), 0.02, entry.role().path());
                } else if (entry.role().part() == Part.MLP_UP && w.columns() == 63) { // A[:, :-1] - A[:, -1:] of independent numbers
                    double sum = 0;
                    for (int r = 0; r < w.rows(); r++) {
                        sum += w.get(r, 0) * w.get(r, 1) / w.rows();
                    }
                    assertEquals(DEVIATION * DEVIATION, sum, 0.003);
                }
            }
        }
    }

    /** Every matrix of a model with those of other seeds, and blocks with each other. */
    @Test
    void noTwoMatricesHaveAnythingInCommon() {
        Norm norm = Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN_AND_BIAS);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, Attention.of(2, 16), Mlp.plain(128, Activation.GELU));
        Architecture architecture = Architecture.of("test", 32, 32, Embedding.Tokens.of(500, 64), Collections.nCopies(2, block), Optional.of(norm),
                Output.Words.of(false));
        Map<String, double[]> first = matrices(architecture, 1);
        for (long seed = 2; seed <= 4; seed++) {
            Map<String, double[]> other = matrices(architecture, seed);
            for (String path : first.keySet()) {
                Independence.require(path + " of seeds 1 and " + seed, first.get(path), other.get(path));
            }
        }
        assertEquals(10, first.size());
        for (String path : first.keySet()) {
            if (path.startsWith("blocks.0")) {
                Independence.require(path + " of two blocks", first.get(path), first.get(path.replace("blocks.0", "blocks.1")));
            }
        }
    }

    private static Map<String, double[]> matrices(Architecture architecture, long seed) {
        Map<String, double[]> matrices = new TreeMap<>();
        try (Team team = Team.of(1); Parameters parameters = Parameters.of(architecture, Type.F32, Type.F32)) {
            new Beginning(_ -> BlockStrategy.Initialization.NORMAL, DEVIATION, seed).fill(parameters, architecture, team);
            for (Parameters.Entry entry : parameters.all()) {
                Rows w = entry.stored(entry.weights());
                double[] values = new double[w.rows() * w.columns()];
                Arrays.setAll(values, i -> w.get(i / w.columns(), i % w.columns()));
                if (Arrays.stream(values).distinct().count() > 1) {
                    matrices.put(entry.role().path(), values);
                }
            }
        }
        return matrices;
    }

    private interface Numbers {
        double get(int row, int column);
    }

    /** Of the sums of {@code count} values each. */
    private static double deviation(int sums, int count, Numbers numbers) {
        double squares = 0;
        for (int i = 0; i < sums; i++) {
            double sum = 0;
            for (int j = 0; j < count; j++) {
                sum += numbers.get(i, j);
            }
            squares += sum * sum / sums;
        }
        return Math.sqrt(squares);
    }
}
