package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import isonorm.data.RunLock;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One writer of a folder at a time, here and in other processes. */
class RunLockTest {

    @TempDir
    Path folder;

    private void assertTaken(Path locked) {
        String message = assertThrows(IOException.class, () -> RunLock.of(locked).close()).getMessage();
        assertEquals("another isonorm is at work in " + locked + "; wait for its end, or take another folder", message);
    }

    @Test
    void aFolderIsLockedUntilItsLockIsClosed() throws IOException {
        Path run = folder.resolve("new/run");
        try (RunLock _ = RunLock.of(run); RunLock _ = RunLock.of(folder.resolve("other"))) {
            assertTaken(run);
            assertTaken(folder.resolve("new/../new/run"));
        }
        RunLock.of(run).close();
    }

    @Test
    void aProcessKeepsOthersOutAndWhenItIsKilledItDoesNot() throws IOException, InterruptedException {
        Process process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:-UsePerfData",
                "-cp", System.getProperty("java.class.path"), RunLockTest.class.getName(), folder.toString()).start();
        try {
            assertEquals('+', process.getInputStream().read());
            assertTaken(folder);
        } finally {
            process.destroyForcibly().waitFor();
        }
        RunLock.of(folder).close();
    }

    /** Takes a lock, says so, and waits to be killed. */
    @SuppressWarnings("resource")
    public static void main(String[] arguments) throws IOException {
        RunLock.of(Path.of(arguments[0]));
        System.out.print('+');
        System.out.flush();
        System.in.read();
    }

    @Test
    void aRunIsNotResumedWhileItIsTrained() throws IOException {
        Map<String, String> values = TrainerTest.small(folder.resolve("run"));
        Path run = folder.resolve("run");
        try (Trainer _ = Trainer.begin(Configuration.of(values).run(), Trainer.NOBODY)) {
            String message = assertThrows(IOException.class, () -> Trainer.resume(run, Trainer.NOBODY).close()).getMessage();
            assertEquals("another isonorm is at work in " + run + "; wait for its end, or take another folder", message);
        }
        Trainer.resume(run, Trainer.NOBODY).close();
        Files.delete(run.resolve("config.yaml"));
        Trainer.begin(Configuration.of(values).run(), Trainer.NOBODY).close(); // of what was killed at its very begin only the lock is left
        assertFalse(RunFiles.isFresh(run));
    }
}
