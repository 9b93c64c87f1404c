package isonorm.cli.report;

import isonorm.compare.Grid;
import isonorm.compare.Group;
import isonorm.compare.Outcome;
import isonorm.compare.Results;
import isonorm.compare.Spread;
import isonorm.train.Metrics;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** The plots of a {@link CompareReport}. Every contender keeps its colour. */
record ComparePlots(Results results) {

    /** A curve has no more points than these, the means of as many neighbours as that takes. */
    private static final int POINTS = 300;

    private static final String BEST = "each at its best rate";

    private static final String MEAN = "The mean over seeds, in a band of one standard deviation to either side; a dashed curve is a run that diverged and ends where it did.";

    List<Page.Group> groups() {
        List<Page.Group> groups = new ArrayList<>();
        Map<String, List<Group>> together = together();
        List<Plot> curves = new ArrayList<>();
        together.forEach((where, some) -> curves.add(curves("Validation loss", where, "validation loss", Plot.Range.NEAR, some, Metrics.Line::validation)));
        together.forEach((where, some) -> curves.add(curves("Training loss", where, "loss", Plot.Range.NEAR, some, Metrics.Line::loss)));
        together.forEach((where, some) -> curves.add(curves("Gradient norm", where, "gradient norm", Plot.Range.ROBUST, some, Metrics.Line::gradientNorm)));
        groups.add(new Page.Group("Learning curves", curves));
        List<Plot> differences = new ArrayList<>();
        results.settings().forEach((setting, some) -> differences(setting, some).ifPresent(differences::add));
        if (!differences.isEmpty()) {
            groups.add(new Page.Group("Differences", differences));
        }
        if (severalRates() || results.grid().contenders().contains(Grid.RATE)) {
            List<Plot> rates = new ArrayList<>();
            results.settings().forEach((setting, some) -> rates.add(rates(setting, some)));
            groups.add(new Page.Group("Learning rates", rates));
        }
        if (results.groups().stream().anyMatch(group -> group.after().isPresent())) {
            List<Plot> variances = new ArrayList<>();
            together.forEach((where, some) -> variances.add(variance(where, some)));
            groups.add(new Page.Group("Residual stream", variances));
            List<Plot> distances = new ArrayList<>();
            together.forEach((where, some) -> distances.add(angularDistances(where, some)));
            groups.add(new Page.Group("Blocks, input to output", distances));
            groups.add(new Page.Group("Distances between blocks", heats()));
        }
        return groups;
    }

    /** Whether rates vary that are chosen for each contender. */
    private boolean severalRates() {
        return !results.grid().contenders().contains(Grid.RATE) && results.groups().stream().mapToDouble(Group::rate).distinct().count() > 1;
    }

    /** The groups that are drawn together: the best of each contender first, then those that differ in nothing but the contender. */
    private Map<String, List<Group>> together() {
        Map<String, List<Group>> all = new LinkedHashMap<>();
        if (severalRates()) {
            results.settings().forEach((setting, some) -> {
                List<Group> best = results.ranking(some);
                all.put(setting.isEmpty() ? BEST : setting + ", " + BEST, some.stream().filter(best::contains).toList());
            });
        }
        List<String> own = results.grid().contenders();
        results.groups().forEach(group -> all.computeIfAbsent(group.words(group.place().keySet().stream().filter(key -> !own.contains(key)).toList()), _ -> new ArrayList<>())
                .add(group));
        return all;
    }

    /** A contender, with its rate where each is drawn at the one that is best for it. */
    private String name(Group group, String where) {
        return results.contender(group) + (where.endsWith(BEST) ? ", lr " + group.place().get(Grid.RATE) : "");
    }

    private static String titled(String what, String where) {
        return where.isEmpty() ? what : what + ", " + where;
    }

    private int colour(Group group) {
        return results.contenders().indexOf(results.contender(group));
    }

    // Learning

    private Plot curves(String what, String where, String y, Plot.Range range, List<Group> groups, ToDoubleFunction<Metrics.Line> value) {
        List<Plot.Curve> curves = new ArrayList<>();
        for (Group group : groups) {
            String name = name(group, where);
            List<Outcome> whole = group.outcomes().stream().filter(Outcome::whole).toList();
            if (!whole.isEmpty()) {
                curves.add(mean(name, colour(group), whole, value));
            }
            for (int t = 0; t < group.trials().size(); t++) {
                Outcome outcome = group.outcomes().get(t);
                if (!outcome.whole()) {
                    String seed = group.trials().size() > 1 ? ", seed " + group.trials().get(t).seed() : "";
                    Plot.Curve curve = mean(name + seed + ", diverged", colour(group), List.of(outcome), value);
                    curves.add(new Plot.Curve(curve.name(), curve.colour(), Plot.Curve.DASHED, curve.x(), curve.y()));
                }
            }
        }
        boolean seeds = groups.stream().anyMatch(group -> group.trials().size() > 1);
        return Plot.Lines.together(titled(what, where), seeds ? MEAN : "A dashed curve is a run that diverged and ends where it did.", new Plot.Axes("step", y, false, range), curves);
    }

    /** The mean over runs at each step that all have, and their standard deviation around it. */
    private static Plot.Curve mean(String name, int colour, List<Outcome> runs, ToDoubleFunction<Metrics.Line> value) {
        SortedMap<Long, List<Double>> steps = new TreeMap<>();
        for (Outcome run : runs) {
            run.lines().forEach(line -> {
                if (Double.isFinite(value.applyAsDouble(line))) {
                    steps.computeIfAbsent(line.step(), _ -> new ArrayList<>()).add(value.applyAsDouble(line));
                }
            });
        }
        steps.values().removeIf(values -> values.size() < runs.size());
        List<Long> at = List.copyOf(steps.keySet());
        List<Spread> spreads = steps.values().stream().map(values -> Spread.of(values.stream().mapToDouble(Double::doubleValue).toArray())).toList();
        int each = Math.max(1, Math.ceilDiv(at.size(), POINTS));
        int points = Math.ceilDiv(at.size(), each);
        double[] x = new double[points];
        double[] y = new double[points];
        double[] deviation = new double[points];
        for (int p = 0; p < points; p++) {
            List<Spread> some = spreads.subList(p * each, Math.min(at.size(), (p + 1) * each));
            x[p] = at.get(p * each + some.size() - 1);
            y[p] = some.stream().mapToDouble(Spread::mean).average().orElseThrow();
            deviation[p] = some.stream().mapToDouble(Spread::deviation).average().orElseThrow();
        }
        Plot.Curve curve = new Plot.Curve(name, colour, Plot.Curve.SOLID, x, y);
        return runs.size() < 2 ? curve : curve.within(new Plot.Spread.Band(bound(y, deviation, -1), bound(y, deviation, 1)));
    }

    private static double[] bound(double[] values, double[] deviations, int sign) {
        return IntStream.range(0, values.length).mapToDouble(i -> values[i] + sign * deviations[i]).toArray();
    }

    /** By how much each contender is above the lowest, as bars with their intervals. */
    private Optional<Plot> differences(String setting, List<Group> groups) {
        List<Results.Compared> compared = results.compared(groups);
        if (compared.isEmpty()) {
            return Optional.empty();
        }
        double[] means = compared.stream().mapToDouble(each -> each.difference().mean()).toArray();
        double[] low = compared.stream().mapToDouble(each -> each.difference().low()).toArray();
        double[] high = compared.stream().mapToDouble(each -> each.difference().high()).toArray();
        String lowest = results.contender(compared.getFirst().lowest());
        return Optional.of(new Plot.Bars(titled("Difference from the lowest validation loss", setting), "By how much each lies above " + lowest + ": the mean paired difference over "
                + "seeds and its interval, of 95 % for all together. Where an interval has zero in it, no difference can be told.",
                new Plot.Axes("contender", "difference, nats a token"), compared.stream().map(each -> results.contender(each.other())).toList(),
                List.of(new Plot.Bars.Series("above " + lowest, 0, means, Arrays.stream(means).mapToObj(mean -> Double.isNaN(mean) ? "" : String.format(Locale.ROOT, "%+.4f", mean)).toList(),
                        Optional.of(new Plot.Spread.ErrorBars(low, high))))));
    }

    /** A group of which a run diverged has a point on a dashed curve: the loss that run was last seen with. */
    private Plot rates(String setting, List<Group> groups) {
        boolean contended = !results.grid().contenders().contains(Grid.RATE);
        List<Plot.Curve> curves = new ArrayList<>();
        groups.stream().collect(Collectors.groupingBy(group -> contended ? results.contender(group) : "all", LinkedHashMap::new, Collectors.toList()))
                .forEach((name, own) -> {
                    int colour = contended ? colour(own.getFirst()) : 0;
                    List<Group> whole = own.stream().filter(group -> Double.isFinite(group.loss().mean())).toList();
                    double[] means = whole.stream().mapToDouble(group -> group.loss().mean()).toArray();
                    double[] deviations = whole.stream().mapToDouble(group -> group.loss().deviation()).toArray();
                    curves.add(new Plot.Curve(name, colour, Plot.Curve.SOLID, whole.stream().mapToDouble(Group::rate).toArray(), means)
                            .within(new Plot.Spread.ErrorBars(bound(means, deviations, -1), bound(means, deviations, 1))));
                    List<Group> diverged = own.stream().filter(group -> Double.isFinite(lastSeen(group))).toList();
                    if (!diverged.isEmpty()) {
                        curves.add(new Plot.Curve(name + ", diverged", colour, Plot.Curve.DASHED, diverged.stream().mapToDouble(Group::rate).toArray(),
                                diverged.stream().mapToDouble(ComparePlots::lastSeen).toArray()));
                    }
                });
        return Plot.Lines.together(titled("Loss against learning rate", setting),
                "The validation loss at the end, the mean over seeds, with bars of one standard deviation to either side; dashed, the training loss with which runs diverged.",
                new Plot.Axes("learning rate", "validation loss", true, Plot.Range.NEAR), curves);
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
            String name = name(group, where);
            group.after().ifPresent(stream -> curves.add(Plot.Curve.ofBlocks(name, colour(group), Plot.Curve.SOLID, stream.variances())));
            group.before().ifPresent(stream -> curves.add(Plot.Curve.ofBlocks(name + ", before training", colour(group), Plot.Curve.DASHED, stream.variances())));
        }
        return Plot.Lines.together(titled("Variance of the residual stream", where),
                "Behind each block at the end; dashed, before the first step. The mean over seeds.", Plot.Axes.ofBlocks("variance"), curves);
    }

    private Plot angularDistances(String where, List<Group> groups) {
        List<Plot.Curve> curves = new ArrayList<>();
        for (Group group : groups) {
            group.after().ifPresent(stream -> curves.add(Plot.Curve.ofBlocks(name(group, where), colour(group), Plot.Curve.SOLID,
                    Arrays.stream(stream.angular()).mapToDouble(row -> row[0]).toArray())));
        }
        return Plot.Lines.together(titled("Angular distance of each block", where), "Angular distance between a block's input and its output at the end; 0.5 is a right angle, what is near 0 "
                + "does little.", Plot.Axes.ofBlocks("angular distance"), curves);
    }

    /** Of every group at the end, the best of each contender first; before training, of those that differ in more than their rate. */
    private List<Plot> heats() {
        List<Plot> heats = new ArrayList<>();
        List<Group> best = results.settings().values().stream().flatMap(some -> results.ranking(some).stream()).toList();
        for (Group group : Stream.concat(best.stream(), results.groups().stream().filter(group -> !best.contains(group))).toList()) {
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
        return stream.map(measured -> Plot.Heat.ofDistances("Angular distance, " + name, measured.angular()));
    }
}
