package isonorm.train;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.ServiceLoader;

/**
 * The processes that train one model together, numbered by ranks from 0, and what they do together: collectives, which every one of them calls
 * in the same order.
 *
 * <p>The one that is alone does the same with nobody: then sums are what they were. Others come from a {@link Provider} on the class path, and a
 * launcher says in the environment which process is which.
 */
public interface ProcessGroup extends AutoCloseable {

    /** This process among them, from 0. The first leads: it decides, writes and prints. */
    int rank();

    /** How many there are. */
    int size();

    /** How many of them share this machine's processors. */
    int local();

    /** Where a rank is, as the others reach it. */
    String address(int rank);

    /** How long a collective waits for the others. */
    enum Patience {
        /** As long as a step lets others wait, which is what the group was joined with. */
        STEP,
        /** For what is shared out or done by one of them: an evaluation, a checkpoint, a model that is written. */
        LONG
    }

    /** What is added up. */
    enum Element {
        F32,
        F64
    }

    /** A collective that has begun. What it reads and writes is its own until it has ended. */
    interface Pending {

        /**
         * Returns when it has ended.
         *
         * @throws Broken if another rank was lost
         */
        void await();
    }

    /** Begins to add up what every rank has, in place: the same bits on each of them. */
    Pending allReduce(MemorySegment values, Element element);

    /** Begins to bring together what every rank has, in the order of ranks. {@code part} may be this rank's place in {@code all}. */
    Pending allGather(MemorySegment part, MemorySegment all);

    /** Some numbers of every rank, as many of each. */
    double[][] allGather(Patience patience, double... values);

    /** Some bytes of every rank. */
    byte[][] allGather(Patience patience, byte[] bytes);

    @Override
    void close();

    /** The process that has no others. */
    static ProcessGroup alone() {
        return new Alone();
    }

    /**
     * The group that a launcher describes: torchrun, Slurm's srun or what else sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. The process
     * that is alone where there is no launcher, or it started one process.
     *
     * @param step how long a step's collective waits for the others
     * @throws IllegalArgumentException if a variable makes no sense
     * @throws IOException naming who did not come, or what is in the way
     */
    static ProcessGroup join(Map<String, String> environment, Duration step) throws IOException {
        Optional<Launch> launch = Launch.of(environment);
        return launch.isEmpty() || launch.get().size() == 1 ? alone() : provider(launch.get()).join(launch.get(), step);
    }

    private static Provider provider(Launch launch) throws IOException {
        return ServiceLoader.load(Provider.class, ProcessGroup.class.getClassLoader()).findFirst()
                .orElseThrow(() -> new IOException("this is rank " + launch.rank() + " of " + launch.size() + " processes, and io.github.isonorm:isonorm-cluster,"
                        + " by which they speak to each other, is not on the class path; start ./isonorm of a checkout, or add it"));
    }

    /** What speaks to other processes; it is found as a service. */
    interface Provider {

        /** Waits for the others. */
        ProcessGroup join(Launch launch, Duration step) throws IOException;
    }

    /**
     * What a launcher says of this process.
     *
     * @param local how many processes it started on this machine; nothing where it doesn't say
     * @param host where the first rank is
     * @param port where they meet
     * @param rendezvous how
     */
    record Launch(int rank, int size, OptionalInt local, String host, int port, Rendezvous rendezvous) {

        public Launch {
            if (size < 1 || rank < 0 || rank >= size) {
                throw new IllegalArgumentException("a rank must be at least 0 and below the number of processes, got rank " + rank + " of " + size
                        + "; look at RANK and WORLD_SIZE");
            }
            if (port < 1 || port > 65_535) {
                throw new IllegalArgumentException("MASTER_PORT must be a port, 1 to 65535, got " + port);
            }
        }

        /** What an environment says; nothing where no launcher set it. */
        public static Optional<Launch> of(Map<String, String> environment) {
            return Launchers.read(environment);
        }
    }

    /** How processes find each other. */
    sealed interface Rendezvous {

        /** The first rank opens a store. */
        record OfRanks() implements Rendezvous {}

        /**
         * The launcher has opened one, which stays when processes end.
         *
         * @param attempt how often it has started them again: each time they meet anew
         */
        record OfLauncher(String attempt) implements Rendezvous {}
    }

    /** A group cannot go on, for another rank was lost or said nothing for too long. A new one has to be formed by new processes. */
    final class Broken extends RuntimeException {

        private static final long serialVersionUID = 1;

        private final boolean silent;

        /**
         * @param silent whether nothing was heard; else a connection was closed
         */
        public Broken(String message, boolean silent, Throwable cause) {
            super(message, cause);
            this.silent = silent;
        }

        public boolean silent() {
            return silent;
        }
    }
}
