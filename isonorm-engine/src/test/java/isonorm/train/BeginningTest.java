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
import isonorm.architecture.Role;
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
import java.util.OptionalDouble;
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

    /** Magneto's and OLMo's, of block 2 of 3. */
    @Test
    void initializationsAreTheirPapers() {
        Norm norm = Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN_AND_BIAS);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, Attention.of(2, 32), Mlp.plain(256, Activation.GELU));
        Architecture architecture = Architecture.of("test", 64, 32, Embedding.Tokens.of(500, 64), Collections.nCopies(3, block), Optional.of(norm),
                Output.Words.of(false));
        double more = Math.sqrt(Math.log(6));
        Map<Part, Double> magneto = Map.of(Part.ATTENTION_OUTPUT, more * Math.sqrt(2.0 / 128), Part.MLP_UP, more * Math.sqrt(2.0 / 320), Part.MLP_DOWN, more * Math.sqrt(2.0 / 320));
        Map<Part, Double> olmo = Map.of(Part.QUERY_KEY_VALUE, 1 / Math.sqrt(64), Part.MLP_UP, 1 / Math.sqrt(64), Part.ATTENTION_OUTPUT, 1 / Math.sqrt(2 * 64 * 2), Part.MLP_DOWN,
                1 / Math.sqrt(2 * 256 * 2));
        for (Map.Entry<BlockStrategy.Initialization, Map<Part, Double>> each : Map.of(BlockStrategy.Initialization.MAGNETO, magneto, BlockStrategy.Initialization.OLMO, olmo).entrySet()) {
            try (Team team = Team.of(1); Parameters parameters = Parameters.of(architecture, Type.F32, Type.F32)) {
                new Beginning(_ -> each.getKey(), new TrainingRun.Initial(DEVIATION, OptionalDouble.of(0.632), 0.8, 0.2), 1, 1).fill(parameters, architecture, team);
                each.getValue().forEach((part, expected) -> {
                    Rows w = parameters.get(part, 1, Role.Field.WEIGHT).weights();
                    assertEquals(expected, spread(w), 0.03 * expected, each.getKey() + " " + part);
                });
                Rows qkv = parameters.get(Part.QUERY_KEY_VALUE, 1, Role.Field.WEIGHT).weights();
                if (each.getKey() == BlockStrategy.Initialization.MAGNETO) { // queries and keys as they are, values larger
                    assertEquals(Math.sqrt(2.0 / 128), spread(qkv.slice(0, 128)), 0.03 * Math.sqrt(2.0 / 128));
                    assertEquals(more * Math.sqrt(2.0 / 128), spread(qkv.slice(128, 64)), 0.03 * more * Math.sqrt(2.0 / 128));
                }
                Rows table = parameters.get(Part.TOKEN_EMBEDDING, -1, Role.Field.WEIGHT).weights();
                assertEquals(0.632, spread(table), 0.02);
            }
        }
    }

    private static double spread(Rows w) {
        double squares = 0;
        for (int r = 0; r < w.rows(); r++) {
            for (int c = 0; c < w.columns(); c++) {
                squares += w.get(r, c) * w.get(r, c);
            }
        }
        return Math.sqrt(squares / w.rows() / w.columns());
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
