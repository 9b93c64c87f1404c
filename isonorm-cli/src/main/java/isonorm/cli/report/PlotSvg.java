package isonorm.cli.report;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.DoubleStream;
import javax.xml.stream.XMLStreamException;

/** A {@link Plot} as an SVG image, on white. */
final class PlotSvg {

    /** Told apart with any kind of colour vision. (Okabe and Ito) */
    private static final List<String> COLOURS = List.of("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a");

    /** From low to high, ever lighter. (Viridis) */
    private static final int[][] RAMP = {{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}};

    private static final String TEXT = "#404040";
    private static final String FAINT = "#dcdcdc";
    private static final int WIDTH = 760;
    private static final int LEFT = 70;
    private static final int RIGHT = 24;
    private static final int HEAD = 66;
    private static final int KEY = 20;
    private static final int PANEL = 300;
    private static final int FOOT = 50;
    private static final int LETTER = 7;

    private PlotSvg() {}

    static String of(Plot plot) {
        return switch (plot) {
            case Plot.Lines lines -> Pen.svg(pen -> lines(pen, lines));
            case Plot.Heat heat -> Pen.svg(pen -> heat(pen, heat));
        };
    }

    private static void open(Pen pen, Plot plot, int height) throws XMLStreamException {
        int width = Math.max(WIDTH, LEFT + LETTER * plot.note().length());
        pen.open("svg", "xmlns", "http://www.w3.org/2000/svg", "width", width, "height", height, "viewBox", "0 0 " + width + " " + height,
                "role", "img", "aria-labelledby", "title description", "font-family", "system-ui, Helvetica, Arial, sans-serif", "font-size", 12,
                "fill", TEXT);
        pen.text("title", plot.title(), "id", "title");
        pen.text("desc", plot.note(), "id", "description");
        pen.empty("rect", "width", width, "height", height, "fill", "#ffffff");
        pen.text("text", plot.title(), "x", LEFT, "y", 26, "font-size", 16);
        pen.text("text", plot.note(), "x", LEFT, "y", 46);
    }

    private static void axes(Pen pen, Plot.Axes axes, int top) throws XMLStreamException {
        pen.text("text", axes.x(), "x", (LEFT + WIDTH - RIGHT) / 2, "y", top + PANEL + 40, "text-anchor", "middle");
        int middle = top + PANEL / 2;
        pen.text("text", axes.y(), "x", 18, "y", middle, "text-anchor", "middle", "transform", "rotate(-90 18 " + middle + ")");
    }

    // Lines

    private static void lines(Pen pen, Plot.Lines plot) throws XMLStreamException {
        List<List<Plot.Curve>> keys = keys(plot.curves());
        int top = HEAD + keys.size() * KEY + 6;
        open(pen, plot, top + PANEL + FOOT);
        for (int row = 0; row < keys.size(); row++) {
            int x = LEFT;
            for (Plot.Curve curve : keys.get(row)) {
                int y = HEAD + row * KEY;
                pen.empty("line", "x1", x, "x2", x + 22, "y1", y, "y2", y, "stroke", colour(curve), "stroke-width", 2,
                        "stroke-dasharray", curve.dashed() ? "5 4" : "none");
                pen.text("text", curve.name(), "x", x + 28, "y", y + 4);
                x += keyWidth(curve);
            }
        }
        axes(pen, plot.axes(), top);
        Scale across = Scale.of(plot.curves().stream().flatMapToDouble(curve -> Arrays.stream(curve.x())), plot.axes().logarithmicX(), LEFT, WIDTH - RIGHT);
        Scale up = Scale.of(plot.curves().stream().flatMapToDouble(curve -> Arrays.stream(curve.y())), plot.logarithmic(), top + PANEL, top);
        if (plot.axes().near()) {
            up = up.near(plot.curves().stream().flatMapToDouble(curve -> Arrays.stream(curve.y())));
        }
        for (double tick : up.ticks()) {
            pen.empty("line", "x1", LEFT, "x2", WIDTH - RIGHT, "y1", up.at(tick), "y2", up.at(tick), "stroke", FAINT);
            pen.text("text", label(tick), "x", LEFT - 8, "y", up.at(tick) + 4, "text-anchor", "end");
        }
        for (double tick : across.ticks()) {
            if (plot.axes().logarithmicX() || tick == Math.rint(tick)) {
                pen.text("text", label(tick), "x", across.at(tick), "y", top + PANEL + 18, "text-anchor", "middle");
            }
        }
        for (Plot.Curve curve : plot.curves()) {
            draw(pen, curve, across, up);
        }
        for (Plot.Mark mark : plot.marks()) {
            if (up.has(mark.y())) {
                pen.open("text", "x", across.at(mark.x()), "y", up.at(mark.y()) - 4, "text-anchor", "middle");
                pen.text("title", mark.text());
                pen.text("tspan", mark.end() ? "\u2715" : "\u25c6");
                pen.close();
            }
        }
        pen.close();
    }

    private static void draw(Pen pen, Plot.Curve curve, Scale across, Scale up) throws XMLStreamException {
        StringBuilder points = new StringBuilder();
        for (int i = 0; i < curve.x().length; i++) {
            if (up.has(curve.y()[i])) {
                points.append(String.format(Locale.ROOT, "%.2f,%.2f ", across.at(curve.x()[i]), up.at(curve.y()[i])));
            }
        }
        pen.open("g", "class", "curve");
        pen.text("title", curve.name());
        pen.empty("polyline", "points", points.toString().strip(), "fill", "none", "stroke", colour(curve), "stroke-width", 2,
                "stroke-dasharray", curve.dashed() ? "5 4" : "none");
        for (int i = 0; i < curve.x().length && curve.points(); i++) {
            if (up.has(curve.y()[i])) {
                pen.open("circle", "cx", across.at(curve.x()[i]), "cy", up.at(curve.y()[i]), "r", 3, "fill", colour(curve));
                pen.text("title", curve.name() + ", " + label(curve.x()[i]) + ": " + label(curve.y()[i]));
                pen.close();
            }
        }
        pen.close();
    }

    /** The curves' names in rows that fit the width. */
    private static List<List<Plot.Curve>> keys(List<Plot.Curve> curves) {
        List<List<Plot.Curve>> rows = new ArrayList<>();
        int used = WIDTH;
        for (Plot.Curve curve : curves) {
            if (used + keyWidth(curve) > WIDTH - LEFT - RIGHT) {
                rows.add(new ArrayList<>());
                used = 0;
            }
            rows.getLast().add(curve);
            used += keyWidth(curve);
        }
        return rows;
    }

    private static int keyWidth(Plot.Curve curve) {
        return 48 + LETTER * curve.name().length();
    }

    private static String colour(Plot.Curve curve) {
        return COLOURS.get(curve.colour() % COLOURS.size());
    }

    /** Values along an axis, from a place to another. */
    private record Scale(double least, double most, boolean logarithmic, double from, double to) {

        static Scale of(DoubleStream all, boolean logarithmic, double from, double to) {
            double[] values = all.filter(value -> Double.isFinite(value) && (!logarithmic || value > 0)).toArray();
            double least = Arrays.stream(values).min().orElse(1);
            double most = Arrays.stream(values).max().orElse(1);
            if (logarithmic) {
                return new Scale(Math.log10(least) - 0.05, Math.max(Math.log10(most) + 0.05, Math.log10(least) + 0.3), true, from, to);
            }
            double low = from > to ? Math.min(0, least) : least; // a vertical axis begins at zero
            return new Scale(low, most > low ? most + (from > to ? 0.05 * (most - low) : 0) : low + 1, false, from, to);
        }

        /** The same from near the smallest value on. */
        Scale near(DoubleStream all) {
            double smallest = all.filter(Double::isFinite).min().orElse(least);
            return logarithmic ? this : new Scale(smallest - 0.05 * (most - smallest), most, false, from, to);
        }

        boolean has(double value) {
            return Double.isFinite(value) && (!logarithmic || value > 0);
        }

        double at(double value) {
            double along = logarithmic ? Math.log10(value) : value;
            return from + (to - from) * (along - least) / (most - least);
        }

        /** Round values inside. */
        List<Double> ticks() {
            List<Double> ticks = new ArrayList<>();
            if (logarithmic) {
                double[] inside = most - least > 6 ? new double[] {1} : most - least > 1.5 ? new double[] {1, 3} : new double[] {1, 2, 5};
                for (int power = (int) Math.floor(least); power <= most; power++) {
                    for (double factor : inside) {
                        double log = Math.log10(factor) + power;
                        if (log >= least && log <= most) {
                            ticks.add(factor * Math.pow(10, power));
                        }
                    }
                }
                return ticks;
            }
            double step = Math.pow(10, Math.floor(Math.log10((most - least) / 2)));
            step *= (most - least) / step > 10 ? 5 : (most - least) / step > 5 ? 2 : 1;
            for (long tick = (long) Math.ceil(least / step - 1e-9); tick * step <= most + 1e-9 * step; tick++) {
                ticks.add(tick * step);
            }
            return ticks;
        }
    }

    // Heat

    private static void heat(Pen pen, Plot.Heat plot) throws XMLStreamException {
        int columns = plot.values().length;
        int rows = Arrays.stream(plot.values()).mapToInt(column -> column.length).max().orElse(1);
        double most = Arrays.stream(plot.values()).flatMapToDouble(Arrays::stream).filter(Double::isFinite).max().orElse(1);
        int top = HEAD + KEY + 10;
        open(pen, plot, top + PANEL + FOOT);
        for (int i = 0; i < 120; i++) {
            pen.empty("rect", "x", LEFT + 2 * i, "y", HEAD - 6, "width", 2, "height", 12, "fill", ramp(i / 119.0));
        }
        pen.text("text", plot.value() + ", 0 to " + label(most), "x", LEFT + 250, "y", HEAD + 4);
        axes(pen, plot.axes(), top);
        double width = (WIDTH - LEFT - RIGHT) / (double) columns;
        double height = PANEL / (double) rows;
        for (int x = 0; x < columns; x++) {
            for (int y = 0; y < plot.values()[x].length; y++) {
                double value = plot.values()[x][y];
                if (Double.isFinite(value)) {
                    pen.open("rect", "class", "cell", "x", LEFT + x * width, "y", top + PANEL - (y + 1) * height, "width", width, "height", height,
                            "fill", ramp(most > 0 ? value / most : 0));
                    pen.text("title", plot.axes().x() + " " + plot.columns().get(x) + ", " + plot.axes().y() + " " + (y + plot.firstY()) + ": " + label(value));
                    pen.close();
                }
            }
        }
        int letters = plot.columns().stream().mapToInt(String::length).max().orElse(1);
        int stepX = Math.max(1, Math.ceilDiv(columns * (14 + LETTER * letters), WIDTH));
        for (int x = 0; x < columns; x += stepX) {
            pen.text("text", plot.columns().get(x), "x", LEFT + (x + 0.5) * width, "y", top + PANEL + 18, "text-anchor", "middle");
        }
        for (int y = 0; y < rows; y += Math.max(1, Math.ceilDiv(rows * 16, PANEL))) {
            pen.text("text", String.valueOf(y + plot.firstY()), "x", LEFT - 8, "y", top + PANEL - (y + 0.5) * height + 4, "text-anchor", "end");
        }
        pen.close();
    }

    private static String ramp(double part) {
        double at = Math.clamp(part, 0, 1) * (RAMP.length - 1);
        int low = Math.min((int) at, RAMP.length - 2);
        int[] mixed = new int[3];
        for (int c = 0; c < 3; c++) {
            mixed[c] = (int) Math.round(RAMP[low][c] + (at - low) * (RAMP[low + 1][c] - RAMP[low][c]));
        }
        return String.format("#%02x%02x%02x", mixed[0], mixed[1], mixed[2]);
    }

    /** Three digits, without zeros behind them. */
    static String label(double value) {
        if (value == Math.rint(value) && Math.abs(value) < 1e6) {
            return String.valueOf((long) value);
        }
        double size = Math.abs(value);
        if (size >= 1e6 || size < 1e-3) {
            return String.format(Locale.ROOT, "%.1e", value);
        }
        return new BigDecimal(value).round(new MathContext(size < 1000 ? 3 : 4)).stripTrailingZeros().toPlainString();
    }
}
