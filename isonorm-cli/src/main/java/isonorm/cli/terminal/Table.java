package isonorm.cli.terminal;

import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Rows of cells in columns as wide as their widest cell, and numbers in words. */
public final class Table {

    private static final int WIDTH = 110;

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

    /** Prints the rows, two spaces from the left; a long last cell of facts goes on below itself. */
    public void print(PrintStream out) {
        int columns = rows.stream().mapToInt(row -> row.length).max().orElse(0);
        int[] widths = new int[columns];
        for (String[] row : rows) {
            for (int c = 0; c < row.length; c++) {
                widths[c] = Math.max(widths[c], c == row.length - 1 && !numbers ? 0 : row[c].length());
            }
        }
        for (String[] row : rows) {
            StringBuilder line = new StringBuilder(" ");
            for (int c = 0; c < row.length; c++) {
                line.append(' ');
                if (c == row.length - 1 && !numbers) {
                    line.append(wrapped(row[c], line.length()));
                } else {
                    String space = " ".repeat(widths[c] - row[c].length());
                    line.append(numbers && c > 0 ? space + row[c] : row[c] + space).append(' ');
                }
            }
            out.println(line.toString().stripTrailing());
        }
    }

    private static String wrapped(String text, int indent) {
        StringBuilder lines = new StringBuilder();
        int column = indent;
        for (String word : text.split(" ")) {
            if (column > indent && column + 1 + word.length() > WIDTH) {
                lines.append('\n').append(" ".repeat(indent));
                column = indent;
            } else if (column > indent) {
                lines.append(' ');
                column++;
            }
            lines.append(word);
            column += word.length();
        }
        return lines.toString();
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
