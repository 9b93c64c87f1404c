package isonorm.cli.terminal;

import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.OptionalInt;
import java.util.stream.Stream;

/** Rows of cells in columns as wide as their widest cell, and numbers in words. */
public final class Table {

    private final List<String[]> rows = new ArrayList<>();
    private final boolean numbers;

    private Table(boolean numbers) {
        this.numbers = numbers;
    }

    /** Labels and what they mean. */
    public static Table ofFacts() {
        return new Table(false);
    }

    /** A column of names and columns of numbers, which are set to the right. */
    public static Table ofNumbers(String... heads) {
        return new Table(true).row(heads);
    }

    public Table row(String... cells) {
        rows.add(cells);
        return this;
    }

    /**
     * Prints the rows, two spaces from the left. A long last cell of facts goes on below itself. Of numbers that are too wide for the terminal, heads go on
     * below themselves, and columns that find no place come in another table below, beside the same names.
     */
    public void print(PrintStream out) {
        print(out, Width.known());
    }

    void print(PrintStream out, OptionalInt known) {
        if (!numbers) {
            lines(rows, known.orElse(Width.USUAL)).forEach(out::println);
            return;
        }
        List<String> whole = lines(rows, Integer.MAX_VALUE);
        if (known.isEmpty() || longest(whole) <= known.getAsInt()) {
            whole.forEach(out::println);
            return;
        }
        List<String[]> folded = folded();
        int columns = folded.getFirst().length;
        for (int from = 1; from < columns;) {
            int to = from + 1;
            while (to < columns && longest(lines(part(folded, from, to + 1), Integer.MAX_VALUE)) <= known.getAsInt()) {
                to++;
            }
            if (from > 1) {
                out.println();
            }
            lines(part(folded, from, to), Integer.MAX_VALUE).forEach(out::println);
            from = to;
        }
    }

    private static int longest(List<String> lines) {
        return lines.stream().mapToInt(String::length).max().orElse(0);
    }

    /** The first column and some of the others. */
    private static List<String[]> part(List<String[]> rows, int from, int to) {
        return rows.stream().map(row -> Stream.concat(Stream.of(row[0]), Arrays.stream(row, from, to)).toArray(String[]::new)).toList();
    }

    /** The same with each head in as many lines as make it no wider than what stands below it. */
    private List<String[]> folded() {
        String[] heads = rows.getFirst();
        List<String[]> lines = new ArrayList<>();
        for (int c = 0; c < heads.length; c++) {
            int column = c;
            int width = rows.stream().skip(1).mapToInt(row -> row[column].length()).max().orElse(0);
            String[] words = Width.wrapped(heads[c], 0, width).split("\n");
            while (lines.size() < words.length) {
                String[] empty = new String[heads.length];
                Arrays.fill(empty, "");
                lines.add(empty);
            }
            for (int l = 0; l < words.length; l++) {
                lines.get(l)[c] = words[l];
            }
        }
        lines.addAll(rows.subList(1, rows.size()));
        return lines;
    }

    private List<String> lines(List<String[]> some, int width) {
        int columns = some.stream().mapToInt(row -> row.length).max().orElse(0);
        int[] widths = new int[columns];
        for (String[] row : some) {
            for (int c = 0; c < row.length; c++) {
                widths[c] = Math.max(widths[c], c == row.length - 1 && !numbers ? 0 : row[c].length());
            }
        }
        List<String> lines = new ArrayList<>();
        for (String[] row : some) {
            StringBuilder line = new StringBuilder(" ");
            for (int c = 0; c < row.length; c++) {
                line.append(' ');
                if (c == row.length - 1 && !numbers) {
                    line.append(Width.wrapped(row[c], line.length(), width));
                } else {
                    String space = " ".repeat(widths[c] - row[c].length());
                    line.append(numbers && c > 0 ? space + row[c] : row[c] + space).append(' ');
                }
            }
            lines.add(line.toString().stripTrailing());
        }
        return lines;
    }

    /** 1,752,320. */
    public static String count(long number) {
        return String.format(Locale.ROOT, "%,d", number);
    }

    /** The number and what is counted, in the plural where it is not one. */
    public static String count(long number, String what) {
        return count(number) + " " + what + (number == 1 ? "" : "s");
    }

    /** 7.0 MB. */
    public static String bytes(long number) {
        String[] units = {"bytes", "kB", "MB", "GB", "TB"};
        double value = number;
        int unit = 0;
        for (; value >= 1000 && unit < units.length - 1; unit++) {
            value /= 1000;
        }
        return unit == 0 ? count(number, "byte") : String.format(Locale.ROOT, "%.1f %s", value, units[unit]);
    }

    /** 1.2e-13, and 0 where nothing differs. */
    public static String error(double value) {
        return value == 0 ? "0" : String.format(Locale.ROOT, "%.1e", value);
    }

    /** 99.98 %, where 100 % is said of everything and of nothing less. */
    public static String percent(double part) {
        double floor = Math.floor(part * 10_000) / 100;
        return part == 1 ? "100 %" : String.format(Locale.ROOT, "%.2f %%", floor);
    }

    /** 1h 2min, 3min 4s or 5s. */
    public static String time(double seconds) {
        Duration time = Duration.ofSeconds(Math.round(seconds));
        return time.toHours() > 0 ? time.toHours() + "h " + time.toMinutesPart() + "min"
                : time.toMinutes() > 0 ? time.toMinutes() + "min " + time.toSecondsPart() + "s" : time.toSecondsPart() + "s";
    }
}
