package isonorm.architecture;

/**
 * A learned number for each head and each bucket of distances, added to the scores of attention (T5, arXiv 1910.10683). A distance is the key's position
 * minus the query's. Half of the buckets are of one distance each, the others of more and more, and the last of all from {@code furthest} on.
 *
 * @param buckets how many there are
 * @param furthest from which distance on all are alike
 * @param bidirectional whether later keys have half of the buckets; otherwise all of them have the first
 * @param own whether the block has a table of its own, or takes that of the first block of its stack
 */
public record RelativeBias(int buckets, int furthest, boolean bidirectional, boolean own) {

    public RelativeBias {
        int each = bidirectional ? buckets / 2 : buckets;
        if (each < 2 || furthest <= each / 2) {
            throw new IllegalArgumentException("distances have two buckets or more, twice as many in both directions, and the furthest is beyond those with a"
                    + " bucket each, got " + buckets + " buckets and " + furthest);
        }
    }

    /** The same table, taken from the first block. */
    public RelativeBias shared() {
        return new RelativeBias(buckets, furthest, bidirectional, false);
    }

    /** The bucket of a distance. */
    public int bucket(int distance) {
        int each = bidirectional ? buckets / 2 : buckets;
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
