package isonorm.cluster;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/** What native code prints goes nowhere for a while, and where it went before afterwards. */
@EnabledOnOs(OS.LINUX) // which shows where streams go
class NativeOutputTest {

    private static final List<String> NOWHERE = List.of("/dev/null", "/dev/null");

    private static List<String> streams() {
        try {
            return List.of(Files.readSymbolicLink(Path.of("/proc/self/fd/1")).toString(), Files.readSymbolicLink(Path.of("/proc/self/fd/2")).toString());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void ofTwoThreadsTheLastOneGivesTheStreamsBack() throws Exception {
        List<String> before = streams();
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch ended = new CountDownLatch(1);
        try (ExecutorService threads = Executors.newSingleThreadExecutor()) {
            Future<List<String>> other = threads.submit(() -> NativeOutput.silently(() -> {
                begun.countDown();
                await(ended);
                return streams();
            }));
            await(begun);
            List<String> meanwhile = NativeOutput.silently(() -> { // begins and ends behind the other one
                ended.countDown();
                join(other);
                return streams();
            });
            assertEquals(NOWHERE, other.get());
            assertEquals(NOWHERE, meanwhile);
        }
        assertEquals(before, streams());
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void join(Future<?> other) {
        try {
            other.get();
        } catch (InterruptedException | ExecutionException e) {
            throw new IllegalStateException(e);
        }
    }
}
