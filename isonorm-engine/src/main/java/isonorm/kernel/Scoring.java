package isonorm.kernel;

/**
 * How a product of query and key becomes a score: {@code s = scale * product}, then {@code s = softcap * tanh(s / softcap)}.
 *
 * @param softcap zero for none
 * @param sink a score that is summed up with those of the keys, and that no key has; minus infinity for none
 */
public record Scoring(double scale, double softcap, double sink) {

    public Scoring {
        if (!(softcap >= 0)) { // also refuses NaN
            throw new IllegalArgumentException("the softcap must be positive, or zero for none, got " + softcap);
        }
    }

    /** Without a softcap. */
    public static Scoring of(double scale) {
        return new Scoring(scale, 0, Double.NEGATIVE_INFINITY);
    }

    public Scoring withSoftcap(double other) {
        return new Scoring(scale, other, sink);
    }

    public Scoring withSink(double other) {
        return new Scoring(scale, softcap, other);
    }
}
