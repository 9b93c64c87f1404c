package isonorm.backpropagation;

import isonorm.architecture.LayerNormScaling;
import isonorm.kernel.Rows;
import isonorm.weights.Seed;
import java.util.SplittableRandom;

/**
 * What training has and a checkpoint needs not: LayerNorm Scaling's constants, and what is dropped by chance.
 *
 * @param constants what norms before sub-layers are multiplied with behind their gain, and what branches write
 * @param dropout the probability with which a value that enters the stream is dropped
 * @param attention the probability with which a weight of attention is dropped
 * @param depth the probability with which the last block's branches are left out for a whole sequence, rising from zero at the first
 *     block (stochastic depth)
 */
public record Scales(LayerNormScaling constants, double dropout, double attention, double depth) {

    public static final Scales NONE = new Scales(LayerNormScaling.NONE, 0, 0, 0);

    /** Whether something happens to what the branches of block l write. */
    boolean changesBranches(int l) {
        return dropout > 0 || depth > 0 || constants.branch(l) != 1;
    }

    /** What happens to the branch with a number, in a block at a share of the depth. */
    Dropping dropping(int number, double share) {
        return new Dropping(number, dropout, depth * share);
    }

    /** Drops values, and whole sequences, the same ones whenever it is applied in a step. */
    record Dropping(int number, double values, double sequences) {

        boolean none() {
            return values == 0 && sequences == 0;
        }

        void apply(Rows x, Step step) {
            if (!step.learning()) {
                return;
            }
            Seed seed = step.seed().at(number);
            Step.Sequences all = step.sequences();
            if (values > 0) {
                Seed drawn = seed.at("values");
                step.team().each(all.count(), sequence -> step.gradients().dropout(x.slice(sequence * all.length(), all.length()), values, drawn,
                        (long) all.number(sequence) * all.length()));
            }
            if (sequences > 0) {
                SplittableRandom chances = seed.at("sequences").random();
                int drawn = 0;
                for (int sequence = 0; sequence < all.count(); sequence++) {
                    for (; drawn < all.number(sequence); drawn++) {
                        chances.nextDouble(); // of a sequence that another rank has
                    }
                    Rows some = x.slice(sequence * all.length(), all.length());
                    double draw = chances.nextDouble();
                    drawn++;
                    step.scale(some, draw < sequences ? 0 : 1 / (1 - sequences));
                }
            }
        }
    }
}
