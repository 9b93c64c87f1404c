package isonorm.generate;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.weights.Independence;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Random;
import java.util.TreeSet;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SamplingTest {

    private static final Sampling DRAWN = Sampling.greedy().temperature(1);
    private static final BitSet NOTHING = new BitSet();

    /** Softmax gives 8/15, 4/15, 2/15, 1/15. */
    private static final float[] HALVES = {(float) Math.log(2), (float) Math.log(8), (float) Math.log(1), (float) Math.log(4)};

    /** Against sampling.json, which make_sampling.py beside it made with transformers; the logits have many equal ones. */
    @Test
    void probabilitiesAreThoseOfTransformers() throws IOException {
        try (InputStream file = SamplingTest.class.getResourceAsStream("sampling.json")) {
            for (JsonNode one : new ObjectMapper().readTree(file)) {
                Sampling sampling = new Sampling(one.path("temperature").asDouble(), one.path("top_k").asInt(), one.path("top_p").asDouble(),
                        one.path("min_p").asDouble(), one.path("repetition_penalty").asDouble(), 1);
                double[] expected = doubles(one.path("probabilities"));
                double[] actual = new Sampler(sampling).probabilities(floats(one.path("logits")), set(one.path("seen")));
                assertArrayEquals(positive(expected), positive(actual), sampling.toString());
                assertArrayEquals(expected, actual, 1e-6, sampling.toString());
            }
        }
    }

    @Test
    void aTemperatureScalesTheLogits() {
        assertArrayEquals(parts(2, 8, 1, 4), probabilities(DRAWN), 1e-7);
        assertArrayEquals(parts(4, 64, 1, 16), probabilities(DRAWN.temperature(.5)), 1e-7);
        assertArrayEquals(parts(0, 1, 0, 0), probabilities(DRAWN.temperature(1e-300)), 0);
        assertArrayEquals(parts(1, 1, 1, 1), probabilities(DRAWN.temperature(1e300)), 1e-7);
    }

    @Test
    void topKKeepsTheLikeliestAndWhatIsEqualToTheLast() {
        assertArrayEquals(parts(0, 8, 0, 4), probabilities(DRAWN.topK(2)), 1e-7);
        assertArrayEquals(parts(2, 8, 1, 4), probabilities(DRAWN.topK(4)), 1e-7);
        assertArrayEquals(parts(2, 8, 1, 4), probabilities(DRAWN.topK(1000)), 1e-7);
        assertArrayEquals(parts(1, 0, 1, 1), new Sampler(DRAWN.topK(2)).probabilities(new float[] {0f, -1, -0f, 0f}, NOTHING), 1e-7);
    }

    /** Cumulated 8/15, 12/15, 14/15, 1. */
    @ParameterizedTest
    @CsvSource({"1e-300, 1", "0.53, 1", "0.54, 2", "0.79, 2", "0.81, 3", "0.93, 3", "0.94, 4", "1, 4"})
    void topPKeepsTheFewestThatSumToIt(double topP, int kept) {
        double[] expected = new double[][] {{}, parts(0, 1, 0, 0), parts(0, 8, 0, 4), parts(2, 8, 0, 4), parts(2, 8, 1, 4)}[kept];
        assertArrayEquals(expected, probabilities(DRAWN.topP(topP)), 1e-7);
    }

    @Test
    void topPIsOfWhatTopKKeeps() {
        assertArrayEquals(parts(0, 8, 0, 4), probabilities(DRAWN.topP(.65)), 1e-7); // 8/15 is below it
        assertArrayEquals(parts(0, 8, 0, 0), probabilities(DRAWN.topP(.65).topK(2)), 1e-7); // 8/12 is not
    }

    @Test
    void minPIsAPartOfTheLikeliest() {
        assertArrayEquals(parts(0, 8, 0, 4), probabilities(DRAWN.minP(.49)), 1e-7);
        assertArrayEquals(parts(0, 1, 0, 0), probabilities(DRAWN.minP(.51)), 1e-7);
        assertArrayEquals(parts(2, 8, 1, 4), probabilities(DRAWN.minP(.01)), 1e-7);
        assertArrayEquals(parts(0, 1, 0, 0), probabilities(DRAWN.minP(1)), 1e-7);
    }

    @Test
    void whatWasSeenIsPenalizedOnceAndFirst() {
        float[] logits = {4, -2, 3, 1};
        BitSet seen = new BitSet();
        seen.set(0);
        seen.set(1);
        seen.set(7); // of the tokenizer, without a logit
        assertEquals(2, new Sampler(Sampling.greedy().repetitionPenalty(2)).next(logits, seen, null));
        double[] expected = {Math.exp(2 / .5), Math.exp(-4 / .5), Math.exp(3 / .5), Math.exp(1 / .5)};
        double sum = Arrays.stream(expected).sum();
        assertArrayEquals(Arrays.stream(expected).map(e -> e / sum).toArray(),
                new Sampler(DRAWN.temperature(.5).repetitionPenalty(2)).probabilities(logits, seen), 1e-7);
        assertArrayEquals(new float[] {4, -2, 3, 1}, logits); // the caller's stay as they are
    }

    @Test
    void greedyTakesTheFirstOfTheLargest() {
        Sampler greedy = new Sampler(Sampling.greedy().topK(2).topP(.1));
        assertEquals(1, greedy.next(new float[] {-0f, 5, 5, 2}, NOTHING, null));
        assertEquals(0, greedy.next(new float[] {-0f, 0f}, NOTHING, null));
        assertEquals(2, greedy.next(new float[] {Float.NEGATIVE_INFINITY, -3, -2}, NOTHING, null));
    }

    /** A hundred thousand draws, each share within five of its standard deviations. */
    @Test
    void drawsFollowTheProbabilities() {
        Sampler sampler = new Sampler(DRAWN.topK(3).seed(11));
        RandomGenerator random = sampler.random(0);
        int[] counts = new int[4];
        int draws = 100_000;
        for (int i = 0; i < draws; i++) {
            counts[sampler.next(HALVES, NOTHING, random)]++;
        }
        double[] expected = parts(2, 8, 0, 4);
        for (int id = 0; id < 4; id++) {
            double deviation = Math.sqrt(expected[id] * (1 - expected[id]) / draws);
            assertEquals(expected[id], (double) counts[id] / draws, 5 * deviation);
        }
    }

    @Test
    void everySeedAndRowDrawsItsOwn() {
        TreeSet<String> streams = new TreeSet<>();
        for (long seed : new long[] {0, 1, 2, -1, Long.MAX_VALUE}) {
            for (int row = 0; row < 4; row++) {
                RandomGenerator once = new Sampler(DRAWN.seed(seed)).random(row);
                RandomGenerator again = new Sampler(DRAWN.seed(seed)).random(row);
                String drawn = Arrays.toString(once.longs(3).toArray());
                assertEquals(drawn, Arrays.toString(again.longs(3).toArray()));
                assertTrue(streams.add(drawn), "seed " + seed + ", row " + row);
            }
        }
    }

    @Test
    void rowsAndSeedsHaveNothingInCommon() {
        double[] first = drawn(1, 0);
        Independence.require("rows", first, drawn(1, 1));
        Independence.require("seeds", first, drawn(2, 0));
        Independence.require("row 1 of a seed and row 0 of the next", drawn(1, 1), drawn(2, 0));
    }

    private static double[] drawn(long seed, int row) {
        RandomGenerator random = new Sampler(DRAWN.seed(seed)).random(row);
        return random.doubles(10_000).toArray();
    }

    /** What partitioning finds is what sorting finds, in a vocabulary of a usual size with many equal logits. */
    @Test
    void aLargeVocabularyIsCutWhereSortingCutsIt() {
        int size = 50_000;
        Random random = new Random(5);
        float[] logits = new float[size];
        for (int trial = 0; trial < 6; trial++) {
            float step = trial % 2 == 0 ? 64 : 4096;
            for (int id = 0; id < size; id++) {
                logits[id] = Math.round(random.nextGaussian() * 3 * step) / step;
            }
            double[] all = new Sampler(DRAWN).probabilities(logits, NOTHING);
            Integer[] sorted = IntStream.range(0, size).boxed().toArray(Integer[]::new);
            Arrays.sort(sorted, (a, b) -> logits[a] != logits[b] ? Float.compare(logits[b], logits[a]) : Integer.compare(a, b));
            double topP = random.nextDouble();
            double[] expected = new double[size];
            double sum = 0;
            for (int i = 0; i < size && sum < topP; i++) {
                expected[sorted[i]] = all[sorted[i]];
                sum += all[sorted[i]];
            }
            double kept = sum;
            double[] actual = new Sampler(DRAWN.topP(topP)).probabilities(logits, NOTHING);
            assertArrayEquals(Arrays.stream(expected).map(p -> p / kept).toArray(), actual, 1e-12);
            int topK = 1 + random.nextInt(size);
            double[] first = new Sampler(DRAWN.topK(topK)).probabilities(logits, NOTHING);
            float last = logits[sorted[topK - 1]];
            assertEquals(IntStream.range(0, size).filter(id -> logits[id] >= last).count(), positive(first).length);
        }
    }

    @Test
    void equalLogitsAreCutByTheirIds() {
        float[] equal = new float[1000];
        int[] kept = positive(new Sampler(DRAWN.topP(.2505)).probabilities(equal, NOTHING));
        assertArrayEquals(IntStream.range(0, 251).toArray(), kept);
    }

    @Test
    void settingsThatMakeNoSenseAreRefused() {
        refused("a temperature must be a number of 0 (the likeliest token) or more, got -0.1", () -> DRAWN.temperature(-.1));
        refused("got NaN", () -> DRAWN.temperature(Double.NaN));
        refused("got Infinity", () -> DRAWN.temperature(Double.POSITIVE_INFINITY));
        refused("top-k must be 0 (all tokens) or more, got -1", () -> DRAWN.topK(-1));
        refused("top-p must be above 0 and at most 1 (all tokens), got 0.0", () -> DRAWN.topP(0));
        refused("got 1.5", () -> DRAWN.topP(1.5));
        refused("got NaN", () -> DRAWN.topP(Double.NaN));
        refused("min-p must be from 0 (all tokens) to 1 (the likeliest), got 1.5", () -> DRAWN.minP(1.5));
        refused("got -0.5", () -> DRAWN.minP(-.5));
        refused("got NaN", () -> DRAWN.minP(Double.NaN));
        refused("a repetition penalty must be a number above 0, 1 for none, got 0.0", () -> DRAWN.repetitionPenalty(0));
        refused("got NaN", () -> DRAWN.repetitionPenalty(Double.NaN));
    }

    @Test
    void logitsThatAreNoNumbersAreRefused() {
        Sampler sampler = new Sampler(Sampling.greedy());
        refused("got NaN for token 1", () -> sampler.next(new float[] {0, Float.NaN}, NOTHING, null));
        refused("got Infinity for token 1", () -> sampler.next(new float[] {0, Float.POSITIVE_INFINITY}, NOTHING, null));
        refused("got -Infinity for token 0", () -> sampler.next(new float[] {Float.NEGATIVE_INFINITY}, NOTHING, null));
    }

    private static void refused(String message, Executable settings) {
        String said = assertThrows(IllegalArgumentException.class, settings).getMessage();
        assertTrue(said.contains(message), said);
    }

    private static double[] probabilities(Sampling sampling) {
        return new Sampler(sampling).probabilities(HALVES, NOTHING);
    }

    private static double[] parts(double... parts) {
        double sum = Arrays.stream(parts).sum();
        return Arrays.stream(parts).map(part -> part / sum).toArray();
    }

    private static int[] positive(double[] probabilities) {
        return IntStream.range(0, probabilities.length).filter(id -> probabilities[id] > 0).toArray();
    }

    private static double[] doubles(JsonNode list) {
        double[] values = new double[list.size()];
        Arrays.setAll(values, i -> list.path(i).asDouble());
        return values;
    }

    private static float[] floats(JsonNode list) {
        float[] values = new float[list.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) list.path(i).asDouble();
        }
        return values;
    }

    private static BitSet set(JsonNode list) {
        BitSet set = new BitSet();
        list.forEach(id -> set.set(id.asInt()));
        return set;
    }
}
