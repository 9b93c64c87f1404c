package isonorm.tensor;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.EveryProcessor;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@EveryProcessor
class TeamTest {

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 8})
    void everyPartIsRunOnceAndSeesWhatTheStepBeforeWrote(int threads) {
        try (Team team = Team.of(threads)) {
            for (int parts : new int[] {0, 1, 2, 7, 100}) {
                int[] first = new int[parts];
                int[] second = new int[parts];
                AtomicIntegerArray times = new AtomicIntegerArray(Math.max(1, parts));
                for (int round = 0; round < 200; round++) {
                    int now = round;
                    team.each(parts, number -> {
                        first[number] = number + now;
                        times.incrementAndGet(number);
                    });
                    team.each(parts, number -> second[number] = first[parts - 1 - number]);
                }
                for (int number = 0; number < parts; number++) {
                    assertEquals(200, times.get(number));
                    assertEquals(parts - 1 - number + 199, second[number]);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 8})
    void sharesCoverAllWithoutOverlapAndBeginAtSteps(int threads) {
        try (Team team = Team.of(threads)) {
            for (int total : new int[] {1, 15, 16, 17, 100, 1000}) {
                for (int step : new int[] {1, 16, 64}) {
                    int[] covered = new int[total];
                    team.split(total, step, (first, count) -> {
                        assertEquals(0, first % step);
                        for (int i = first; i < first + count; i++) {
                            covered[i]++;
                        }
                    });
                    int[] once = new int[total];
                    Arrays.fill(once, 1);
                    assertArrayEquals(once, covered, total + " in steps of " + step);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void whatAPartThrowsReachesTheCallerAndTheTeamGoesOn(int threads) {
        try (Team team = Team.of(threads)) {
            for (int round = 0; round < 20; round++) {
                assertThrows(ArithmeticException.class, () -> team.each(6, number -> {
                    if (number == 4) {
                        throw new ArithmeticException("a part");
                    }
                }));
            }
            int[] run = new int[6];
            team.each(6, number -> run[number]++);
            assertArrayEquals(new int[] {1, 1, 1, 1, 1, 1}, run);
        }
    }

    @Test
    void needsAThread() {
        assertThrows(IllegalArgumentException.class, () -> Team.of(0));
    }

    @Test
    void whatIsDealtIsDoneOnceInWholeSteps() {
        for (int threads : new int[] {1, 2, 3}) {
            try (Team team = Team.of(threads)) {
                for (int total : new int[] {1, 63, 64, 65, 768, 1000}) {
                    AtomicIntegerArray done = new AtomicIntegerArray(total);
                    team.deal(total, 64, (first, count) -> {
                        assertEquals(0, first % 64);
                        for (int i = first; i < first + count; i++) {
                            done.incrementAndGet(i);
                        }
                    });
                    for (int i = 0; i < total; i++) {
                        assertEquals(1, done.get(i), i + " of " + total + " with " + threads);
                    }
                }
            }
        }
    }
}
