package isonorm.architecture;

/** Where the norms of a block stand around a sub-layer F and the residual stream h. */
public enum Placement {
    /** {@code h + F(norm(h))}. */
    PRE("pre"),
    /** {@code norm(h + F(h))}. */
    POST("post"),
    /** {@code h + norm(F(norm(h)))}. */
    PERI("peri"),
    /** {@code h + norm(F(h))}. */
    OUTPUT("output"),
    /** {@code h + F(h)}: there are none, which is what a norm's cost is measured against. */
    NONE("none");

    private final String label;

    Placement(String label) {
        this.label = label;
    }

    /** The word used in files and on the command line. */
    public String label() {
        return label;
    }

    /** Whether a norm stands between the stream and the sub-layer that reads it. */
    public boolean normalizesInput() {
        return this == PRE || this == PERI;
    }

    /** Whether a norm stands between the sub-layer and the sum with the stream. */
    public boolean normalizesOutput() {
        return this == PERI || this == OUTPUT;
    }
}
