package isonorm.train;

import isonorm.backpropagation.Examples;
import isonorm.family.Isonorm;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** What ranks of a group must have in common, and what becomes of what they fail at. */
final class Agreement {

    private Agreement() {}

    /**
     * Refuses ranks of different versions or configurations, and a batch that has no row for some of them.
     *
     * @throws IllegalArgumentException naming the first rank that differs, and in what
     */
    static void requireSame(TrainingRun told, Ranks ranks) throws IOException {
        if (ranks.alone()) {
            return;
        }
        List<String> versions = ranks.texts(Isonorm.VERSION);
        List<String> texts = ranks.texts(text(Configuration.of(told)));
        for (int rank = 1; rank < texts.size(); rank++) {
            String who = RankLog.named(ranks.group(), rank);
            if (!versions.get(rank).equals(versions.getFirst())) {
                throw new IllegalArgumentException("all ranks must run the same version of Isonorm, got " + versions.getFirst() + " as rank 0 and " + versions.get(rank)
                        + " as " + who);
            }
            requireEqual(configuration(texts.getFirst()), configuration(texts.get(rank)), "rank 0", who, "; start all ranks with the same command");
        }
        ranks.requireRows(told.reading().batch());
    }

    /**
     * Refuses to go on with a run of another configuration.
     *
     * @throws IllegalArgumentException naming the key that differs
     */
    static void requireSame(TrainingRun told, TrainingRun there) {
        String folder = told.folder().map(Object::toString).orElse("");
        requireEqual(Configuration.of(there), Configuration.of(told), folder, "the command", "; take another out, or the same configuration");
    }

    private static String text(Configuration configuration) {
        return configuration.values().entrySet().stream().map(each -> each.getKey() + "=" + each.getValue()).collect(Collectors.joining("\n"));
    }

    private static Configuration configuration(String text) {
        return Configuration.of(text.lines().collect(Collectors.toMap(line -> line.substring(0, line.indexOf('=')), line -> line.substring(line.indexOf('=') + 1))));
    }

    private static void requireEqual(Configuration one, Configuration other, String ofOne, String ofOther, String remedy) {
        Optional<String> key = one.difference(other);
        if (key.isPresent()) {
            throw new IllegalArgumentException("the configuration must be one and the same, got " + key.get() + " " + one.shown(key.get()) + " of " + ofOne + " and "
                    + other.shown(key.get()) + " of " + ofOther + remedy);
        }
    }

    /** Refuses ranks that would learn from different data, as far as its sizes and first examples tell. */
    static void requireSameData(TrainingData data, Ranks ranks) throws IOException {
        if (ranks.alone()) {
            return;
        }
        Examples examples = data.batch(0, 1);
        String content = switch (examples) {
            case Examples.Tokens tokens -> Arrays.deepToString(tokens.ids()) + Arrays.deepToString(tokens.following());
            case Examples.Images images -> Arrays.toString(images.labels()) + Arrays.hashCode(images.pixels().pixels());
        };
        List<String> all = ranks.texts(Fingerprint.sha256(data.vocabulary() + " " + data.context() + " " + data.heldOut() + " " + content));
        for (int rank = 1; rank < all.size(); rank++) {
            if (!all.get(rank).equals(all.getFirst())) {
                throw new IllegalArgumentException("all ranks must read the same data, got other examples on " + RankLog.named(ranks.group(), rank)
                        + " than on rank 0; look at what data names there");
            }
        }
    }

    /**
     * Does what a rank does, writes into its log why it failed, and says of a group that broke what the others left.
     *
     * @param seconds how long others are waited for
     */
    static <T> T logged(Optional<RankLog> log, Ranks ranks, long seconds, Ranks.Action<T> action) throws IOException {
        try {
            return action.run();
        } catch (ProcessGroup.Broken e) {
            throw new IOException(log.isEmpty() ? e.getMessage() : log.get().explain(ranks.group(), e, seconds), e);
        } catch (IOException | RuntimeException | Error e) {
            log.ifPresent(each -> each.failed(e));
            throw e;
        }
    }
}
