package isonorm.architecture;

import java.util.Optional;

/**
 * Where the norms of a block stand around a sub-layer F and the residual stream h.
 *
 * <p>A sub-layer has two norms at the most, each with a name in files: its norm ({@code attention_norm}, {@code mlp_norm}) and its output norm
 * ({@code attention_output_norm}, {@code mlp_output_norm}). A placement says where each of them stands. Whatever walks through a block asks it,
 * so the walk is the same for all:
 *
 * <pre>
 * f = F(h), behind a norm of h at {@link Place#INPUT}
 * f = N(f) for a norm at {@link Place#BRANCH}
 * h = h + f, and N(h) of it for a norm at {@link Place#SUM}
 * y = y + f where there is a second stream
 * </pre>
 */
public enum Placement {
    /** {@code h + F(norm(h))}. */
    PRE("pre", Place.INPUT, Place.NOWHERE),
    /** {@code norm(h + F(h))}. */
    POST("post", Place.SUM, Place.NOWHERE),
    /** {@code h + norm(F(norm(h)))}. */
    PERI("peri", Place.INPUT, Place.BRANCH),
    /** {@code h + norm(F(h))}. */
    OUTPUT("output", Place.NOWHERE, Place.BRANCH),
    /** {@code norm(h + F(norm(h)))}, two norms (Keel, arXiv 2601.19895). */
    BOTH("both", Place.INPUT, Place.SUM),
    /**
     * {@code h = norm(h + F(h))} and a second stream {@code y = y + F(h)} with the same F(h). Both begin with the embedding, and the
     * model ends with {@code h + norm(y)} (ResiDual, arXiv 2304.14802).
     */
    DUAL("dual", Place.SUM, Place.NOWHERE),
    /** {@code h + F(h)}: there are none. */
    NONE("none", Place.NOWHERE, Place.NOWHERE);

    /** A place where a norm can stand. */
    public enum Place {
        /** Between the stream and the sub-layer that reads it. */
        INPUT,
        /** Between the sub-layer and the sum with the stream. */
        BRANCH,
        /** Behind the sum. */
        SUM,
        /** None: there is no such norm. */
        NOWHERE
    }

    private final String label;
    private final Place norm;
    private final Place outputNorm;

    Placement(String label, Place norm, Place outputNorm) {
        this.label = label;
        this.norm = norm;
        this.outputNorm = outputNorm;
    }

    /** The word used in files and on the command line. */
    public String label() {
        return label;
    }

    /** Where the sub-layer's norm stands. */
    public Place norm() {
        return norm;
    }

    /** Where the sub-layer's output norm stands. */
    public Place outputNorm() {
        return outputNorm;
    }

    /** That of a sub-layer's two norms, or of what there is for each of them, that stands at a place. */
    public <T> Optional<T> at(Place place, Optional<T> ofNorm, Optional<T> ofOutputNorm) {
        return place == norm ? ofNorm : place == outputNorm ? ofOutputNorm : Optional.empty();
    }

    /** Where the norm stands that a sub-layer is known by: its norm, or its output norm where it has no other. */
    public Place first() {
        return norm != Place.NOWHERE ? norm : outputNorm;
    }

    /** Whether there is a norm. */
    public boolean normalizes() {
        return first() != Place.NOWHERE;
    }

    /** Whether a norm stands between the stream and the sub-layer that reads it. */
    public boolean normalizesInput() {
        return stands(Place.INPUT);
    }

    /** Whether a norm stands between the sub-layer and the sum with the stream. */
    public boolean normalizesBranch() {
        return stands(Place.BRANCH);
    }

    /** Whether a norm stands behind the sum. */
    public boolean normalizesSum() {
        return stands(Place.SUM);
    }

    /** Whether what the sub-layer writes is also added to a second stream, which nothing normalizes. */
    public boolean writesSecondStream() {
        return this == DUAL;
    }

    private boolean stands(Place place) {
        return norm == place || outputNorm == place;
    }
}
