package isonorm.kernel;

import isonorm.architecture.Alibi;
import isonorm.weights.Numbers;

/** What attention with linear biases adds to the scores of one head, as {@link Kernels#softmax} takes it. */
public final class KeyBiases {

    private KeyBiases() {}

    /**
     * One value for each key from {@code from} to {@code to - 1}. A term that all keys of a row share changes nothing, so distances are
     * counted from the last key.
     *
     * @param scale what the products are multiplied with, for the kind whose biases are scaled with them
     * @param type of the activations
     */
    public static Values of(Alibi alibi, int heads, int head, double scale, int from, int to, Type type) {
        double slope = alibi.slopes(heads)[head];
        Values biases = Values.room(type, to - from);
        for (int key = from; key < to; key++) {
            biases.set(key - from, switch (alibi) {
                case AFTER_SCALE, AFTER_SCALE_INTERLEAVED -> slope * (key - (to - 1));
                case BEFORE_SCALE_BFLOAT16 -> scale * bfloat16(bfloat16(slope) * bfloat16(key));
            });
        }
        return biases;
    }

    private static double bfloat16(double value) {
        return Float.intBitsToFloat(Numbers.toBfloat16(value) << 16);
    }
}
