package isonorm.train;

/** How weights follow their gradients. Weight decay is for matrices; vectors have none. */
public sealed interface OptimizerRule {

    /** How many moments a weight has. */
    default int moments() {
        return switch (this) {
            case AdamW _, Adam _ -> 2;
            case Sgd _ -> 1;
        };
    }

    /** AdamW (arXiv 1711.05101): decay is apart from the gradient. */
    record AdamW(double beta1, double beta2, double epsilon, double decay) implements OptimizerRule {

        public AdamW {
            Range.BETA1.require(beta1);
            Range.BETA2.require(beta2);
            Range.EPSILON.require(epsilon);
            Range.DECAY.require(decay);
        }
    }

    /** Adam (arXiv 1412.6980), without decay. */
    record Adam(double beta1, double beta2, double epsilon) implements OptimizerRule {

        public Adam {
            Range.BETA1.require(beta1);
            Range.BETA2.require(beta2);
            Range.EPSILON.require(epsilon);
        }
    }

    /** Stochastic gradient descent with momentum; decay is a part of the gradient. */
    record Sgd(double momentum, double decay) implements OptimizerRule {

        public Sgd {
            Range.BETA1.require(momentum);
            Range.DECAY.require(decay);
        }
    }
}
