package isonorm.inference;

import static isonorm.architecture.Part.ATTENTION_NORM;
import static isonorm.architecture.Part.ATTENTION_OUTPUT;
import static isonorm.architecture.Part.ATTENTION_OUTPUT_NORM;
import static isonorm.architecture.Part.ATTENTION_SCALE;
import static isonorm.architecture.Part.KEY_NORM;
import static isonorm.architecture.Part.MLP_DOWN;
import static isonorm.architecture.Part.MLP_GATE;
import static isonorm.architecture.Part.MLP_NORM;
import static isonorm.architecture.Part.MLP_OUTPUT_NORM;
import static isonorm.architecture.Part.MLP_SCALE;
import static isonorm.architecture.Part.MLP_UP;
import static isonorm.architecture.Part.QUERY_KEY_VALUE;
import static isonorm.architecture.Part.QUERY_NORM;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Mlp;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.kernel.Normalization;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import isonorm.layer.Observer;
import java.io.IOException;
import java.util.Optional;

/**
 * One block on the stream h, with A attention, M the MLP and N norms:
 *
 * <pre>
 * pre      h + A(N(h)), then h + M(N(h)); parallel: h + A(N1(h)) + M(N2(h)), where N1 and N2 can be one norm
 * post     N(h + A(h)), then N(h + M(h)); h's mean is taken out before the sum where the block recentres
 * peri     h + N(A(N(h))), then h + N(M(N(h)))
 * output   h + N(A(h)), then h + N(M(h))
 * none     h + A(h), then h + M(h)
 * </pre>
 *
 * A LayerScale vector is multiplied into what stands before it when the block is loaded.
 */
record BlockStep(int number, Block block, Branch attention, Branch mlp) {

    /** What one sub-layer computes of what it reads. */
    @FunctionalInterface
    private interface SubLayer {
        Rows forward(Residual.Read read, Pass pass);
    }

    /** A sub-layer with its norms, and the bias that is added to what it writes. */
    private record Branch(Observer.Branch which, Optional<Normalization> norm, SubLayer subLayer, Values bias, Optional<Normalization> outputNorm) {}

    /** The branch of a sub-layer: where its last linear layer, its norms and its LayerScale are. */
    private record Parts(Observer.Branch which, Part norm, Part output, boolean bias, Part outputNorm, Part scale) {}

    static BlockStep load(Weights from, Architecture architecture, int l) throws IOException {
        Block block = architecture.blocks().get(l);
        Attention attention = block.attention();
        Mlp mlp = block.mlp();
        int d = architecture.width();
        Parts first = new Parts(Observer.Branch.ATTENTION, ATTENTION_NORM, ATTENTION_OUTPUT, attention.outputBias(), ATTENTION_OUTPUT_NORM, ATTENTION_SCALE);
        Parts second = new Parts(Observer.Branch.MLP, MLP_NORM, MLP_DOWN, mlp.outputBias(), MLP_OUTPUT_NORM, MLP_SCALE);
        Role projection = Role.of(QUERY_KEY_VALUE, l, Field.WEIGHT);
        AttentionStep attentionStep = new AttentionStep(
                attention,
                from.padded(projection, attention.projectionWidth(), d),
                from.bias(projection, attention.bias()),
                queryKeyNorm(from, Role.of(QUERY_NORM, l, Field.GAIN), attention),
                queryKeyNorm(from, Role.of(KEY_NORM, l, Field.GAIN), attention),
                writer(from, architecture, l, first, attention.outputColumns()));
        Role up = Role.of(MLP_UP, l, Field.WEIGHT);
        Role gate = Role.of(MLP_GATE, l, Field.WEIGHT);
        MlpStep mlpStep = new MlpStep(
                mlp,
                mlp.gated() ? Optional.of(from.padded(gate, mlp.hidden(), d)) : Optional.empty(),
                from.bias(gate, mlp.gated() && mlp.bias()),
                from.padded(up, mlp.hidden(), d),
                from.bias(up, mlp.bias()),
                writer(from, architecture, l, second, mlp.hidden()));
        return new BlockStep(
                l,
                block,
                branch(from, architecture, l, first, (read, pass) -> attentionStep.forward(read, pass, l)),
                branch(from, architecture, l, second, mlpStep::forward));
    }

    private static Optional<Normalization> queryKeyNorm(Weights from, Role gain, Attention attention) throws IOException {
        Optional<QueryKeyNorm> norm = attention.queryKeyNorm();
        return norm.isPresent() ? Optional.of(from.norm(gain, norm.get().norm())) : Optional.empty();
    }

    /** Whether a LayerScale is multiplied into the linear layer before it, and not into the norm between the two. */
    private static boolean scalesWeight(Block block) {
        return block.layerScale() && !block.placement().normalizesOutput();
    }

    private static Weight writer(Weights from, Architecture architecture, int l, Parts parts, int inputs) throws IOException {
        Role weight = Role.of(parts.output, l, Field.WEIGHT);
        return scalesWeight(architecture.blocks().get(l))
                ? from.scaled(weight, Role.of(parts.scale, l, Field.WEIGHT))
                : from.padded(weight, architecture.width(), inputs);
    }

    private static Branch branch(Weights from, Architecture architecture, int l, Parts parts, SubLayer subLayer) throws IOException {
        Block block = architecture.blocks().get(l);
        Role scale = Role.of(parts.scale, l, Field.WEIGHT);
        Values bias = from.bias(Role.of(parts.output, l, Field.WEIGHT), parts.bias);
        Optional<Normalization> outputNorm = from.norm(Role.of(parts.outputNorm, l, Field.GAIN),
                Architecture.outputNorms(block).contains(parts.outputNorm), block.norm());
        if (block.layerScale() && outputNorm.isPresent()) {
            outputNorm = Optional.of(scaled(outputNorm.get(), from.vector(scale)));
        }
        return new Branch(
                parts.which,
                from.norm(Role.of(parts.norm, l, Field.GAIN), Architecture.norms(block).contains(parts.norm), block.norm()),
                subLayer,
                scalesWeight(block) && bias.present() ? times(bias, from.vector(scale)) : bias,
                outputNorm);
    }

    private static Normalization scaled(Normalization norm, Values factor) {
        return norm.withGain(norm.gain().present() ? times(norm.gain(), factor) : factor)
                .withBias(norm.bias().present() ? times(norm.bias(), factor) : Values.NONE);
    }

    private static Values times(Values a, Values b) {
        Values product = Values.room(a.count());
        for (int i = 0; i < a.count(); i++) {
            product.set(i, a.get(i) * b.get(i));
        }
        return product;
    }

    void forward(Residual h, Pass pass) {
        switch (block.wiring()) {
            case SEQUENTIAL -> {
                then(attention, h, pass);
                then(mlp, h, pass);
            }
            case PARALLEL -> {
                Rows first = attention.subLayer.forward(read(attention, h), pass);
                Rows second = mlp.subLayer.forward(h.read(mlp.norm.orElseThrow()), pass);
                add(first, second, h);
            }
            case PARALLEL_ONE_NORM -> {
                Residual.Read n = read(attention, h);
                Rows first = attention.subLayer.forward(n, pass);
                Rows second = mlp.subLayer.forward(n, pass);
                add(first, second, h);
            }
        }
    }

    private void add(Rows first, Rows second, Residual h) {
        show(attention, first, attention.bias, h);
        show(mlp, second, mlp.bias, h);
        h.add(first, attention.bias);
        h.add(second, mlp.bias);
    }

    private void then(Branch branch, Residual h, Pass pass) {
        switch (block.placement()) {
            case PRE -> add(branch, branch.subLayer.forward(read(branch, h), pass), branch.bias, h);
            case NONE -> add(branch, branch.subLayer.forward(bare(branch, h), pass), branch.bias, h);
            case PERI -> addNormalized(branch, h, read(branch, h), pass);
            case OUTPUT -> addNormalized(branch, h, bare(branch, h), pass);
            case POST -> {
                Rows written = branch.subLayer.forward(bare(branch, h), pass);
                show(branch, written, branch.bias, h);
                if (block.recentre()) {
                    h.recentre();
                }
                h.addThenNormalize(written, branch.bias, branch.norm.orElseThrow());
                if (branch == attention) {
                    h.showNormalized(number, whole(h));
                }
            }
        }
    }

    private void addNormalized(Branch branch, Residual h, Residual.Read read, Pass pass) {
        Rows written = branch.subLayer.forward(read, pass);
        h.normalize(written, branch.bias, branch.outputNorm.orElseThrow());
        if (branch == attention && block.placement() == Placement.OUTPUT) {
            h.showNormalized(number, new Residual.Read(written, Values.NONE));
        }
        add(branch, written, Values.NONE, h);
    }

    private void add(Branch branch, Rows written, Values bias, Residual h) {
        show(branch, written, bias, h);
        h.add(written, bias);
    }

    private void show(Branch branch, Rows written, Values bias, Residual h) {
        h.showWritten(number, branch.which, written, bias);
    }

    /** The normalized stream. */
    private Residual.Read read(Branch branch, Residual h) {
        Residual.Read read = h.read(branch.norm.orElseThrow());
        if (branch == attention) {
            h.showStream(number);
            h.showNormalized(number, read);
        }
        return read;
    }

    /** The stream as it is. */
    private Residual.Read bare(Branch branch, Residual h) {
        Residual.Read read = whole(h);
        if (branch == attention) {
            h.showStream(number);
        }
        return read;
    }

    private static Residual.Read whole(Residual h) {
        return new Residual.Read(h.settled(), Values.NONE);
    }
}
