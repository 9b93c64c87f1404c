package isonorm.architecture;

import java.util.Optional;

/**
 * A mixture of experts: {@code sum over the chosen e of weight(e) * expert_e(x) + shared(x)}, where a router, a linear layer with an output an
 * expert, gives each position its weights ({@link Routing}). Contributions are added in the order of the experts' numbers.
 *
 * @param expert what each of them is; it has no inner norm
 * @param count how many there are
 * @param shared what every position passes through beside those it chose
 * @see <a href="https://arxiv.org/abs/1701.06538">Shazeer et al.: Outrageously Large Neural Networks, 2017</a>
 */
public record Experts(Mlp expert, int count, Routing routing, Optional<Shared> shared) implements FeedForward {

    /**
     * An MLP that every position passes through.
     *
     * @param gated whether what it gives is multiplied with {@code sigmoid(gate x)}, gate being a learned row
     */
    public record Shared(Mlp mlp, boolean gated) {}

    public Experts {
        if (count < 1 || routing.chosen() > count) {
            throw new IllegalArgumentException("a position chooses some of the experts, got " + routing.chosen() + " of " + count);
        }
        Routing.Groups groups = routing.groups();
        if (count % groups.count() != 0 || (long) count / groups.count() * groups.kept() < routing.chosen()) {
            throw new IllegalArgumentException("groups of experts must be equal, and those kept hold as many as are chosen, got " + groups.kept() + " of "
                    + groups.count() + " groups of " + count + " experts, of which " + routing.chosen() + " are chosen");
        }
        if (expert.innerNorm().isPresent() || shared.flatMap(all -> all.mlp().innerNorm()).isPresent()) {
            throw new IllegalArgumentException("experts have no inner norm, got one; leave it out");
        }
    }

    /** Experts alone. */
    public static Experts of(Mlp expert, int count, Routing routing) {
        return new Experts(expert, count, routing, Optional.empty());
    }

    /** The same with an MLP for every position. */
    public Experts withShared(Mlp mlp, boolean gated) {
        return new Experts(expert, count, routing, Optional.of(new Shared(mlp, gated)));
    }

    @Override
    public boolean bias() {
        return expert.bias() || routing.bias() || shared.isPresent() && shared.get().mlp.bias();
    }

    /** None: what an expert adds is weighted with the rest of what it gives. */
    @Override
    public boolean outputBias() {
        return false;
    }

    @Override
    public Experts withReadingBias() {
        return new Experts(expert.withReadingBias(), count, routing.withBias(true),
                shared.map(all -> new Shared(all.mlp.withReadingBias(), all.gated)));
    }
}
