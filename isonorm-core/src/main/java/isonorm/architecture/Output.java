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
     * @param transform what stands before the head: a linear layer, an activation and a norm in BERT
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

        public Words {
            if (projectedWidth < 0 || !Double.isFinite(scale) || !(softcap.orElse(1) > 0)) {
                throw new IllegalArgumentException("a head has a projection of 0 or more, a finite scale and a softcap above 0, got " + projectedWidth + ", "
                        + scale + (softcap.isPresent() ? " and " + softcap.getAsDouble() : ""));
            }
            if (transform.isPresent() && transform.get().dense().isEmpty()) {
                throw new IllegalArgumentException("a norm before a head over words stands behind a linear layer, got none");
            }
        }

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

    /** {@code norm(activation(dense(x)))}, of which one may lack; the norm does not read the stream, so conversions leave it alone. */
    record Transform(Optional<Dense> dense, Optional<Norm> norm) {

        public Transform {
            if (dense.isEmpty() && norm.isEmpty()) {
                throw new IllegalArgumentException("what stands before a head is a linear layer, a norm, or both; leave out what is neither");
            }
        }

        /** A linear layer with a bias that keeps the width, an activation, and a norm (BERT). */
        public static Transform of(int width, Activation activation, Norm norm) {
            return new Transform(Optional.of(new Dense(width, Optional.of(activation), true)), Optional.of(norm));
        }

        /** A linear layer with a bias that keeps the width, and an activation. */
        public static Transform of(int width, Activation activation) {
            return new Transform(Optional.of(new Dense(width, Optional.of(activation), true)), Optional.empty());
        }

        /** How wide it makes what it reads: without a linear layer all values of a stream of this width. */
        public int width(int stream) {
            return dense.map(Dense::width).orElse(stream);
        }
    }

    /** A linear layer and the activation behind it, if there is one. */
    record Dense(int width, Optional<Activation> activation, boolean bias) {

        public Dense {
            if (width < 1) {
                throw new IllegalArgumentException("a linear layer gives 1 value or more, got " + width);
            }
        }
    }

    /**
     * Scores of labels, one vector an input, or one a position.
     *
     * @param labels how many scores
     * @param transform what stands between what is read and the head
     */
    record Labels(int labels, Pooling pooling, Optional<Transform> transform, boolean bias) implements Output {

        public Labels {
            if (labels < 1) {
                throw new IllegalArgumentException("a classifier gives 1 score or more, got " + labels);
            }
            if (transform.isPresent() && pooling == Pooling.EACH_OF_TWO) {
                throw new IllegalArgumentException("two heads read the stream itself, got something before them");
            }
        }

        /** A head with a bias and nothing before it. */
        public static Labels of(int labels, Pooling pooling) {
            return new Labels(labels, pooling, Optional.empty(), true);
        }

        public Labels withBias(boolean added) {
            return new Labels(labels, pooling, transform, added);
        }

        public Labels withTransform(Transform before) {
            return new Labels(labels, pooling, Optional.of(before), bias);
        }
    }

    /** What a classifier reads of the normalized stream. */
    enum Pooling {
        /** The first token, or the class token. */
        FIRST("first"),
        /** The class token and the mean of the patches, one after the other. */
        FIRST_AND_MEAN("first-and-mean"),
        /** Every position by itself: there are as many vectors of scores. */
        EVERY("every"),
        /** Every patch of an image by itself, and nothing that stands beside them (masked image modeling, arXiv 2106.08254, 2111.09886). */
        PATCHES("patches"),
        /** The last position that is no padding. */
        LAST("last"),
        /** The mean of all positions that are no padding. */
        MEAN("mean"),
        /** The mean of the first two, a class token and a distillation token (AST). */
        MEAN_OF_TWO("mean-of-two"),
        /** The first two, each by a head of its own; the scores are the mean of both (DeiT). */
        EACH_OF_TWO("each-of-two"),
        /** The final norm reads the mean of the bare stream over the patches, and the head what it gives (BEiT). */
        NORMED_MEAN("normed-mean");

        private final String label;

        Pooling(String label) {
            this.label = label;
        }

        /** The word used in files. */
        public String label() {
            return label;
        }

        /** Whether there is a vector of scores for each of several positions, and not one for an input. */
        public boolean ofPositions() {
            return this == EVERY || this == PATCHES;
        }
    }

    /**
     * The hidden state itself, behind the final norm where the architecture has one, with a pooled vector or without.
     *
     * @param probe what {@link Pooler#PROBE} is made of; empty for every other
     * @param projection a linear layer behind what was pooled, which gives the pooled vector
     */
    record Hidden(Pooler pooler, Optional<Probe> probe, Optional<Projection> projection) implements Output {

        public Hidden {
            if (probe.isPresent() != (pooler == Pooler.PROBE)) {
                throw new IllegalArgumentException("a pooler has a probe if it asks with one, got " + pooler + " and "
                        + (probe.isPresent() ? "a probe" : "none"));
            }
            if (projection.isPresent() && (pooler == Pooler.NONE || pooler == Pooler.DENSE_TANH)) {
                throw new IllegalArgumentException("a projection stands behind what was pooled and has no layer before it, got " + pooler);
            }
        }

        /** A pooler without a probe, and nothing behind it. */
        public Hidden(Pooler pooler) {
            this(pooler, Optional.empty(), Optional.empty());
        }

        /** A pooler that asks with a probe. */
        public static Hidden of(Probe probe) {
            return new Hidden(Pooler.PROBE, Optional.of(probe), Optional.empty());
        }

        public Hidden withProjection(int width, boolean bias) {
            return new Hidden(pooler, probe, Optional.of(new Projection(width, bias)));
        }

        /** How wide the pooled vector is in a model of this width. */
        public int pooledWidth(int width) {
            return projection.map(Projection::width).orElse(width);
        }
    }

    /** A linear layer that gives so many values. */
    record Projection(int width, boolean bias) {

        public Projection {
            if (width < 1) {
                throw new IllegalArgumentException("a projection gives 1 value or more, got " + width);
            }
        }
    }

    /**
     * A learned vector that asks all positions of the output: {@code a + mlp(norm(a))} with
     * {@code a = output(softmax(query(probe) key(y)^T / sqrt(head width)) value(y))} (SigLIP, arXiv 2303.15343; Set Transformer, arXiv 1810.00825).
     *
     * @param heads into which the width is divided
     */
    record Probe(int heads, Norm norm, Mlp mlp) {

        public Probe {
            if (heads < 1 || mlp.gated() || mlp.innerNorm().isPresent() || !mlp.bias() || !mlp.outputBias()) {
                throw new IllegalArgumentException("a probe has 1 head or more and an MLP of two layers with biases, got " + heads + " and " + mlp);
            }
        }
    }

    /** How the pooled vector of {@link Hidden} is made. */
    enum Pooler {
        /** There is none. */
        NONE("none"),
        /** The first position of the output. */
        FIRST("first"),
        /** The last position of the output, padding or none (SigLIP). */
        LAST("last"),
        /**
         * The position of the output where the token that {@link Embedding.Special#end} names stands first, or the first one where it doesn't; where none
         * is named, that of the highest id (CLIP).
         */
        END("end"),
        /** What a learned vector gets by asking all positions of the output, as {@link Probe} says. */
        PROBE("probe"),
        /** {@code tanh(dense(first))} of the output's first position. */
        DENSE_TANH("dense-tanh"),
        /** The final norm reads only the first position, and the output is the bare stream (CLIP). */
        NORMED_FIRST("normed-first"),
        /** The mean of the first two positions of the output (AST). */
        MEAN_OF_TWO("mean-of-two"),
        /** The final norm reads the mean of the bare stream over the patches, and the output is the bare stream (BEiT). */
        NORMED_MEAN("normed-mean");

        private final String label;

        Pooler(String label) {
            this.label = label;
        }

        /** The word used in files. */
        public String label() {
            return label;
        }

        /** Whether the output is the stream itself, and the final norm reads what is pooled of it. */
        public boolean bareStream() {
            return this == NORMED_FIRST || this == NORMED_MEAN;
        }
    }
}
