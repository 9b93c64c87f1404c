package isonorm.words;

import java.util.Arrays;
import java.util.Collection;
import java.util.Locale;
import java.util.Optional;

/**
 * Finds what a misspelled name was probably meant to be.
 *
 * <p>The distance is the number of characters to insert, delete, replace or swap with a neighbour (optimal string
 * alignment), without regard to case.
 */
public final class Names {

    private Names() {}

    /**
     * Returns the nearest of {@code known} to {@code wanted}, the first one of equals, if it is near enough to be a
     * suggestion: at most a third of the longer name differs.
     */
    public static Optional<String> nearest(String wanted, Collection<String> known) {
        String from = wanted.toLowerCase(Locale.ROOT);
        String nearest = null;
        int best = Integer.MAX_VALUE;
        for (String name : known) {
            int limit = Math.min(best - 1, Math.max(wanted.length(), name.length()) / 3);
            int distance = distance(from, name.toLowerCase(Locale.ROOT), limit);
            if (distance <= limit) {
                best = distance;
                nearest = name;
            }
        }
        return Optional.ofNullable(nearest);
    }

    /** The distance between two names, or {@code limit + 1} when it is above {@code limit}. */
    static int distance(String from, String to, int limit) {
        if (Math.abs(from.length() - to.length()) > limit) {
            return limit + 1;
        }
        int[] beforePrevious = new int[to.length() + 1];
        int[] previous = new int[to.length() + 1];
        int[] row = new int[to.length() + 1];
        Arrays.setAll(previous, column -> column);
        for (int i = 1; i <= from.length(); i++) {
            row[0] = i;
            int smallest = i;
            for (int j = 1; j <= to.length(); j++) {
                int cost = from.charAt(i - 1) == to.charAt(j - 1) ? 0 : 1;
                int value = Math.min(previous[j - 1] + cost, 1 + Math.min(previous[j], row[j - 1]));
                if (i > 1 && j > 1 && from.charAt(i - 1) == to.charAt(j - 2) && from.charAt(i - 2) == to.charAt(j - 1)) {
                    value = Math.min(value, beforePrevious[j - 2] + 1);
                }
                row[j] = value;
                smallest = Math.min(smallest, value);
            }
            // No later row can be smaller than both of these, because a step never lowers the distance.
            if (smallest > limit && i > 1 && smallest(previous) > limit) {
                return limit + 1;
            }
            int[] reused = beforePrevious;
            beforePrevious = previous;
            previous = row;
            row = reused;
        }
        return Math.min(previous[to.length()], limit + 1);
    }

    private static int smallest(int[] values) {
        int smallest = values[0];
        for (int value : values) {
            smallest = Math.min(smallest, value);
        }
        return smallest;
    }
}
