package isonorm.architecture;

/**
 * A learned number for each head and each bucket, added to the scores of attention, where a bucket is how far a key is from its query.
 *
 * @param buckets what is told apart
 * @param own whether the block has a table of its own, or takes that of the first block of its stack
 * @param gates what each query multiplies what is added to its scores with
 */
public record RelativeBias(Buckets buckets, boolean own, Gates gates) {

    /**
     * Gates of queries, {@code a (c b - 1) + 2} where a and b are the sigmoids of two numbers that are made for each head of what attention reads, and c is
     * learned for each head (WavLM, arXiv 2110.13900).
     */
    public enum Gates {
        NONE("none"),
        /** One linear layer for all heads, of each head's part of what is read; each number is the sum of {@value #SUMMED} that it gives. */
        SHARED("shared"),
        /** A linear layer of all that is read gives the first number of each head, and then the second of each. */
        EACH_HEAD("each-head");

        /** How many outputs of a shared layer are one number. */
        public static final int SUMMED = 4;

        private final String label;

        Gates(String label) {
            this.label = label;
        }

        /** The word used in files. */
        public String label() {
            return label;
        }

        /** The gate of a head, of its two numbers and c. */
        public static double of(double first, double second, double scale) {
            return (scale / (1 + Math.exp(-second)) - 1) / (1 + Math.exp(-first)) + 2;
        }
    }

    /** Which bucket a pair of positions is in. */
    public sealed interface Buckets {

        /** How many there are. */
        int count();

        /** That of a query's position and a key's. */
        int of(int query, int key);
    }

    /**
     * Distances, which are the key's position minus the query's (T5, arXiv 1910.10683). Half of the buckets are of one distance each, the others of more
     * and more, and the last of all from {@code furthest} on.
     *
     * @param furthest from which distance on all are alike
     * @param bidirectional whether later keys have half of the buckets; otherwise all of them have the first
     */
    public record Distances(int count, int furthest, boolean bidirectional) implements Buckets {

        public Distances {
            int each = bidirectional ? count / 2 : count;
            if (each < 2 || furthest <= each / 2) {
                throw new IllegalArgumentException("distances have two buckets or more, twice as many in both directions, and the furthest is beyond those"
                        + " with a bucket each, got " + count + " buckets and " + furthest);
            }
        }

        @Override
        public int of(int query, int key) {
            return bucket(key - query);
        }

        /** The bucket of a distance. */
        public int bucket(int distance) {
            int each = bidirectional ? count / 2 : count;
            int first = bidirectional && distance > 0 ? each : 0;
            int far = bidirectional ? Math.abs(distance) : Math.max(0, -distance);
            int exact = each / 2;
            if (far < exact) {
                return first + far;
            }
            int wide = (int) (Math.log((double) far / exact) / Math.log((double) furthest / exact) * (each - exact));
            return first + Math.min(exact + wide, each - 1);
        }
    }

    /**
     * Places of patches behind a class token: how many rows and how many columns the query is behind the key, each of which has a bucket; and three more,
     * of the class token's queries, of its keys, and of both (BEiT, arXiv 2106.08254).
     */
    public record Grid(int rows, int columns) implements Buckets {

        public Grid {
            if (rows < 1 || columns < 1) {
                throw new IllegalArgumentException("patches have a row or more and a column or more, got " + rows + " and " + columns);
            }
        }

        @Override
        public int count() {
            return (2 * rows - 1) * (2 * columns - 1) + 3;
        }

        @Override
        public int of(int query, int key) {
            if (query == 0 || key == 0) {
                return count() - (query > 0 ? 2 : key > 0 ? 3 : 1);
            }
            int down = (query - 1) / columns - (key - 1) / columns;
            int across = (query - 1) % columns - (key - 1) % columns;
            return (down + rows - 1) * (2 * columns - 1) + across + columns - 1;
        }
    }

    /** A block's own table of these buckets, without gates. */
    public static RelativeBias of(Buckets buckets) {
        return new RelativeBias(buckets, true, Gates.NONE);
    }

    /** A block's own table of distances. */
    public static RelativeBias ofDistances(int count, int furthest, boolean bidirectional) {
        return of(new Distances(count, furthest, bidirectional));
    }

    /** The same table, taken from the first block. */
    public RelativeBias shared() {
        return new RelativeBias(buckets, false, gates);
    }

    public RelativeBias withGates(Gates of) {
        return new RelativeBias(buckets, own, of);
    }
}
