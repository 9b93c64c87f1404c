package isonorm.train;

import isonorm.backpropagation.Examples;
import isonorm.family.Isonorm;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** What ranks of a group must have in common, and what becomes of what they fail at. */
final class Agreement {

    /** Keys whose value is a process's own matter. */
    private static final Set<String> FREE = Set.of("out", "threads", "group.timeout");

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
        StringBuilder text = new StringBuilder(Isonorm.VERSION);
        Configuration.of(told).values().forEach((key, value) -> {
            if (!FREE.contains(key)) {
                text.append('\n').append(key).append('=').append(value);
            }
        });
        List<String> all = ranks.texts(text.toString());
        String[] first = all.getFirst().split("\n");
        for (int rank = 1; rank < all.size(); rank++) {
            String[] other = all.get(rank).split("\n");
            String who = RankLog.named(ranks.group(), rank);
            if (!first[0].equals(other[0])) {
                throw new IllegalArgumentException("all ranks must run the same version of Isonorm, got " + first[0] + " as rank 0 and " + other[0] + " as " + who);
            }
            requireEqual(values(first), values(other), "rank 0", who, "; start all ranks with the same command");
        }
        int batch = told.reading().batch();
        if (batch < ranks.group().size()) {
            throw new IllegalArgumentException("batch must have a row for each of the " + ranks.group().size() + " ranks, got " + batch
                    + "; make batch larger or start fewer");
        }
    }

    /**
     * Refuses to go on with a run of another configuration.
     *
     * @throws IllegalArgumentException naming the key that differs
     */
    static void requireSame(TrainingRun told, TrainingRun there) {
        String folder = told.folder().map(Object::toString).orElse("");
        requireEqual(Configuration.of(there).values(), Configuration.of(told).values(), folder, "the command", "; take another out, or the same configuration");
    }

    private static Map<String, String> values(String[] lines) {
        return Arrays.stream(lines).skip(1).collect(Collectors.toMap(line -> line.substring(0, line.indexOf('=')), line -> line.substring(line.indexOf('=') + 1)));
    }

    private static void requireEqual(Map<String, String> one, Map<String, String> other, String ofOne, String ofOther, String remedy) {
        Set<String> keys = new LinkedHashSet<>(one.keySet());
        keys.addAll(other.keySet()); // blocks are named by one of them alone
        for (String key : keys) {
            String first = one.getOrDefault(key, "");
            String second = other.getOrDefault(key, "");
            if (!FREE.contains(key) && !first.equals(second)) {
                throw new IllegalArgumentException("the configuration must be one and the same, got " + key + " " + shown(first) + " of " + ofOne + " and "
                        + shown(second) + " of " + ofOther + remedy);
            }
        }
    }

    private static String shown(String value) {
        return value.isEmpty() ? "as it is" : value;
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
