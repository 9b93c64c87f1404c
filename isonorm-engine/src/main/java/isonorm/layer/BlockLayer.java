package isonorm.layer;

import static isonorm.architecture.Part.ATTENTION_HEAD_SCALE;
import static isonorm.architecture.Part.ATTENTION_INNER_NORM;
import static isonorm.architecture.Part.ATTENTION_NORM;
import static isonorm.architecture.Part.ATTENTION_OUTPUT;
import static isonorm.architecture.Part.ATTENTION_OUTPUT_NORM;
import static isonorm.architecture.Part.ATTENTION_SCALE;
import static isonorm.architecture.Part.ATTENTION_SINK;
import static isonorm.architecture.Part.ATTENTION_SKIP;
import static isonorm.architecture.Part.ATTENTION_STREAM_GATE;
import static isonorm.architecture.Part.CROSS_NORM;
import static isonorm.architecture.Part.KEY_NORM;
import static isonorm.architecture.Part.KEY_VALUE_UP;
import static isonorm.architecture.Part.MLP_DOWN;
import static isonorm.architecture.Part.MLP_GATE;
import static isonorm.architecture.Part.MLP_INNER_NORM;
import static isonorm.architecture.Part.MLP_NORM;
import static isonorm.architecture.Part.MLP_OUTPUT_NORM;
import static isonorm.architecture.Part.MLP_SCALE;
import static isonorm.architecture.Part.MLP_SKIP;
import static isonorm.architecture.Part.MLP_STREAM_GATE;
import static isonorm.architecture.Part.MLP_UP;
import static isonorm.architecture.Part.QUERY_KEY_VALUE;
import static isonorm.architecture.Part.QUERY_NORM;
import static isonorm.architecture.Part.QUERY_UP;
import static isonorm.architecture.Part.ROUTER;
import static isonorm.architecture.Part.ROUTER_CORRECTION;
import static isonorm.architecture.Part.SHARED_DOWN;
import static isonorm.architecture.Part.SHARED_GATE;
import static isonorm.architecture.Part.SHARED_UP;
import static isonorm.architecture.Part.SHARED_WEIGHT;
import static isonorm.architecture.Part.VALUE_NORM;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Experts;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Placement.Place;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Stream;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * One block on the stream h, with A attention, M the MLP and N norms:
 *
 * <pre>
 * sequential   N(h + N(A(N(h)))), then N(h + N(M(N(h)))), with those norms that the {@link Placement} has;
 *              between the two, beside an encoder, N(h + C(N(h))) with C attention to what that gives
 * parallel     h + A(N1(h)) + M(N2(h)), where N1 and N2 can be one norm
 * </pre>
 *
 * Where the stream goes from basis to basis h is M h in each sum. What is added to h is first multiplied with the block's factor and the LayerScale vector, or SkipInit's number, where there is one, and h with the
 * factor of the skip;
 * its mean is taken out before a sum that is normalized where the block recentres. A gate g makes each sum {@code h - SiLU(g) h}. Of two streams
 * the one that is normalized and read is h, and what is added to it is added to the other too.
 */
record BlockLayer(int number, Block block, Branch attention, Optional<Branch> cross, Branch mlp, Compute compute) {

    /** What one sub-layer computes. */
    @FunctionalInterface
    private interface SubLayer {
        Tensor forward(Tensor x, Sight sight, Observation watch);
    }

    /** A sub-layer with its norms and its scale. */
    private record Branch(
            Observer.Branch which, Placement placement, Optional<NormLayer> norm, SubLayer subLayer, Optional<NormLayer> outputNorm, Optional<Tensor> scale,
            OptionalDouble gate, Optional<Linear> skip) {}

    static BlockLayer load(Loader from, Architecture architecture, int l) throws IOException {
        Block block = architecture.blocks().get(l);
        requireCompressible(architecture, block, l);
        SubLayer mixer = switch (block.mixer()) {
            case Attention attention -> {
                AttentionLayer layer = attention(from, attention, l);
                yield (x, sight, _) -> layer.forward(x, sight);
            }
            case LatentAttention latent -> {
                AttentionLayer layer = latent(from, latent, l);
                yield (x, sight, _) -> layer.forward(x, sight);
            }
        };
        SubLayer feedForward = switch (block.feedForward()) {
            case Mlp mlp -> {
                MlpLayer layer = mlp(from, mlp, Role.of(MLP_GATE, l, Field.WEIGHT), Role.of(MLP_UP, l, Field.WEIGHT), Role.of(MLP_DOWN, l, Field.WEIGHT));
                yield (x, _, _) -> layer.forward(x);
            }
            case Experts experts -> {
                ExpertsLayer layer = experts(from, architecture, experts, l);
                yield (x, _, watch) -> layer.forward(x, l, watch);
            }
        };
        return new BlockLayer(
                l,
                block,
                branch(from, architecture, l, block.attentionPlacement(), mixer,
                        new Parts(Observer.Branch.ATTENTION, ATTENTION_NORM, ATTENTION_OUTPUT_NORM, ATTENTION_SCALE, ATTENTION_STREAM_GATE, ATTENTION_SKIP)),
                cross(from, architecture, l),
                branch(from, architecture, l, block.mlpPlacement(), feedForward,
                        new Parts(Observer.Branch.MLP, MLP_NORM, MLP_OUTPUT_NORM, MLP_SCALE, MLP_STREAM_GATE, MLP_SKIP)),
                from.compute());
    }

    /** Attention to an encoder, whose norms stand as those of attention to the stream itself. */
    private static Optional<Branch> cross(Loader from, Architecture architecture, int l) throws IOException {
        Block block = architecture.blocks().get(l);
        if (block.cross().isEmpty()) {
            return Optional.empty();
        }
        CrossAttentionLayer layer = CrossAttentionLayer.load(from, block.cross().get(), l);
        return Optional.of(new Branch(Observer.Branch.CROSS_ATTENTION, block.attentionPlacement(),
                norm(from, architecture, l, CROSS_NORM, Architecture.norms(block).contains(CROSS_NORM)),
                (x, sight, _) -> layer.forward(x, sight), Optional.empty(), Optional.empty(), OptionalDouble.empty(), Optional.empty()));
    }

    private static AttentionLayer attention(Loader from, Attention attention, int l) throws IOException {
        Optional<Norm> queryKeyNorm = attention.norms().queryKey().map(QueryKeyNorm::norm);
        return new AttentionLayer(
                attention,
                from.linear(Role.of(QUERY_KEY_VALUE, l, Field.WEIGHT), attention.bias())::forward,
                headNorm(from, Role.of(QUERY_NORM, l, Field.GAIN), queryKeyNorm, attention, attention.heads().count()),
                headNorm(from, Role.of(KEY_NORM, l, Field.GAIN), queryKeyNorm, attention, attention.heads().keyValue()),
                headNorm(from, Role.of(VALUE_NORM, l, Field.GAIN), attention.norms().value(), attention, attention.heads().keyValue()),
                innerNorm(from, Role.of(ATTENTION_INNER_NORM, l, Field.GAIN), attention.norms().inner(), attention.outputColumns()),
                attention.norms().headScales()
                        ? Optional.of(from.vector(Role.of(ATTENTION_HEAD_SCALE, l, Field.WEIGHT), 1))
                        : Optional.empty(),
                attention.scores().sinks() ? from.numbers(Role.of(ATTENTION_SINK, l, Field.WEIGHT)) : new double[0],
                DistanceBiases.load(from, attention, l),
                from.linear(Role.of(ATTENTION_OUTPUT, l, Field.WEIGHT), attention.outputBias())::forward,
                from.compute());
    }

    private static AttentionLayer latent(Loader from, LatentAttention latent, int l) throws IOException {
        boolean compressed = latent.queryRank().isPresent();
        LatentLayer layer = new LatentLayer(
                latent,
                from.linear(Role.of(QUERY_KEY_VALUE, l, Field.WEIGHT), latent.bias()),
                compressed ? Optional.of(from.norm(Role.of(QUERY_NORM, l, Field.GAIN), latent.norm(), latent.readQueries())) : Optional.empty(),
                compressed ? Optional.of(from.linear(Role.of(QUERY_UP, l, Field.WEIGHT), false)) : Optional.empty(),
                from.norm(Role.of(KEY_NORM, l, Field.GAIN), latent.norm(), latent.keyValueRank()),
                from.linear(Role.of(KEY_VALUE_UP, l, Field.WEIGHT), false),
                from.linear(Role.of(ATTENTION_OUTPUT, l, Field.WEIGHT), latent.outputBias()));
        return new AttentionLayer(latent.attention(), layer::project, Optional.empty(), Optional.empty(), Optional.empty(), Optional.empty(), Optional.empty(),
                new double[0], Optional.empty(), layer::write, from.compute());
    }

    private static MlpLayer mlp(Loader from, Mlp mlp, Role gate, Role up, Role down) throws IOException {
        return new MlpLayer(
                mlp,
                mlp.gated() ? Optional.of(from.linear(gate, mlp.bias())) : Optional.empty(),
                from.linear(up, mlp.bias()),
                innerNorm(from, Role.of(MLP_INNER_NORM, up.block(), Field.GAIN), mlp.innerNorm(), mlp.hidden()),
                from.linear(down, mlp.outputBias()),
                from.compute());
    }

    private static MlpLayer expert(Loader from, Experts experts, int l, int e) throws IOException {
        return mlp(from, experts.expert(), Role.of(MLP_GATE, l, Field.WEIGHT).ofExpert(e), Role.of(MLP_UP, l, Field.WEIGHT).ofExpert(e),
                Role.of(MLP_DOWN, l, Field.WEIGHT).ofExpert(e));
    }

    private static ExpertsLayer experts(Loader from, Architecture architecture, Experts experts, int l) throws IOException {
        Role router = Role.of(ROUTER, l, Field.WEIGHT);
        Optional<Experts.Shared> shared = experts.shared();
        return new ExpertsLayer(
                experts,
                from.matrix(router),
                experts.routing().bias() ? Optional.of(from.vector(router.field(Field.BIAS), experts.count())) : Optional.empty(),
                experts.routing().correction() ? from.numbers(Role.of(ROUTER_CORRECTION, l, Field.WEIGHT)) : new double[0],
                each(from, experts, l),
                shared.isPresent()
                        ? Optional.of(mlp(from, shared.get().mlp(), Role.of(SHARED_GATE, l, Field.WEIGHT), Role.of(SHARED_UP, l, Field.WEIGHT),
                                Role.of(SHARED_DOWN, l, Field.WEIGHT)))
                        : Optional.empty(),
                shared.isPresent() && shared.get().gated()
                        ? Optional.of(from.linear(Role.of(SHARED_WEIGHT, l, Field.WEIGHT), experts.routing().bias()))
                        : Optional.empty(),
                architecture.streamWidth(),
                from.compute());
    }

    /** All experts in memory; of a model that is read as it is needed, one at a time. */
    private static ExpertsLayer.Each each(Loader from, Experts experts, int l) throws IOException {
        if (!from.resident()) {
            return (e, x) -> {
                try (Loader one = from.another()) {
                    return expert(one, experts, l, e).forward(x);
                }
            };
        }
        List<MlpLayer> all = new ArrayList<>();
        for (int e = 0; e < experts.count(); e++) {
            all.add(expert(from, experts, l, e));
        }
        return (e, x) -> all.get(e).forward(x);
    }

    private static Optional<NormLayer> headNorm(Loader from, Role gain, Optional<Norm> norm, Attention attention, int heads)
            throws IOException {
        if (norm.isEmpty()) {
            return Optional.empty();
        }
        return Optional.of(switch (attention.norms().span()) {
            case HEAD, EACH_HEAD -> from.norm(gain, norm.get(), attention.heads().width());
            case PROJECTION -> from.norm(gain, norm.get(), heads * attention.heads().width());
        });
    }

    private static Optional<NormLayer> innerNorm(Loader from, Role gain, Optional<Norm> norm, int width) throws IOException {
        return norm.isPresent() ? Optional.of(from.norm(gain, norm.get(), width)) : Optional.empty();
    }

    /** Where the norms, the LayerScale, the gate and the matrix on the skip of a sub-layer are. */
    private record Parts(Observer.Branch which, Part norm, Part outputNorm, Part scale, Part gate, Part skip) {}

    private static Branch branch(Loader from, Architecture architecture, int l, Placement placement, SubLayer subLayer, Parts parts)
            throws IOException {
        Block block = architecture.blocks().get(l);
        return new Branch(
                parts.which,
                placement,
                norm(from, architecture, l, parts.norm, Architecture.norms(block).contains(parts.norm)),
                subLayer,
                norm(from, architecture, l, parts.outputNorm, Architecture.outputNorms(block).contains(parts.outputNorm)),
                scale(from, Role.of(parts.scale, l, Field.WEIGHT), block.scale(), architecture.width()),
                block.gates() ? OptionalDouble.of(from.number(Role.of(parts.gate, l, Field.WEIGHT))) : OptionalDouble.empty(),
                architecture.skips(block).contains(parts.skip) ? Optional.of(from.linear(Role.of(parts.skip, l, Field.WEIGHT), false)) : Optional.empty());
    }

    private static Optional<Tensor> scale(Loader from, Role role, BranchScale scale, int width) throws IOException {
        return switch (scale) {
            case NONE -> Optional.empty();
            case VECTOR -> Optional.of(from.vector(role, width));
            case NUMBER -> Optional.of(from.vector(role, 1));
        };
    }

    private static Optional<NormLayer> norm(Loader from, Architecture architecture, int l, Part part, boolean there) throws IOException {
        return there
                ? Optional.of(from.norm(Role.of(part, l, Field.GAIN), architecture.blocks().get(l).norm(), architecture.width()))
                : Optional.empty();
    }

    /** What a compressed stream is written with must sum to zero. */
    private static void requireCompressible(Architecture architecture, Block block, int l) {
        if (architecture.stream() == Stream.COMPRESSED && (block.norm().affine().hasGain() || block.scale() == BranchScale.VECTOR)) {
            throw new IllegalArgumentException("block " + l + " of a compressed stream must have no gain and no LayerScale; fold "
                    + (block.scale() == BranchScale.VECTOR ? "the LayerScale" : "the " + block.norm().kind().label() + "'s gain") + " first");
        }
    }

    /** The stream behind this block; for dual blocks h is the two streams side by side. */
    Tensor forward(Tensor h, Sight sight, Observation watch) {
        watch.stream(number, attention.placement.writesSecondStream() ? stream(h, 0) : h);
        return switch (block.wiring()) {
            case SEQUENTIAL -> {
                Tensor attended = then(attention, h, sight, watch);
                yield then(mlp, cross.isPresent() ? then(cross.get(), attended, sight, watch) : attended, sight, watch);
            }
            case PARALLEL -> {
                Tensor first = written(attention, read(attention, h, watch), h, sight, watch);
                yield sum(inNextBasis(attention, h), first).plus(written(mlp, read(mlp, h, watch), h, sight, watch));
            }
            case PARALLEL_ONE_NORM -> {
                Tensor n = read(attention, h, watch);
                yield sum(inNextBasis(attention, h), written(attention, n, h, sight, watch)).plus(written(mlp, n, h, sight, watch));
            }
        };
    }

    private Tensor then(Branch branch, Tensor streams, Sight sight, Observation watch) {
        Placement placement = branch.placement;
        Tensor h = placement.writesSecondStream() ? stream(streams, 0) : streams;
        Tensor written = written(branch, read(branch, h, watch), h, sight, watch);
        Tensor skip = inNextBasis(branch, block.recentre() && placement.normalizesSum() ? h.recentred() : h);
        Tensor next = gated(branch, shown(branch, Place.SUM, normed(branch, Place.SUM, sum(skip, written)), watch));
        return placement.writesSecondStream() ? next.beside(stream(streams, 1).plus(written)) : next;
    }

    /** What a sub-layer reads of the stream h. */
    private Tensor read(Branch branch, Tensor h, Observation watch) {
        return shown(branch, Place.INPUT, normed(branch, Place.INPUT, h), watch);
    }

    /** What a sub-layer writes of the x it reads to the stream h. */
    private Tensor written(Branch branch, Tensor x, Tensor h, Sight sight, Observation watch) {
        Tensor scaled = scaled(branch, normed(branch, Place.BRANCH, output(branch, x, sight, watch)));
        Tensor written = shown(branch, Place.BRANCH, scaled, watch);
        watch.written(number, branch.which, written, h);
        return written;
    }

    /** What a sub-layer makes in between is gone when it has its output. */
    private static Tensor output(Branch branch, Tensor x, Sight sight, Observation watch) {
        return x.space().kept(() -> branch.subLayer.forward(x, sight, watch));
    }

    /** Behind the norm at a place, where one stands there. */
    private static Tensor normed(Branch branch, Place place, Tensor x) {
        return branch.placement.at(place, branch.norm, branch.outputNorm).map(norm -> norm.forward(x)).orElse(x);
    }

    /** Shows what attention's norm gives, if this is its place. */
    private Tensor shown(Branch branch, Place place, Tensor x, Observation watch) {
        if (branch == attention && branch.placement.first() == place) {
            watch.normalized(number, x);
        }
        return x;
    }

    private Tensor scaled(Branch branch, Tensor y) {
        if (branch.scale.isEmpty()) {
            return block.branch() == 1 ? y : y.times(block.branch());
        }
        return y.to(Type.wide(compute)).times(branch.scale.get()).times(block.branch()).to(Type.of(compute));
    }

    /** What a sub-layer's output is added to: the stream in the basis of what comes next. */
    private static Tensor inNextBasis(Branch branch, Tensor h) {
        return branch.skip.isPresent() ? branch.skip.get().forward(h) : h;
    }

    /** The stream behind this block if that writes nothing. */
    Tensor pass(Tensor h) {
        return inNextBasis(mlp, inNextBasis(attention, h));
    }

    /** {@code alpha h + written}. */
    private Tensor sum(Tensor h, Tensor written) {
        return h.timesPlus(block.skip(), written);
    }

    /** {@code h - SiLU(g) h}. */
    private static Tensor gated(Branch branch, Tensor h) {
        if (branch.gate.isEmpty()) {
            return h;
        }
        double g = branch.gate.getAsDouble();
        return h.times(1 - g / (1 + Math.exp(-g)));
    }

    /** One of two streams that lie side by side. */
    static Tensor stream(Tensor both, int which) {
        int width = both.width() / 2;
        return both.columns(which * width, width);
    }
}
