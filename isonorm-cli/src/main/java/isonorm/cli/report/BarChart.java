package isonorm.cli.report;

import java.util.List;
import java.util.Locale;
import java.util.stream.DoubleStream;
import javax.xml.stream.XMLStreamException;

/**
 * Ratios as an SVG image: panels of groups of bars that stand on, or hang from, a line at 1.
 *
 * @param line what the line at 1 means
 * @param series what the first, second, ... bar of each group is
 */
public record BarChart(String title, String description, String line, List<String> series, List<Panel> panels) {

    /** Groups that share an axis. */
    record Panel(String title, List<Group> groups) {}

    /** The bars of one thing that was measured, one of each series, and its name in two lines. */
    record Group(String name, String detail, List<Bar> bars) {}

    /** A value, and the quartiles around it. */
    record Bar(double value, double lower, double upper) {}

    /** Told apart with any kind of colour vision, and in grey. (Okabe and Ito) */
    private static final List<String> COLOURS = List.of("#a3a3a3", "#0072b2", "#e69f00", "#009e73", "#cc79a7");
    private static final String TEXT = "#404040";
    private static final String FAINT = "#dcdcdc";

    private static final int LEFT = 56;
    private static final int RIGHT = 24;
    private static final int HEAD = 96;
    private static final int PANEL = 190;
    private static final int PANEL_HEAD = 38;
    private static final int PANEL_FOOT = 62;
    private static final int BAR = 32;
    private static final int LETTER = 7;

    /** The image. */
    public String svg() {
        return Pen.svg(this::draw);
    }

    private void draw(Pen pen) throws XMLStreamException {
        int widest = panels.stream().mapToInt(panel -> panel.groups.size()).max().orElse(1);
        int width = Math.max(LEFT + widest * groupWidth() + RIGHT, LEFT + LETTER * Math.max(title.length() + 8, description.length()));
        int height = HEAD + panels.size() * (PANEL_HEAD + PANEL + PANEL_FOOT);
        pen.open("svg", "xmlns", "http://www.w3.org/2000/svg", "width", width, "height", height, "viewBox", "0 0 " + width + " " + height,
                "role", "img", "aria-labelledby", "title description", "font-family", "system-ui, Helvetica, Arial, sans-serif", "font-size", 12,
                "fill", TEXT);
        pen.text("title", title, "id", "title");
        pen.text("desc", description, "id", "description");
        pen.empty("rect", "width", width, "height", height, "fill", "#ffffff");
        pen.text("text", title, "x", LEFT, "y", 26, "font-size", 16);
        pen.text("text", description, "x", LEFT, "y", 46);
        int x = LEFT;
        for (int s = 0; s < series.size(); s++) {
            pen.empty("rect", "class", "key", "x", x, "y", 62, "width", 12, "height", 12, "fill", colour(s));
            pen.text("text", series.get(s), "x", x + 18, "y", 72);
            x += 40 + LETTER * series.get(s).length();
        }
        for (int p = 0; p < panels.size(); p++) {
            draw(pen, panels.get(p), HEAD + p * (PANEL_HEAD + PANEL + PANEL_FOOT) + PANEL_HEAD, width - RIGHT);
        }
        pen.close();
    }

    private void draw(Pen pen, Panel panel, int top, int right) throws XMLStreamException {
        Axis axis = Axis.of(panel, top);
        pen.text("text", panel.title, "x", LEFT, "y", top - 18, "font-size", 14);
        for (long tick = axis.first; tick <= axis.last; tick++) {
            double value = tick * axis.step;
            boolean one = Math.abs(value - 1) < axis.step / 2;
            pen.empty("line", "x1", LEFT, "x2", right, "y1", axis.y(value), "y2", axis.y(value), "stroke", one ? TEXT : FAINT);
            pen.text("text", axis.label(value), "x", LEFT - 8, "y", axis.y(value) + 4, "text-anchor", "end");
        }
        pen.text("text", line, "x", right, "y", axis.y(1) - 4, "text-anchor", "end", "font-size", 11);
        for (int g = 0; g < panel.groups.size(); g++) {
            Group group = panel.groups.get(g);
            int middle = LEFT + g * groupWidth() + groupWidth() / 2;
            for (int b = 0; b < group.bars.size(); b++) {
                String what = panel.title + ", " + group.name + ", " + group.detail + ", " + series.get(b);
                draw(pen, group.bars.get(b), axis, middle - group.bars.size() * BAR / 2 + b * BAR, colour(b), what);
            }
            pen.text("text", group.name, "x", middle, "y", top + PANEL + 26, "text-anchor", "middle");
            pen.text("text", group.detail, "x", middle, "y", top + PANEL + 42, "text-anchor", "middle", "font-size", 11);
        }
    }

    private static void draw(Pen pen, Bar bar, Axis axis, int x, String colour, String what) throws XMLStreamException {
        double middle = x + BAR / 2.0;
        pen.open("g", "class", "bar");
        pen.text("title", String.format(Locale.ROOT, "%s: %.3f (%.3f to %.3f)", what, bar.value, bar.lower, bar.upper));
        pen.empty("rect", "x", x + 2, "y", Math.min(axis.y(1), axis.y(bar.value)), "width", BAR - 4, "height", Math.abs(axis.y(1) - axis.y(bar.value)),
                "fill", colour);
        pen.empty("line", "x1", middle, "x2", middle, "y1", axis.y(bar.upper), "y2", axis.y(bar.lower), "stroke", TEXT);
        for (double end : new double[] {bar.lower, bar.upper}) {
            pen.empty("line", "x1", middle - 4, "x2", middle + 4, "y1", axis.y(end), "y2", axis.y(end), "stroke", TEXT);
        }
        // Beyond the whisker, below a bar that hangs and above one that stands.
        double y = bar.value < 1 ? axis.y(bar.lower) + 11 : axis.y(bar.upper) - 4;
        pen.text("text", String.format(Locale.ROOT, "%.3f", bar.value), "x", middle, "y", y, "text-anchor", "middle", "font-size", 10);
        pen.close();
    }

    private int groupWidth() {
        int names = panels.stream().flatMap(panel -> panel.groups.stream()).mapToInt(group -> Math.max(group.name.length(), group.detail.length())).max().orElse(0);
        return Math.max(series.size() * BAR, LETTER * names) + 28;
    }

    private static String colour(int series) {
        return COLOURS.get(series % COLOURS.size());
    }

    /** The values of a panel from bottom to top: whole steps that hold all of them and 1. */
    private record Axis(double step, long first, long last, int top) {

        static Axis of(Panel panel, int top) {
            double[] values = DoubleStream.concat(DoubleStream.of(1), panel.groups.stream().flatMap(group -> group.bars.stream())
                    .flatMapToDouble(bar -> DoubleStream.of(bar.value, bar.lower, bar.upper))).sorted().toArray();
            double span = Math.max(values[values.length - 1] - values[0], 0.02);
            double step = Math.pow(10, Math.floor(Math.log10(span / 2)));
            step *= span / step > 10 ? 5 : span / step > 5 ? 2 : 1;
            return new Axis(step, (long) Math.floor(values[0] / step + 1e-9), (long) Math.ceil(values[values.length - 1] / step - 1e-9), top);
        }

        double y(double value) {
            double part = last == first ? 0.5 : (value / step - first) / (last - first);
            return top + PANEL * (1 - part);
        }

        String label(double value) {
            return String.format(Locale.ROOT, "%." + Math.max(1, (int) Math.ceil(-Math.log10(step) - 1e-9)) + "f", value);
        }
    }
}
