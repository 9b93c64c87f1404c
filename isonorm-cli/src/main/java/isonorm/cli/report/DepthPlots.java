package isonorm.cli.report;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Part;
import isonorm.depth.Activations;
import isonorm.depth.Depth;
import isonorm.depth.Depth.ExpertLoad;
import isonorm.depth.GradientNorms;
import isonorm.depth.Growth;
import isonorm.depth.Position;
import isonorm.depth.Sensitivity;
import isonorm.measure.StreamBasis;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntToDoubleFunction;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** The plots of a {@link DepthReport}. Every checkpoint keeps its colour. */
record DepthPlots(List<DepthReport.Measured> all) {

    private static final Plot.Axes VARIANCE = new Plot.Axes("block", "variance");

    /** The plots of a page. */
    List<Page.Group> groups() {
        List<Page.Group> groups = new ArrayList<>();
        groups.add(new Page.Group("Variance", List.of(variance())));
        groups.add(new Page.Group("Distances", Stream.concat(all.stream().map(this::heat), all.stream().map(this::similarity)).toList()));
        groups.add(new Page.Group("What blocks do", List.of(turns(), influence())));
        groups.add(new Page.Group("What branches write", List.of(writes())));
        groups.add(new Page.Group("Magnitudes", positions().map(this::magnitudes).toList()));
        groups.add(new Page.Group("At every position", List.of(
                everywhere("Kurtosis", "A normal distribution has 3; outliers make it large.", Activations::kurtosis),
                everywhere("Variance at every position", "All values of all tokens together.", Activations::variance),
                everywhere("Root mean square", "All values of all tokens together.", Activations::rms))));
        List<DepthReport.Measured> withExperts = all.stream().filter(one -> !one.depth().experts().isEmpty()).toList();
        if (!withExperts.isEmpty()) {
            groups.add(new Page.Group("Experts", Stream.concat(withExperts.stream().map(this::loads), Stream.of(effective())).toList()));
        }
        if (all.stream().anyMatch(one -> !one.shapes().isEmpty())) {
            groups.add(new Page.Group("The stream's basis", List.of(
                    shapes("Effective rank", "exp(entropy) of the principal components of what norms give; the last is the final norm.", "directions", StreamBasis.Shape::effectiveRank,
                            Optional.empty()),
                    shapes("Outliers: kurtosis", "Of what norms give, as it is and (dashed) rotated; 3 is a normal distribution.", "kurtosis", StreamBasis.Shape::kurtosis,
                            Optional.of(StreamBasis.Shape::rotatedKurtosis)),
                    shapes("Outliers: the largest value", "Beside the root of the mean square, as it is and (dashed) rotated.", "largest / rms", StreamBasis.Shape::largest,
                            Optional.of(StreamBasis.Shape::rotatedLargest)))));
        }
        if (all.stream().anyMatch(one -> one.depth().gradients().isPresent())) {
            groups.add(new Page.Group("Gradients", List.of(gradients())));
        }
        if (!removals().isEmpty()) {
            groups.add(new Page.Group("Perplexity", removals()));
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

    private String named(DepthReport.Measured one, String what) {
        return all.size() == 1 ? what : one.title() + ", " + what;
    }

    private static Plot.Curve curve(String name, int colour, boolean dashed, int count, IntToDoubleFunction value) {
        return new Plot.Curve(name, colour, dashed, IntStream.range(0, count).asDoubleStream().toArray(), IntStream.range(0, count).mapToDouble(value).toArray());
    }

    private Plot variance() {
        List<Plot.Curve> curves = new ArrayList<>();
        for (int c = 0; c < all.size(); c++) {
            DepthReport.Measured one = all.get(c);
            curves.add(curve(named(one, "behind the block"), c, false, one.depth().blocks(),
                    l -> requireNonNull(one.depth().activations().get(l).get(Position.BLOCK_OUTPUT)).variance()));
            Growth growth = one.depth().growth();
            if (growth.shape() != Growth.Shape.UNKNOWN && growth.shape() != Growth.Shape.NORMALIZED) {
                curves.add(curve(named(one, growth.shape().label() + " fit"), all.size() == 1 ? 1 : c, true, one.depth().blocks(), l -> growth.at(l + 1)));
            }
        }
        return new Plot.Lines("Variance of the stream", "Pre-LN's can grow exponentially with depth, Peri-LN's grows about linearly; Post-LN's is what its norms make it.",
                VARIANCE, curves);
    }

    private Plot heat(DepthReport.Measured one) {
        return new Plot.Heat(all.size() == 1 ? "Angular distance" : "Angular distance in " + one.title(),
                "Between the inputs of block l and of block l + n. What is dark could go: what leaves these blocks is what entered.",
                new Plot.Axes("block l", "blocks later, n"), "distance", 1, one.depth().angular());
    }

    private Plot similarity(DepthReport.Measured one) {
        return new Plot.Heat(all.size() == 1 ? "Linear CKA" : "Linear CKA of " + one.title(),
                "How alike tokens stand to each other before block l and before block l + n, from 32 tokens a window; 1 is the same.",
                new Plot.Axes("block l", "blocks later, n"), "CKA", 1, one.depth().cka());
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
        return each("Effective experts", "exp(entropy) of the choices beside how many experts there are: 1 where all are chosen equally often.",
                "effective, part of all", (depth, l) -> {
                    ExpertLoad load = depth.experts().get(l);
                    return load == null ? Double.NaN : load.effective() / load.experts();
                });
    }

    private Plot turns() {
        return each("Distance of each block", "From a block's input to its output; 0.5 is a right angle, below " + Depth.IDLE + " is idle.", "distance",
                (depth, l) -> depth.distance(l, 1));
    }

    private Plot influence() {
        return each("Block influence", "One minus the cosine of a block's input and output (ShortGPT).", "influence", Depth::influence);
    }

    @FunctionalInterface
    private interface OfBlock {
        double of(Depth depth, int block);
    }

    private Plot each(String title, String note, String y, OfBlock value) {
        List<Plot.Curve> curves = new ArrayList<>();
        for (int c = 0; c < all.size(); c++) {
            DepthReport.Measured one = all.get(c);
            curves.add(curve(one.title(), c, false, one.depth().blocks(), l -> value.of(one.depth(), l)));
        }
        return new Plot.Lines(title, note, new Plot.Axes("block", y), curves);
    }

    private Plot shapes(String title, String note, String y, ToDoubleFunction<StreamBasis.Shape> value, Optional<ToDoubleFunction<StreamBasis.Shape>> rotated) {
        List<Plot.Curve> curves = new ArrayList<>();
        for (int c = 0; c < all.size(); c++) {
            DepthReport.Measured one = all.get(c);
            curves.add(curve(named(one, "as it is"), c, false, one.shapes().size(), l -> value.applyAsDouble(one.shapes().get(l))));
            if (rotated.isPresent()) {
                curves.add(curve(named(one, "rotated"), all.size() == 1 ? 1 : c, true, one.shapes().size(), l -> rotated.get().applyAsDouble(one.shapes().get(l))));
            }
        }
        return new Plot.Lines(title, note, new Plot.Axes("block", y), curves);
    }

    private Plot writes() {
        List<Plot.Curve> curves = new ArrayList<>();
        for (int c = 0; c < all.size(); c++) {
            DepthReport.Measured one = all.get(c);
            curves.add(ratios(named(one, "attention"), c, false, one, Position.ATTENTION_OUTPUT));
            curves.add(ratios(named(one, "MLP"), all.size() == 1 ? 1 : c, all.size() > 1, one, Position.MLP_OUTPUT));
            if (DepthReport.crosses(one.depth())) {
                curves.add(ratios(named(one, "cross-attention"), all.size() == 1 ? 2 : c, true, one, Position.CROSS_ATTENTION_OUTPUT));
            }
        }
        return new Plot.Lines("What branches write", "The norm of what a branch adds beside the norm of the stream it finds, the mean over tokens.",
                new Plot.Axes("block", "ratio"), curves);
    }

    private static Plot.Curve ratios(String name, int colour, boolean dashed, DepthReport.Measured one, Position position) {
        return curve(name, colour, dashed, one.depth().blocks(),
                l -> requireNonNull(one.depth().activations().get(l).get(position)).writeRatio().orElse(Double.NaN));
    }

    private Plot magnitudes(Position position) {
        List<Plot.Curve> curves = new ArrayList<>();
        for (int c = 0; c < all.size(); c++) {
            DepthReport.Measured one = all.get(c);
            curves.add(statistic(named(one, "largest"), all.size() == 1 ? 1 : c, false, one, position, Activations::maxAbs));
            curves.add(statistic(named(one, "99.9 %"), all.size() == 1 ? 4 : c, all.size() > 1, one, position, Activations::p999));
            curves.add(statistic(named(one, "99 %"), all.size() == 1 ? 2 : c, all.size() > 1, one, position, Activations::p99));
            curves.add(statistic(named(one, "median"), c, all.size() > 1, one, position, Activations::p50));
        }
        return new Plot.Lines("Magnitudes: " + words(position), "A largest value far above the rest is an outlier; narrow types clip it.",
                new Plot.Axes("block", "magnitude"), curves);
    }

    private static Plot.Curve statistic(
            String name, int colour, boolean dashed, DepthReport.Measured one, Position position, ToDoubleFunction<Activations> statistic) {
        return curve(name, colour, dashed, one.depth().blocks(), l -> {
            Activations at = one.depth().activations().get(l).get(position);
            return at == null ? Double.NaN : statistic.applyAsDouble(at);
        });
    }

    private Plot everywhere(String title, String note, ToDoubleFunction<Activations> statistic) {
        List<Plot.Curve> curves = new ArrayList<>();
        List<Position> positions = positions().toList();
        for (int c = 0; c < all.size(); c++) {
            for (int p = 0; p < positions.size(); p++) {
                Position position = positions.get(p);
                curves.add(statistic(named(all.get(c), words(position)), c * positions.size() + p, c > 0, all.get(c), position, statistic));
            }
        }
        return new Plot.Lines(title, note, new Plot.Axes("block", title.replace(" at every position", "").toLowerCase(Locale.ROOT)), curves);
    }

    private Plot gradients() {
        List<Plot.Curve> curves = new ArrayList<>();
        for (int c = 0; c < all.size(); c++) {
            GradientNorms norms = all.get(c).depth().gradients().orElse(null);
            if (norms != null) {
                curves.add(curve(named(all.get(c), "whole block"), all.size() == 1 ? 6 : c, true, norms.blocks().size(), norms::block));
                int number = 0;
                Set<String> there = norms.blocks().stream().flatMap(block -> block.keySet().stream()).collect(Collectors.toSet());
                for (String part : Arrays.stream(Part.values()).map(Part::path).filter(there::contains).toList()) {
                    curves.add(curve(named(all.get(c), part.replace('_', ' ')), all.size() == 1 ? number++ : c, false, norms.blocks().size(),
                            l -> norms.blocks().get(l).getOrDefault(part, Double.NaN)));
                }
            }
        }
        return new Plot.Lines("Gradient norms", "Of the mean loss of the text, over each block's weights, biases and gains of one kind.",
                new Plot.Axes("block", "gradient norm"), curves);
    }

    private List<Plot> removals() {
        List<Plot.Curve> curves = new ArrayList<>();
        for (int c = 0; c < all.size(); c++) {
            DepthReport.Measured one = all.get(c);
            if (one.depth().sensitivity().isPresent()) {
                Sensitivity measured = one.depth().sensitivity().get();
                int[] spans = measured.removals().stream().mapToInt(Sensitivity.Removal::span).distinct().toArray();
                for (int s = 0; s < spans.length; s++) {
                    int span = spans[s];
                    List<Sensitivity.Removal> some = measured.removals().stream().filter(removal -> removal.span() == span).toList();
                    curves.add(curve(named(one, span == 1 ? "one block" : span + " blocks from here on"), all.size() == 1 ? s : c, s > 0, some.size(),
                            i -> some.get(i).perplexity()));
                }
                curves.add(curve(named(one, "whole model"), 6, true, one.depth().blocks(), _ -> measured.perplexity()));
            }
        }
        return curves.isEmpty() ? List.of() : List.of(new Plot.Lines("Perplexity without blocks", "A point near the whole model's line is a block that can go.",
                new Plot.Axes("first block removed", "perplexity"), curves));
    }
}
