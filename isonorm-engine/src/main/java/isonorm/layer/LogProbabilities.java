package isonorm.layer;

import isonorm.model.Result;
import isonorm.weights.Scratch;
import isonorm.weights.Slabs;
import java.io.IOException;
import java.util.function.IntToLongFunction;

/** The logarithms of the probabilities that logits give to tokens, in float64. */
public final class LogProbabilities {

    /** Stands for the token where nothing is to be predicted. */
    public static final long NONE = -1;

    private LogProbabilities() {}

    /**
     * Of the token that follows each position, row after row; 0 where none is asked for.
     *
     * @param target the token, or {@link #NONE}
     */
    public static double[] of(Result result, IntToLongFunction target) throws IOException {
        long[] shape = result.outputShape();
        int positions = Math.toIntExact(shape[0] * shape[1]);
        int width = (int) shape[2];
        double[] all = new double[positions];
        Slabs.forEach(positions, Math.max(1, 32_768 / width), (first, count) -> {
            try (Scratch logits = Scratch.borrow(width)) {
                for (int position = first; position < first + count; position++) {
                    long token = target.applyAsLong(position);
                    if (token != NONE) {
                        result.readOutput((long) position * width, width, logits.values());
                        all[position] = of(logits.values(), width, (int) token);
                    }
                }
            }
        });
        return all;
    }

    private static double of(double[] logits, int width, int token) {
        double largest = logits[0];
        for (int i = 1; i < width; i++) {
            largest = Math.max(largest, logits[i]);
        }
        double sum = 0;
        for (int i = 0; i < width; i++) {
            sum += Math.exp(logits[i] - largest);
        }
        return logits[token] - largest - Math.log(sum);
    }
}
