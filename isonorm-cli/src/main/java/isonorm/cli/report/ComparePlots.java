package isonorm.cli.report;

import isonorm.compare.Grid;
import isonorm.compare.Group;
import isonorm.compare.Outcome;
import isonorm.compare.Results;
import isonorm.compare.Trial;
import isonorm.train.Metrics;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** The plots of a {@link CompareReport}. Every contender keeps its colour. */
record ComparePlots(Results results) {

    /** A curve has no more points than these, the means of as many neighbours as that takes. */
    private static final int POINTS = 300;

    private static final Plot.Axes VARIANCE = new Plot.Axes("block", "variance");

    List<Page.Group> groups() {
        List<Page.Group> groups = new ArrayList<>();
        Map<String, List<Group>> together = together();
        List<Plot> curves = new ArrayList<>();
        together.forEach((where, some) -> curves.add(curves("Validation loss", where, "loss", some, Metrics.Line::validation)));
        together.forEach((where, some) -> curves.add(curves("Training loss", where, "loss", some, Metrics.Line::loss)));
        together.forEach((where, some) -> curves.add(curves("Gradient norm", where, "norm before clipping", some, Metrics.Line::gradientNorm)));
        groups.add(new Page.Group("Learning curves", curves));
        if (results.groups().stream().mapToDouble(Group::rate).distinct().count() > 1) {
            List<Plot> rates = new ArrayList<>();
            results.settings().forEach((setting, some) -> rates.add(rates(setting, some)));
            groups.add(new Page.Group("Learning rates", rates));
        }
        if (results.groups().stream().anyMatch(group -> group.after().isPresent())) {
            List<Plot> variances = new ArrayList<>();
            together.forEach((where, some) -> variances.add(variance(where, some)));
            groups.add(new Page.Group("Variance", variances));
            List<Plot> turns = new ArrayList<>();
            together.forEach((where, some) -> turns.add(turns(where, some)));
            groups.add(new Page.Group("What blocks do", turns));
            groups.add(new Page.Group("Angular distance", heats()));
        }
        return groups;
    }

    /** The groups that are drawn together: those that differ in nothing but the contender. */
    private Map<String, List<Group>> together() {
        List<String> own = results.grid().contenders();
        return results.groups().stream().collect(Collectors.groupingBy(
                group -> group.words(group.place().keySet().stream().filter(key -> !own.contains(key)).toList()), LinkedHashMap::new, Collectors.toList()));
    }

    private static String titled(String what, String where) {
        return where.isEmpty() ? what : what + ", " + where;
    }

    private int colour(Group group) {
        return results.contenders().indexOf(results.contender(group));
    }

    // Learning

    private Plot curves(String what, String where, String y, List<Group> groups, ToDoubleFunction<Metrics.Line> value) {
        List<Plot.Curve> curves = new ArrayList<>();
        for (Group group : groups) {
            for (int t = 0; t < group.trials().size(); t++) {
                Trial trial = group.trials().get(t);
                Outcome outcome = group.outcomes().get(t);
                String name = results.contender(group) + (group.trials().size() > 1 ? ", seed " + trial.seed() : "") + (outcome.whole() ? "" : ", diverged");
                curves.add(thinned(name, colour(group), !outcome.whole(), outcome.lines().stream().filter(line -> Double.isFinite(value.applyAsDouble(line))).toList(), value));
            }
        }
        return new Plot.Lines(titled(what, where), "A dashed curve ends where its run diverged.", new Plot.Axes("step", y, false, true), curves);
    }

    private static Plot.Curve thinned(String name, int colour, boolean dashed, List<Metrics.Line> lines, ToDoubleFunction<Metrics.Line> value) {
        int each = Math.max(1, Math.ceilDiv(lines.size(), POINTS));
        int points = Math.ceilDiv(lines.size(), each);
        double[] x = new double[points];
        double[] y = new double[points];
        for (int p = 0; p < points; p++) {
            List<Metrics.Line> some = lines.subList(p * each, Math.min(lines.size(), (p + 1) * each));
            x[p] = some.getLast().step();
            y[p] = some.stream().mapToDouble(value).average().orElseThrow();
        }
        return new Plot.Curve(name, colour, dashed, x, y);
    }

    /** A group of which a run diverged has a point on a dashed curve: the loss that run was last seen with. */
    private Plot rates(String setting, List<Group> groups) {
        boolean contended = !results.grid().contenders().contains(Grid.RATE);
        List<Plot.Curve> curves = new ArrayList<>();
        groups.stream().collect(Collectors.groupingBy(group -> contended ? results.contender(group) : "all", LinkedHashMap::new, Collectors.toList()))
                .forEach((name, own) -> {
                    int colour = contended ? colour(own.getFirst()) : 0;
                    List<Group> whole = own.stream().filter(group -> Double.isFinite(group.loss().mean())).toList();
                    curves.add(new Plot.Curve(name, colour, false, whole.stream().mapToDouble(Group::rate).toArray(),
                            whole.stream().mapToDouble(group -> group.loss().mean()).toArray()));
                    List<Group> diverged = own.stream().filter(group -> Double.isFinite(lastSeen(group))).toList();
                    if (!diverged.isEmpty()) {
                        curves.add(new Plot.Curve(name + ", diverged", colour, true, diverged.stream().mapToDouble(Group::rate).toArray(),
                                diverged.stream().mapToDouble(ComparePlots::lastSeen).toArray()));
                    }
                });
        return new Plot.Lines(titled("Loss against learning rate", setting),
                "The validation loss at the end, the mean over seeds; dashed, the training loss with which runs diverged.",
                new Plot.Axes("learning rate", "loss", true, true), curves);
    }

    private static double lastSeen(Group group) {
        return group.outcomes().stream().filter(outcome -> !outcome.whole())
                .mapToDouble(outcome -> outcome.lines().stream().mapToDouble(Metrics.Line::loss).filter(Double::isFinite).reduce(Double.NaN, (_, last) -> last))
                .average().orElse(Double.NaN);
    }

    // Depth

    private Plot variance(String where, List<Group> groups) {
        List<Plot.Curve> curves = new ArrayList<>();
        for (Group group : groups) {
            String name = results.contender(group);
            group.after().ifPresent(stream -> curves.add(curve(name, colour(group), false, stream.variances())));
            group.before().ifPresent(stream -> curves.add(curve(name + ", before training", colour(group), true, stream.variances())));
        }
        return new Plot.Lines(titled("Variance of the stream", where),
                "Behind each block at the end; dashed, before the first step. The mean over seeds.", VARIANCE, curves);
    }

    private static Plot.Curve curve(String name, int colour, boolean dashed, double[] values) {
        return new Plot.Curve(name, colour, dashed, IntStream.range(0, values.length).asDoubleStream().toArray(), values);
    }

    private Plot turns(String where, List<Group> groups) {
        List<Plot.Curve> curves = new ArrayList<>();
        for (Group group : groups) {
            group.after().ifPresent(stream -> curves.add(curve(results.contender(group), colour(group), false,
                    Arrays.stream(stream.angular()).mapToDouble(row -> row[0]).toArray())));
        }
        return new Plot.Lines(titled("Distance of each block", where), "From a block's input to its output at the end; 0.5 is a right angle, what is near 0 does little.",
                new Plot.Axes("block", "distance"), curves);
    }

    /** Of every group at the end; before training, of those that differ in more than their rate. */
    private List<Plot> heats() {
        List<Plot> heats = new ArrayList<>();
        for (Group group : results.groups()) {
            heat(group.name() + (group.diverged() == group.trials().size() ? ", diverged" : ""), group.after()).ifPresent(heats::add);
        }
        Map<String, Group> begins = new LinkedHashMap<>();
        for (Group group : results.groups()) {
            String name = group.words(group.place().keySet().stream().filter(key -> !key.equals(Grid.RATE)).toList());
            begins.putIfAbsent(titled(name.isEmpty() ? group.name() : name, "before training"), group);
        }
        begins.forEach((name, group) -> heat(name, group.before()).ifPresent(heats::add));
        return heats;
    }

    private static Optional<Plot> heat(String name, Optional<Outcome.Stream> stream) {
        return stream.map(measured -> new Plot.Heat("Angular distance, " + name,
                "Between the inputs of block l and of block l + n. What is dark could go: what leaves these blocks is what entered.",
                new Plot.Axes("block l", "blocks later, n"), "distance", 1, measured.angular()));
    }
}
