package isonorm.depth;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.depth.Growth.Shape;
import java.util.SplittableRandom;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Curves are recognized, with their parameters, in the presence of noise, and doubt is said. */
class GrowthTest {

    private static Growth of(int blocks, double noise, IntToDoubleFunction curve) {
        SplittableRandom random = new SplittableRandom(3);
        return Growth.of(IntStream.rangeClosed(1, blocks).mapToDouble(l -> curve.applyAsDouble(l) * Math.exp(noise * random.nextGaussian())).toArray());
    }

    @Test
    void exactCurvesAreFound() {
        Growth line = of(12, 0, l -> 3 * (1 + 0.5 * l));
        assertEquals(Shape.LINEAR, line.shape());
        assertEquals(3, line.start(), 1e-3);
        assertEquals(0.5, line.rate(), 1e-3);
        assertEquals(1, line.quality(), 1e-6);
        Growth exponential = of(12, 0, l -> 0.2 * Math.exp(0.3 * l));
        assertEquals(Shape.EXPONENTIAL, exponential.shape());
        assertEquals(0.2, exponential.start(), 1e-9);
        assertEquals(0.3, exponential.rate(), 1e-9);
        assertEquals(Math.exp(3.3), exponential.factor(), 1e-6);
        assertEquals("sure", exponential.certainty());
        Growth constant = of(12, 0, _ -> 7);
        assertEquals(Shape.CONSTANT, constant.shape());
        assertEquals(7, constant.start(), 1e-9);
    }

    @Test
    void curvesAreFoundBehindNoise() {
        for (int blocks : new int[] {12, 24, 48}) {
            assertEquals(Shape.LINEAR, of(blocks, 0.05, l -> 0.5 * l).shape());
            assertEquals(Shape.EXPONENTIAL, of(blocks, 0.05, l -> Math.pow(1.25, l)).shape());
            assertEquals(Shape.CONSTANT, of(blocks, 0.05, _ -> 1).shape());
        }
    }

    @Test
    void fallingVariancesAreFitToo() {
        assertEquals(-0.2, of(12, 0, l -> Math.exp(-0.2 * l)).rate(), 1e-9);
        Growth falling = of(12, 0, l -> 10 - 0.7 * l);
        assertEquals(Shape.LINEAR, falling.shape());
        assertEquals(-0.07, falling.rate(), 1e-3);
    }

    @Test
    void whatNoCurveFitsIsNotSure() {
        Growth step = of(12, 0, l -> l < 4 ? 1 : 1000);
        assertTrue(!step.certainty().equals("sure") && step.quality() < 0.9, step.toString());
    }

    @Test
    void fewOrUselessVariancesTellNothing() {
        assertEquals(Shape.UNKNOWN, of(3, 0, l -> l).shape());
        assertEquals(Shape.UNKNOWN, of(6, 0, l -> l == 4 ? 0 : l).shape());
        assertEquals(Shape.UNKNOWN, of(6, 0, l -> l == 4 ? Double.NaN : l).shape());
        assertEquals("unknown", of(3, 0, l -> l).certainty());
    }

    @Test
    void whatNormsSetIsNoGrowth() {
        Growth growth = Growth.normalized(1, 2, 4, 8);
        assertEquals(Shape.NORMALIZED, growth.shape());
        assertEquals(8, growth.factor());
        assertEquals("unknown", growth.certainty());
        assertTrue(Double.isNaN(growth.at(1)));
    }
}
