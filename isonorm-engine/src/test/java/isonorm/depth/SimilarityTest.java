package isonorm.depth;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class SimilarityTest {

    private static final int TOKENS = 40;
    private static final int WIDTH = 24;

    /** Two streams, the second of which is the first and as much noise, around a mean. */
    private static List<Rows> streams(double mean) {
        SplittableRandom random = new SplittableRandom(3);
        Rows first = Rows.allocate(Arena.ofAuto(), Type.F32, TOKENS, WIDTH, WIDTH);
        Rows second = Rows.allocate(Arena.ofAuto(), Type.F32, TOKENS, WIDTH, WIDTH);
        for (int r = 0; r < TOKENS; r++) {
            for (int c = 0; c < WIDTH; c++) {
                double value = mean + random.nextGaussian();
                first.set(r, c, value);
                second.set(r, c, value + random.nextGaussian());
            }
        }
        return List.of(first, second);
    }

    private static double cka(double mean) {
        Similarity similarity = new Similarity(2);
        similarity.begin(1);
        similarity.add(0, streams(mean));
        similarity.end();
        return similarity.cka()[0][0];
    }

    @Test
    void whatAllTokensHaveInCommonDoesNotCount() {
        double alone = cka(0);
        assertTrue(alone > 0.2 && alone < 0.8, "" + alone);
        assertEquals(alone, cka(1000), 1e-3);
        assertEquals(alone, cka(-30_000), 2e-2); // the values themselves are rounded to 2e-3
    }
}
