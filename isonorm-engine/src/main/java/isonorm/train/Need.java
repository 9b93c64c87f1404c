package isonorm.train;

import com.sun.management.OperatingSystemMXBean;
import isonorm.architecture.Architecture;
import isonorm.architecture.Mlp;
import java.lang.management.ManagementFactory;
import java.util.Locale;
import java.util.stream.DoubleStream;

/**
 * The least memory that training takes, in bytes: what learns with its gradients and moments, and of each block what its backward pass reads,
 * four vectors of the stream and the MLP's hidden units a token.
 *
 * @param ofParameter what one parameter takes
 */
record Need(long parameters, int ofParameter, double activations) {

    private static final int STREAMS = 4;
    private static final double GIGABYTE = 1 << 30;

    /**
     * @param tokens of a batch
     * @param ranks that share the optimizer's moments
     */
    static Need of(Recipe recipe, boolean recompute, long tokens, int ranks) {
        Architecture architecture = recipe.architecture();
        int gradient = Math.max(Float.BYTES, recipe.type().bytes());
        int used = recipe.compute() == recipe.type() ? 0 : recipe.compute().bytes();
        DoubleStream blocks = architecture.blocks().stream()
                .mapToDouble(block -> (double) STREAMS * architecture.streamWidth() + (block.feedForward() instanceof Mlp mlp ? mlp.hidden() : 0));
        double values = recompute ? blocks.max().orElse(0) : blocks.sum();
        return new Need(architecture.parameterCount(), recipe.type().bytes() + Math.ceilDiv(recipe.type().bytes() * recipe.rule().moments(), ranks) + gradient + used,
                tokens * values * recipe.compute().bytes());
    }

    double bytes() {
        return (double) parameters * ofParameter + activations;
    }

    /** Refuses what this machine has no memory for. */
    void require() {
        require(ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getTotalMemorySize());
    }

    void require(long memory) {
        if (bytes() > memory) {
            throw new IllegalArgumentException(String.format(Locale.ROOT, "training would take %.1f GiB at the least, and there are %.1f: %,d parameters of %d bytes each"
                    + " (weights, gradients, the optimizer's) and %.1f GiB for a batch; make the model or the batch smaller", bytes() / GIGABYTE,
                    memory / GIGABYTE, parameters, ofParameter, activations / GIGABYTE));
        }
    }
}
