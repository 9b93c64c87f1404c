package isonorm.layer;

import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;

/** Which experts the tokens of a batch chose and with which weights, block by block. */
public final class Routes {

    private record At(int block, int token) {}

    private final Map<At, Choice> chosen = new ConcurrentHashMap<>();

    private Routes() {}

    /** Those of a run. */
    public static Routes of(Runner runner, Batch batch) throws IOException {
        Routes routes = new Routes();
        runner.observe(batch, new Observer() {
            @Override
            public void chosen(int block, int token, Choice choice) {
                routes.chosen.put(new At(block, token), choice);
            }
        });
        return routes;
    }

    /** Those of float64, of a model that has experts. */
    public static Optional<Routes> reference(Model model, Batch batch) throws IOException {
        if (!Fixture.routes(model)) {
            return Optional.empty();
        }
        try (ForwardPass pass = ForwardPass.streaming(model, Compute.F64)) {
            return Optional.of(of(pass, batch));
        }
    }

    /** The largest difference of a run's output from a reference's, of 16 bits where both chose the same experts. */
    public static double worst(Optional<Routes> reference, Runner run, Compute compute, double[] expected, double[] values, Batch batch) throws IOException {
        return reference.isPresent() && compute.bytes() == 2
                ? Fixture.worstOfSameExperts(expected, values, (Batch.Tokens) batch, reference.get().differing(of(run, batch), Tolerance.original(compute) / 2))
                : Fixture.worst(expected, values, batch);
    }

    private static boolean alike(Choice one, Choice other, double weights) {
        return Arrays.equals(one.experts(), other.experts())
                && IntStream.range(0, one.weights().length).allMatch(i -> Math.abs(one.weights()[i] - other.weights()[i]) <= weights);
    }

    /**
     * The tokens that chose otherwise in some block, all rows of the batch counted one after the other.
     *
     * @param weights what weights may differ by, which roundings of 16 bits move by less; where a weight depends on whether another expert is near, as
     *     those of Phi-3.5-MoE do, it jumps by up to a half at a threshold, as the choice itself does
     */
    public BitSet differing(Routes other, double weights) {
        if (!chosen.keySet().equals(other.chosen.keySet())) {
            throw new AssertionError(chosen.size() + " choices beside " + other.chosen.size());
        }
        BitSet tokens = new BitSet();
        chosen.forEach((at, choice) -> {
            if (!alike(choice, other.chosen.get(at), weights)) {
                tokens.set(at.token);
            }
        });
        return tokens;
    }
}
