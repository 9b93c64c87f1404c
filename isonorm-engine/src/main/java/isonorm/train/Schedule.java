package isonorm.train;

/**
 * The learning rate of each step: a linear warm-up, then one of four courses down to a share of the peak.
 *
 * @param warmup steps of warm-up
 * @param floor the share of the peak that is left at the end
 * @param fromZero whether the first step has the rate of a step 0, which is 0 in a warm-up, as PyTorch's schedules count
 */
public record Schedule(Course course, double peak, long steps, long warmup, double floor, boolean fromZero) {

    /** How the rate goes down behind the warm-up. */
    public enum Course {
        /** Along half a cosine. */
        COSINE,
        /** Not until the last fifth, then on a straight line (warm-up, stable, decay). */
        WSD,
        /** On a straight line. */
        LINEAR,
        /** Not at all. */
        CONSTANT
    }

    private static final double DECAY = 0.2;

    public Schedule {
        if (!(peak > 0) || !(floor >= 0 && floor <= 1) || warmup < 0 || steps < 1) {
            throw new IllegalArgumentException("a schedule needs a rate above zero, a floor of 0 to 1, a warm-up of 0 or more and a step or more, got rate "
                    + peak + ", floor " + floor + ", warm-up " + warmup + ", " + steps + " steps");
        }
    }

    /** The rate of step {@code counted}, from 1. */
    public double rate(long counted) {
        long number = fromZero ? counted - 1 : counted;
        if (number <= warmup && warmup > 0) {
            return peak * number / warmup;
        }
        double done = steps == warmup ? 1 : Math.min(1, (double) (number - warmup) / (steps - warmup));
        double left = switch (course) {
            case COSINE -> (1 + Math.cos(Math.PI * done)) / 2;
            case WSD -> Math.min(1, (1 - done) / DECAY);
            case LINEAR -> 1 - done;
            case CONSTANT -> 1;
        };
        return peak * (floor + (1 - floor) * left);
    }
}
