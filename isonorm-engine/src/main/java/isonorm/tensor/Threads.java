package isonorm.tensor;

import isonorm.weights.Slabs;
import java.io.IOException;
import org.bytedeco.pytorch.global.torch;

/**
 * Who computes. Only Java's common pool runs in parallel, on parts of a batch and on slices of large products; libtorch and
 * OpenBLAS are kept at one thread each.
 *
 * <p>Left alone, libtorch's OpenMP workers spin while they wait and starve OpenBLAS's own threads: the attention of a small
 * model then takes thirty times as long. These settings hold for the whole process.
 */
public final class Threads {

    private static final int ALL = Runtime.getRuntime().availableProcessors();

    /** How many threads the task on this thread can use. */
    private static final ThreadLocal<Integer> SHARE = ThreadLocal.withInitial(() -> {
        torch.set_num_threads(1); // a setting of each thread
        return ALL;
    });

    static {
        torch.set_num_threads(1);
        OpenBlas.open(); // libtorch's own products are its too
    }

    private Threads() {}

    /** How many tasks at once keep this thread's share of the processors busy. */
    public static int share() {
        return SHARE.get();
    }

    /** Runs tasks 0 to {@code count - 1} on several threads, each task on its part of this thread's share. */
    public static void parallel(int count, Slabs.Task task) throws IOException {
        int each = Math.max(1, share() / Math.max(1, count));
        Slabs.parallel(count, index -> {
            int before = SHARE.get();
            SHARE.set(each);
            try {
                task.run(index);
            } finally {
                SHARE.set(before);
            }
        });
    }
}
