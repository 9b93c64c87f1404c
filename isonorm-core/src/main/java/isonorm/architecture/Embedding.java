package isonorm.architecture;

import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What enters the residual stream. The sum of the tables below is normalized where there is a norm, and the mean is taken
 * out of the result where {@code recentre} says so.
 */
public sealed interface Embedding {

    /** The norm behind the sum of the embeddings, if there is one. */
    Optional<Norm> norm();

    /** The norm whose result enters the stream itself; empty where a projection stands between the two. */
    Optional<Norm> streamNorm();

    /** How many values the norm reads in a model of this width. */
    int normWidth(int width);

    /** Whether the mean of what the norm gives is taken out before it enters the stream. */
    boolean recentre();

    /** More values than an image or a sound has of which vectors for a stream are made. */
    int MOST = 1 << 26;

    /** The same embedding with another norm and recentring. */
    Embedding withNorm(Optional<Norm> other, boolean explicit);

    /**
     * Tokens: {@code scale * token[id] + position[i + offset] + segment[0]}, the token's vector, or all of that behind its norm, passing through a
     * projection where its width is not the model's.
     *
     * @param width the width of the token table
     * @param positions rows of the learned position table, the offset included; 0 without one
     * @param positionOffset what is added to a position to find its row
     * @param maskedPositions whether positions count only the tokens that the attention mask keeps
     * @param segments rows of the segment table; 0 without one
     * @param projection what a linear layer leads from the table's width to the model's
     * @param means whether the table's row means are kept in a vector beside it, for a tied head to add
     * @param special tokens that mean more than a row of the table
     */
    record Tokens(
            int vocabulary,
            int width,
            int positions,
            int positionOffset,
            boolean maskedPositions,
            int segments,
            Projection projection,
            double scale,
            boolean means,
            Special special,
            Optional<Norm> norm,
            boolean recentre)
            implements Embedding {

        public Tokens {
            if (vocabulary < 1 || width < 1 || positions < 0 || segments < 0) {
                throw new IllegalArgumentException("a token table has 1 row and column or more, and beside it stand 0 positions and segments or more, got "
                        + vocabulary + " x " + width + ", " + positions + " and " + segments);
            }
            if (positions > 0 && (positionOffset < 0 || positionOffset >= positions)) {
                throw new IllegalArgumentException("the first position has a row of the table, got row " + positionOffset + " of " + positions);
            }
            if (!Double.isFinite(scale)) {
                throw new IllegalArgumentException("the token's vector is multiplied with a finite number, got " + scale);
            }
        }

        /** A token table of the model's width and nothing else. */
        public static Tokens of(int vocabulary, int width) {
            return new Tokens(vocabulary, width, 0, 0, false, 0, Projection.NONE, 1, false, Special.NONE, Optional.empty(), false);
        }

        /** The same with tables of another width. */
        public Tokens withWidth(int columns) {
            return new Tokens(vocabulary, columns, positions, positionOffset, maskedPositions, segments, projection, scale, means, special, norm, recentre);
        }

        public Tokens withPositions(int rows, int offset, boolean masked) {
            return new Tokens(vocabulary, width, rows, offset, masked, segments, projection, scale, means, special, norm, recentre);
        }

        public Tokens withSegments(int rows) {
            return new Tokens(vocabulary, width, positions, positionOffset, maskedPositions, rows, projection, scale, means, special, norm, recentre);
        }

        /** The same where tables are of another width than the model. */
        public Tokens withProjection(Projection of) {
            return new Tokens(vocabulary, width, positions, positionOffset, maskedPositions, segments, of, scale, means, special, norm, recentre);
        }

        public Tokens withScale(double factor) {
            return new Tokens(vocabulary, width, positions, positionOffset, maskedPositions, segments, projection, factor, means, special, norm, recentre);
        }

        public Tokens withMeans(boolean kept) {
            return new Tokens(vocabulary, width, positions, positionOffset, maskedPositions, segments, projection, scale, kept, special, norm, recentre);
        }

        public Tokens withSpecial(Special tokens) {
            return new Tokens(vocabulary, width, positions, positionOffset, maskedPositions, segments, projection, scale, means, tokens, norm, recentre);
        }

        /** Whether there is a projection. */
        public boolean projected() {
            return projection != Projection.NONE;
        }

        @Override
        public Optional<Norm> streamNorm() {
            return projection == Projection.SUM ? Optional.empty() : norm;
        }

        @Override
        public int normWidth(int model) {
            return projection == Projection.SUM ? width : model;
        }

        public Tokens withNorm(Norm other) {
            return withNorm(Optional.of(other), recentre);
        }

        @Override
        public Tokens withNorm(Optional<Norm> other, boolean explicit) {
            return new Tokens(vocabulary, width, positions, positionOffset, maskedPositions, segments, projection, scale, means, special, other, explicit);
        }
    }

    /** What of an embedding passes through a linear layer. */
    enum Projection {
        /** Nothing. */
        NONE,
        /** The token's vector, without a bias; what is added to it has the model's width (OPT). */
        TOKENS,
        /** The sum behind its norm, with a bias; tables and norm have the table's width (ELECTRA, ALBERT). */
        SUM
    }

    /**
     * Tokens that mean more than a row of the table.
     *
     * @param padding what positions do not count: it has the row before the first position's (RoBERTa)
     * @param hidden what stands for tokens that are to be guessed: its vector is zero, and those of a row of which a part h is this token are
     *     multiplied with {@code .88 / (1 - h)}, for .12 of the tokens were hidden in training (ESM)
     * @param end what ends a text: the pooled vector of {@link Output.Pooler#END} is read where it first stands
     */
    record Special(OptionalInt padding, OptionalInt hidden, OptionalInt end) {

        public Special(OptionalInt padding, OptionalInt hidden) {
            this(padding, hidden, OptionalInt.empty());
        }

        /** The part of the tokens that were hidden when ESM was trained. */
        public static final double HIDDEN_IN_TRAINING = 0.15 * 0.8;

        public static final Special NONE = new Special(OptionalInt.empty(), OptionalInt.empty());

        /** What the vectors of a row of {@code length} tokens are multiplied with, of which {@code count} are hidden. */
        public double scale(int count, int length) {
            return hidden.isPresent() ? (1 - HIDDEN_IN_TRAINING) / (1 - (double) count / length) : 1;
        }
    }

    /**
     * Image patches: class tokens, registers, then the patches in row order, each projected by one linear layer of its
     * {@code channels * patch * patch} values; a learned position is added to every class token and patch, where there are positions.
     *
     * @param bias whether the projection has a bias
     * @param positions whether there are learned positions
     * @param maskToken whether the checkpoint holds a vector that stood for hidden patches in training; no forward pass uses it
     */
    record Patches(
            int height,
            int width,
            Cut cut,
            int channels,
            boolean bias,
            Beside beside,
            boolean positions,
            boolean maskToken,
            Optional<Norm> norm,
            boolean recentre)
            implements Embedding {

        /**
         * How an image is cut.
         *
         * @param patch the side of a patch
         * @param down from one row of patches to the next; patches overlap where that is less than their side
         * @param across from one column of patches to the next
         * @param turned whether an image's columns become rows first, as those of a spectrogram do, whose lines are moments
         */
        public record Cut(int patch, int down, int across, boolean turned) {

            /** Side by side. */
            public static Cut of(int patch) {
                return new Cut(patch, patch, patch, false);
            }
        }

        /**
         * What stands before the patches.
         *
         * @param classTokens none, the class token, or it and the distillation token (DeiT, arXiv 2012.12877)
         * @param registers how many vectors without a position follow them (arXiv 2309.16588)
         */
        public record Beside(int classTokens, int registers) {

            public Beside {
                if (classTokens < 0 || classTokens > 2 || registers < 0) {
                    throw new IllegalArgumentException("before the patches stand 0 to 2 class tokens and registers, got " + classTokens + " and " + registers);
                }
            }

            /** How many vectors there are. */
            public int count() {
                return classTokens + registers;
            }
        }

        public Patches {
            boolean whole = cut.down == cut.patch && cut.across == cut.patch;
            if (cut.patch <= 0 || cut.down <= 0 || cut.across <= 0 || height < cut.patch || width < cut.patch
                    || whole && (height % cut.patch != 0 || width % cut.patch != 0)) {
                throw new IllegalArgumentException(
                        "an image must be a whole number of patches, got " + height + " x " + width + " in patches of " + cut.patch);
            }
            if (channels < 1 || (double) channels * height * width > MOST) {
                throw new IllegalArgumentException("an image has 1 to " + MOST + " values, got " + channels + " channels of " + height + " x " + width);
            }
        }

        /** Patches side by side behind a class token, with positions, and a bias on the projection. */
        public static Patches of(int height, int width, int patch, int channels) {
            return new Patches(height, width, Cut.of(patch), channels, true, new Beside(1, 0), true, false, Optional.empty(), false);
        }

        /** Patches of an image of another size, cut otherwise. */
        public Patches withImage(int lines, int columns, Cut other) {
            return new Patches(lines, columns, other, channels, bias, beside, positions, maskToken, norm, recentre);
        }

        public Patches withBias(boolean added) {
            return new Patches(height, width, cut, channels, added, beside, positions, maskToken, norm, recentre);
        }

        public Patches withBeside(int classTokens, int registers) {
            return new Patches(height, width, cut, channels, bias, new Beside(classTokens, registers), positions, maskToken, norm, recentre);
        }

        public Patches withPositions(boolean learned) {
            return new Patches(height, width, cut, channels, bias, beside, learned, maskToken, norm, recentre);
        }

        public Patches withMaskToken(boolean held) {
            return new Patches(height, width, cut, channels, bias, beside, positions, held, norm, recentre);
        }

        @Override
        public Optional<Norm> streamNorm() {
            return norm;
        }

        @Override
        public int normWidth(int model) {
            return model;
        }

        @Override
        public Patches withNorm(Optional<Norm> other, boolean explicit) {
            return new Patches(height, width, cut, channels, bias, beside, positions, maskToken, other, explicit);
        }

        /** The side of a patch. */
        public int patch() {
            return cut.patch;
        }

        /** How many rows of patches there are. */
        public int rows() {
            return ((cut.turned ? width : height) - cut.patch) / cut.down + 1;
        }

        /** How many patches a row has. */
        public int columns() {
            return ((cut.turned ? height : width) - cut.patch) / cut.across + 1;
        }

        /** How many values a patch has. */
        public int values() {
            return channels * cut.patch * cut.patch;
        }

        /** How many vectors enter the stream. */
        public int tokens() {
            return beside.count() + rows() * columns();
        }

        /** How many positions there are: one for each class token and each patch. */
        public int places() {
            return beside.classTokens + rows() * columns();
        }

        /** Where a value of a patch lies in an image: {@code value} is counted over channels, rows and columns of the patch. */
        public int pixel(int row, int column, int value) {
            int p = cut.patch;
            int y = row * cut.down + value / p % p;
            int x = column * cut.across + value % p;
            int plane = value / (p * p) * height * width;
            return cut.turned ? plane + x * width + y : plane + y * width + x;
        }
    }

    /**
     * A sound: frames that convolutions over time leave, each projected where there is a projection, times a scale, and what {@link Places} adds. What
     * comes out of an activation has no writer that could be centred, so everything here is as wide as the model and its mean is taken out at the end,
     * where a rewrite needs that.
     *
     * @param lines how many values a frame has that is read: those of a spectrogram, or 1 for a waveform
     * @param frames how many frames a sound must have; any number when empty
     * @param turned whether what is read is frame after frame, and not line after line
     * @param convolutions one after the other; without a projection the last one's channels are as many as the model is wide
     * @param maskToken whether the checkpoint holds a vector that stood for hidden frames in training; no forward pass uses it
     */
    record Sound(
            int lines,
            OptionalInt frames,
            boolean turned,
            List<Convolution> convolutions,
            Optional<FrameProjection> projection,
            double scale,
            Places places,
            boolean maskToken,
            Optional<Norm> norm,
            boolean recentre)
            implements Embedding {

        /**
         * A convolution over time, of all channels with all, and what follows.
         *
         * @param channels how many it gives
         * @param kernel how many frames it sees
         * @param stride from one frame that it gives to the next
         * @param padding how many frames of zeros are put before the first and behind the last
         * @param bias whether it has a bias
         * @param norm what normalizes its channels, before the activation
         * @param activation what follows; where it is empty, there are twice as many channels, and the first half is multiplied with the sigmoid of the
         *     second (GLU, arXiv 1612.08083)
         */
        public record Convolution(int channels, int kernel, int stride, int padding, boolean bias, Optional<ChannelNorm> norm, Optional<Activation> activation) {

            public Convolution {
                if (channels < 1 || kernel < 1 || stride < 1 || padding < 0) {
                    throw new IllegalArgumentException("a convolution has channels, a kernel and a stride of 1 or more and a padding of 0 or more, got "
                            + channels + ", " + kernel + ", " + stride + " and " + padding);
                }
                if (norm.isPresent() && activation.isEmpty()) {
                    throw new IllegalArgumentException("channels that are gates have no norm, got one over " + norm.get().over.label());
                }
            }

            /** One without a norm. */
            public static Convolution of(int channels, int kernel, int stride, int padding, Optional<Activation> activation) {
                return new Convolution(channels, kernel, stride, padding, true, Optional.empty(), activation);
            }

            /** How many rows its weight has. */
            public int rows() {
                return activation.isPresent() ? channels : 2 * channels;
            }

            /** How many frames it makes of so many; 0 or less where there are too few. */
            public int steps(int frames) {
                return Math.floorDiv(frames + 2 * padding - kernel, stride) + 1;
            }
        }

        /** A norm between a convolution and its activation; gain and bias have a value a channel. */
        public record ChannelNorm(Norm norm, Over over) {

            /** What the statistics are of. */
            public enum Over {
                /** All channels of one frame. */
                CHANNELS("channels"),
                /** All frames of one channel. */
                TIME("time");

                private final String label;

                Over(String label) {
                    this.label = label;
                }

                /** The word used in files. */
                public String label() {
                    return label;
                }
            }

            public ChannelNorm {
                if (over == Over.TIME && norm.kind() != NormKind.LAYER) {
                    throw new IllegalArgumentException("a norm over time takes mean and deviation out, got " + norm.kind().label());
                }
            }
        }

        /** A linear layer with a bias from the convolutions' channels to the model's width, behind a norm where there is one. */
        public record FrameProjection(Optional<Norm> norm) {}

        /** How frames know where they stand. */
        public sealed interface Places {

            /** A table's row is added to each: {@code rows} of them, beginning with row {@code offset}. */
            record Table(int rows, int offset) implements Places {}

            /**
             * What convolutions in groups of channels, one behind the other, make of all frames is added, each step seeing as many frames before itself as
             * behind, or one more before.
             *
             * @param count how many convolutions there are
             * @param norm what normalizes the channels that each gives, without gain and bias
             * @param magnitudes whether a weight is a direction, divided by its length over all channels and multiplied with a number for each frame that the
             *     kernel sees (arXiv 1602.07868)
             */
            record Convolved(int count, int kernel, int groups, Optional<Norm> norm, Activation activation, boolean magnitudes) implements Places {

                public Convolved {
                    if (count < 1 || kernel < 1 || groups < 1 || norm.isPresent() && norm.get().affine() != Affine.NONE) {
                        throw new IllegalArgumentException("positions are convolved by 1 or more convolutions, with a kernel and groups of 1 or more and a norm"
                                + " without gain and bias, got " + count + ", " + kernel + ", " + groups + " and " + norm);
                    }
                }
            }
        }

        public Sound {
            convolutions = List.copyOf(convolutions);
            if (lines < 1 || convolutions.isEmpty()) {
                throw new IllegalArgumentException("a sound has lines and is convolved, got " + lines + " lines and " + convolutions.size() + " convolutions");
            }
            double reach = lines;
            for (Convolution each : convolutions) {
                reach *= (double) each.stride + each.kernel + each.padding;
            }
            if (frames.orElse(1) < 1 || (double) lines * frames.orElse(1) > MOST || reach > Integer.MAX_VALUE || !Double.isFinite(scale)) {
                throw new IllegalArgumentException("a sound has 1 to " + MOST + " values, of which frames are made, and a finite scale, got " + lines + " lines, "
                        + (frames.isPresent() ? frames.getAsInt() + " frames, " : "") + "convolutions that reach " + reach + " of them, and " + scale);
            }
            if (places instanceof Places.Table(int rows, int offset) && (offset < 0 || offset >= rows)) {
                throw new IllegalArgumentException("the first position has a row of the table, got row " + offset + " of " + rows);
            }
        }

        /** How many channels the convolution of this number reads; what is behind the last, where there is none of that number. */
        public int channels(int convolution) {
            return convolution == 0 ? lines : convolutions.get(convolution - 1).channels;
        }

        /** How many channels the convolutions give. */
        public int channels() {
            return channels(convolutions.size());
        }

        /** Whether what is read is a waveform and not a spectrogram. */
        public boolean waveform() {
            return lines == 1;
        }

        /** How many vectors enter the stream for so many frames; 0 or less where there are too few. */
        public int steps(int read) {
            int steps = read;
            for (Convolution each : convolutions) {
                steps = steps < 1 ? 0 : each.steps(steps);
            }
            return steps;
        }

        /** The fewest frames of which so many vectors come, or as many as there must be. */
        public int framesOf(int steps) {
            if (frames.isPresent()) {
                return frames.getAsInt();
            }
            int read = steps;
            for (Convolution each : convolutions.reversed()) {
                read = Math.max(1, (read - 1) * each.stride + each.kernel - 2 * each.padding);
            }
            return read;
        }

        @Override
        public Optional<Norm> streamNorm() {
            return norm;
        }

        @Override
        public int normWidth(int model) {
            return model;
        }

        @Override
        public Sound withNorm(Optional<Norm> other, boolean explicit) {
            return new Sound(lines, frames, turned, convolutions, projection, scale, places, maskToken, other, explicit);
        }
    }
}
