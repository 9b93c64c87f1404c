package isonorm.cli.watch;

import static java.util.Objects.requireNonNull;

import isonorm.cli.report.Plot;
import isonorm.train.Metrics;
import isonorm.train.MetricsTail;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/** The plots of runs that are watched. Every run keeps its colour. */
record WatchPlots(Map<String, WatchedRun> runs) {

    /** How many moments of a run are drawn as curves, and as columns. */
    private static final int MOMENTS = 5;

    private static final int COLUMNS = 96;

    /**
     * A plot and how it comes about while runs go on.
     *
     * @param whole the plot as it is now
     * @param news what was added to its curves since a row of the metrics, or the whole plot where it is drawn anew
     * @param grows whether it is added to
     */
    record Live(Plot whole, Plot news, boolean grows) {}

    /** Plots of which one is shown at a time. */
    record Group(String name, List<Live> plots) {}

    /** All plots, with what came behind the row of this number. */
    List<Group> groups(long since) {
        List<Group> groups = new ArrayList<>();
        groups.add(new Group("Loss", List.of(grows(since, this::loss), grows(since, this::validation))));
        groups.add(new Group("Gradient", List.of(grows(since, this::gradient))));
        groups.add(new Group("Pace", List.of(
                grows(since, from -> curves("Learning rate", "What the schedule gives.", "learning rate", from, Metrics.Line::rate)),
                grows(since, from -> curves("Tokens a second", "The mean over each window of steps.", "tokens/s", from, Metrics.Line::tokensPerSecond)))));
        if (runs.values().stream().anyMatch(run -> !run.blocks().isEmpty())) {
            groups.add(new Group("By depth", List.of(
                    anew(byDepth("Variance by depth", "What goes into each block. Pre-LN's can grow exponentially with depth, Peri-LN's grows about "
                            + "linearly, Post-LN's stays.", "variance", Metrics.BlockLine::variance)),
                    anew(byDepth("Largest value by depth", "What goes into each block; massive activations are born where it jumps.", "largest value",
                            Metrics.BlockLine::largest)),
                    anew(byDepth("Gradient norm by depth", "Of what goes into each block.", "gradient norm", Metrics.BlockLine::gradientNorm)))));
            groups.add(new Group("Over time", runs.keySet().stream().filter(name -> !requireNonNull(runs.get(name)).blocks().isEmpty())
                    .map(name -> anew(overTime(name))).toList()));
        }
        return groups;
    }

    private static Live grows(long since, Function<Long, Plot> plot) {
        return new Live(plot.apply(0L), plot.apply(since), true);
    }

    private static Live anew(Plot plot) {
        return new Live(plot, plot, false);
    }

    // Over steps

    private Plot loss(long since) {
        return marked(curves("Loss", "Of the windows of steps; dashed, of what is never learned from. A diamond is a spike, a cross the end of a run that "
                + "diverged.", "loss", since, Metrics.Line::loss), since, event -> event.loss() || event.diverged(), Metrics.Line::loss);
    }

    private Plot validation(long since) {
        return curves("Validation loss", "Of what is never learned from.", "validation loss", since, Metrics.Line::validation);
    }

    private Plot gradient(long since) {
        return marked(curves("Gradient norm", "The largest of each window of steps, before clipping. A diamond is a spike.", "gradient norm", since,
                Metrics.Line::gradientNorm), since, event -> event.gradient() || event.diverged(), Metrics.Line::gradientNorm);
    }

    private Plot.Lines curves(String title, String note, String y, long since, ToDoubleFunction<Metrics.Line> value) {
        List<Plot.Curve> curves = new ArrayList<>();
        int colour = 0;
        for (Map.Entry<String, WatchedRun> run : runs.entrySet()) {
            curves.add(curve(run.getKey(), colour, false, run.getValue(), since, value));
            if (title.equals("Loss")) {
                curves.add(curve(run.getKey() + ", validation", colour, true, run.getValue(), since, Metrics.Line::validation));
            }
            colour++;
        }
        return new Plot.Lines(title, note, new Plot.Axes("step", y, false, y.endsWith("loss")), curves);
    }

    private static Plot.Curve curve(String name, int colour, boolean dashed, WatchedRun run, long since, ToDoubleFunction<Metrics.Line> value) {
        List<Metrics.Line> lines = run.lines().stream().filter(row -> row.number() > since).map(WatchedRun.Row::value)
                .filter(line -> Double.isFinite(value.applyAsDouble(line))).toList();
        return new Plot.Curve(name, colour, dashed, lines.stream().mapToDouble(Metrics.Line::step).toArray(), lines.stream().mapToDouble(value).toArray());
    }

    /** The plot with events; what is no number has no place, so it is marked where the curve ends. */
    private Plot marked(Plot.Lines plot, long since, Predicate<WatchedRun.Event> which, ToDoubleFunction<Metrics.Line> value) {
        List<Plot.Mark> marks = new ArrayList<>();
        runs.forEach((name, run) -> run.events().stream().filter(event -> event.number() > since && which.test(event)).forEach(event -> {
            double y = value.applyAsDouble(event.line());
            double last = run.lines().stream().filter(row -> row.number() < event.number()).mapToDouble(row -> value.applyAsDouble(row.value()))
                    .filter(Double::isFinite).reduce(Double.NaN, (_, next) -> next);
            marks.add(new Plot.Mark(event.line().step(), Double.isFinite(y) ? y : last, event.diverged(),
                    name + (event.diverged() ? " diverged" : " spiked")));
        }));
        return plot.marked(marks);
    }

    // Over blocks

    private Plot byDepth(String title, String note, String y, ToDoubleFunction<Metrics.BlockLine> value) {
        List<Plot.Curve> curves = new ArrayList<>();
        int colour = 0;
        for (Map.Entry<String, WatchedRun> run : runs.entrySet()) {
            List<WatchedRun.Row<MetricsTail.Blocks>> all = run.getValue().blocks();
            int moments = runs.size() == 1 ? Math.min(MOMENTS, all.size()) : Math.min(1, all.size());
            for (int i = 0; i < moments; i++) {
                int at = moments == 1 ? all.size() - 1 : (int) ((long) i * (all.size() - 1) / (moments - 1));
                MetricsTail.Blocks measured = all.get(at).value();
                curves.add(new Plot.Curve(runs.size() == 1 ? "step " + measured.step() : run.getKey() + ", step " + measured.step(),
                        runs.size() == 1 ? i : colour, false, measured.blocks().stream().mapToDouble(Metrics.BlockLine::block).toArray(),
                        measured.blocks().stream().mapToDouble(value).toArray()));
            }
            colour++;
        }
        return new Plot.Lines(title, note, new Plot.Axes("block", y), curves);
    }

    private Plot overTime(String name) {
        List<MetricsTail.Blocks> all = requireNonNull(runs.get(name)).blocks().stream().map(WatchedRun.Row::value).toList();
        int every = Math.ceilDiv(all.size(), COLUMNS);
        List<MetricsTail.Blocks> some = IntStream.range(0, all.size()).filter(i -> i % every == 0 || i == all.size() - 1).mapToObj(all::get).toList();
        double[][] values = some.stream().map(measured -> measured.blocks().stream().sorted(Comparator.comparingInt(Metrics.BlockLine::block))
                .mapToDouble(block -> Math.log10(block.variance())).toArray()).toArray(double[][]::new);
        long[] steps = some.stream().mapToLong(MetricsTail.Blocks::step).toArray();
        return new Plot.Heat("Variance over time" + (runs.size() == 1 ? "" : ", " + name), "What goes into each block, by its order of magnitude: 0 is a "
                + "variance of 1, 2 one of 100.", new Plot.Axes("step", "block"), "log10 of the variance", 0, values,
                LongStream.of(steps).mapToObj(String::valueOf).toList());
    }
}
