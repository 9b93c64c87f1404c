package isonorm.architecture;

/** How attention and MLP of a block are joined to the stream. */
public enum Wiring {
    /** The MLP reads the stream that attention has written to. */
    SEQUENTIAL("sequential"),
    /** Both read the same stream, each through a norm of its own. */
    PARALLEL("parallel"),
    /** Both read the same stream through one norm. */
    PARALLEL_ONE_NORM("parallel-one-norm");

    private final String label;

    Wiring(String label) {
        this.label = label;
    }

    /** Whether attention and MLP read the same stream. */
    public boolean parallel() {
        return switch (this) {
            case SEQUENTIAL -> false;
            case PARALLEL, PARALLEL_ONE_NORM -> true;
        };
    }

    /** Whether attention and MLP read the stream through one norm. */
    public boolean sharesNorm() {
        return switch (this) {
            case SEQUENTIAL, PARALLEL -> false;
            case PARALLEL_ONE_NORM -> true;
        };
    }

    /** The word used in files and on the command line. */
    public String label() {
        return label;
    }
}
