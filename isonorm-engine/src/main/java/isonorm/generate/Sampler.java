package isonorm.generate;

import isonorm.weights.Seed;
import java.util.Arrays;
import java.util.BitSet;
import java.util.function.IntToDoubleFunction;
import java.util.random.RandomGenerator;

/**
 * Chooses tokens as a {@link Sampling} says. For one thread; the memory it works in is kept from one token to the next.
 *
 * <p>Top-k and top-p keep the likeliest tokens down to some last one, so both come down to finding that one. A token is a {@code long}
 * here, its logit above its id, which orders tokens by both; the last one is found by partitioning, as quickselect does. It is looked
 * for among the few tokens near the likeliest first, and only where it is not there, among all.
 */
final class Sampler {

    private static final int ID = 32; // bits

    /** A token is near the likeliest if its logit is less than this below, or as many times the temperature. */
    private static final double NEAR = 10;

    private final Sampling sampling;
    private float[] scores = {};
    private double[] weights = {};
    private long[] keys = {};

    Sampler(Sampling sampling) {
        this.sampling = sampling;
    }

    /** What a row draws from. */
    RandomGenerator random(int row) {
        return Seed.of(sampling.seed()).at(row).random();
    }

    /**
     * The next token.
     *
     * @param seen the ids of the prompt and of what was generated
     */
    int next(float[] logits, BitSet seen, RandomGenerator random) {
        penalize(logits, seen);
        int likeliest = likeliest(logits.length);
        if (sampling.temperature() == 0) {
            return likeliest;
        }
        // In the order of the ids, so that what is drawn does not hang on how the tokens were partitioned.
        double at = random.nextDouble() * weigh(logits.length, scores[likeliest]);
        int last = likeliest;
        for (int id = 0; id < logits.length; id++) {
            if (weights[id] > 0) {
                last = id;
                at -= weights[id];
                if (at < 0) {
                    break;
                }
            }
        }
        return last;
    }

    /** The probabilities that {@link #next} draws with, 0 for what does not stay; at a temperature of 0, 1 for what it takes. */
    double[] probabilities(float[] logits, BitSet seen) {
        penalize(logits, seen);
        int likeliest = likeliest(logits.length);
        double[] probabilities = new double[logits.length];
        if (sampling.temperature() == 0) {
            probabilities[likeliest] = 1;
            return probabilities;
        }
        double sum = weigh(logits.length, scores[likeliest]);
        Arrays.setAll(probabilities, id -> weights[id] / sum);
        return probabilities;
    }

    /** Into {@link #scores}, in float32 as the reference does. */
    private void penalize(float[] logits, BitSet seen) {
        if (scores.length < logits.length) {
            scores = new float[logits.length];
            weights = new double[logits.length];
            keys = new long[logits.length];
        }
        System.arraycopy(logits, 0, scores, 0, logits.length);
        float penalty = (float) sampling.repetitionPenalty();
        if (penalty != 1) {
            // An id without a logit is one of the tokenizer that this model never gives.
            for (int id = seen.nextSetBit(0); id >= 0 && id < logits.length; id = seen.nextSetBit(id + 1)) {
                scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty;
            }
        }
    }

    /** The first of the largest. */
    private int likeliest(int count) {
        int largest = 0;
        for (int id = 0; id < count; id++) {
            if (Float.isNaN(scores[id])) {
                throw new IllegalArgumentException("logits must be numbers, got NaN for token " + id + "; compute in f32");
            }
            if (scores[id] > scores[largest]) {
                largest = id;
            }
        }
        if (Float.isInfinite(scores[largest])) {
            throw new IllegalArgumentException("the largest logit must be finite, got " + scores[largest] + " for token " + largest
                    + "; compute in f32");
        }
        return largest;
    }

    /** How likely each token is as a part of the likeliest, 0 for what does not stay, into {@link #weights}; their sum. */
    private double weigh(int count, float largest) {
        float near = (float) (largest - NEAR * Math.max(1, sampling.temperature()));
        long last = Long.MIN_VALUE; // of those that stay
        if (sampling.topK() > 0 && sampling.topK() < count) {
            long kth = last(count, last, near, sampling.topK(), _ -> 1);
            last = kth >> ID << ID; // with those that are equal to it
        }
        double sum = 0;
        for (int id = 0; id < count; id++) {
            boolean stays = key(scores[id], id) >= last;
            weights[id] = stays ? Math.exp(((double) scores[id] - largest) / sampling.temperature()) : 0;
            sum += weights[id];
        }
        if (sampling.topP() < 1) {
            last = last(count, last, near, sampling.topP() * sum, id -> weights[id]);
        }
        double staying = 0;
        for (int id = 0; id < count; id++) {
            if (key(scores[id], id) < last || weights[id] < sampling.minP()) {
                weights[id] = 0;
            }
            staying += weights[id];
        }
        return staying;
    }

    /** Orders tokens by their logits, and equal ones by their ids, the smaller id above the larger. */
    private static long key(float score, int id) {
        int bits = Float.floatToRawIntBits(score + 0f); // -0 and 0 are equal
        int ordered = bits ^ bits >> 31 & Integer.MAX_VALUE;
        return (long) ordered << ID | ~id & 0xffff_ffffL;
    }

    private static int id(long key) {
        return ~(int) key;
    }

    /**
     * The token at which, from the largest on, the sum of values reaches {@code target}.
     *
     * @param least the smallest token there is
     * @param floor a logit that this token probably has at least
     */
    private long last(int vocabulary, long least, float floor, double target, IntToDoubleFunction value) {
        int count = 0;
        double reached = 0;
        for (int id = 0; id < vocabulary; id++) {
            if (scores[id] >= floor && key(scores[id], id) >= least) {
                keys[count++] = key(scores[id], id);
                reached += value.applyAsDouble(id);
            }
        }
        return reached < target && floor > Float.NEGATIVE_INFINITY
                ? last(vocabulary, least, Float.NEGATIVE_INFINITY, target, value)
                : select(count, target, value);
    }

    /** The same among the first keys, which come into another order; the smallest of them where all sum to less. */
    private long select(int count, double target, IntToDoubleFunction value) {
        int from = 0;
        int to = count;
        double before = 0; // the sum of what is larger than all of from to to
        while (from < to) {
            int at = partition(from, to);
            double sum = before;
            for (int i = from; i < at; i++) {
                sum += value.applyAsDouble(id(keys[i]));
            }
            if (sum >= target) {
                to = at;
                continue;
            }
            before = sum + value.applyAsDouble(id(keys[at]));
            if (before >= target) {
                return keys[at];
            }
            from = at + 1;
        }
        return keys[from - 1]; // sums in another order differ by their rounding
    }

    /** Puts larger keys before one of them and smaller ones behind it, and says where it stands. */
    private int partition(int from, int to) {
        int middle = (from + to) >>> 1;
        if (keys[middle] < keys[to - 1]) {
            swap(middle, to - 1);
        }
        if (keys[from] < keys[to - 1]) {
            swap(from, to - 1);
        }
        if (keys[middle] < keys[from]) {
            swap(middle, from); // the one between the two others is first now
        }
        long pivot = keys[from];
        int at = from;
        for (int i = from + 1; i < to; i++) {
            if (keys[i] > pivot) {
                swap(++at, i);
            }
        }
        swap(from, at);
        return at;
    }

    private void swap(int i, int j) {
        long key = keys[i];
        keys[i] = keys[j];
        keys[j] = key;
    }
}
