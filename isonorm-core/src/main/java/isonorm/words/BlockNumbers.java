package isonorm.words;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/** Blocks of a model in words, counted from 0 as their tensors are: {@code 3,5,9-11} is 3, 5, 9, 10 and 11. */
public final class BlockNumbers {

    private static final Pattern RANGE = Pattern.compile("([0-9]{1,6})(?:-([0-9]{1,6}))?");

    private BlockNumbers() {}

    /**
     * The blocks that a text names.
     *
     * @param name what an error calls them
     * @throws IllegalArgumentException for what is no number and no range, and for a range that ends below its begin
     */
    public static SortedSet<Integer> parse(String name, String text) {
        SortedSet<Integer> all = new TreeSet<>();
        for (String part : text.split(",", -1)) {
            Matcher range = RANGE.matcher(part.strip());
            if (!range.matches()) {
                throw new IllegalArgumentException(name + " must be numbers and ranges such as 3,5,9-11, got '" + text + "'");
            }
            int first = Integer.parseInt(range.group(1));
            int last = range.group(2) == null ? first : Integer.parseInt(range.group(2));
            if (first > last) {
                throw new IllegalArgumentException(name + " must be numbers and ranges such as 3,5,9-11, got '" + text + "'; a range begins with"
                        + " its lower number");
            }
            IntStream.rangeClosed(first, last).forEach(all::add);
        }
        return all;
    }

    /** What {@link #parse} reads as these blocks: ranges where several follow each other. */
    public static String text(Collection<Integer> blocks) {
        List<String> parts = new ArrayList<>();
        List<Integer> sorted = blocks.stream().sorted().distinct().toList();
        int from = 0;
        for (int i = 1; i <= sorted.size(); i++) {
            if (i == sorted.size() || sorted.get(i) != sorted.get(i - 1) + 1) {
                parts.add(i - from == 1 ? "" + sorted.get(from) : sorted.get(from) + "-" + sorted.get(i - 1));
                from = i;
            }
        }
        return String.join(",", parts);
    }
}
