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
    /** {@code norm(h + F(norm(h)))}, two norms (Keel, arXiv 2601.19895). */
    BOTH("both"),
    /**
     * {@code h = norm(h + F(h))} and a second stream {@code y = y + F(h)} with the same F(h). Both begin with the embedding, and the
     * model ends with {@code h + norm(y)} (ResiDual, arXiv 2304.14802).
     */
    DUAL("dual"),
    /** {@code h + F(h)}: there are none. */
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
        return this == PRE || this == PERI || this == BOTH;
    }

    /** Whether a norm stands between the sub-layer and the sum with the stream. */
    public boolean normalizesBranch() {
        return this == PERI || this == OUTPUT;
    }

    /** Whether a norm stands behind the sum. */
    public boolean normalizesSum() {
        return this == POST || this == BOTH || this == DUAL;
    }
}
