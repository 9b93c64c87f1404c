package isonorm.train;

/** How weights follow their gradients. Weight decay is for matrices; vectors have none. */
public sealed interface OptimizerRule {

    /** How many moments a weight has. */
    default int moments() {
        return switch (this) {
            case AdamW _, Adam _, Muon _ -> 2; // the second of a matrix is not used by Muon
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

    /**
     * Muon (Jordan et al., 2024) for the matrices of blocks: a step goes along the momentum, made orthogonal by Newton-Schulz; queries, keys and values each
     * are a matrix. Embeddings, the head and vectors follow AdamW.
     *
     * @param momentum of matrices, with Nesterov's look ahead
     * @param adjustment what the rate of a matrix is multiplied with
     * @param decay of matrices, apart from the gradient
     * @param rest for all else
     * @param restRate the rate of all else, as a share of that of matrices
     */
    record Muon(double momentum, Adjustment adjustment, double decay, AdamW rest, double restRate) implements OptimizerRule {

        /** What the rate of a matrix with so many outputs and inputs is multiplied with. */
        public enum Adjustment {
            /** {@code .2 sqrt(max(outputs, inputs))}, so that a step is about as long as AdamW's and one rate serves both (Liu et al., arXiv 2502.16982). */
            MATCH_RMS_ADAMW("match-rms-adamw"),
            /** {@code sqrt(max(1, outputs / inputs))}, as Muon was made. */
            ORIGINAL("original");

            private final String label;

            Adjustment(String label) {
                this.label = label;
            }

            /** The word in a configuration. */
            public String label() {
                return label;
            }

            double of(int outputs, int inputs) {
                return switch (this) {
                    case MATCH_RMS_ADAMW -> 0.2 * Math.sqrt(Math.max(outputs, inputs));
                    case ORIGINAL -> Math.sqrt(Math.max(1, (double) outputs / inputs));
                };
            }
        }

        public Muon {
            Range.MUON_MOMENTUM.require(momentum);
            Range.DECAY.require(decay);
            Range.MUON_REST.require(restRate);
        }
    }
}
