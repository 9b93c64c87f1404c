package isonorm.generate;

import java.util.List;

/** Text on its way out, of which nothing goes out that could be the beginning of a stop string. */
final class StopStrings {

    private final List<String> stops;
    private final StringBuilder held = new StringBuilder();
    private boolean stopped;

    StopStrings(List<String> stops) {
        this.stops = stops;
    }

    /** Whether a stop string came. */
    boolean stopped() {
        return stopped;
    }

    /** What can go out now that {@code piece} came; up to a stop string, where there is one. */
    String add(String piece) {
        held.append(piece);
        int end = stop();
        if (end >= 0) {
            stopped = true;
            return take(end);
        }
        int safe = held.length();
        for (String stop : stops) {
            safe = Math.min(safe, held.length() - begun(stop));
        }
        return take(safe);
    }

    /** All that was held back. */
    String end() {
        return take(held.length());
    }

    private String take(int end) {
        String out = held.substring(0, end);
        held.delete(0, end);
        return out;
    }

    /** Where the stop string begins that ends first, the longest of those; -1 where there is none. */
    private int stop() {
        int begin = -1;
        int end = Integer.MAX_VALUE;
        for (String stop : stops) {
            int at = held.indexOf(stop);
            if (at >= 0 && (at + stop.length() < end || at + stop.length() == end && at < begin)) {
                begin = at;
                end = at + stop.length();
            }
        }
        return begin;
    }

    /** How many characters at the end of the text could begin {@code stop}. */
    private int begun(String stop) {
        for (int length = Math.min(stop.length() - 1, held.length()); length > 0; length--) {
            if (held.indexOf(stop.substring(0, length), held.length() - length) >= 0) {
                return length;
            }
        }
        return 0;
    }
}
