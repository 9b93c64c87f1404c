package isonorm.cli.report;

import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.architecture.Block;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.Table;
import isonorm.depth.Activations;
import isonorm.depth.Depth;
import isonorm.depth.Depth.ExpertLoad;
import isonorm.depth.Growth;
import isonorm.depth.MassiveActivation;
import isonorm.depth.Position;
import isonorm.depth.Sensitivity;
import isonorm.measure.StreamBasis;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntPredicate;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** What was measured of some checkpoints on one text: as a table, as JSON, and as a folder of files. */
public record DepthReport(String text, List<Measured> all, Provenance provenance) {

    /**
     * A checkpoint, or one of its two stacks, and how it uses its depth.
     *
     * @param stack which of two
     * @param seconds how long it took, both stacks together
     * @param shapes what the norms of each block give, and the final one; none where that was not asked for
     * @param words the text of tokens that are named
     */
    public record Measured(
            String name, Optional<String> stack, String checkpoint, Architecture architecture, Input input, double seconds, Depth depth,
            List<StreamBasis.Shape> shapes, Map<Long, String> words) {

        /** What people read. */
        String title() {
            return stack.map(which -> name + ", " + which).orElse(name);
        }

        /** How its blocks stand to their norms, each kind once. */
        String strategy() {
            Set<String> kinds = new LinkedHashSet<>();
            for (Block block : architecture.blocks()) {
                String placement = block.attentionPlacement().label();
            String other = block.mlpPlacement().label();
            kinds.add((other.equals(placement) ? placement : placement + " and " + other) + " " + block.norm().kind().label());
            }
            return String.join(", ", kinds);
        }
    }

    /**
     * What a stack read: the text, or noise in the place of images or sounds.
     *
     * @param part what goes through the stream: a token, patch or frame; {@code parts} are more of them
     * @param whole what has so many of them
     */
    public record Input(String part, String parts, String whole, int length) {

        /** Windows of the text. */
        public static Input text(int window) {
            return new Input("token", "tokens", "window", window);
        }

        boolean noise() {
            return !part.equals("token");
        }

        /** Such as: 512 tokens in windows of 256. */
        String of(long number) {
            return Table.count(number) + " " + (number == 1 ? part : parts) + " in " + whole + "s of " + length;
        }
    }

    // JSON

    public JsonNode json() {
        ObjectNode json = Json.object();
        json.put("text", text);
        json.set("made", provenance.json());
        ArrayNode checkpoints = json.putArray("checkpoints");
        all.forEach(one -> checkpoints.add(summary(one)));
        ArrayNode blocks = json.putArray("blocks");
        ArrayNode distances = json.putArray("angular_distance");
        ArrayNode influence = json.putArray("influence");
        ArrayNode massive = json.putArray("massive_activations");
        ArrayNode loads = json.putArray("expert_load");
        ArrayNode experts = json.putArray("experts");
        ArrayNode sensitivity = json.putArray("sensitivity");
        ArrayNode gradients = json.putArray("gradients");
        ArrayNode basis = json.putArray("basis");
        for (Measured one : all) {
            blocks(one, blocks);
            Depth depth = one.depth;
            for (int l = 0; l < depth.blocks(); l++) {
                Json.put(row(one, influence).put("block", l), "influence", depth.influence(l));
                for (int n = 1; l + n <= depth.blocks(); n++) {
                    ObjectNode distance = row(one, distances).put("block", l).put("span", n);
                    Json.put(distance, "distance", depth.distance(l, n));
                    Json.put(distance, "last_token_distance", depth.lastToken()[l][n - 1]);
                    Json.put(distance, "cosine", depth.cosine()[l][n - 1]);
                    Json.put(distance, "cka", depth.cka()[l][n - 1]);
                }
            }
            for (int l = 0; l < one.shapes.size(); l++) {
                ObjectNode row = row(one, basis).put("block", l);
                SHAPES.forEach((name, value) -> Json.put(row, name.replace(' ', '_'), value.applyAsDouble(one.shapes.get(row.path("block").asInt()))));
            }
            depth.massive().forEach(each -> massive.add(massive(one, each)));
            depth.experts().forEach((block, load) -> {
                ObjectNode row = row(one, loads).put("block", block).put("experts", load.experts());
                Json.put(row, "effective", load.effective());
                row.put("most_chosen", load.most()).put("most_share", load.share(load.most()));
                row.put("least_chosen", load.least()).put("least_share", load.share(load.least())).put("unused", load.unused());
                for (int e = 0; e < load.experts(); e++) {
                    row(one, experts).put("block", block).put("expert", e).put("chosen", load.chosen()[e])
                            .put("share", load.share(e));
                }
            });
            depth.gradients().ifPresent(measured -> IntStream.range(0, depth.blocks()).forEach(l -> measured.blocks().get(l).forEach((part, norm) ->
                    Json.put(row(one, gradients).put("block", l).put("parameter", part), "norm", norm))));
            depth.sensitivity().ifPresent(measured -> IntStream.range(0, measured.removals().size()).forEach(r -> {
                Sensitivity.Removal removal = measured.removals().get(r);
                ObjectNode row = row(one, sensitivity).put("block", removal.block()).put("span", removal.span());
                Json.put(row, "perplexity", removal.perplexity());
                Json.put(row, "increase", removal.perplexity() / measured.perplexity() - 1);
                measured.accuracies().ifPresent(accuracies -> {
                    Sensitivity.Accuracy without = accuracies.without().get(r);
                    Json.put(row, "accuracy", without.plain());
                    Json.put(row, "accuracy_change", without.plain() - accuracies.whole().plain());
                    Json.put(row, "normalized_accuracy", without.normalized());
                    Json.put(row, "normalized_accuracy_change", without.normalized() - accuracies.whole().normalized());
                });
            }));
        }
        return json;
    }

    private static ObjectNode row(Measured one, ArrayNode rows) {
        return named(one, rows.addObject());
    }

    /** Whose row it is. */
    private static ObjectNode named(Measured one, ObjectNode row) {
        row.put("checkpoint", one.name);
        one.stack.ifPresent(stack -> row.put("stack", stack));
        return row;
    }

    private static ObjectNode summary(Measured one) {
        Depth depth = one.depth;
        ObjectNode json = Json.object();
        named(one, json).put("path", one.checkpoint).put("family", one.architecture.family()).put("strategy", one.strategy());
        json.put("blocks", depth.blocks()).put("width", depth.width()).put("tokens", depth.tokens()).put("window", one.input.length)
                .put("read", one.input.noise() ? "noise" : "text");
        json.put("compute", depth.compute().label()).put("seconds", one.seconds);
        json.put("tokens_without_direction", depth.withoutDirection());
        Growth growth = depth.growth();
        ObjectNode curve = json.putObject("variance_growth").put("shape", growth.shape().label()).put("certainty", depth.decides() ? growth.certainty() : "none");
        Json.put(curve, "factor", growth.factor());
        Json.put(curve, "r2", growth.quality());
        Json.put(curve, "evidence", growth.evidence());
        Json.put(curve, "start", growth.start());
        Json.put(curve, "rate", growth.rate());
        json.put("tokens_for_a_verdict", Depth.FEWEST_TOKENS);
        ArrayNode idle = json.putArray("idle_blocks");
        if (depth.decides()) {
            depth.idle().forEach(idle::add);
        }
        json.put("idle_below_distance", Depth.IDLE);
        depth.sensitivity().ifPresent(measured -> {
            json.put("perplexity_tokens", measured.tokens());
            Json.put(json, "perplexity", measured.perplexity());
            measured.accuracies().ifPresent(accuracies -> {
                json.put("questions", accuracies.questions());
                Json.put(json, "accuracy", accuracies.whole().plain());
                Json.put(json, "normalized_accuracy", accuracies.whole().normalized());
            });
        });
        return json.put("verdict", depth.verdict());
    }

    private static void blocks(Measured one, ArrayNode into) {
        for (int l = 0; l < one.depth.blocks(); l++) {
            for (Map.Entry<Position, Activations> entry : one.depth.activations().get(l).entrySet()) {
                Activations at = entry.getValue();
                ObjectNode row = row(one, into).put("block", l).put("position", entry.getKey().label());
                STATISTICS.forEach((name, statistic) -> Json.put(row, name, statistic.of(at)));
                at.writeRatio().ifPresent(ratio -> Json.put(row, "write_ratio", ratio));
                row.put("beyond_fp16", at.beyondFp16()).put("beyond_fp8_e4m3", at.beyondE4m3()).put("beyond_fp8_e5m2", at.beyondE5m2());
                row.put("non_finite", at.nonFinite()).put("values", at.values());
            }
        }
    }

    private static ObjectNode massive(Measured one, MassiveActivation massive) {
        ObjectNode row = named(one, Json.object()).put("dimension", massive.dimension());
        row.put("born_in_block", massive.bornIn());
        massive.diesIn().ifPresent(block -> row.put("dies_in_block", block));
        row.put("value", massive.value()).put("block", massive.block());
        massive.token().ifPresent(token -> row.put("token", token).put("text", one.words.get(token)));
        return row.put("place", massive.place()).put("tokens", massive.tokens());
    }

    // Statistics

    @FunctionalInterface
    private interface Statistic {
        double of(Activations activations);
    }

    private static final Map<String, Statistic> STATISTICS = new LinkedHashMap<>();

    static {
        STATISTICS.put("mean", Activations::mean);
        STATISTICS.put("variance", Activations::variance);
        STATISTICS.put("rms", Activations::rms);
        STATISTICS.put("max_abs", Activations::maxAbs);
        STATISTICS.put("p50", Activations::p50);
        STATISTICS.put("p99", Activations::p99);
        STATISTICS.put("p99.9", Activations::p999);
        STATISTICS.put("kurtosis", Activations::kurtosis);
    }

    private static final Map<String, ToDoubleFunction<StreamBasis.Shape>> SHAPES = new LinkedHashMap<>();

    static {
        SHAPES.put("effective rank", StreamBasis.Shape::effectiveRank);
        SHAPES.put("kurtosis", StreamBasis.Shape::kurtosis);
        SHAPES.put("rotated kurtosis", StreamBasis.Shape::rotatedKurtosis);
        SHAPES.put("largest over rms", StreamBasis.Shape::largest);
        SHAPES.put("rotated largest over rms", StreamBasis.Shape::rotatedLargest);
    }

    // Terminal

    public void print(Console console) {
        for (int c = 0; c < all.size(); c++) {
            if (c > 0) {
                console.out().println();
            }
            print(all.get(c), console);
        }
    }

    private void print(Measured one, Console console) {
        Depth depth = one.depth;
        console.say(console.bold(one.title()) + " (" + one.architecture.family() + ", " + one.strategy() + ") on " + (one.input.noise() ? "noise" : text)
                + ": " + one.input.of(depth.tokens()) + ", computed in " + depth.compute().label()
                + String.format(Locale.ROOT, ", %.1f s", one.seconds));
        console.out().println();
        Table table = Table.ofNumbers(heads(depth).toArray(String[]::new));
        rows(depth).forEach(row -> table.row(row.toArray(String[]::new)));
        table.print(console.out());
        console.say("  The residual stream behind each block; sub-layer outputs as their norm over the stream's; angular distances of a block's output from its input, 0 to 1.");
        console.out().println();
        if (!depth.experts().isEmpty()) {
            Table loads = Table.ofNumbers(LOAD_HEADS.toArray(String[]::new));
            loads(depth).forEach(row -> loads.row(row.toArray(String[]::new)));
            loads.print(console.out());
            console.say("  Shares are parts of the tokens; effective experts are exp(entropy) of the choices, all of them where they are even.");
            console.out().println();
        }
        if (!one.shapes.isEmpty()) {
            Table shapes = Table.ofNumbers(SHAPE_HEADS.toArray(String[]::new));
            shapes(one).forEach(row -> shapes.row(row.toArray(String[]::new)));
            shapes.print(console.out());
            console.say("  What the norms of a block give, of " + one.depth.width() + " values, before gain and bias; rotated by a Hadamard matrix where there is one.");
            console.out().println();
        }
        facts(one).forEach((what, value) -> console.say("  " + what + ": " + value));
        console.out().println();
        for (String sentence : depth.verdict().split("(?<=\\.) (?=[A-Z])")) {
            console.say(console.bold(sentence));
        }
    }

    /** What is said of each block: of what it reads from an encoder where there is one, of the model without it where that was measured. */
    private static List<String> heads(Depth depth) {
        List<String> heads = new ArrayList<>(List.of("block", "variance", "rms", "p50", "p99.9", "largest", "kurtosis", "attention / stream"));
        if (crosses(depth)) {
            heads.add("cross-attention / stream");
        }
        heads.addAll(List.of("MLP / stream", "angular distance", "influence"));
        if (depth.sensitivity().isPresent()) {
            heads.add("without it");
        }
        return heads;
    }

    static boolean crosses(Depth depth) {
        return depth.activations().stream().anyMatch(block -> block.containsKey(Position.CROSS_ATTENTION_OUTPUT));
    }

    private static List<List<String>> rows(Depth depth) {
        List<List<String>> rows = new ArrayList<>();
        for (int l = 0; l < depth.blocks(); l++) {
            Activations stream = requireNonNull(depth.activations().get(l).get(Position.BLOCK_OUTPUT));
            List<String> row = new ArrayList<>(List.of(String.valueOf(l), number(stream.variance()), number(stream.rms()), number(stream.p50()),
                    number(stream.p999()), number(stream.maxAbs()), number(stream.kurtosis()), ratio(depth, l, Position.ATTENTION_OUTPUT)));
            if (crosses(depth)) {
                row.add(ratio(depth, l, Position.CROSS_ATTENTION_OUTPUT));
            }
            row.addAll(List.of(ratio(depth, l, Position.MLP_OUTPUT), number(depth.distance(l, 1)), number(depth.influence(l))));
            int block = l;
            depth.sensitivity().ifPresent(measured -> row.add(String.format(Locale.ROOT, "%+.1f %%", 100 * measured.increase(block))));
            rows.add(row);
        }
        return rows;
    }

    private static final List<String> SHAPE_HEADS = Stream.concat(Stream.of("block"), SHAPES.keySet().stream()).toList();

    private static List<List<String>> shapes(Measured one) {
        return IntStream.range(0, one.shapes.size()).mapToObj(l -> Stream.concat(Stream.of(l == one.depth.blocks() ? "final norm" : String.valueOf(l)),
                SHAPES.values().stream().map(value -> number(value.applyAsDouble(one.shapes.get(l))))).toList()).toList();
    }

    private static final List<String> LOAD_HEADS = List.of("block", "experts", "effective", "most chosen", "share", "least chosen", "share", "unused");

    /** How the experts of each block that has any are chosen. */
    private static List<List<String>> loads(Depth depth) {
        List<List<String>> rows = new ArrayList<>();
        depth.experts().forEach((block, load) -> rows.add(List.of(String.valueOf(block), String.valueOf(load.experts()), number(load.effective()),
                String.valueOf(load.most()), share(load, load.most()), String.valueOf(load.least()), share(load, load.least()), String.valueOf(load.unused()))));
        return rows;
    }

    private static String share(ExpertLoad load, int expert) {
        return String.format(Locale.ROOT, "%.1f %%", 100 * load.share(expert));
    }

    private static String ratio(Depth depth, int l, Position position) {
        return number(requireNonNull(depth.activations().get(l).get(position)).writeRatio().orElse(Double.NaN));
    }

    private static String number(double value) {
        return Double.isFinite(value) ? PlotSvg.label(value) : "-";
    }

    /** What a table of blocks does not say. */
    private static Map<String, String> facts(Measured one) {
        Depth depth = one.depth;
        Map<String, String> facts = new LinkedHashMap<>();
        if (one.input.noise()) {
            facts.put("noise", "normal numbers in the place of " + one.input.whole + "s, so all of this is of noise");
        }
        facts.put("growth of the variance", depth.growth().shape().label()
                + (Double.isFinite(depth.growth().quality()) ? String.format(Locale.ROOT, ", R² %.3f", depth.growth().quality()) : ""));
        facts.put("massive activations", depth.massive().isEmpty() ? "none" : String.join("; ",
                depth.massive().stream().map(massive -> words(one, massive)).toList()));
        facts.put("narrow types", beyond(depth));
        if (depth.withoutDirection() > 0) {
            facts.put("left out of distances", Table.count(depth.withoutDirection(), "token") + " with a zero or a value that is not finite");
        }
        depth.sensitivity().ifPresent(measured -> {
            facts.put("perplexity", String.format(Locale.ROOT, "%.3f on %s", measured.perplexity(), Table.count(measured.tokens(), "token")));
            cheapest(measured, span -> span == 1).ifPresent(best -> facts.put("cheapest block", removed(best, measured)));
            cheapest(measured, span -> span > 1).ifPresent(best -> facts.put("cheapest range", removed(best, measured)));
            measured.accuracies().ifPresent(accuracies -> {
                int worst = IntStream.range(0, depth.blocks()).boxed().min(Comparator.comparingDouble(l -> accuracies.without().get(l).plain())).orElseThrow();
                facts.put("accuracy", String.format(Locale.ROOT, "%.4f of %s; lowest without block %d, %.4f (%+.4f)", accuracies.whole().plain(),
                        Table.count(accuracies.questions(), "question"), worst, accuracies.without().get(worst).plain(),
                        accuracies.without().get(worst).plain() - accuracies.whole().plain()));
            });
        });
        depth.gradients().ifPresent(measured -> {
            Comparator<Integer> byNorm = Comparator.comparingDouble(measured::block);
            int most = IntStream.range(0, depth.blocks()).boxed().max(byNorm).orElseThrow();
            int least = IntStream.range(0, depth.blocks()).boxed().min(byNorm).orElseThrow();
            facts.put("gradient norms", number(measured.block(least)) + " (block " + least + ") to " + number(measured.block(most)) + " (block " + most
                    + "), on " + Table.count(measured.tokens(), "token"));
        });
        return facts;
    }

    private static Optional<Sensitivity.Removal> cheapest(Sensitivity measured, IntPredicate span) {
        return measured.removals().stream().filter(removal -> span.test(removal.span()))
                .min(Comparator.comparingDouble(Sensitivity.Removal::perplexity));
    }

    private static String removed(Sensitivity.Removal removal, Sensitivity measured) {
        String blocks = removal.span() == 1 ? "block " + removal.block() : "blocks " + removal.block() + " to " + (removal.block() + removal.span() - 1);
        return String.format(Locale.ROOT, "%s, without which it is %.3f (%+.1f %%)", blocks, removal.perplexity(),
                100 * (removal.perplexity() / measured.perplexity() - 1));
    }

    private static String words(Measured one, MassiveActivation massive) {
        return "dimension " + massive.dimension() + ", " + number(massive.value()) + " at " + (massive.token().isPresent()
                ? "token " + quoted(requireNonNull(one.words.get(massive.token().getAsLong()))) + " (place " + massive.place() + ")"
                : one.input.part + " " + massive.place()) + ", " + (massive.bornIn() < 0 ? "from the embedding on" : "born in block " + massive.bornIn())
                + (massive.diesIn().isPresent() ? ", gone behind block " + massive.diesIn().getAsInt() : ", there to the end");
    }

    private static String quoted(String text) {
        return "\"" + text.replace("\n", "\\n").replace("\t", "\\t") + "\"";
    }

    private static String beyond(Depth depth) {
        long[] most = new long[4];
        for (Map<Position, Activations> block : depth.activations()) {
            for (Activations at : block.values()) {
                most[0] = Math.max(most[0], at.beyondFp16());
                most[1] = Math.max(most[1], at.beyondE5m2());
                most[2] = Math.max(most[2], at.beyondE4m3());
                most[3] = Math.max(most[3], at.nonFinite());
            }
        }
        String infinite = most[3] > 0 ? "; up to " + Table.count(most[3]) + " values at a position are not finite" : "";
        return most[2] == 0
                ? "FP16 and FP8 (E5M2, E4M3) hold every value" + infinite
                : "up to " + Table.count(most[0]) + " values at a position are beyond FP16, " + Table.count(most[1]) + " beyond FP8 E5M2, "
                        + Table.count(most[2]) + " beyond FP8 E4M3" + infinite;
    }

    // Files

    /** Refuses a folder that holds something else than such a report, or that cannot be written. */
    public static void requireFolder(Path folder) throws IOException {
        ReportFolder.require(folder, "checkpoints", _ -> false);
    }

    /** Writes all files; each of them is complete or not there. */
    public void write(Path folder) throws IOException {
        ReportFolder.write(folder, json(), List.of("blocks", "angular_distance", "influence", "massive_activations", "expert_load",
                "experts", "sensitivity", "gradients", "basis"),
                page(new DepthPlots(all)));
    }

    private Page page(DepthPlots plots) {
        List<Page.Part> parts = new ArrayList<>();
        List<Page.Grid> tables = new ArrayList<>();
        for (Measured one : all) {
            Map<String, String> facts = new LinkedHashMap<>();
            facts.put("family", one.architecture.family());
            facts.put("norms", one.strategy());
            facts.put("blocks", String.valueOf(one.depth.blocks()));
            facts.put("width", Table.count(one.depth.width()));
            facts.put("read", one.input.of(one.depth.tokens()));
            facts.put("computed in", one.depth.compute().label());
            facts.putAll(facts(one));
            parts.add(new Page.Card(one.title(), one.depth.verdict(), facts));
            tables.add(new Page.Grid(one.title() + ", block by block", Optional.of("blocks"), heads(one.depth), rows(one.depth)));
            if (!one.shapes.isEmpty()) {
                tables.add(new Page.Grid(one.title() + ", outputs of the norms", Optional.of("basis"), SHAPE_HEADS, shapes(one)));
            }
            if (!one.depth.experts().isEmpty()) {
                tables.add(new Page.Grid(one.title() + ", experts block by block", Optional.of("expert_load"), LOAD_HEADS, loads(one.depth)));
            }
        }
        parts.addAll(plots.groups());
        parts.addAll(tables);
        String names = String.join(" and ", all.stream().map(Measured::name).distinct().toList());
        return new Page("Depth of " + names, "Measured on " + text + ", " + provenance.date() + ", on " + provenance.processor(), provenance, "depth.md", parts);
    }
}
