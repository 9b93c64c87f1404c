package isonorm.measure;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.weights.Independence;
import isonorm.weights.Matrix;
import isonorm.weights.Seed;
import java.util.Arrays;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class RandomWeightsTest {

    @Test
    void areOfTheirSpreadAndTheSameHoweverTheyAreRead() {
        RandomWeights matrix = RandomWeights.of(Role.of(Part.HEAD, Field.WEIGHT), 300, 200, Seed.of(5));
        double[] all = new double[300 * 200];
        matrix.read(new Matrix.Tile(0, 300, 0, 200), all);
        double mean = Arrays.stream(all).average().orElseThrow();
        assertEquals(0, mean, 5e-4);
        assertEquals(0.02, Math.sqrt(Arrays.stream(all).map(value -> value * value).average().orElseThrow()), 5e-4);
        double[] tile = new double[2];
        matrix.read(new Matrix.Tile(7, 2, 11, 1), tile);
        assertEquals(all[7 * 200 + 11], tile[0]);
        assertEquals(all[8 * 200 + 11], tile[1]);
    }

    @Test
    void seedsAndRolesHaveNothingInCommon() {
        var weights = RandomWeights.model(Tiny.vit(), 1).weights();
        Role up = Role.of(Part.MLP_UP, 0, Field.WEIGHT);
        double[] first = values((RandomWeights) weights.get(up));
        Independence.require("seeds", first, values((RandomWeights) RandomWeights.model(Tiny.vit(), 2).weight(up)));
        Independence.require("blocks", first, values((RandomWeights) weights.get(Role.of(Part.MLP_UP, 1, Field.WEIGHT))));
    }

    private static double[] values(RandomWeights matrix) {
        return LongStream.range(0, 10_000).mapToDouble(matrix::at).toArray();
    }

    @Test
    void gainsAreNearOneAndEveryRoleHasValuesOfItsOwn() {
        var weights = RandomWeights.model(Tiny.vit(), 1).weights();
        RandomWeights gain = (RandomWeights) weights.get(Role.of(Part.MLP_NORM, 0, Field.GAIN));
        RandomWeights other = (RandomWeights) weights.get(Role.of(Part.MLP_NORM, 1, Field.GAIN));
        assertEquals(1, gain.at(3), 0.5);
        assertNotEquals(gain.at(3), other.at(3));
        assertNotEquals(gain.at(3), ((RandomWeights) RandomWeights.model(Tiny.vit(), 2).weight(Role.of(Part.MLP_NORM, 0, Field.GAIN))).at(3));
    }
}
