package isonorm.cli.report;

import isonorm.cli.terminal.Width;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
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

    /** Dashes and gaps of the styles of curves. */
    private static final List<String> STYLES = List.of("none", "6 4", "2 3", "9 3 2 3", "13 4", "1 5");

    /** The width of a small frame, and its height. */
    private static final int SMALL = 330;
    private static final int SMALL_PANEL = 170;
    private static final int BETWEEN = 30;

    private static final int LINE = 16;

    private PlotSvg() {}

    static String of(Plot plot) {
        return switch (plot) {
            case Plot.Lines lines -> Pen.svg(pen -> lines(pen, lines));
            case Plot.Heat heat -> Pen.svg(pen -> heat(pen, heat));
            case Plot.Bars bars -> Pen.svg(pen -> bars(pen, bars));
        };
    }

    /** Begins the image with its title and what there is to see. */
    private static void open(Pen pen, Plot plot, List<String> caption, int height) throws XMLStreamException {
        pen.open("svg", "xmlns", "http://www.w3.org/2000/svg", "width", WIDTH, "height", height, "viewBox", "0 0 " + WIDTH + " " + height,
                "role", "img", "aria-labelledby", "title description", "font-family", "system-ui, Helvetica, Arial, sans-serif", "font-size", 12,
                "fill", TEXT);
        pen.text("title", plot.title(), "id", "title");
        pen.text("desc", plot.caption(), "id", "description");
        pen.empty("rect", "width", WIDTH, "height", height, "fill", "#ffffff");
        pen.text("text", plot.title(), "x", LEFT, "y", 26, "font-size", 16);
        for (int l = 0; l < caption.size(); l++) {
            pen.text("text", caption.get(l), "x", LEFT, "y", 46 + l * LINE);
        }
    }

    private static List<String> caption(Plot plot) {
        return List.of(Width.wrapped(plot.caption(), 0, (WIDTH - LEFT - RIGHT) / LETTER + 8).split("\n\\s*"));
    }

    private static int head(List<String> caption) {
        return HEAD + (caption.size() - 1) * LINE;
    }

    private static void axes(Pen pen, Plot.Axes axes, int left, int right, int top, int bottom) throws XMLStreamException {
        pen.text("text", axes.x(), "x", (left + right) / 2, "y", bottom + 40, "text-anchor", "middle");
        int middle = (top + bottom) / 2;
        pen.text("text", axes.y(), "x", 18, "y", middle, "text-anchor", "middle", "transform", "rotate(-90 18 " + middle + ")");
    }

    // Lines

    private static void lines(Pen pen, Plot.Lines plot) throws XMLStreamException {
        List<String> caption = caption(plot);
        List<List<Plot.Curve>> keys = keys(plot.legend());
        int head = head(caption);
        int top = head + keys.size() * KEY + 6;
        int panels = plot.panels().size();
        int across = panels == 1 ? 1 : (WIDTH - LEFT - RIGHT + BETWEEN) / SMALL;
        int rows = Math.ceilDiv(panels, across);
        int tall = panels == 1 ? PANEL : SMALL_PANEL;
        open(pen, plot, caption, top + rows * (tall + FOOT));
        for (int row = 0; row < keys.size(); row++) {
            int x = LEFT;
            for (Plot.Curve curve : keys.get(row)) {
                int y = head + row * KEY;
                pen.empty("line", "class", "key", "x1", x, "x2", x + 22, "y1", y, "y2", y, "stroke", colour(curve), "stroke-width", 2, "stroke-dasharray", style(curve));
                pen.text("text", curve.name(), "x", x + 28, "y", y + 4);
                x += keyWidth(curve);
            }
        }
        int wide = (WIDTH - LEFT - RIGHT - (across - 1) * BETWEEN) / across;
        for (int p = 0; p < panels; p++) {
            int left = LEFT + p % across * (wide + BETWEEN);
            int above = top + p / across * (tall + FOOT);
            panel(pen, plot, plot.panels().get(p), left, left + wide, above, above + tall);
        }
        for (int row = 0; row < rows; row++) {
            int above = top + row * (tall + FOOT);
            axes(pen, plot.axes(), LEFT, LEFT + wide, above, above + tall);
        }
        pen.close();
    }

    /** Its scales are those of all panels. */
    private static void panel(Pen pen, Plot.Lines plot, Plot.Panel panel, int left, int right, int top, int bottom) throws XMLStreamException {
        List<Plot.Curve> all = plot.curves();
        Scale across = Scale.of(all.stream().flatMapToDouble(curve -> Arrays.stream(curve.x())), plot.axes().logarithmicX(), left, right);
        Scale up = Scale.of(all.stream().flatMapToDouble(Plot.Curve::values).map(value -> Math.min(value, plot.limit().orElse(value))), plot.logarithmic(), bottom, top);
        if (plot.axes().range() == Plot.Range.NEAR) {
            up = up.near(all.stream().flatMapToDouble(Plot.Curve::values));
        }
        if (!panel.name().isEmpty()) {
            pen.text("text", panel.name(), "x", left, "y", top - 4, "font-weight", "bold");
        }
        for (double tick : up.ticks()) {
            pen.empty("line", "x1", left, "x2", right, "y1", up.at(tick), "y2", up.at(tick), "stroke", FAINT);
            if (left == LEFT) {
                pen.text("text", label(tick), "x", left - 8, "y", up.at(tick) + 4, "text-anchor", "end");
            }
        }
        for (double tick : across.ticks()) {
            if (plot.axes().logarithmicX() || tick == Math.rint(tick)) {
                pen.text("text", label(tick), "x", across.at(tick), "y", bottom + 18, "text-anchor", "middle");
            }
        }
        for (Plot.Curve curve : panel.curves()) {
            draw(pen, curve, across, up, plot.limit());
        }
    }

    private static void draw(Pen pen, Plot.Curve curve, Scale across, Scale up, OptionalDouble limit) throws XMLStreamException {
        StringBuilder points = new StringBuilder();
        for (int i = 0; i < curve.x().length; i++) {
            if (up.has(curve.y()[i])) {
                points.append(place(across.at(curve.x()[i]), up.at(Math.min(curve.y()[i], limit.orElse(curve.y()[i])))));
            }
        }
        pen.open("g", "class", "curve");
        pen.text("title", curve.name());
        if (curve.spread().isPresent()) {
            spread(pen, curve, curve.spread().get(), across, up);
        }
        pen.empty("polyline", "points", points.toString().strip(), "fill", "none", "stroke", colour(curve), "stroke-width", 2, "stroke-dasharray", style(curve));
        for (int i = 0; i < curve.x().length; i++) {
            double value = curve.y()[i];
            if (up.has(value) && limit.isPresent() && value > limit.getAsDouble()) {
                double y = up.at(limit.getAsDouble());
                pen.text("text", "\u25b2 " + label(value), "x", across.at(curve.x()[i]) - 5, "y", y - 3, "fill", colour(curve), "font-size", 11);
            } else if (up.has(value) && curve.points()) {
                pen.open("circle", "cx", across.at(curve.x()[i]), "cy", up.at(value), "r", 3, "fill", colour(curve));
                pen.text("title", curve.name() + ", " + label(curve.x()[i]) + ": " + label(value));
                pen.close();
            }
        }
        pen.close();
    }

    private static void spread(Pen pen, Plot.Curve curve, Plot.Spread spread, Scale across, Scale up) throws XMLStreamException {
        int[] there = IntStream.range(0, curve.x().length).filter(i -> up.has(curve.y()[i]) && up.has(spread.low()[i]) && up.has(spread.high()[i])).toArray();
        switch (spread) {
            case Plot.Spread.Band _ -> {
                StringBuilder area = new StringBuilder();
                Arrays.stream(there).forEach(i -> area.append(place(across.at(curve.x()[i]), up.at(spread.high()[i]))));
                for (int i = there.length - 1; i >= 0; i--) {
                    area.append(place(across.at(curve.x()[there[i]]), up.at(spread.low()[there[i]])));
                }
                pen.empty("polygon", "class", "band", "points", area.toString().strip(), "fill", colour(curve), "fill-opacity", 0.18);
            }
            case Plot.Spread.ErrorBars _ -> {
                for (int i : there) {
                    error(pen, across.at(curve.x()[i]), up.at(spread.low()[i]), up.at(spread.high()[i]), colour(curve));
                }
            }
        }
    }

    private static void error(Pen pen, double x, double low, double high, String colour) throws XMLStreamException {
        pen.empty("path", "class", "error", "d", String.format(Locale.ROOT, "M%.2f %.2fH%.2fM%.2f %.2fV%.2fM%.2f %.2fH%.2f", x - 4, high, x + 4, x, high, low, x - 4, low, x + 4),
                "stroke", colour, "fill", "none");
    }

    private static String place(double x, double y) {
        return String.format(Locale.ROOT, "%.2f,%.2f ", x, y);
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
        return colour(curve.colour());
    }

    private static String colour(int number) {
        return COLOURS.get(number % COLOURS.size());
    }

    private static String style(Plot.Curve curve) {
        return STYLES.get(curve.style() % STYLES.size());
    }

    // Bars

    private static void bars(Pen pen, Plot.Bars plot) throws XMLStreamException {
        List<String> caption = caption(plot);
        int head = head(caption);
        boolean named = plot.series().size() > 1;
        int top = head + (named ? KEY : 0) + 16;
        int bottom = top + PANEL;
        open(pen, plot, caption, bottom + FOOT);
        int key = LEFT;
        for (int s = 0; s < plot.series().size() && named; s++) {
            Plot.Bars.Series series = plot.series().get(s);
            pen.empty("rect", "class", "key", "x", key, "y", head - 6, "width", 12, "height", 12, "fill", colour(series.colour()));
            pen.text("text", series.name(), "x", key + 18, "y", head + 4);
            key += 40 + LETTER * series.name().length();
        }
        Scale up = Scale.of(plot.series().stream().flatMapToDouble(Plot.Bars.Series::all).map(value -> Math.min(value, plot.limit().orElse(value))),
                false, bottom, top);
        for (double tick : up.ticks()) {
            pen.empty("line", "x1", LEFT, "x2", WIDTH - RIGHT, "y1", up.at(tick), "y2", up.at(tick), "stroke", tick == 0 ? TEXT : FAINT);
            pen.text("text", label(tick), "x", LEFT - 8, "y", up.at(tick) + 4, "text-anchor", "end");
        }
        axes(pen, plot.axes(), LEFT, WIDTH - RIGHT, top, bottom);
        double group = (WIDTH - LEFT - RIGHT) / (double) plot.categories().size();
        double bar = 0.8 * group / plot.series().size();
        boolean small = bar < 44;
        for (int c = 0; c < plot.categories().size(); c++) {
            double left = LEFT + c * group + 0.1 * group;
            for (int s = 0; s < plot.series().size(); s++) {
                Plot.Bars.Series series = plot.series().get(s);
                double value = series.values()[c];
                if (up.has(value)) {
                    boolean beyond = plot.limit().isPresent() && value > plot.limit().getAsDouble();
                    double end = up.at(beyond ? plot.limit().getAsDouble() : value);
                    double x = left + s * bar;
                    pen.open("g", "class", "bar");
                    pen.text("title", (named ? series.name() + ", " : "") + plot.axes().x() + " " + plot.categories().get(c) + ": " + series.labels().get(c));
                    pen.empty("rect", "x", x + 1, "y", Math.min(up.at(0), end), "width", Math.max(1, bar - 2), "height", Math.abs(up.at(0) - end), "fill", colour(series.colour()));
                    double middle = x + bar / 2;
                    if (series.around().isPresent() && up.has(series.around().get().low()[c])) {
                        error(pen, middle, up.at(series.around().get().low()[c]), up.at(series.around().get().high()[c]), TEXT);
                        middle += 20;
                    }
                    double y = value < 0 ? end + 13 : end - 4;
                    pen.text("text", (beyond ? "\u25b2 " : "") + series.labels().get(c), "x", middle, "y", y, "font-size", small ? 9 : 11, "text-anchor",
                            small ? value < 0 ? "end" : "start" : "middle", "transform", small ? "rotate(-60 " + Math.round(middle) + " " + Math.round(y) + ")" : "rotate(0)");
                    pen.close();
                }
            }
            if (c % Math.max(1, Math.ceilDiv(plot.categories().size() * 30, WIDTH)) == 0) {
                pen.text("text", plot.categories().get(c), "x", left + 0.4 * group, "y", bottom + 18, "text-anchor", "middle");
            }
        }
        pen.close();
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
        List<String> caption = caption(plot);
        int columns = plot.values().length;
        int rows = Arrays.stream(plot.values()).mapToInt(column -> column.length).max().orElse(1);
        double least = plot.least();
        double most = plot.limit().orElse(Arrays.stream(plot.values()).flatMapToDouble(Arrays::stream).filter(Double::isFinite).max().orElse(1));
        int head = head(caption);
        int top = head + KEY + 10;
        int bottom = top + PANEL;
        open(pen, plot, caption, bottom + FOOT);
        for (int i = 0; i < 120; i++) {
            pen.empty("rect", "x", LEFT + 2 * i, "y", head - 6, "width", 2, "height", 12, "fill", ramp(i / 119.0));
        }
        pen.text("text", plot.value() + ", " + label(least) + " to " + label(most) + (plot.limit().isPresent() ? " and beyond" : ""), "x", LEFT + 250, "y", head + 4);
        axes(pen, plot.axes(), LEFT, WIDTH - RIGHT, top, bottom);
        double width = (WIDTH - LEFT - RIGHT) / (double) columns;
        double height = PANEL / (double) rows;
        for (int x = 0; x < columns; x++) {
            for (int y = 0; y < plot.values()[x].length; y++) {
                double value = plot.values()[x][y];
                if (Double.isFinite(value)) {
                    pen.open("rect", "class", "cell", "x", LEFT + x * width, "y", top + PANEL - (y + 1) * height, "width", width, "height", height,
                            "fill", ramp(most > least ? (value - least) / (most - least) : 0));
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
