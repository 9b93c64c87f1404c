package isonorm.train;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.LongToIntFunction;

/**
 * Windows of a long row of tokens: in every epoch each of them once, in another order and from another beginning, so that windows are
 * cut elsewhere.
 *
 * @param training tokens to learn from
 * @param validation tokens never learned from; may be none
 * @param length tokens a window, of which each is asked for the one behind it
 */
record Windows(Row training, Row validation, int length, int vocabulary, long seed, Optional<byte[]> tokenizer) implements TrainingData {

    /** Tokens by their place. */
    record Row(long count, LongToIntFunction at) {}

    Windows {
        if (training.count <= 2L * length) {
            throw new IllegalArgumentException("the data must be longer than two sequences, got " + training.count + " tokens for sequences of " + length
                    + "; make sequence smaller");
        }
    }

    @Override
    public int context() {
        return length;
    }

    @Override
    public Examples batch(long position, int count) {
        int[][] windows = new int[count][];
        long each = (training.count - 1) / length - 1; // one less, so that every beginning below a length fits
        for (int i = 0; i < count; i++) {
            long epoch = (position + i) / each;
            long place = new Permutation(each, seed + epoch * 0x632be59bd9b4e019L).at((position + i) % each);
            long shift = Math.floorMod(new Permutation(length, seed).at(epoch % length), length);
            windows[i] = window(training, shift + place * length);
        }
        return Examples.Tokens.ofWindows(windows);
    }

    @Override
    public List<Examples> validation(int batches, int count) {
        List<Examples> all = new ArrayList<>();
        long each = Math.max(0, (validation.count - 1) / length);
        for (long first = 0; first < each && all.size() < batches; first += count) {
            int[][] windows = new int[(int) Math.min(count, each - first)][];
            for (int i = 0; i < windows.length; i++) {
                windows[i] = window(validation, (first + i) * length);
            }
            all.add(Examples.Tokens.ofWindows(windows));
        }
        return all;
    }

    private int[] window(Row row, long first) {
        int[] window = new int[length + 1];
        for (int t = 0; t <= length; t++) {
            window[t] = row.at.applyAsInt(first + t);
        }
        return window;
    }
}
