package isonorm.cli.report;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Part;
import isonorm.depth.Activations;
import isonorm.depth.Depth;
import isonorm.depth.Depth.ExpertLoad;
import isonorm.depth.Growth;
import isonorm.depth.Position;
import isonorm.depth.Sensitivity;
import isonorm.measure.StreamBasis;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.IntToDoubleFunction;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** The plots of a {@link DepthReport}. Every checkpoint keeps its colour. */
record DepthPlots(List<DepthReport.Measured> all) {

    private static final Plot.Axes VARIANCE = Plot.Axes.ofBlocks("variance");

    /** The plots of a page. */
    List<Page.Group> groups() {
        List<Page.Group> groups = new ArrayList<>();
        groups.add(new Page.Group("Residual stream", List.of(variance())));
        groups.add(new Page.Group("Blocks, input to output", List.of(angularDistances(), influence())));
        groups.add(new Page.Group("Distances between blocks", Stream.concat(all.stream().map(this::heat), all.stream().map(this::similarity)).toList()));
        if (!removals().isEmpty()) {
            groups.add(new Page.Group("Perplexity without blocks", removals()));
        }
        groups.add(new Page.Group("Sub-layer outputs", List.of(outputs())));
        groups.add(new Page.Group("Magnitudes", positions().map(this::magnitudes).toList()));
        groups.add(new Page.Group("At every position", List.of(
                everywhere("Kurtosis at every position", "kurtosis", "A normal distribution has a kurtosis of 3; outliers make it large.", Activations::kurtosis),
                everywhere("Variance at every position", "variance", "The variance over all values of all tokens together.", Activations::variance),
                everywhere("RMS at every position", "RMS", "The RMS of all values of all tokens together.", Activations::rms))));
        List<DepthReport.Measured> withExperts = all.stream().filter(one -> !one.depth().experts().isEmpty()).toList();
        if (!withExperts.isEmpty()) {
            groups.add(new Page.Group("Experts", Stream.concat(withExperts.stream().map(this::loads), Stream.of(effective())).toList()));
        }
        if (all.stream().anyMatch(one -> !one.shapes().isEmpty())) {
            groups.add(new Page.Group("Outputs of the norms", List.of(
                    shapes("Effective rank", "The effective rank of the outputs of a block's norms; the last is the final norm's.", "directions", StreamBasis.Shape::effectiveRank,
                            Optional.empty()),
                    shapes("Outliers: kurtosis", "The kurtosis of the outputs of norms, as they are and (dashed) rotated; 3 is a normal distribution.", "kurtosis",
                            StreamBasis.Shape::kurtosis, Optional.of(StreamBasis.Shape::rotatedKurtosis)),
                    shapes("Outliers: the largest value", "The largest magnitude over the RMS, as it is and (dashed) rotated.", "largest / RMS", StreamBasis.Shape::largest,
                            Optional.of(StreamBasis.Shape::rotatedLargest)))));
        }
        if (all.stream().anyMatch(one -> one.depth().gradients().isPresent())) {
            groups.add(new Page.Group("Gradients", List.of(gradients())));
        }
        return groups;
    }

    /** Those that some checkpoint has. */
    private Stream<Position> positions() {
        return Arrays.stream(Position.values())
                .filter(position -> all.stream().anyMatch(one -> one.depth().activations().stream().anyMatch(block -> block.containsKey(position))));
    }

    private static String words(Position position) {
        return position.label().replace('_', ' ').replace("mlp", "MLP");
    }

    private boolean several() {
        return all.size() > 1;
    }

    private static Plot.Curve curve(String name, int colour, int style, int count, IntToDoubleFunction value) {
        return Plot.Curve.ofBlocks(name, colour, style, IntStream.range(0, count).mapToDouble(value).toArray());
    }

    /** What is measured of each checkpoint and drawn as a curve. */
    private record Thing(String name, OfCheckpoint values) {}

    @FunctionalInterface
    private interface OfCheckpoint {
        /** The value of a block, or empty where the checkpoint has none. */
        Optional<IntToDoubleFunction> of(DepthReport.Measured one);
    }

    /**
     * Curves of one or more things. One checkpoint has a colour for each; of several the colour is the checkpoint's, and things have a line style of their own, or, if there are
     * more than two, a frame.
     */
    private Plot things(String title, String note, String y, List<Thing> things, int more) {
        Map<String, List<Plot.Curve>> panels = new LinkedHashMap<>();
        boolean frames = several() && things.size() > 2;
        for (int t = 0; t < things.size(); t++) {
            Thing thing = things.get(t);
            for (int c = 0; c < all.size(); c++) {
                DepthReport.Measured one = all.get(c);
                String name = frames || things.size() == 1 && several() ? one.title() : several() ? one.title() + ", " + thing.name : thing.name;
                int colour = several() ? c : t;
                int style = frames || !several() ? Plot.Curve.SOLID : t;
                List<Plot.Curve> panel = panels.computeIfAbsent(frames ? thing.name : "", _ -> new ArrayList<>());
                thing.values.of(one).ifPresent(value -> panel.add(curve(name, colour, style, one.depth().blocks() + more, value)));
            }
        }
        return Plot.Lines.multiples(title, note, Plot.Axes.ofBlocks(y), panels);
    }

    private Plot variance() {
        List<Plot.Curve> curves = new ArrayList<>();
        for (int c = 0; c < all.size(); c++) {
            DepthReport.Measured one = all.get(c);
            curves.add(curve(several() ? one.title() : "measured", c, Plot.Curve.SOLID, one.depth().blocks(),
                    l -> requireNonNull(one.depth().activations().get(l).get(Position.BLOCK_OUTPUT)).variance()));
            Growth growth = one.depth().growth();
            if (growth.shape() != Growth.Shape.UNKNOWN && growth.shape() != Growth.Shape.NORMALIZED) {
                String fit = growth.shape().label() + " fit";
                curves.add(curve(several() ? one.title() + ", " + fit : fit, several() ? c : 1, Plot.Curve.DASHED, one.depth().blocks(), l -> growth.at(l + 1)));
            }
        }
        return Plot.Lines.together("Variance of the residual stream", "Behind each block. Pre-LN's can grow exponentially with depth, Peri-LN's grows about linearly; Post-LN's is what "
                + "its norms make it.", VARIANCE, curves);
    }

    private Plot heat(DepthReport.Measured one) {
        return Plot.Heat.ofDistances(all.size() == 1 ? "Angular distance" : "Angular distance in " + one.title(), one.depth().angular());
    }

    private Plot similarity(DepthReport.Measured one) {
        return new Plot.Heat(all.size() == 1 ? "Linear CKA" : "Linear CKA of " + one.title(),
                "Linear CKA of the residual stream before block l and n blocks later, from 32 tokens a window; 1 is the same.",
                new Plot.Axes("block l", "blocks later, n"), "linear CKA", 1, one.depth().cka());
    }

    private Plot loads(DepthReport.Measured one) {
        double[][] shares = IntStream.range(0, one.depth().blocks()).mapToObj(l -> {
            ExpertLoad load = one.depth().experts().get(l);
            return load == null ? new double[0] : IntStream.range(0, load.experts()).mapToDouble(load::share).toArray();
        }).toArray(double[][]::new);
        return new Plot.Heat(all.size() == 1 ? "How often experts are chosen" : "How often experts are chosen in " + one.title(),
                "The part of the tokens that each expert of a block is chosen for.", new Plot.Axes("block", "expert"), "share", 0, shares);
    }

    private Plot effective() {
        return things("Effective experts", "Effective experts over how many there are: 1 where all are chosen equally often.", "effective / all", List.of(new Thing("",
                one -> one.depth().experts().isEmpty() ? Optional.empty() : Optional.of(l -> {
                    ExpertLoad load = one.depth().experts().get(l);
                    return load == null ? Double.NaN : load.effective() / load.experts();
                }))), 0);
    }

    private Plot angularDistances() {
        return things("Angular distance of each block", "Angular distance between a block's input and its output; 0.5 is a right angle, below " + Depth.IDLE + " is idle.",
                "angular distance", List.of(new Thing("angular distance", one -> Optional.of(l -> one.depth().distance(l, 1)))), 0);
    }

    private Plot influence() {
        return things("Block Influence", "One minus the cosine of a block's input and output (ShortGPT).", "Block Influence",
                List.of(new Thing("Block Influence", one -> Optional.of(one.depth()::influence))), 0);
    }

    private Plot shapes(String title, String note, String y, ToDoubleFunction<StreamBasis.Shape> value, Optional<ToDoubleFunction<StreamBasis.Shape>> rotated) {
        List<Thing> things = new ArrayList<>(List.of(new Thing("as it is", one -> shape(one, value))));
        rotated.ifPresent(after -> things.add(new Thing("rotated", one -> shape(one, after))));
        return things(title, note, y, things, 1);
    }

    private static Optional<IntToDoubleFunction> shape(DepthReport.Measured one, ToDoubleFunction<StreamBasis.Shape> value) {
        return one.shapes().isEmpty() ? Optional.empty() : Optional.of(l -> value.applyAsDouble(one.shapes().get(l)));
    }

    private Plot outputs() {
        List<Thing> things = new ArrayList<>(List.of(ratio("attention", Position.ATTENTION_OUTPUT), ratio("MLP", Position.MLP_OUTPUT)));
        if (all.stream().anyMatch(one -> DepthReport.crosses(one.depth()))) {
            things.add(ratio("cross-attention", Position.CROSS_ATTENTION_OUTPUT));
        }
        return things("Sub-layer outputs over the residual stream", "The norm of a sub-layer output over that of the residual stream it is added to, the mean over tokens.",
                "output / stream", things, 0);
    }

    private static Thing ratio(String name, Position position) {
        return new Thing(name, one -> Optional.of(l -> {
            Activations at = one.depth().activations().get(l).get(position);
            return at == null ? Double.NaN : at.writeRatio().orElse(Double.NaN);
        }));
    }

    private Plot magnitudes(Position position) {
        return things("Magnitudes: " + words(position), "A largest value far above the rest is an outlier; narrow types clip it.", "magnitude", List.of(
                statistic("largest", position, Activations::maxAbs), statistic("p99.9", position, Activations::p999), statistic("p99", position, Activations::p99),
                statistic("p50", position, Activations::p50)), 0);
    }

    private static Thing statistic(String name, Position position, ToDoubleFunction<Activations> statistic) {
        return new Thing(name, one -> Optional.of(l -> {
            Activations at = one.depth().activations().get(l).get(position);
            return at == null ? Double.NaN : statistic.applyAsDouble(at);
        }));
    }

    private Plot everywhere(String title, String y, String note, ToDoubleFunction<Activations> statistic) {
        return things(title, note, y, positions().map(position -> statistic(words(position), position, statistic)).toList(), 0);
    }

    private Plot gradients() {
        Set<String> there = all.stream().flatMap(one -> one.depth().gradients().stream()).flatMap(norms -> norms.blocks().stream())
                .flatMap(block -> block.keySet().stream()).collect(Collectors.toSet());
        List<Thing> things = new ArrayList<>();
        for (String part : Arrays.stream(Part.values()).map(Part::path).filter(there::contains).toList()) {
            things.add(new Thing(part.replace('_', ' '), one -> one.depth().gradients().map(norms -> l -> norms.blocks().get(l).getOrDefault(part, Double.NaN))));
        }
        things.add(new Thing("whole block", one -> one.depth().gradients().map(norms -> norms::block)));
        return things("Gradient norms", "The gradient norm of the mean loss of the text, over each block's weights, biases and gains of one kind.", "gradient norm", things, 0);
    }

    /** A plot for each number of blocks that were removed together: bars of each checkpoint. */
    private List<Plot> removals() {
        Set<Integer> spans = new TreeSet<>();
        all.forEach(one -> one.depth().sensitivity().ifPresent(measured -> measured.removals().forEach(removal -> spans.add(removal.span()))));
        return spans.stream().map(this::removals).toList();
    }

    private Plot removals(int span) {
        List<Plot.Bars.Series> series = new ArrayList<>();
        List<String> whole = new ArrayList<>();
        int most = all.stream().mapToInt(one -> one.depth().blocks() - span + 1).max().orElse(0);
        for (int c = 0; c < all.size(); c++) {
            DepthReport.Measured one = all.get(c);
            if (one.depth().sensitivity().isPresent()) {
                Sensitivity measured = one.depth().sensitivity().get();
                double[] increases = new double[most];
                Arrays.fill(increases, Double.NaN);
                measured.removals().stream().filter(removal -> removal.span() == span)
                        .forEach(removal -> increases[removal.block()] = 100 * (removal.perplexity() / measured.perplexity() - 1));
                series.add(new Plot.Bars.Series(one.title(), c, increases, Arrays.stream(increases).mapToObj(DepthPlots::percent).toList(), Optional.empty()));
                whole.add((several() ? one.title() + " " : "") + String.format(Locale.ROOT, "%.2f", measured.perplexity()));
            }
        }
        String title = span == 1 ? "Perplexity without one block" : "Perplexity without " + span + " blocks";
        return new Plot.Bars(title, "Increase in perplexity without " + (span == 1 ? "the block" : span + " blocks from this one on") + ", over that of the whole model ("
                + String.join(", ", whole) + "). A short bar is what can go.", new Plot.Axes(span == 1 ? "block" : "first block", "increase in perplexity, %"),
                IntStream.range(0, most).mapToObj(String::valueOf).toList(), series);
    }

    private static String percent(double value) {
        return Double.isFinite(value) ? String.format(Locale.ROOT, Math.abs(value) < 100 ? "%+.1f %%" : "%+,.0f %%", value) : "";
    }
}
