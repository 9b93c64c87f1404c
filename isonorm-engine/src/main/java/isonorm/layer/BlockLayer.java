package isonorm.layer;

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
import static isonorm.tensor.Ops.cast;
import static isonorm.tensor.Ops.recentre;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Mlp;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Role;
import isonorm.architecture.Stream;
import isonorm.tensor.Compute;
import java.io.IOException;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/**
 * One block on the stream h, with A attention, M the MLP and N norms:
 *
 * <pre>
 * pre      h + A(N(h)), then h + M(N(h)); parallel: h + A(N1(h)) + M(N2(h)), where N1 and N2 can be one norm
 * post     N(h + A(h)), then N(h + M(h)); h's mean is taken out before the sum where the block recentres
 * peri     h + N(A(N(h))), then h + N(M(N(h)))
 * output   h + N(A(h)), then h + N(M(h))
 * </pre>
 *
 * What is added to h is first multiplied with the LayerScale vector, where there is one.
 */
record BlockLayer(int number, Block block, Branch attention, Branch mlp, Compute compute) {

    /** What one sub-layer computes. */
    @FunctionalInterface
    private interface SubLayer {
        Tensor forward(Tensor x, Sight sight) throws IOException;
    }

    /** A sub-layer with its norms and its scale. */
    private record Branch(
            Observer.Branch which, Optional<NormLayer> norm, SubLayer subLayer, Optional<NormLayer> outputNorm, Optional<Tensor> scale) {

        /** What this branch adds to the stream, given what it reads. */
        Tensor written(Tensor x, Sight sight, Compute compute) throws IOException {
            Tensor y = subLayer.forward(x, sight);
            if (outputNorm.isPresent()) {
                y = outputNorm.get().forward(y);
            }
            return scale.isPresent() ? cast(y.mul(scale.get()), compute) : y;
        }
    }

    static BlockLayer load(Loader from, Architecture architecture, int l) throws IOException {
        Block block = architecture.blocks().get(l);
        requireCompressible(architecture, block, l);
        Attention attention = block.attention();
        AttentionLayer attentionLayer = new AttentionLayer(
                attention,
                from.linear(Role.of(QUERY_KEY_VALUE, l, Field.WEIGHT), attention.bias()),
                queryKeyNorm(from, Role.of(QUERY_NORM, l, Field.GAIN), attention, attention.heads()),
                queryKeyNorm(from, Role.of(KEY_NORM, l, Field.GAIN), attention, attention.keyValueHeads()),
                from.linear(Role.of(ATTENTION_OUTPUT, l, Field.WEIGHT), attention.outputBias()),
                from.compute());
        Mlp mlp = block.mlp();
        MlpLayer mlpLayer = new MlpLayer(
                mlp.activation(),
                mlp.gated() ? Optional.of(from.linear(Role.of(MLP_GATE, l, Field.WEIGHT), mlp.bias())) : Optional.empty(),
                from.linear(Role.of(MLP_UP, l, Field.WEIGHT), mlp.bias()),
                from.linear(Role.of(MLP_DOWN, l, Field.WEIGHT), mlp.outputBias()),
                from.compute());
        return new BlockLayer(
                l,
                block,
                branch(Observer.Branch.ATTENTION, from, architecture, l, ATTENTION_NORM, attentionLayer::forward, ATTENTION_OUTPUT_NORM, ATTENTION_SCALE),
                branch(Observer.Branch.MLP, from, architecture, l, MLP_NORM, (x, _) -> mlpLayer.forward(x), MLP_OUTPUT_NORM, MLP_SCALE),
                from.compute());
    }

    private static Optional<NormLayer> queryKeyNorm(Loader from, Role gain, Attention attention, int heads) throws IOException {
        if (attention.queryKeyNorm().isEmpty()) {
            return Optional.empty();
        }
        QueryKeyNorm norm = attention.queryKeyNorm().get();
        return Optional.of(switch (norm.span()) {
            case HEAD -> from.norm(gain, norm.norm(), attention.headWidth());
            case EACH_HEAD -> from.norm(gain, norm.norm(), heads, attention.headWidth());
            case PROJECTION -> from.norm(gain, norm.norm(), (long) heads * attention.headWidth());
        });
    }

    private static Branch branch(Observer.Branch which, Loader from, Architecture architecture, int l, Part norm, SubLayer subLayer,
            Part outputNorm, Part scale) throws IOException {
        Block block = architecture.blocks().get(l);
        return new Branch(
                which,
                norm(from, architecture, l, norm, Architecture.norms(block).contains(norm)),
                subLayer,
                norm(from, architecture, l, outputNorm, Architecture.outputNorms(block).contains(outputNorm)),
                block.layerScale() ? Optional.of(from.vector(Role.of(scale, l, Field.WEIGHT), architecture.width())) : Optional.empty());
    }

    private static Optional<NormLayer> norm(Loader from, Architecture architecture, int l, Part part, boolean there) throws IOException {
        return there
                ? Optional.of(from.norm(Role.of(part, l, Field.GAIN), architecture.blocks().get(l).norm(), architecture.width()))
                : Optional.empty();
    }

    /** What a compressed stream is written with must sum to zero. */
    private static void requireCompressible(Architecture architecture, Block block, int l) {
        if (architecture.stream() == Stream.COMPRESSED && (block.norm().affine().hasGain() || block.layerScale())) {
            throw new IllegalArgumentException("block " + l + " of a compressed stream must have no gain and no LayerScale; fold "
                    + (block.layerScale() ? "the LayerScale" : "the " + block.norm().kind().label() + "'s gain") + " first");
        }
    }

    Tensor forward(Tensor h, Sight sight, Watch watch) throws IOException {
        watch.stream(number, h);
        return switch (block.wiring()) {
            case SEQUENTIAL -> then(mlp, then(attention, h, sight, watch), sight, watch);
            case PARALLEL -> {
                Tensor n = normalized(attention, h, watch);
                yield h.add(written(attention, n, h, sight, watch)).add(written(mlp, mlp.norm.orElseThrow().forward(h), h, sight, watch));
            }
            case PARALLEL_ONE_NORM -> {
                Tensor n = normalized(attention, h, watch);
                yield h.add(written(attention, n, h, sight, watch)).add(written(mlp, n, h, sight, watch));
            }
        };
    }

    private Tensor then(Branch branch, Tensor h, Sight sight, Watch watch) throws IOException {
        return switch (block.placement()) {
            case PRE, PERI -> h.add(written(branch, normalized(branch, h, watch), h, sight, watch));
            case OUTPUT, NONE -> h.add(written(branch, h, h, sight, watch));
            case POST -> normalized(branch, (block.recentre() ? recentre(h) : h).add(written(branch, h, h, sight, watch)), watch);
        };
    }

    private Tensor normalized(Branch branch, Tensor h, Watch watch) {
        Tensor n = branch.norm.orElseThrow().forward(h);
        if (branch == attention) {
            watch.normalized(number, n);
        }
        return n;
    }

    private Tensor written(Branch branch, Tensor x, Tensor h, Sight sight, Watch watch) throws IOException {
        Tensor written = branch.written(x, sight, compute);
        if (branch == attention && block.placement() == Placement.OUTPUT) {
            watch.normalized(number, written);
        }
        watch.written(number, branch.which, written, h);
        return written;
    }
}
