package isonorm.data;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A folder that machines share, whose file system may have no locks. */
class SharedLockTest {

    @TempDir
    Path folder;

    @Test
    void whereThereAreNoLocksNothingIsInTheWay() throws IOException {
        RunLock.ofShared(folder, _ -> {
            throw new IOException("Function not implemented");
        }).close();
        RunLock.ofShared(folder).close();
    }

    @Test
    void whereThereAreLocksOneIsKept() throws IOException {
        assertTrue(assertThrows(IOException.class, () -> RunLock.ofShared(folder, _ -> false).close()).getMessage().startsWith("another isonorm is at work in "));
        try (RunLock _ = RunLock.ofShared(folder)) {
            assertThrows(IOException.class, () -> RunLock.ofShared(folder).close());
        }
    }
}
