package isonorm.cli.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Json;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.DoubleSummaryStatistics;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/** One picture of a report: drawn as SVG by {@link PlotSvg}, and by a script in an HTML {@link Page}, from the same values. */
public sealed interface Plot {

    /** What it shows, in a few words. */
    String title();

    /** What to look for, in a sentence. */
    String note();

    /** What lies beyond the axis or the colours, in a sentence; empty where nothing does. */
    String clipped();

    /** The note, and what is clipped. */
    default String caption() {
        return (note() + " " + clipped()).strip();
    }

    /** The name of its file, without an ending. */
    default String file() {
        return title().toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9.]+", "-").replaceAll("^-|-$", "");
    }

    /** Where a vertical axis begins and ends. */
    enum Range {
        /** At zero, and at the largest value. */
        FROM_ZERO,
        /** Near the smallest value, to show differences. */
        NEAR,
        /** At zero, and at the largest value but for a few far above the others. */
        ROBUST
    }

    /**
     * What the axes mean.
     *
     * @param logarithmicX whether the horizontal axis has orders of magnitude; without, it has whole numbers
     */
    record Axes(String x, String y, boolean logarithmicX, Range range) {

        public Axes(String x, String y) {
            this(x, y, false, Range.FROM_ZERO);
        }

        /** Of blocks, of which the first or the last must not hide the others. */
        static Axes ofBlocks(String y) {
            return new Axes("block", y, false, Range.ROBUST);
        }
    }

    /** How far values spread around a curve. */
    sealed interface Spread {
        double[] low();

        double[] high();

        /** An area around it. */
        record Band(double[] low, double[] high) implements Spread {}

        /** A bar at each point. */
        record ErrorBars(double[] low, double[] high) implements Spread {}
    }

    /**
     * A curve.
     *
     * @param colour which colour it has; curves of one thing share one
     * @param style which line: 0 is solid, 1 dashed, and others follow; curves of one kind share one
     * @param y NaN where there is no value
     */
    record Curve(String name, int colour, int style, double[] x, double[] y, Optional<Spread> spread) {

        static final int SOLID = 0;
        static final int DASHED = 1;

        private static final int MANY = 100;

        public Curve(String name, int colour, int style, double[] x, double[] y) {
            this(name, colour, style, x, y, Optional.empty());
        }

        /** Of a value for each block. */
        static Curve ofBlocks(String name, int colour, int style, double[] values) {
            return new Curve(name, colour, style, IntStream.range(0, values.length).asDoubleStream().toArray(), values);
        }

        Curve within(Spread around) {
            return new Curve(name, colour, style, x, y, Optional.of(around));
        }

        /** Whether its points are shown, as well as the line between them: they are of a dashed one if it has no line. */
        public boolean points() {
            return style != SOLID ? x.length == 1 : x.length < MANY;
        }

        DoubleStream values() {
            DoubleStream all = Arrays.stream(y);
            return spread.isEmpty() ? all : DoubleStream.concat(all, DoubleStream.concat(Arrays.stream(spread.get().low()), Arrays.stream(spread.get().high())));
        }
    }

    /** Curves in one frame; several of a plot share their axes. */
    record Panel(String name, List<Curve> curves) {}

    /** Curves, in one frame or in several small ones. */
    record Lines(String title, String note, Axes axes, List<Panel> panels) implements Plot {

        /** Values that differ by more than this are drawn by their orders of magnitude. */
        private static final double WIDE = 20;

        /** Curves in one frame. */
        static Lines together(String title, String note, Axes axes, List<Curve> curves) {
            return new Lines(title, note, axes, List.of(new Panel("", curves)));
        }

        /** Curves that differ in what is drawn, each in a frame of its own, in which there is a curve for each thing it is drawn of. */
        static Lines multiples(String title, String note, Axes axes, Map<String, List<Curve>> panels) {
            return new Lines(title, note, axes, panels.entrySet().stream().map(panel -> new Panel(panel.getKey(), panel.getValue())).toList());
        }

        /** Of all panels. */
        List<Curve> curves() {
            return panels.stream().flatMap(panel -> panel.curves.stream()).toList();
        }

        /** One curve of each name, in their order. */
        List<Curve> legend() {
            Map<String, Curve> names = new LinkedHashMap<>();
            curves().forEach(curve -> names.putIfAbsent(curve.name, curve));
            return List.copyOf(names.values());
        }

        /** Where the axis ends, if a few values are far beyond. */
        OptionalDouble limit() {
            return axes.range == Range.ROBUST ? Robust.limit(curves().stream().flatMapToDouble(curve -> Arrays.stream(curve.y)).toArray(), Robust.TWICE)
                    : OptionalDouble.empty();
        }

        @Override
        public String clipped() {
            if (limit().isEmpty()) {
                return "";
            }
            List<String> beyond = new ArrayList<>();
            for (Panel panel : panels) {
                for (Curve curve : panel.curves) {
                    for (int i = 0; i < curve.x.length; i++) {
                        if (curve.y[i] > limit().getAsDouble()) {
                            String name = panel.name.isEmpty() ? curve.name : legend().size() == 1 ? panel.name : panel.name + ", " + curve.name;
                            beyond.add((curves().size() == 1 ? "" : name + ", ") + axes.x + " " + PlotSvg.label(curve.x[i]) + ": " + PlotSvg.label(curve.y[i]));
                        }
                    }
                }
            }
            return "The axis ends at " + PlotSvg.label(limit().getAsDouble()) + ", before " + String.join("; ", beyond) + ".";
        }

        /** Whether orders of magnitude are drawn: values are positive and differ by much. */
        public boolean logarithmic() {
            DoubleSummaryStatistics all = curves().stream().flatMapToDouble(Curve::values).filter(Double::isFinite).summaryStatistics();
            return all.getMin() > 0 && limit().orElse(all.getMax()) > WIDE * all.getMin();
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

        /** Of the residual stream before each block and so many blocks later, {@code [block][blocks later - 1]}. */
        static Heat ofDistances(String title, double[][] distances) {
            return new Heat(title, "Angular distance between the residual stream before block l and n blocks later. Blocks that are dark could go: what leaves them is what entered.",
                    new Axes("block l", "blocks later, n"), "angular distance", 1, distances);
        }

        private double[] most() {
            return Arrays.stream(values).mapToDouble(column -> Arrays.stream(column).filter(Double::isFinite).max().orElse(Double.NaN)).toArray();
        }

        /** Where the colours end, if a few columns have values far beyond those of the others. */
        OptionalDouble limit() {
            return Robust.limit(most(), Robust.HALF_MORE);
        }

        /** Where they begin: at zero, or below. */
        double least() {
            return Math.min(0, Arrays.stream(values).flatMapToDouble(Arrays::stream).filter(Double::isFinite).min().orElse(0));
        }

        @Override
        public String clipped() {
            if (limit().isEmpty()) {
                return "";
            }
            double[] most = most();
            return "Colours end at " + PlotSvg.label(limit().getAsDouble()) + "; beyond is " + String.join(", ", IntStream.range(0, most.length)
                    .filter(x -> most[x] > limit().getAsDouble()).mapToObj(x -> axes.x + " " + columns.get(x) + ", up to " + PlotSvg.label(most[x])).toList()) + ".";
        }
    }

    /**
     * Values as bars that stand on zero or hang from it, each with its value.
     *
     * @param categories what stands below each bar, or each bar of every series
     */
    record Bars(String title, String note, Axes axes, List<String> categories, List<Series> series) implements Plot {

        /**
         * Bars of one colour.
         *
         * @param labels what is written at each; empty where it has no value
         * @param around how far each value spreads
         */
        record Series(String name, int colour, double[] values, List<String> labels, Optional<Spread.ErrorBars> around) {

            DoubleStream all() {
                return DoubleStream.concat(Arrays.stream(values), around.stream().flatMapToDouble(bars -> DoubleStream.concat(Arrays.stream(bars.low), Arrays.stream(bars.high))));
            }
        }

        /** Where the axis ends, if a few values are far beyond; none with how far they spread, which would be cut. */
        OptionalDouble limit() {
            return series.stream().anyMatch(each -> each.around.isPresent()) ? OptionalDouble.empty()
                    : Robust.limit(series.stream().flatMapToDouble(each -> Arrays.stream(each.values)).toArray(), Robust.TWICE);
        }

        @Override
        public String clipped() {
            return limit().isEmpty() ? "" : "The axis ends at " + PlotSvg.label(limit().getAsDouble()) + "; bars with an arrow go on.";
        }
    }

    /** For the script of a page. */
    default ObjectNode json() {
        ObjectNode node = Json.object();
        node.put("title", title());
        switch (this) {
            case Lines lines -> {
                node.put("kind", "lines").put("x", lines.axes.x).put("y", lines.axes.y).put("logarithmic", lines.logarithmic())
                        .put("logarithmicX", lines.axes.logarithmicX).put("near", lines.axes.range == Range.NEAR);
                lines.limit().ifPresent(limit -> node.put("limit", limit));
                ArrayNode panels = node.putArray("panels");
                lines.panels.forEach(panel -> panel(panel, panels.addObject()));
            }
            case Heat heat -> {
                node.put("kind", "heat").put("x", heat.axes.x).put("y", heat.axes.y).put("value", heat.value);
                heat.limit().ifPresent(limit -> node.put("limit", limit));
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
            case Bars bars -> {
                node.put("kind", "bars").put("x", bars.axes.x).put("y", bars.axes.y);
                bars.limit().ifPresent(limit -> node.put("limit", limit));
                bars.categories.forEach(node.putArray("categories")::add);
                ArrayNode all = node.putArray("series");
                for (Bars.Series series : bars.series) {
                    ObjectNode one = all.addObject().put("name", series.name).put("colour", series.colour);
                    ArrayNode values = one.putArray("values");
                    Arrays.stream(series.values).forEach(value -> number(values, value));
                    series.labels.forEach(one.putArray("labels")::add);
                    series.around.ifPresent(around -> {
                        ArrayNode bounds = one.putArray("around");
                        for (int i = 0; i < series.values.length; i++) {
                            if (Double.isFinite(around.low[i]) && Double.isFinite(around.high[i])) {
                                bounds.addArray().add(i).add(around.low[i]).add(around.high[i]);
                            }
                        }
                    });
                }
            }
        }
        return node;
    }

    private static void panel(Panel panel, ObjectNode node) {
        ArrayNode curves = node.put("name", panel.name).putArray("curves");
        for (Curve curve : panel.curves) {
            ObjectNode one = curves.addObject().put("name", curve.name).put("colour", curve.colour).put("style", curve.style).put("pointsShown", curve.points());
            ArrayNode points = one.putArray("points");
            for (int i = 0; i < curve.x.length; i++) {
                if (Double.isFinite(curve.y[i])) {
                    points.addArray().add(curve.x[i]).add(curve.y[i]);
                }
            }
            curve.spread.ifPresent(spread -> {
                ArrayNode around = one.put("spread", spread instanceof Spread.Band ? "band" : "bars").putArray("around");
                for (int i = 0; i < curve.x.length; i++) {
                    if (Double.isFinite(curve.y[i]) && Double.isFinite(spread.low()[i]) && Double.isFinite(spread.high()[i])) {
                        around.addArray().add(curve.x[i]).add(spread.low()[i]).add(spread.high()[i]);
                    }
                }
            });
        }
    }

    private static void number(ArrayNode into, double value) {
        if (Double.isFinite(value)) {
            into.add(value);
        } else {
            into.addNull();
        }
    }
}
