package isonorm.train;

import isonorm.architecture.Role;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * What an optimizer does otherwise to single parameters than its rule says.
 *
 * @param frozen those that stay what they are; their gradients count for nothing
 * @param factors what the rule's numbers are multiplied with
 */
record Treatment(Predicate<Role> frozen, Function<Role, Factors> factors) {

    /** All parameters alike. */
    static final Treatment ALIKE = new Treatment(_ -> false, _ -> Factors.ONE);

    /** Factors of the learning rate, of the weight decay and of Adam's epsilon. */
    record Factors(double rate, double decay, double epsilon) {
        static final Factors ONE = new Factors(1, 1, 1);
    }
}
