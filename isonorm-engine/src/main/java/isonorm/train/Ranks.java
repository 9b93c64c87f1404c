package isonorm.train;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

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
     * Does what each rank does for itself. What an action makes is its caller's once all have succeeded, and is closed where one has not.
     *
     * @throws IOException on all ranks, naming the one where it failed, if it did on one of them
     */
    <T> T together(Action<T> action) throws IOException {
        if (alone()) {
            return action.run();
        }
        T result = null;
        Exception thrown = null;
        try {
            result = action.run();
        } catch (ProcessGroup.Broken e) {
            throw e;
        } catch (IOException | RuntimeException e) {
            thrown = e;
        }
        boolean all = false;
        try {
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
            all = true;
            return requireNonNull(result);
        } finally {
            if (!all) {
                close(result);
            }
        }
    }

    /** Nobody gets what was made where another rank failed. */
    private static void close(@Nullable Object made) {
        if (made instanceof AutoCloseable open) {
            try {
                open.close();
            } catch (Exception e) {
                return; // what went wrong before is thrown
            }
        } else if (made instanceof Optional<?> some && some.isPresent()) {
            close(some.get());
        }
    }

    /** What has no result. */
    @FunctionalInterface
    interface Task {
        void run() throws IOException;
    }

    /** {@link #together} of what has no result. */
    void all(Task task) throws IOException {
        together(() -> {
            task.run();
            return Boolean.TRUE;
        });
    }

    /** What only the leading rank does, while the others wait. */
    void leading(Task task) throws IOException {
        all(() -> {
            if (leads()) {
                task.run();
            }
        });
    }

    /**
     * Refuses a batch that has no row for some of them.
     *
     * @throws IllegalArgumentException naming both
     */
    void requireRows(int batch) {
        if (batch < group.size()) {
            throw new IllegalArgumentException("batch must have a row for each of the " + group.size() + " ranks, got " + batch + "; make batch larger or start fewer");
        }
    }
}
