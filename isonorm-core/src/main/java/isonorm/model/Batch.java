package isonorm.model;

import java.util.Arrays;
import java.util.Optional;

/** What one forward pass reads: rows of token ids of one length, images of one size, sounds of one length, or what each of a model's two stacks reads. */
public sealed interface Batch permits Batch.Tokens, Batch.Images, Batch.Sounds, Batch.Both {

    /** How many prompts, images or sounds there are. */
    int count();

    /**
     * Token ids, a row for each prompt.
     *
     * @param mask 1 where a token is to be seen, 0 where it is padding
     */
    record Tokens(long[][] ids, Optional<long[][]> mask) implements Batch {

        public Tokens {
            if (ids.length == 0 || ids[0].length == 0) {
                throw new IllegalArgumentException("a batch of tokens needs a row with a token in it");
            }
            requireLengths("ids", ids, ids.length, ids[0].length);
            if (mask.isPresent()) {
                requireLengths("mask", mask.get(), ids.length, ids[0].length);
                for (long[] row : mask.get()) {
                    for (long value : row) {
                        if (value != 0 && value != 1) {
                            throw new IllegalArgumentException("a mask holds 0 and 1, got " + value);
                        }
                    }
                }
            }
        }

        /** Rows without padding. */
        public static Tokens of(long[]... ids) {
            return new Tokens(ids, Optional.empty());
        }

        private static void requireLengths(String what, long[][] rows, int count, int length) {
            if (rows.length != count) {
                throw new IllegalArgumentException(what + " must have " + count + " rows, got " + rows.length);
            }
            for (int r = 0; r < count; r++) {
                if (rows[r].length != length) {
                    throw new IllegalArgumentException("the rows of a batch must be equally long: row " + r + " of " + what
                            + " has " + rows[r].length + " values where " + length + " are needed; pad it and give a mask");
                }
            }
        }

        @Override
        public int count() {
            return ids.length;
        }

        /** How many tokens a row has. */
        public int length() {
            return ids[0].length;
        }

        /** Whether the token at {@code position} of {@code row} is to be seen. */
        public boolean seen(int row, int position) {
            return mask.isEmpty() || mask.get()[row][position] != 0;
        }
    }

    /**
     * What each of two stacks reads: an encoder its input and the decoder beside it tokens, row by row; or a tower images, any number of them, and
     * the tower beside it texts.
     *
     * @param companion what the encoder, or the tower of images, reads
     * @param main what the decoder, or the tower of texts, reads
     */
    record Both(Batch companion, Batch main) implements Batch {

        public Both {
            if (companion instanceof Both || main instanceof Both) {
                throw new IllegalArgumentException("a model has at most two stacks");
            }
        }

        @Override
        public int count() {
            return main.count();
        }
    }

    /** Images: {@code count} times {@code channels} planes of {@code height} rows of {@code width} values, one after the other. */
    record Images(float[] pixels, int count, int channels, int height, int width) implements Batch {

        public Images {
            if (count <= 0 || channels <= 0 || height <= 0 || width <= 0
                    || pixels.length != (long) count * channels * height * width) {
                throw new IllegalArgumentException(count + " images of " + channels + " x " + height + " x " + width
                        + " have as many values as that says, got " + pixels.length);
            }
        }

        /** Images {@code first} to {@code first + number - 1}. */
        public Images slice(int first, int number) {
            int each = channels * height * width;
            return first == 0 && number == count
                    ? this
                    : new Images(Arrays.copyOfRange(pixels, first * each, (first + number) * each), number, channels, height, width);
        }
    }

    /**
     * Sounds: {@code count} times {@code lines * frames} values, in the order in which the model's own files have them, line after line or frame after
     * frame; a waveform has one line.
     */
    record Sounds(float[] values, int count, int lines, int frames) implements Batch {

        public Sounds {
            if (count <= 0 || lines <= 0 || frames <= 0 || values.length != (long) count * lines * frames) {
                throw new IllegalArgumentException(count + " sounds of " + lines + " lines and " + frames + " frames have as many values as that says, got "
                        + values.length);
            }
        }

        /** Sounds {@code first} to {@code first + number - 1}. */
        public Sounds slice(int first, int number) {
            int each = lines * frames;
            return first == 0 && number == count ? this : new Sounds(Arrays.copyOfRange(values, first * each, (first + number) * each), number, lines, frames);
        }
    }
}
