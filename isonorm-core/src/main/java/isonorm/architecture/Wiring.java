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

    /** The word used in files and on the command line. */
    public String label() {
        return label;
    }
}
