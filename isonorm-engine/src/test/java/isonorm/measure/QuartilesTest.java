package isonorm.measure;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class QuartilesTest {

    @Test
    void liesBetweenTwoValuesInProportion() {
        assertEquals(new Quartiles(2, 3, 4), Quartiles.of(5, 1, 4, 2, 3));
        assertEquals(new Quartiles(1.75, 2.5, 3.25), Quartiles.of(4, 3, 2, 1));
        assertEquals(new Quartiles(7, 7, 7), Quartiles.of(7));
        assertThrows(IllegalArgumentException.class, Quartiles::of);
    }

    /** A machine that is twice as slow in one round changes no ratio. */
    @Test
    void ratiosAreOfPairs() {
        assertEquals(new Quartiles(0.5, 0.5, 0.5), Quartiles.ofRatios(new double[] {1, 20, 3}, new double[] {2, 40, 6}));
        assertEquals(new Quartiles(1.5, 2, 2.5), Quartiles.ofRatios(new double[] {2, 10, 12}, new double[] {2, 5, 4}));
        assertThrows(IllegalArgumentException.class, () -> Quartiles.ofRatios(new double[1], new double[2]));
    }
}
