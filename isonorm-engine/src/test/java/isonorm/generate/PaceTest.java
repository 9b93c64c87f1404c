package isonorm.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a step may read, on processors of which a row costs more or less of a step. */
class PaceTest {

    private static long nanoseconds(double fixedRows, long rows) {
        return (long) (1e6 * (fixedRows + rows));
    }

    /** Steps as they come: most only write, some read what they may. */
    private static void take(Pace pace, double fixedRows, int writing, int steps, SplittableRandom noise) {
        for (int i = 0; i < steps; i++) {
            int reading = i % 4 == 3 ? pace.room(writing) : 0;
            pace.took(writing, reading, (long) (nanoseconds(fixedRows, writing + reading) * (0.95 + 0.1 * noise.nextDouble())));
        }
    }

    @ParameterizedTest
    @CsvSource({"3, 1", "3, 2", "3, 32", "8, 1", "8, 4", "20, 1", "20, 8", "50, 2"})
    void aStepThatReadsTakesAsManyTimesOneThatDoesNotAsItMay(double fixedRows, int writing) {
        Pace pace = Pace.measured();
        take(pace, fixedRows, writing, 100, new SplittableRandom(1));
        double times = (double) nanoseconds(fixedRows, writing + pace.room(writing)) / nanoseconds(fixedRows, writing);
        assertEquals(Pace.Measured.MOST_TIMES, times, 0.3, pace.room(writing) + " are read");
    }

    @Test
    void untilStepsWereSeenItIsAsWellAsOneWasMeasured() {
        assertEquals(9, Pace.measured().room(1));
        assertEquals(40, Pace.measured().room(32));
    }

    @Test
    void stepsThatOnlyWriteSayNothingOfWhatReadingCosts() {
        Pace pace = Pace.measured();
        take(pace, 3, 2, 100, new SplittableRandom(2));
        int before = pace.room(2);
        for (int i = 0; i < 1000; i++) {
            pace.took(2, 0, 10_000_000L + i % 7 * 1_000_000L);
        }
        assertEquals(before, pace.room(2));
    }

    /** A machine that others use is slower, and what it may read is the same. */
    @Test
    void aMachineThatBecomesSlowerReadsNoMoreAndNoLess() {
        Pace pace = Pace.measured();
        SplittableRandom noise = new SplittableRandom(4);
        take(pace, 8, 4, 100, noise);
        for (int i = 0; i < 200; i++) {
            int reading = i % 20 == 19 ? pace.room(4) : 0;
            pace.took(4, reading, 5 * nanoseconds(8, 4 + reading));
            assertEquals(12, pace.room(4), 2, "step " + i);
        }
    }

    /** Code that has been compiled meanwhile takes less, and says nothing beside a step from before. */
    @Test
    void whatOnlyWroteLongAgoIsNoMeasure() {
        Pace pace = Pace.measured();
        take(pace, 8, 1, 100, new SplittableRandom(5));
        for (int i = 0; i < 100; i++) {
            pace.took(1, pace.room(1), nanoseconds(8, 1 + pace.room(1)) / 2);
        }
        assertEquals(9, pace.room(1), 4);
    }

    @Test
    void aStepThatWasHeldUpIsForgotten() {
        Pace pace = Pace.measured();
        SplittableRandom noise = new SplittableRandom(3);
        take(pace, 8, 4, 100, noise);
        pace.took(4, pace.room(4), 3_000_000_000L);
        assertTrue(pace.room(4) >= 9, pace.room(4) + " of 12 are read all the same");
        take(pace, 8, 4, 400, noise);
        assertEquals(12, pace.room(4), 2);
    }
}
