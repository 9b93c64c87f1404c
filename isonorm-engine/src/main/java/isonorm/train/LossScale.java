package isonorm.train;

/**
 * What the loss is multiplied with before the backward pass, so that small gradients do not vanish in float16, whose smallest number is 6e-8
 * (Micikevicius et al., arXiv 1710.03740). A gradient that overflows halves it and is not learned from; after many that do not it is doubled.
 *
 * @param factor a power of two, if it begins as one: then nothing is rounded by it
 * @param good how many gradients did not overflow since it changed
 */
record LossScale(double factor, long good) {

    LossScale {
        if (good < 0) {
            throw new IllegalArgumentException("nothing can be counted below 0, got " + good);
        }
    }

    /** Where nothing overflows: the loss as it is. */
    static final LossScale NONE = new LossScale(1, 0);

    /** Below this a gradient that overflows does so by itself, and makes no sense. */
    private static final double LEAST = 0x1p-14;

    /** The scale of the next step. */
    LossScale after(boolean overflow, long every) {
        if (overflow) {
            return new LossScale(factor / 2, 0);
        }
        return good + 1 < every ? new LossScale(factor, good + 1) : new LossScale(2 * factor, 0);
    }

    /** Whether it has been halved until there was no more sense in it. */
    boolean vanished() {
        return factor < LEAST;
    }
}
