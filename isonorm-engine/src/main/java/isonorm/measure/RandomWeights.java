package isonorm.measure;

import isonorm.architecture.Architecture;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Seed;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A matrix of random values that takes no memory: each is computed from its seed and its place, so two readings agree.
 *
 * @param centre the mean of the values
 * @param spread their standard deviation
 */
public record RandomWeights(int rows, int columns, Seed seed, double centre, double spread) implements Matrix {

    /**
     * Values as a trained parameter of this role might have them: matrices small, gains near one, alphas near a half, biases
     * smaller than what they are added to.
     */
    public static RandomWeights of(Role role, int rows, int columns, Seed seed) {
        double centre = switch (role.field()) {
            case GAIN -> 1;
            case ALPHA -> 0.5;
            default -> 0;
        };
        double spread = role.field() == Role.Field.WEIGHT ? 0.02 : 0.1;
        return new RandomWeights(rows, columns, seed, centre, spread);
    }

    /** A model of random weights. */
    public static Model model(Architecture architecture, long seed) {
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        for (Parameter parameter : architecture.parameters()) {
            weights.put(parameter.role(), of(parameter.role(), Math.max(1, parameter.rows()), parameter.columns(),
                    Seed.of(seed).at(parameter.role().path())));
        }
        return new Model(architecture, weights);
    }

    /** The value at {@code index}, counted row by row. */
    public double at(long index) {
        return centre + spread * normal(seed.number(index));
    }

    /** The sum of four uniform values of 16 bits, scaled to variance one: near enough to normal for weights. */
    private static double normal(long z) {
        long sum = (z & 0xffff) + (z >>> 16 & 0xffff) + (z >>> 32 & 0xffff) + (z >>> 48);
        return (sum - 2 * 65535) / 37837.2;
    }

    @Override
    public void prepare() {}

    @Override
    public void read(Tile tile, double[] into) {
        for (int r = 0; r < tile.rows(); r++) {
            long first = (long) (tile.row() + r) * columns + tile.column();
            for (int c = 0; c < tile.columns(); c++) {
                into[r * tile.columns() + c] = at(first + c);
            }
        }
    }

    @Override
    public void release() {}

    @Override
    public void describe(List<String> steps) {
        steps.add("random");
    }
}
