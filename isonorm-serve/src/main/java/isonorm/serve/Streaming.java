package isonorm.serve;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Several answers that are streamed together. */
final class Streaming {

    private Streaming() {}

    interface Task<T> {
        void of(T one) throws IOException, InterruptedException;
    }

    /** Runs a task for each, at once; the first failure is thrown when all have ended. */
    static <T> void each(List<T> all, Task<T> task) throws IOException, InterruptedException {
        if (all.size() == 1) {
            task.of(all.getFirst());
            return;
        }
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<?>> tasks = new ArrayList<>();
            for (T one : all) {
                tasks.add(threads.submit(() -> {
                    task.of(one);
                    return null;
                }));
            }
            for (Future<?> each : tasks) {
                try {
                    each.get();
                } catch (ExecutionException e) {
                    threads.shutdownNow();
                    switch (requireNonNull(e.getCause())) {
                        case IOException io -> throw io;
                        case RuntimeException runtime -> throw runtime;
                        default -> throw new IllegalStateException(e.getCause());
                    }
                }
            }
        }
    }
}
