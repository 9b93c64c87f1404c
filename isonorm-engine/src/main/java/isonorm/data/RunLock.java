package isonorm.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * Keeps a folder for one writer at a time. The operating system holds the lock, and takes it back when its process ends, however that ends;
 * the empty file it is on stays.
 */
public final class RunLock implements AutoCloseable {

    /** The file in a folder that locks are taken on. */
    public static final String FILE = ".lock";

    /** What this process has: the system's locks are a process's, and a file that is opened and closed once more gives them back. */
    private static final Set<Path> HELD = ConcurrentHashMap.newKeySet();

    private final Path folder;
    private final FileChannel channel;

    private RunLock(Path folder, FileChannel channel) {
        this.folder = folder;
        this.channel = channel;
    }

    /**
     * Takes the lock of a folder, which is made where it is missing.
     *
     * @throws IOException if somebody else has it
     */
    public static RunLock of(Path folder) throws IOException {
        return of(folder, RunLock::lock);
    }

    /** The same where the folder may be on a file system without locks, as some that machines share are: then it is not kept from others. */
    public static RunLock ofShared(Path folder) throws IOException {
        return ofShared(folder, RunLock::lock);
    }

    static RunLock ofShared(Path folder, Locking locking) throws IOException {
        return of(folder, channel -> {
            try {
                return locking.lock(channel);
            } catch (IOException e) {
                return true;
            }
        });
    }

    private static boolean lock(FileChannel channel) throws IOException {
        return channel.tryLock() != null;
    }

    /** Whether a file could be locked. */
    @FunctionalInterface
    interface Locking {
        boolean lock(FileChannel channel) throws IOException;
    }

    private static RunLock of(Path folder, Locking locking) throws IOException {
        Files.createDirectories(folder);
        Path real = folder.toRealPath();
        if (!HELD.add(real)) {
            throw taken(folder);
        }
        FileChannel channel = null;
        boolean locked = false;
        try {
            channel = FileChannel.open(real.resolve(FILE), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            locked = locking.lock(channel);
        } finally {
            if (!locked) {
                release(real, channel);
            }
        }
        if (!locked) {
            throw taken(folder);
        }
        return new RunLock(real, channel);
    }

    private static IOException taken(Path folder) {
        return new IOException("another isonorm is at work in " + folder + "; wait for its end, or take another folder");
    }

    private static void release(Path real, @Nullable FileChannel channel) throws IOException {
        try {
            if (channel != null) {
                channel.close();
            }
        } finally {
            HELD.remove(real);
        }
    }

    @Override
    public void close() {
        try {
            release(folder, channel);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
