package isonorm.cluster;

import isonorm.train.ProcessGroup;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.List;
import java.util.function.Supplier;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.pytorch.ProcessGroupGloo;
import org.jspecify.annotations.Nullable;

/** Joins groups of processes that speak by gloo. */
public final class GlooProvider implements ProcessGroup.Provider {

    /**
     * JavaCPP refuses to allocate where the whole process has more than four times what the Java heap may grow to, and counts what is trained, which lies
     * outside of it.
     */
    private static final List<String> LIMITS = List.of("org.bytedeco.javacpp.maxbytes", "org.bytedeco.javacpp.maxphysicalbytes");

    static {
        LIMITS.forEach(limit -> System.getProperties().putIfAbsent(limit, "0"));
    }

    @Override
    public ProcessGroup join(ProcessGroup.Launch launch, Duration step) throws IOException {
        unpack();
        return Joining.of(launch, step).join();
    }

    /** Whether the native code for this platform is on the class path. */
    static boolean isHere() {
        return Loader.class.getClassLoader().getResource("org/bytedeco/pytorch/" + Loader.getPlatform() + "/") != null
                || Loader.class.getClassLoader().getResource("org/bytedeco/pytorch/" + Loader.getPlatform() + "/" + System.mapLibraryName("jnitorch")) != null;
    }

    /**
     * Unpacks the native code, the processes of a machine one after the other: one that loads a file while another writes it crashes. Who cannot lock
     * a file goes on without.
     */
    private static void unpack() throws IOException {
        if (!isHere()) {
            throw new IOException("the processes of a group speak by libtorch, and org.bytedeco:pytorch for " + Loader.getPlatform()
                    + " is not on the class path; add it where there is one, or train in one process");
        }
        load(() -> Loader.load(ProcessGroupGloo.class));
    }

    static synchronized void load(Supplier<?> loading) throws IOException {
        Path file = Loader.getCacheDir().toPath().resolve(".isonorm-cluster.lock");
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE); @Nullable FileLock _ = lock(channel)) {
            NativeOutput.silently(loading);
        } catch (UnsatisfiedLinkError e) {
            throw new IOException("libtorch, by which the processes of a group speak, could not be loaded from " + Loader.getCacheDir() + ": "
                    + String.valueOf(e.getMessage()).lines().findFirst().orElse("") + "; delete that folder, so that it is unpacked anew, or train in one process", e);
        }
    }

    private static @Nullable FileLock lock(FileChannel channel) {
        try {
            return channel.lock();
        } catch (IOException e) {
            return null; // a file system without locks
        }
    }
}
