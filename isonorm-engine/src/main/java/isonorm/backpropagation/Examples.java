package isonorm.backpropagation;

import isonorm.model.Batch;
import java.util.Arrays;
import java.util.Optional;

/** What one step learns from: inputs, and what is to be said of them. */
public sealed interface Examples {

    /** How many sequences or images there are. */
    int count();

    /** How many of them are targets: what the loss is a mean over. */
    int targets();

    /**
     * Rows of tokens of one length, and for each token the one that should follow; below zero where nothing is asked.
     */
    record Tokens(int[][] ids, int[][] following) implements Examples {

        public Tokens {
            if (ids.length == 0 || ids.length != following.length) {
                throw new IllegalArgumentException("a batch needs as many rows of targets as of tokens and one at least, got " + ids.length
                        + " and " + following.length);
            }
            for (int row = 0; row < ids.length; row++) {
                if (ids[row].length == 0 || ids[row].length != ids[0].length || following[row].length != ids[0].length) {
                    throw new IllegalArgumentException("rows of a batch must be equally long, got row " + row + " of " + ids[row].length
                            + " tokens and " + following[row].length + " targets beside one of " + ids[0].length);
                }
            }
        }

        /** Windows of one token more than is read: each token is the target of the one before. */
        public static Tokens ofWindows(int[][] windows) {
            int[][] ids = new int[windows.length][];
            int[][] following = new int[windows.length][];
            for (int row = 0; row < windows.length; row++) {
                ids[row] = Arrays.copyOfRange(windows[row], 0, windows[row].length - 1);
                following[row] = Arrays.copyOfRange(windows[row], 1, windows[row].length);
            }
            return new Tokens(ids, following);
        }

        /** What a model reads of them; what no target comes behind is padding. */
        public Batch.Tokens batch() {
            long[][] mask = new long[ids.length][length()];
            for (int row = 0; row < ids.length; row++) {
                int end = length();
                while (end > 0 && following[row][end - 1] < 0) {
                    end--;
                }
                Arrays.fill(mask[row], 0, end, 1);
            }
            return new Batch.Tokens(Arrays.stream(ids).map(row -> Arrays.stream(row).asLongStream().toArray()).toArray(long[][]::new), Optional.of(mask));
        }

        @Override
        public int count() {
            return ids.length;
        }

        /** How long each row is. */
        public int length() {
            return ids[0].length;
        }

        @Override
        public int targets() {
            int targets = 0;
            for (int[] row : following) {
                for (int target : row) {
                    targets += target >= 0 ? 1 : 0;
                }
            }
            return targets;
        }
    }

    /**
     * What is to be said of images in place of one class each: the class with {@code share}, another with the rest, and of both {@code smoothing} spread over all
     * classes alike.
     *
     * @param others the other class of each image
     */
    record SoftLabels(int[] others, double share, double smoothing) {

        /** How much of a class with a number is to be said. */
        double of(int label, int image, int number, int classes) {
            double hard = (label == number ? share : 0) + (others[image] == number ? 1 - share : 0);
            return (1 - smoothing) * hard + smoothing / classes;
        }
    }

    /** Images, and the class of each. */
    record Images(Batch.Images pixels, int[] labels, Optional<SoftLabels> soft) implements Examples {

        public Images(Batch.Images pixels, int[] labels) {
            this(pixels, labels, Optional.empty());
        }

        public Images {
            if (pixels.count() != labels.length) {
                throw new IllegalArgumentException("each image has a label, got " + pixels.count() + " images and " + labels.length + " labels");
            }
        }

        @Override
        public int count() {
            return labels.length;
        }

        @Override
        public int targets() {
            return labels.length;
        }
    }
}
