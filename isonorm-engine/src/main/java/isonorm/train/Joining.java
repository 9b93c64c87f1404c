package isonorm.train;

import java.io.IOException;
import java.time.Duration;
import java.util.ServiceLoader;

/** Finds what speaks to other processes. */
final class Joining {

    private Joining() {}

    static ProcessGroup join(ProcessGroup.Launch launch, Duration step) throws IOException {
        if (launch.size() == 1) {
            return ProcessGroup.alone();
        }
        return ServiceLoader.load(ProcessGroup.Provider.class, Joining.class.getClassLoader()).findFirst()
                .orElseThrow(() -> new IOException("this is rank " + launch.rank() + " of " + launch.size() + " processes, and io.github.isonorm:isonorm-cluster,"
                        + " by which they speak to each other, is not on the class path; start ./isonorm of a checkout, or add it"))
                .join(launch, step);
    }
}
