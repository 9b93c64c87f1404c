package isonorm.train;

import isonorm.architecture.NormKind;
import isonorm.architecture.Placement;
import isonorm.train.BlockStrategy.Initialization;
import isonorm.train.BlockStrategy.Inner;
import isonorm.train.BlockStrategy.Scaling;
import isonorm.words.BlockNumbers;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;

/** The keys of a strategy, read and written. */
final class StrategyText {

    /** What a block can have of its own, by key: how it reads, and how it is written. */
    private record Part(String name, Function<BlockStrategy, String> text) {}

    private static final List<Part> PARTS = List.of(
            new Part("kind", block -> block.kind().map(NormKind::label).orElse("")),
            new Part("placement", block -> block.attention().label() + (block.attention() == block.mlp() ? "" : "/" + block.mlp().label())),
            new Part("scaling", block -> several(block.scalings(), Scaling::label)),
            new Part("inner", block -> several(block.inner(), Inner::label)),
            new Part("initialization", block -> block.initialization().label()));

    private StrategyText() {}

    // Reading

    /** The strategy that a configuration of a new model asks for. */
    static Strategy read(Configuration configuration) {
        Strategy strategy = Strategy.named(configuration.text("strategy")).everywhere(block -> changed(block, "strategy", configuration));
        for (Map.Entry<String, SortedSet<Integer>> some : configuration.blocks().entrySet()) {
            String key = some.getKey();
            if (configuration.has(key)) {
                strategy = strategy.in(some.getValue(), Strategy.named(configuration.text(key)));
            }
            changed(strategy.block(), key, configuration); // what makes no sense is refused now
            strategy = strategy.in(some.getValue(), block -> changed(block, key, configuration));
        }
        if (configuration.has("strategy.embedding-norm")) {
            strategy = strategy.withEmbeddingNorm(configuration.truth("strategy.embedding-norm"));
        }
        return strategy.withRunning(running(configuration, strategy.running()));
    }

    static Strategy.Running running(Configuration configuration, Strategy.Running standard) {
        return configuration.has("strategy.running")
                ? configuration.word("strategy.running", Strategy.Running.values(), Strategy.Running::label) : standard;
    }

    /** What single values below a key make of a block. */
    private static BlockStrategy changed(BlockStrategy block, String key, Configuration configuration) {
        BlockStrategy changed = block;
        if (configuration.has(key + ".kind")) {
            changed = changed.withKind(configuration.word(key + ".kind", NormKind.values(), NormKind::label));
        }
        if (configuration.has(key + ".placement")) {
            List<Placement> both = configuration.oneOrTwo(key + ".placement", Placement.values(), Placement::label);
            changed = changed.withPlacements(both.getFirst(), both.getLast());
        }
        if (configuration.has(key + ".scaling")) {
            changed = changed.withScalings(configuration.words(key + ".scaling", Scaling.values(), Scaling::label));
        }
        if (configuration.has(key + ".inner")) {
            changed = changed.withInner(configuration.words(key + ".inner", Inner.values(), Inner::label));
        }
        if (configuration.has(key + ".initialization")) {
            changed = changed.withInitialization(configuration.word(key + ".initialization", Initialization.values(), Initialization::label));
        }
        return changed;
    }

    // Writing

    /** The keys that say a strategy of a model of L blocks, but for those that have their defaults. */
    static Map<String, String> write(Strategy strategy, int L) {
        Strategy base = base(strategy);
        Map<String, String> values = new LinkedHashMap<>();
        values.put("strategy", base.name());
        values.putAll(differences("strategy", base.block(), strategy.block()));
        Strategy common = base.everywhere(block -> PARTS.stream().filter(part -> values.containsKey("strategy." + part.name))
                .reduce(block, (each, part) -> with(each, part.name, strategy.block()), (_, last) -> last));
        if (strategy.embeddingNorm() != base.embeddingNorm()) {
            values.put("strategy.embedding-norm", Boolean.toString(strategy.embeddingNorm()));
        }
        if (strategy.running() != base.running()) {
            values.put("strategy.running", strategy.running().label());
        }
        Map<Map<String, String>, SortedSet<Integer>> alike = new LinkedHashMap<>();
        for (int l = 0; l < L; l++) {
            Map<String, String> own = block(common.blocks(L).get(l), strategy.blocks(L).get(l));
            if (!own.isEmpty()) {
                alike.computeIfAbsent(own, _ -> new TreeSet<>()).add(l);
            }
        }
        alike.forEach((own, blocks) -> own.forEach((key, value) -> values.put("strategy.blocks." + BlockNumbers.text(blocks) + key, value)));
        return values;
    }

    /** The named strategy that another one is told as a change of. */
    private static Strategy base(Strategy strategy) {
        if (Strategy.names().contains(strategy.name())) {
            Strategy named = Strategy.named(strategy.name());
            if (named.block().kind().isEmpty() || strategy.block().kind().isPresent()) {
                return named;
            }
        }
        return Strategy.named(strategy.block().kind().isPresent() ? "pre-ln" : "lns"); // no key takes a kind away
    }

    /** What one block has in place of another, by what is put behind the key of its number. */
    private static Map<String, String> block(BlockStrategy base, BlockStrategy block) {
        Map<String, String> own = new LinkedHashMap<>();
        BlockStrategy from = base;
        if (base.kind().isPresent() && block.kind().isEmpty()) {
            from = Strategy.named("lns").block();
            own.put("", "lns");
        }
        own.putAll(differences("", from, block));
        return own;
    }

    private static Map<String, String> differences(String key, BlockStrategy base, BlockStrategy block) {
        return PARTS.stream().filter(part -> !part.text.apply(base).equals(part.text.apply(block)))
                .collect(Collectors.toMap(part -> key + "." + part.name, part -> part.text.apply(block), (a, _) -> a, LinkedHashMap::new));
    }

    private static BlockStrategy with(BlockStrategy block, String part, BlockStrategy other) {
        return switch (part) {
            case "kind" -> other.kind().map(block::withKind).orElse(block);
            case "placement" -> block.withPlacements(other.attention(), other.mlp());
            case "scaling" -> block.withScalings(other.scalings());
            case "inner" -> block.withInner(other.inner());
            default -> block.withInitialization(other.initialization());
        };
    }

    private static <T> String several(Set<T> all, Function<T, String> label) {
        return all.isEmpty() ? "none" : all.stream().map(label).collect(Collectors.joining("+"));
    }
}
