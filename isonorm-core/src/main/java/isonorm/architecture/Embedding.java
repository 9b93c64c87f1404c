package isonorm.architecture;

import java.util.Optional;

/**
 * What enters the residual stream. The sum of the tables below is normalized where there is a norm, and the mean is taken
 * out of the result where {@code recentre} says so.
 */
public sealed interface Embedding {

    /** The norm behind the sum of the embeddings, if there is one. */
    Optional<Norm> norm();

    /** Whether the mean of what the norm gives is taken out before it enters the stream. */
    boolean recentre();

    /** The same embedding with another norm and recentring. */
    Embedding withNorm(Optional<Norm> other, boolean explicit);

    /**
     * Tokens: {@code scale * token[id] + position[i + offset] + segment[0]}, the token's vector passing through a
     * projection first where its width is not the model's.
     *
     * @param width the width of the token table
     * @param positions rows of the learned position table, the offset included; 0 without one
     * @param positionOffset what is added to a position to find its row
     * @param maskedPositions whether positions count only the tokens that the attention mask keeps
     * @param segments rows of the segment table; 0 without one
     * @param projected whether a linear layer without bias leads from the table's width to the model's
     * @param means whether the table's row means are kept in a vector beside it, for a tied head to add
     */
    record Tokens(
            int vocabulary,
            int width,
            int positions,
            int positionOffset,
            boolean maskedPositions,
            int segments,
            boolean projected,
            double scale,
            boolean means,
            Optional<Norm> norm,
            boolean recentre)
            implements Embedding {

        /** A token table of the model's width and nothing else. */
        public static Tokens of(int vocabulary, int width) {
            return new Tokens(vocabulary, width, 0, 0, false, 0, false, 1, false, Optional.empty(), false);
        }

        public Tokens withPositions(int rows, int offset, boolean masked) {
            return new Tokens(vocabulary, width, rows, offset, masked, segments, projected, scale, means, norm, recentre);
        }

        public Tokens withSegments(int rows) {
            return new Tokens(vocabulary, width, positions, positionOffset, maskedPositions, rows, projected, scale, means, norm, recentre);
        }

        public Tokens withProjection() {
            return new Tokens(vocabulary, width, positions, positionOffset, maskedPositions, segments, true, scale, means, norm, recentre);
        }

        public Tokens withScale(double factor) {
            return new Tokens(vocabulary, width, positions, positionOffset, maskedPositions, segments, projected, factor, means, norm, recentre);
        }

        public Tokens withMeans(boolean kept) {
            return new Tokens(vocabulary, width, positions, positionOffset, maskedPositions, segments, projected, scale, kept, norm, recentre);
        }

        public Tokens withNorm(Norm other) {
            return withNorm(Optional.of(other), recentre);
        }

        @Override
        public Tokens withNorm(Optional<Norm> other, boolean explicit) {
            return new Tokens(vocabulary, width, positions, positionOffset, maskedPositions, segments, projected, scale, means, other, explicit);
        }
    }

    /**
     * Image patches: a class token, then the patches in row order, each projected by one linear layer of its
     * {@code channels * patch * patch} values; a learned position is added to every one.
     *
     * @param bias whether the projection has a bias
     * @param maskToken whether the checkpoint holds a vector that stood for hidden patches in training; no forward pass uses it
     */
    record Patches(
            int height,
            int width,
            int patch,
            int channels,
            boolean bias,
            boolean maskToken,
            Optional<Norm> norm,
            boolean recentre)
            implements Embedding {

        public Patches {
            if (patch <= 0 || height % patch != 0 || width % patch != 0) {
                throw new IllegalArgumentException(
                        "an image must be a whole number of patches, got " + height + " x " + width + " in patches of " + patch);
            }
        }

        /** How many vectors enter the stream: the patches and the class token. */
        public int tokens() {
            return (height / patch) * (width / patch) + 1;
        }

        @Override
        public Patches withNorm(Optional<Norm> other, boolean explicit) {
            return new Patches(height, width, patch, channels, bias, maskToken, other, explicit);
        }
    }
}
