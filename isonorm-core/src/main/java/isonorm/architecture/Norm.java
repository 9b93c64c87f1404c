package isonorm.architecture;

/**
 * A norm: its kind, its epsilon (inside the root), what it applies afterwards, and what was moved out of it. A
 * {@link NormKind#DYNAMIC_TANH} has no root and ignores the epsilon.
 *
 * @param folded the affine part that a conversion moved into the readers of this norm and that is kept in the file for the
 *     way back; it takes no part in a forward pass
 */
public record Norm(NormKind kind, double epsilon, Affine affine, Affine folded) {

    public Norm {
        if (!(epsilon >= 0)) { // also refuses NaN
            throw new IllegalArgumentException("a norm's epsilon must be zero or more, got " + epsilon);
        }
    }

    /** A norm out of which nothing was folded. */
    public static Norm of(NormKind kind, double epsilon, Affine affine) {
        return new Norm(kind, epsilon, affine, Affine.NONE);
    }

    /** The same norm of another kind. */
    public Norm withKind(NormKind other) {
        return new Norm(other, epsilon, affine, folded);
    }

    /** The same norm with another epsilon. */
    public Norm withEpsilon(double other) {
        return new Norm(kind, other, affine, folded);
    }

    /** The same norm applying {@code other}. */
    public Norm withAffine(Affine other) {
        return new Norm(kind, epsilon, other, folded);
    }

    /** The same norm with {@code other} kept for the way back. */
    public Norm withFolded(Affine other) {
        return new Norm(kind, epsilon, affine, other);
    }
}
