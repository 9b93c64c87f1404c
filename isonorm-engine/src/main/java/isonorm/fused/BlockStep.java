package isonorm.fused;

import static isonorm.architecture.Part.ATTENTION_HEAD_SCALE;
import static isonorm.architecture.Part.ATTENTION_INNER_NORM;
import static isonorm.architecture.Part.ATTENTION_NORM;
import static isonorm.architecture.Part.ATTENTION_OUTPUT;
import static isonorm.architecture.Part.ATTENTION_OUTPUT_NORM;
import static isonorm.architecture.Part.ATTENTION_SCALE;
import static isonorm.architecture.Part.ATTENTION_SINK;
import static isonorm.architecture.Part.ATTENTION_SKIP;
import static isonorm.architecture.Part.ATTENTION_STREAM_GATE;
import static isonorm.architecture.Part.CROSS_KEY_VALUE;
import static isonorm.architecture.Part.CROSS_NORM;
import static isonorm.architecture.Part.CROSS_OUTPUT;
import static isonorm.architecture.Part.CROSS_QUERY;
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
import static isonorm.architecture.Part.RELATIVE_BIAS;
import static isonorm.architecture.Part.RELATIVE_GATE;
import static isonorm.architecture.Part.RELATIVE_GATE_SCALE;
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
import isonorm.architecture.CrossAttention;
import isonorm.architecture.Experts;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Placement.Place;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.kernel.Normalization;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import isonorm.layer.Observer;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * One block on the stream h, with A attention, M the MLP and N norms:
 *
 * <pre>
 * sequential   N(h + N(A(N(h)))), then N(h + N(M(N(h)))), with those norms that the {@link Placement} has;
 *              between the two, beside an encoder, N(h + C(N(h))) with C attention to what that gives
 * parallel     h + A(N1(h)) + M(N2(h)), where N1 and N2 can be one norm
 * </pre>
 *
 * Where the stream goes from basis to basis h is M h in each sum. h's mean is taken out before a sum that is normalized where the block recentres. Of two streams the one that is normalized and read is h, and what is
 * added to it is added to the other too.
 *
 * A block's factor, a LayerScale vector, SkipInit's number and the scales of heads are multiplied into what stands beside them when the block is
 * loaded. A skip alpha h that a norm stands behind is folded into that norm, {@code N(alpha h + A) = N'(h + A / alpha)} where N' has
 * epsilon / alpha²; others, and gates, scale the stream.
 */
record BlockStep(int number, Block block, Branch attention, Optional<CrossStep> crossStep, Optional<Branch> cross, Branch mlp) {

    /** What one sub-layer computes of what it reads. */
    @FunctionalInterface
    private interface SubLayer {
        Rows forward(Residual.Read read, Pass pass);
    }

    /**
     * A sub-layer with its norms, and the bias that is added to what it writes.
     *
     * @param inputNorm the norm of what it reads
     * @param branchNorm the norm of what it writes
     * @param sumNorm the norm behind the sum
     * @param skip what the stream is multiplied with before the sum, if that is not in the norm behind it
     * @param gate what the sum is multiplied with, {@code 1 - SiLU(g)}
     * @param shown what makes the branch what it is, where its writer has 1 / alpha in it
     * @param basis the matrix that leads the stream to the basis of what comes next
     */
    private record Branch(
            Observer.Branch which, Placement placement, Optional<Normalization> inputNorm, SubLayer subLayer, Values bias,
            Optional<Normalization> branchNorm, Optional<Normalization> sumNorm, double skip, double gate, double shown, Optional<Weight> basis) {}

    /** The branch of a sub-layer: where its last linear layer, its norms, its LayerScale and its gate are. */
    private record Parts(Observer.Branch which, Placement placement, Part norm, Part output, boolean bias, Part outputNorm, Part scale, Part gate, Part skip) {}

    static BlockStep load(Weights from, Architecture architecture, int l) throws IOException {
        Block block = architecture.blocks().get(l);
        Parts first = new Parts(Observer.Branch.ATTENTION, block.attentionPlacement(), ATTENTION_NORM, ATTENTION_OUTPUT,
                block.mixer().outputBias(), ATTENTION_OUTPUT_NORM, ATTENTION_SCALE, ATTENTION_STREAM_GATE, ATTENTION_SKIP);
        Parts second = new Parts(Observer.Branch.MLP, block.mlpPlacement(), MLP_NORM, MLP_DOWN, block.feedForward().outputBias(),
                MLP_OUTPUT_NORM, MLP_SCALE, MLP_STREAM_GATE, MLP_SKIP);
        SubLayer mixer = switch (block.mixer()) {
            case Attention attention -> {
                AttentionStep step = attention(from, architecture, attention, l, first);
                yield (read, pass) -> step.forward(read, pass, l);
            }
            case LatentAttention latent -> {
                AttentionStep step = latent(from, architecture, latent, l, first);
                yield (read, pass) -> step.forward(read, pass, l);
            }
        };
        SubLayer feedForward = switch (block.feedForward()) {
            case Mlp mlp -> mlp(from, architecture, mlp, l, second)::forward;
            case Experts experts -> experts(from, architecture, experts, l, second)::forward;
        };
        Optional<CrossStep> crossStep = block.cross().isPresent() ? Optional.of(cross(from, architecture, block.cross().get(), l)) : Optional.empty();
        Optional<Branch> cross = crossStep.isPresent()
                ? Optional.of(branch(from, architecture, l, crossParts(block), (read, pass) -> crossStep.get().forward(read, pass, l)))
                : Optional.empty();
        return new BlockStep(
                l, block, branch(from, architecture, l, first, mixer), crossStep, cross, branch(from, architecture, l, second, feedForward));
    }

    /** Of attention to an encoder, whose norms stand as those of attention to the stream itself. */
    private static Parts crossParts(Block block) {
        return new Parts(Observer.Branch.CROSS_ATTENTION, block.attentionPlacement(), CROSS_NORM, CROSS_OUTPUT, block.cross().orElseThrow().outputBias(),
                ATTENTION_OUTPUT_NORM, ATTENTION_SCALE, ATTENTION_STREAM_GATE, ATTENTION_SKIP);
    }

    private static CrossStep cross(Weights from, Architecture architecture, CrossAttention attention, int l) throws IOException {
        Role query = Role.of(CROSS_QUERY, l, Field.WEIGHT);
        Role keyValue = Role.of(CROSS_KEY_VALUE, l, Field.WEIGHT);
        return new CrossStep(
                attention,
                from.padded(query, attention.queryWidth(), architecture.width()),
                from.bias(query, attention.bias()),
                from.linear(keyValue),
                from.bias(keyValue, attention.keyValueBias()),
                writer(from, architecture, l, crossParts(architecture.blocks().get(l)), Role.of(CROSS_OUTPUT, l, Field.WEIGHT), attention.queryWidth(),
                        Optional.empty()));
    }

    private static AttentionStep attention(Weights from, Architecture architecture, Attention attention, int l, Parts parts) throws IOException {
        Role projection = Role.of(QUERY_KEY_VALUE, l, Field.WEIGHT);
        Optional<Norm> queryKeyNorm = attention.norms().queryKey().map(QueryKeyNorm::norm);
        return new AttentionStep(
                attention,
                AttentionStep.projection(attention, from.padded(projection, attention.projectionWidth(), architecture.width()),
                        from.bias(projection, attention.bias())),
                from.norm(Role.of(QUERY_NORM, l, Field.GAIN), queryKeyNorm),
                from.norm(Role.of(KEY_NORM, l, Field.GAIN), queryKeyNorm),
                from.norm(Role.of(VALUE_NORM, l, Field.GAIN), attention.norms().value()),
                from.norm(Role.of(ATTENTION_INNER_NORM, l, Field.GAIN), attention.norms().inner()),
                attention.scores().sinks() ? from.vector(Role.of(ATTENTION_SINK, l, Field.WEIGHT)) : Values.NONE,
                relative(from, architecture, attention, l),
                AttentionStep.writer(writer(from, architecture, l, parts, Role.of(ATTENTION_OUTPUT, l, Field.WEIGHT), attention.outputColumns(),
                        headScales(from, attention, l))));
    }

    /** What the place of a key adds to the scores of each head. */
    private static Optional<AttentionStep.Relative> relative(Weights from, Architecture architecture, Attention attention, int l) throws IOException {
        Optional<RelativeBias> bias = attention.positions().relative();
        if (bias.isEmpty()) {
            return Optional.empty();
        }
        int heads = attention.heads().count();
        double[] table = from.table(Role.of(RELATIVE_BIAS, bias.get().own() ? l : 0, Field.WEIGHT));
        Role gate = Role.of(RELATIVE_GATE, l, Field.WEIGHT);
        Optional<AttentionStep.Gates> gates = bias.get().gates() != RelativeBias.Gates.NONE
                ? Optional.of(new AttentionStep.Gates(from.padded(gate, 2 * heads, architecture.width()), from.bias(gate, true),
                        from.numbers(Role.of(RELATIVE_GATE_SCALE, l, Field.WEIGHT))))
                : Optional.empty();
        return Optional.of(new AttentionStep.Relative(bias.get().buckets(), table, heads, gates));
    }

    private static AttentionStep latent(Weights from, Architecture architecture, LatentAttention latent, int l, Parts parts) throws IOException {
        Role reader = Role.of(QUERY_KEY_VALUE, l, Field.WEIGHT);
        boolean compressed = latent.queryRank().isPresent();
        LatentStep step = new LatentStep(
                latent,
                from.padded(reader, latent.projectionWidth(), architecture.width()),
                from.bias(reader, latent.bias()),
                from.norm(Role.of(QUERY_NORM, l, Field.GAIN), compressed, latent.norm()),
                compressed ? Optional.of(from.linear(Role.of(QUERY_UP, l, Field.WEIGHT))) : Optional.empty(),
                from.norm(Role.of(KEY_NORM, l, Field.GAIN), latent.norm()),
                from.linear(Role.of(KEY_VALUE_UP, l, Field.WEIGHT)),
                writer(from, architecture, l, parts, Role.of(ATTENTION_OUTPUT, l, Field.WEIGHT), latent.outputColumns(), Optional.empty()));
        return new AttentionStep(latent.attention(), step::project, Optional.empty(), Optional.empty(), Optional.empty(), Optional.empty(), Values.NONE, Optional.empty(), step::write);
    }

    private static MlpStep mlp(Weights from, Architecture architecture, Mlp mlp, int l, Parts parts) throws IOException {
        Role up = Role.of(MLP_UP, l, Field.WEIGHT);
        Role gate = Role.of(MLP_GATE, l, Field.WEIGHT);
        return new MlpStep(
                mlp,
                mlp.gated() ? Optional.of(from.padded(gate, mlp.hidden(), architecture.width())) : Optional.empty(),
                from.bias(gate, mlp.gated() && mlp.bias()),
                from.padded(up, mlp.hidden(), architecture.width()),
                from.bias(up, mlp.bias()),
                from.norm(Role.of(MLP_INNER_NORM, l, Field.GAIN), mlp.innerNorm()),
                writer(from, architecture, l, parts, Role.of(MLP_DOWN, l, Field.WEIGHT), mlp.hidden(), Optional.empty()));
    }

    private static ExpertsStep experts(Weights from, Architecture architecture, Experts experts, int l, Parts parts) throws IOException {
        Role router = Role.of(ROUTER, l, Field.WEIGHT);
        Role sharedWeight = Role.of(SHARED_WEIGHT, l, Field.WEIGHT);
        List<ExpertsStep.Expert> each = new ArrayList<>();
        for (int e = 0; e < experts.count(); e++) {
            each.add(expert(from, architecture, experts.expert(), l, parts, Role.of(MLP_GATE, l, Field.WEIGHT).ofExpert(e),
                    Role.of(MLP_UP, l, Field.WEIGHT).ofExpert(e), Role.of(MLP_DOWN, l, Field.WEIGHT).ofExpert(e)));
        }
        Optional<Experts.Shared> shared = experts.shared();
        boolean gated = shared.isPresent() && shared.get().gated();
        return new ExpertsStep(
                experts,
                l,
                from.packed(router, experts.count(), architecture.width()),
                from.bias(router, experts.routing().bias()),
                experts.routing().correction() ? from.numbers(Role.of(ROUTER_CORRECTION, l, Field.WEIGHT)) : new double[0],
                each,
                shared.isPresent()
                        ? Optional.of(expert(from, architecture, shared.get().mlp(), l, parts, Role.of(SHARED_GATE, l, Field.WEIGHT),
                                Role.of(SHARED_UP, l, Field.WEIGHT), Role.of(SHARED_DOWN, l, Field.WEIGHT)))
                        : Optional.empty(),
                gated ? Optional.of(from.packed(sharedWeight, 1, architecture.width())) : Optional.empty(),
                from.bias(sharedWeight, gated && experts.routing().bias()));
    }

    private static ExpertsStep.Expert expert(
            Weights from, Architecture architecture, Mlp mlp, int l, Parts parts, Role gate, Role up, Role down) throws IOException {
        Values bias = padded(from.bias(down, mlp.outputBias()), architecture.width());
        Optional<Values> factor = factor(from, architecture, l, parts);
        return new ExpertsStep.Expert(
                mlp,
                mlp.gated() ? Optional.of(from.padded(gate, mlp.hidden(), architecture.width())) : Optional.empty(),
                from.bias(gate, mlp.gated() && mlp.bias()),
                from.padded(up, mlp.hidden(), architecture.width()),
                from.bias(up, mlp.bias()),
                writer(from, architecture, l, parts, down, mlp.hidden(), Optional.empty()),
                bias.present() && factor.isPresent() ? times(bias, factor.get()) : bias);
    }

    /**
     * Whether the skip is in the norm behind the sum, and 1 / alpha in what the branch writes. A second stream takes the branch as it is, and a
     * norm of the branch need not have a gain that could carry the factor.
     */
    private static boolean skipInNorm(Block block, Placement placement) {
        return block.skip() != 1 && placement.normalizesSum() && !placement.normalizesBranch() && !placement.writesSecondStream();
    }

    /**
     * What the outputs of a sub-layer's last linear layer are multiplied with: LayerScale and the block's factor, unless a norm stands between the
     * two, and 1 / alpha where alpha is in the norm behind the sum.
     */
    private static Optional<Values> factor(Weights from, Architecture architecture, int l, Parts parts) throws IOException {
        Block block = architecture.blocks().get(l);
        boolean scale = scales(block) && !parts.placement.normalizesBranch();
        boolean skip = skipInNorm(block, parts.placement);
        if (!scale && !skip) {
            return Optional.empty();
        }
        int width = architecture.streamWidth();
        Values factor = scale ? scale(from, block, l, parts, width) : Values.constant(width, 1);
        return Optional.of(skip ? times(factor, Values.constant(factor.count(), (float) (1 / block.skip()))) : factor);
    }

    private static boolean scales(Block block) {
        return block.scale() != BranchScale.NONE || block.branch() != 1;
    }

    /** What multiplies what a branch writes, for every value: what is learned, and the block's factor. */
    private static Values scale(Weights from, Block block, int l, Parts parts, int width) throws IOException {
        Role role = Role.of(parts.scale, l, Field.WEIGHT);
        return switch (block.scale()) {
            case NONE -> Values.constant(width, (float) block.branch());
            case NUMBER -> Values.constant(width, (float) (block.branch() * from.number(role)));
            case VECTOR -> block.branch() == 1 ? from.vector(role) : from.vector(role).times(block.branch());
        };
    }

    /** What multiplies the inputs of attention's last linear layer. */
    private static Optional<Values> headScales(Weights from, Attention attention, int l) throws IOException {
        if (!attention.norms().headScales()) {
            return Optional.empty();
        }
        Values scales = from.vector(Role.of(ATTENTION_HEAD_SCALE, l, Field.WEIGHT));
        Values all = Values.room(attention.outputColumns());
        for (int c = 0; c < all.count(); c++) {
            all.set(c, scales.get(c / attention.heads().width()));
        }
        return Optional.of(all);
    }

    private static Weight writer(
            Weights from, Architecture architecture, int l, Parts parts, Role weight, int inputs, Optional<Values> columns) throws IOException {
        Optional<Values> factor = factor(from, architecture, l, parts);
        return factor.isPresent() || columns.isPresent()
                ? from.scaled(weight, factor, columns, architecture.width(), inputs)
                : from.padded(weight, architecture.width(), inputs);
    }

    private static Branch branch(Weights from, Architecture architecture, int l, Parts parts, SubLayer subLayer) throws IOException {
        Block block = architecture.blocks().get(l);
        Values bias = from.bias(Role.of(parts.output, l, Field.WEIGHT), parts.bias);
        Optional<Values> factor = factor(from, architecture, l, parts);
        Optional<Normalization> norm = from.norm(Role.of(parts.norm, l, Field.GAIN), Architecture.norms(block).contains(parts.norm), block.norm());
        Optional<Normalization> outputNorm = from.norm(Role.of(parts.outputNorm, l, Field.GAIN),
                Architecture.outputNorms(block).contains(parts.outputNorm), block.norm());
        if (scales(block) && parts.placement.normalizesBranch()) {
            if (block.norm().kind().readsCompressed()) {
                throw new IllegalArgumentException("a CRMSNorm on what a branch writes has no gain that could carry a scale, got one in block " + l + "; compute in f64, or run it with ForwardPass");
            }
            outputNorm = Optional.of(scaled(outputNorm.orElseThrow(), scale(from, block, l, parts, architecture.width())));
        }
        boolean inNorm = skipInNorm(block, parts.placement);
        Optional<Normalization> sumNorm = parts.placement.at(Place.SUM, norm, outputNorm);
        return new Branch(
                parts.which,
                parts.placement,
                parts.placement.at(Place.INPUT, norm, outputNorm),
                subLayer,
                bias.present() && factor.isPresent() ? times(bias, factor.get()) : bias,
                parts.placement.at(Place.BRANCH, norm, outputNorm),
                inNorm ? sumNorm.map(behind -> behind.ofScaled(block.skip())) : sumNorm,
                inNorm ? 1 : block.skip(),
                block.gates() ? 1 - silu(from.number(Role.of(parts.gate, l, Field.WEIGHT))) : 1,
                inNorm ? block.skip() : 1,
                architecture.skips(block).contains(parts.skip) ? Optional.of(from.linear(Role.of(parts.skip, l, Field.WEIGHT))) : Optional.empty());
    }

    private static double silu(double x) {
        return x / (1 + Math.exp(-x));
    }

    private static Normalization scaled(Normalization norm, Values factor) {
        return norm.withGain(norm.gain().present() ? times(norm.gain(), factor) : factor)
                .withBias(norm.bias().present() ? times(norm.bias(), factor) : Values.NONE);
    }

    /** As many as rows of a compressed stream have in memory. */
    private static Values padded(Values bias, int width) {
        if (!bias.present() || bias.count() == width) {
            return bias;
        }
        Values whole = Values.room(width);
        for (int i = 0; i < bias.count(); i++) {
            whole.set(i, bias.get(i));
        }
        return whole;
    }

    private static Values times(Values a, Values b) {
        Values product = Values.room(a.count());
        for (int i = 0; i < a.count(); i++) {
            product.set(i, a.get(i) * b.get(i));
        }
        return product;
    }

    /** The stream behind this block. */
    Residual forward(Residual h, Pass pass) {
        return switch (block.wiring()) {
            case SEQUENTIAL -> {
                Residual attended = then(attention, h, pass);
                yield then(mlp, cross.isPresent() ? then(cross.get(), attended, pass) : attended, pass);
            }
            case PARALLEL -> {
                Rows first = attention.subLayer.forward(read(attention, h), pass);
                Rows second = mlp.subLayer.forward(read(mlp, h), pass);
                yield add(first, second, h);
            }
            case PARALLEL_ONE_NORM -> {
                Residual.Read n = read(attention, h);
                Rows first = attention.subLayer.forward(n, pass);
                Rows second = mlp.subLayer.forward(n, pass);
                yield add(first, second, h);
            }
        };
    }

    /** The stream behind this block if that writes nothing. */
    void pass(Residual h) {
        attention.basis.ifPresent(h::changeBasis);
        mlp.basis.ifPresent(h::changeBasis);
    }

    private Residual add(Rows first, Rows second, Residual h) {
        show(attention, h, first, attention.bias);
        show(mlp, h, second, mlp.bias);
        attention.basis.ifPresent(h::changeBasis);
        h.scale(block.skip());
        h.add(first, attention.bias);
        h.add(second, mlp.bias);
        return h;
    }

    private Residual then(Branch branch, Residual h, Pass pass) {
        Rows written = branch.subLayer.forward(read(branch, h), pass);
        Values bias = branch.bias;
        if (branch.branchNorm.isPresent()) {
            h.normalize(written, bias, branch.branchNorm.get());
            bias = Values.NONE;
        }
        showNormalized(branch, Place.BRANCH, h, new Residual.Read(written, Values.NONE));
        show(branch, h, written, bias);
        if (block.recentre() && branch.sumNorm.isPresent()) {
            h.recentre();
        }
        branch.basis.ifPresent(h::changeBasis);
        h.scale(branch.skip);
        if (branch.placement.writesSecondStream()) {
            h.addToSecond(written, bias);
        }
        if (branch.sumNorm.isPresent()) {
            h.addThenNormalize(written, bias, branch.sumNorm.get());
            showNormalized(branch, Place.SUM, h, whole(h));
        } else {
            h.add(written, bias);
            h.scale(branch.gate);
        }
        return h;
    }

    private void show(Branch branch, Residual h, Rows written, Values bias) {
        h.showWritten(number, branch.which, written, bias, branch.shown);
    }

    /** What a sub-layer reads of the stream. */
    private Residual.Read read(Branch branch, Residual h) {
        boolean both = block.wiring().sharesNorm();
        boolean biased = (both || branch == attention) && block.mixer().bias() || (both || branch == mlp) && block.feedForward().bias()
                || branch.which == Observer.Branch.CROSS_ATTENTION && block.cross().orElseThrow().bias();
        Residual.Read read = branch.inputNorm.map(norm -> h.read(norm, biased)).orElseGet(() -> whole(h));
        if (branch == attention) {
            h.showStream(number);
        }
        showNormalized(branch, Place.INPUT, h, read);
        return read;
    }

    /** Shows what attention's norm gives, if this is its place. */
    private void showNormalized(Branch branch, Place place, Residual h, Residual.Read normalized) {
        if (branch == attention && branch.placement.first() == place) {
            h.showNormalized(number, normalized);
        }
    }

    private static Residual.Read whole(Residual h) {
        return new Residual.Read(h.settled(), Values.NONE);
    }
}
