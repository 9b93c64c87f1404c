package isonorm.depth;

import java.util.List;
import java.util.Map;

/**
 * Norms of the gradient of a text's mean loss with respect to a model's parameters.
 *
 * @param tokens how many were predicted
 * @param blocks block after block, the norm over the weight, bias and gain of each of its parts, by the name that it has in Isonorm's own files
 */
public record GradientNorms(long tokens, List<Map<String, Double>> blocks) {

    /** The norm over all parameters of a block. */
    public double block(int block) {
        return Math.sqrt(blocks.get(block).values().stream().mapToDouble(norm -> norm * norm).sum());
    }
}
