package isonorm.architecture;

import java.util.Optional;
import java.util.OptionalDouble;

/** What is made of the residual stream behind the last block. */
public sealed interface Output {

    /**
     * Logits over the vocabulary at every position.
     *
     * @param tied whether the token table is the head's weight
     * @param bias whether the head has a bias
     * @param projectedWidth the width that a linear layer without bias leads to before the head; 0 without one
     * @param transform a linear layer, an activation and a norm before the head (BERT)
     * @param scale what the logits are multiplied with
     * @param softcap logits become {@code softcap * tanh(logits / softcap)}
     */
    record Words(
            boolean tied,
            boolean bias,
            int projectedWidth,
            Optional<Transform> transform,
            double scale,
            OptionalDouble softcap)
            implements Output {

        /** A head without bias, transform, scale or softcap. */
        public static Words of(boolean tied) {
            return new Words(tied, false, 0, Optional.empty(), 1, OptionalDouble.empty());
        }

        public Words withTied(boolean shared) {
            return new Words(shared, bias, projectedWidth, transform, scale, softcap);
        }

        public Words withBias(boolean added) {
            return new Words(tied, added, projectedWidth, transform, scale, softcap);
        }

        public Words withProjection(int width) {
            return new Words(tied, bias, width, transform, scale, softcap);
        }

        public Words withTransform(Transform before) {
            return new Words(tied, bias, projectedWidth, Optional.of(before), scale, softcap);
        }

        public Words withScale(double factor) {
            return new Words(tied, bias, projectedWidth, transform, factor, softcap);
        }

        public Words withSoftcap(double cap) {
            return new Words(tied, bias, projectedWidth, transform, scale, OptionalDouble.of(cap));
        }
    }

    /** {@code norm(activation(dense(x)))}; the norm does not read the stream, so conversions leave it alone. */
    record Transform(Activation activation, Norm norm) {}

    /**
     * One vector of scores an input.
     *
     * @param labels how many scores
     */
    record Labels(int labels, Pooling pooling, boolean bias) implements Output {}

    /** What a classifier reads of the normalized stream. */
    enum Pooling {
        /** The class token. */
        FIRST("first"),
        /** The class token and the mean of all others, one after the other. */
        FIRST_AND_MEAN("first-and-mean");

        private final String label;

        Pooling(String label) {
            this.label = label;
        }

        /** The word used in files. */
        public String label() {
            return label;
        }
    }

    /** The hidden state itself, behind the final norm where the architecture has one, with a pooled vector or without. */
    record Hidden(Pooler pooler) implements Output {}

    /** How the pooled vector of {@link Hidden} is made. */
    enum Pooler {
        /** There is none. */
        NONE("none"),
        /** The first position of the output. */
        FIRST("first"),
        /** {@code tanh(dense(first))} of the output's first position. */
        DENSE_TANH("dense-tanh"),
        /** The final norm reads only the first position, and the output is the bare stream (CLIP). */
        NORMED_FIRST("normed-first");

        private final String label;

        Pooler(String label) {
            this.label = label;
        }

        /** The word used in files. */
        public String label() {
            return label;
        }
    }
}
