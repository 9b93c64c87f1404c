package isonorm.train;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** What the ranks of a group decide together, so that all of them go on or none does. */
record Ranks(ProcessGroup group) {

    /** What may fail. */
    @FunctionalInterface
    interface Action<T> {
        T run() throws IOException;
    }

    boolean leads() {
        return group.rank() == 0;
    }

    boolean alone() {
        return group.size() == 1;
    }

    /** Whether it is so on any rank. */
    boolean any(boolean here) {
        return alone() ? here : Arrays.stream(group.allGather(ProcessGroup.Patience.STEP, here ? 1 : 0)).anyMatch(each -> each[0] != 0);
    }

    /** Waits for the others, however long they work. */
    void meet() {
        group.allGather(ProcessGroup.Patience.LONG);
    }

    /** What each rank says, in their order. */
    List<String> texts(String here) {
        return Arrays.stream(group.allGather(ProcessGroup.Patience.LONG, here.getBytes(StandardCharsets.UTF_8)))
                .map(bytes -> new String(bytes, StandardCharsets.UTF_8)).toList();
    }

    /** What the leading rank says. */
    String ofFirst(String here) {
        return texts(leads() ? here : "").getFirst();
    }

    /**
     * Does what each rank does for itself.
     *
     * @throws IOException on all ranks, naming the one where it failed, if it did on one of them
     */
    <T> T together(Action<T> action) throws IOException {
        if (alone()) {
            return action.run();
        }
        Optional<T> result = Optional.empty();
        Exception thrown = null;
        try {
            result = Optional.of(action.run());
        } catch (ProcessGroup.Broken e) {
            throw e;
        } catch (IOException | RuntimeException e) {
            thrown = e;
        }
        List<String> reasons = texts(thrown == null ? "" : "x" + RankLog.reason(thrown));
        switch (thrown) {
            case null -> {}
            case IOException e -> throw e;
            case RuntimeException e -> throw e;
            default -> throw new IllegalStateException(thrown);
        }
        for (int rank = 0; rank < reasons.size(); rank++) {
            if (!reasons.get(rank).isEmpty()) {
                throw new IOException(RankLog.named(group, rank) + " failed: " + reasons.get(rank).substring(1));
            }
        }
        return result.orElseThrow();
    }

    /** What has no result. */
    @FunctionalInterface
    interface Task {
        void run() throws IOException;
    }

    /** What only the leading rank does, while the others wait. */
    void leading(Task task) throws IOException {
        together(() -> {
            if (leads()) {
                task.run();
            }
            return Boolean.TRUE;
        });
    }
}
