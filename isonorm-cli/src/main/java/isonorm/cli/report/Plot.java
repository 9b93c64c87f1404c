package isonorm.cli.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Json;
import java.util.Arrays;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/** One picture of a report: drawn as SVG by {@link PlotSvg}, and by a script in an HTML {@link Page}, from the same values. */
public sealed interface Plot {

    /** What it shows, in a few words. */
    String title();

    /** What to look for, in a sentence. */
    String note();

    /** The name of its file, without an ending. */
    default String file() {
        return title().toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9.]+", "-").replaceAll("^-|-$", "");
    }

    /**
     * What the axes mean.
     *
     * @param logarithmicX whether the horizontal axis has orders of magnitude; without, it has whole numbers
     * @param near whether the vertical axis shows differences and begins near the smallest value; without, it begins at zero
     */
    record Axes(String x, String y, boolean logarithmicX, boolean near) {

        public Axes(String x, String y) {
            this(x, y, false, false);
        }
    }

    /**
     * A curve.
     *
     * @param colour which colour it has; curves of one thing share one
     * @param y NaN where there is no value
     */
    record Curve(String name, int colour, boolean dashed, double[] x, double[] y) {

        private static final int MANY = 100;

        /** Whether its points are shown, as well as the line between them: they are of a dashed one if it has no line. */
        public boolean points() {
            return dashed ? x.length == 1 : x.length < MANY;
        }
    }

    /** What stands out at a place: a spike, or an end. */
    record Mark(double x, double y, boolean end, String text) {}

    /** Curves. */
    record Lines(String title, String note, Axes axes, List<Curve> curves, List<Mark> marks) implements Plot {

        public Lines(String title, String note, Axes axes, List<Curve> curves) {
            this(title, note, axes, curves, List.of());
        }

        public Lines marked(List<Mark> marks) {
            return new Lines(title, note, axes, curves, marks);
        }

        /** Values that differ by more than this are drawn by their orders of magnitude. */
        private static final double WIDE = 20;

        /** Whether orders of magnitude are drawn: values are positive and differ by much. */
        public boolean logarithmic() {
            DoubleSummaryStatistics all = curves.stream().flatMapToDouble(curve -> Arrays.stream(curve.y)).filter(Double::isFinite).summaryStatistics();
            return all.getMin() > 0 && all.getMax() > WIDE * all.getMin();
        }
    }

    /**
     * Values at whole numbers as colours.
     *
     * @param values {@code [x][y - firstY]}; rows may differ in length
     * @param value what a value is
     * @param columns what stands below each x
     */
    record Heat(String title, String note, Axes axes, String value, int firstY, double[][] values, List<String> columns) implements Plot {

        Heat(String title, String note, Axes axes, String value, int firstY, double[][] values) {
            this(title, note, axes, value, firstY, values, IntStream.range(0, values.length).mapToObj(String::valueOf).toList());
        }
    }

    /** For the script of a page. */
    default ObjectNode json() {
        ObjectNode node = Json.object();
        node.put("title", title()).put("note", note());
        switch (this) {
            case Lines lines -> {
                node.put("kind", "lines").put("x", lines.axes.x).put("y", lines.axes.y).put("logarithmic", lines.logarithmic())
                        .put("logarithmicX", lines.axes.logarithmicX).put("near", lines.axes.near);
                ArrayNode curves = node.putArray("curves");
                for (Curve curve : lines.curves) {
                    ObjectNode one = curves.addObject().put("name", curve.name).put("colour", curve.colour).put("dashed", curve.dashed)
                            .put("pointsShown", curve.points());
                    ArrayNode points = one.putArray("points");
                    for (int i = 0; i < curve.x.length; i++) {
                        if (Double.isFinite(curve.y[i])) {
                            points.addArray().add(curve.x[i]).add(curve.y[i]);
                        }
                    }
                }
                ArrayNode marks = node.putArray("marks");
                lines.marks.stream().filter(mark -> Double.isFinite(mark.y))
                        .forEach(mark -> marks.addObject().put("x", mark.x).put("y", mark.y).put("end", mark.end).put("text", mark.text));
            }
            case Heat heat -> {
                node.put("kind", "heat").put("x", heat.axes.x).put("y", heat.axes.y).put("value", heat.value);
                ArrayNode columns = node.putArray("columns");
                heat.columns.forEach(columns::add);
                ArrayNode cells = node.putArray("cells");
                for (int x = 0; x < heat.values.length; x++) {
                    for (int y = 0; y < heat.values[x].length; y++) {
                        if (Double.isFinite(heat.values[x][y])) {
                            cells.addArray().add(x).add(y + heat.firstY).add(heat.values[x][y]);
                        }
                    }
                }
            }
        }
        return node;
    }
}
