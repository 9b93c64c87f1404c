package isonorm.backpropagation;

import static isonorm.architecture.Part.ATTENTION_NORM;
import static isonorm.architecture.Part.ATTENTION_OUTPUT;
import static isonorm.architecture.Part.ATTENTION_OUTPUT_NORM;
import static isonorm.architecture.Part.ATTENTION_SCALE;
import static isonorm.architecture.Part.ATTENTION_STREAM_GATE;
import static isonorm.architecture.Part.MLP_DOWN;
import static isonorm.architecture.Part.MLP_NORM;
import static isonorm.architecture.Part.MLP_OUTPUT_NORM;
import static isonorm.architecture.Part.MLP_SCALE;
import static isonorm.architecture.Part.MLP_STREAM_GATE;
import static isonorm.architecture.Role.Field.BIAS;
import static isonorm.architecture.Role.Field.GAIN;
import static isonorm.architecture.Role.Field.WEIGHT;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Experts;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mlp;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Placement.Place;
import isonorm.architecture.Role;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import java.lang.foreign.Arena;
import java.util.Optional;
import java.util.function.UnaryOperator;

/**
 * One block on the stream h and its backward pass, with F attention or the MLP, N norms, and D the gradient of h:
 *
 * <pre>
 * N3(alpha h + N2(F(N1(h))))    D = N3'(D), then alpha D + N1'(F'(N2'(D)))
 * </pre>
 *
 * with those norms that the {@link Placement} has. A second stream is y + F(h), whose gradient F' reads too. alpha is 1 but in DeepNorm and Keel. What F writes can be multiplied with a LayerScale, a number (SkipInit) or a constant (LayerNorm Scaling in
 * models of images), and dropped by chance; a gate scales h behind the sum.
 */
final class BlockFunction {

    /** What a sub-layer computes of what it reads. */
    @FunctionalInterface
    private interface SubLayer {
        Traced forward(Rows x, Step step);
    }

    /**
     * A sub-layer with what stands around it.
     *
     * @param number counts the sub-layers of the model: what is dropped by chance differs in each
     * @param inputNorm N1, of what it reads
     * @param branchNorm N2, of what it writes
     * @param sumNorm N3, behind the sum
     */
    private record Branch(
            int number,
            Placement placement,
            Optional<NormFunction> inputNorm,
            SubLayer subLayer,
            Optional<Parameters.Entry> bias,
            Optional<NormFunction> branchNorm,
            Optional<NormFunction> sumNorm,
            Optional<Parameters.Entry> scale,
            Optional<Parameters.Entry> gate) {}

    /** Where the parts of a branch are. */
    private record Parts(Part norm, Part output, boolean bias, Part outputNorm, Part scale, Part gate) {}

    private final Block block;
    private final int width;
    private final Scales scales;
    private final double depth;
    private final double factor;
    private final boolean changed;
    private final Branch attention;
    private final Branch mlp;

    BlockFunction(Parameters from, Architecture architecture, int l, Scales scales, Arena arena) {
        this.block = architecture.blocks().get(l);
        if (block.recentre()) {
            throw new IllegalArgumentException("a block that recentres its skip is a converted model's; train the original");
        }
        this.scales = scales;
        this.depth = architecture.blocks().size() == 1 ? 0 : (double) l / (architecture.blocks().size() - 1);
        this.factor = scales.constants().branch(l) * block.branch();
        this.changed = scales.changesBranches(l) || block.branch() != 1;
        this.width = architecture.streamWidth();
        SubLayer mixer = switch (block.mixer()) {
            case Attention attention -> new AttentionFunction(from, attention, l, architecture.context(), scales.attention(), arena)::forward;
            case LatentAttention _ -> throw new IllegalArgumentException("latent attention is not trained, got " + architecture.family()
                    + "; train a model without it");
        };
        SubLayer feedForward = switch (block.feedForward()) {
            case Mlp mlp -> new MlpFunction(from, mlp, l)::forward;
            case Experts _ -> throw new IllegalArgumentException("experts are not trained, got " + architecture.family() + "; train a model without them");
        };
        this.attention = branch(from, l, 2 * l, block.attentionPlacement(), mixer, new Parts(ATTENTION_NORM, ATTENTION_OUTPUT,
                block.mixer().outputBias(), ATTENTION_OUTPUT_NORM, ATTENTION_SCALE, ATTENTION_STREAM_GATE));
        this.mlp = branch(from, l, 2 * l + 1, block.mlpPlacement(), feedForward, new Parts(MLP_NORM, MLP_DOWN,
                block.feedForward().outputBias(), MLP_OUTPUT_NORM, MLP_SCALE, MLP_STREAM_GATE));
    }

    private Branch branch(Parameters from, int l, int number, Placement placement, SubLayer subLayer, Parts parts) {
        if (factor != 1 && placement.normalizesBranch() && !block.norm().affine().hasGain()) {
            throw new IllegalArgumentException("a norm without a gain cannot carry the factor of what a branch writes, got " + factor + " in block " + l
                    + "; take a norm with a gain");
        }
        Optional<NormFunction> norm = norm(from, Architecture.norms(block).contains(parts.norm), Role.of(parts.norm, l, GAIN),
                scales.constants().norm(l, parts.norm == ATTENTION_NORM));
        Optional<NormFunction> outputNorm = norm(
                from, Architecture.outputNorms(block).contains(parts.outputNorm), Role.of(parts.outputNorm, l, GAIN), 1);
        return new Branch(number, placement,
                placement.at(Place.INPUT, norm, outputNorm),
                subLayer,
                parts.bias ? Optional.of(from.get(parts.output, l, BIAS)) : Optional.empty(),
                placement.at(Place.BRANCH, norm, outputNorm),
                placement.at(Place.SUM, norm, outputNorm),
                block.scale() != BranchScale.NONE ? Optional.of(from.get(parts.scale, l, WEIGHT)) : Optional.empty(),
                block.gates() ? Optional.of(from.get(parts.gate, l, WEIGHT)) : Optional.empty());
    }

    private Optional<NormFunction> norm(Parameters from, boolean there, Role gain, double factor) {
        return there ? Optional.of(NormFunction.of(block.norm(), gain, from, width, factor)) : Optional.empty();
    }

    /**
     * The stream behind this block.
     *
     * @param second the second stream of ResiDual; not read elsewhere
     */
    TracedResidual forward(TracedResidual h, TracedResidual second, Step step) {
        return switch (block.wiring()) {
            case SEQUENTIAL -> then(mlp, then(attention, h, second, step), second, step);
            case PARALLEL, PARALLEL_ONE_NORM -> parallel(h, step);
        };
    }

    private TracedResidual then(Branch branch, TracedResidual h, TracedResidual second, Step step) {
        boolean dual = branch.placement.writesSecondStream();
        Optional<NormFunction> inner = branch.inputNorm;
        Optional<TracedResidual.Normed> n = inner.map(h::read);
        Written f = write(branch, n.map(TracedResidual.Normed::value).orElseGet(() -> step.narrow(h.settled())), step);
        Optional<Summed> summed = branch.sumNorm.map(outer -> summed(outer, f, h, step));
        if (summed.isEmpty()) {
            add(f, h);
        }
        if (dual) {
            second.set(second.plus(1, f.value, f.bias));
        }
        step.back(() -> {
            Rows D = h.gradient();
            summed.ifPresent(each -> each.norm.backward(h.carried(each.sum), h.carried(D), h.carried(D), step));
            Rows dx = f.back(dual ? h.gradientWith(second) : D);
            rescale(D, step);
            if (inner.isPresent()) {
                inner.get().addBackward(h.carried(n.orElseThrow().h()), h.carried(dx), h.carried(D), step);
            } else {
                step.add(dx, 1, D);
            }
        });
        branch.gate.ifPresent(gate -> gate(gate, h, step));
        return h;
    }

    /** A norm behind the sum, with the sum that it read. */
    private record Summed(NormFunction norm, Rows sum) {}

    /** {@code h = norm(alpha h + f)}. */
    private Summed summed(NormFunction norm, Written f, TracedResidual h, Step step) {
        Rows sum = h.plus(block.skip(), f.value, f.bias);
        Rows normed = step.wideRoom(h.width());
        norm.forward(h.carried(sum), h.carried(normed), step);
        h.set(normed);
        return new Summed(norm, sum);
    }

    /** {@code h = alpha h + f}; without a factor the sum waits for the next norm. */
    private void add(Written f, TracedResidual h) {
        if (block.skip() == 1) {
            h.add(f.value, f.bias);
        } else {
            h.set(h.plus(block.skip(), f.value, f.bias));
        }
    }

    private void rescale(Rows gradient, Step step) {
        if (block.skip() != 1) {
            step.scale(gradient, block.skip());
        }
    }

    /** Both read the same stream, through a norm each or through one. */
    private TracedResidual parallel(TracedResidual h, Step step) {
        NormFunction first = attention.inputNorm.orElseThrow();
        TracedResidual.Normed n = h.read(first);
        NormFunction second = mlp.inputNorm.orElse(first);
        TracedResidual.Normed m = mlp.inputNorm.isPresent() ? h.read(second) : n;
        Written a = write(attention, n.value(), step);
        Written b = write(mlp, m.value(), step);
        add(a, h);
        h.add(b.value, b.bias);
        step.back(() -> {
            Rows dn = a.back(h.gradient());
            Rows dm = b.back(h.gradient());
            rescale(h.gradient(), step);
            first.addBackward(h.carried(n.h()), h.carried(dn), h.carried(h.gradient()), step);
            second.addBackward(h.carried(m.h()), h.carried(dm), h.carried(h.gradient()), step);
        });
        return h;
    }

    /** What a branch adds to the stream, and the backward pass from the stream's gradient to that of what the sub-layer read. */
    private record Written(Rows value, Values bias, UnaryOperator<Rows> way) {

        Rows back(Rows gradient) {
            return way.apply(gradient);
        }
    }

    private Written write(Branch branch, Rows read, Step step) {
        Traced f = branch.subLayer.forward(read, step);
        Values bias = branch.bias.map(Parameters.Entry::values).orElse(Values.NONE);
        Optional<NormFunction> norm = branch.branchNorm;
        boolean last = norm.isEmpty() && branch.scale.isEmpty() && !changed;
        if (last) {
            return new Written(f.value(), bias, D -> f.back().apply(biased(branch, step.narrow(D), step)));
        }
        Rows written = f.value();
        if (bias.present()) {
            step.split(written.rows(), (first, rows) -> step.kernels().addBias(written.slice(first, rows).sliceColumns(0, bias.count()), bias));
        }
        Rows normed = norm.isEmpty() ? written : step.room(written.columns());
        norm.ifPresent(each -> each.forward(carried(written), carried(normed), step));
        Rows scaled = branch.scale.isEmpty() ? normed : step.room(written.columns());
        branch.scale.ifPresent(scale -> scale(normed, scale, scaled, step));
        Scales.Dropping dropping = scales.dropping(branch.number, depth);
        Rows dropped = dropping.none() && factor == 1 ? scaled : step.narrowCopy(scaled);
        if (factor != 1) {
            step.scale(dropped, factor);
        }
        dropping.apply(dropped, step);
        return new Written(dropped, Values.NONE, D -> {
            Rows dy = step.narrowCopy(D);
            dropping.apply(dy, step);
            if (factor != 1) {
                step.scale(dy, factor);
            }
            branch.scale.ifPresent(scale -> scaleBack(normed, scale, dy, step));
            norm.ifPresent(each -> each.backward(carried(written), carried(dy), carried(dy), step));
            return f.back().apply(biased(branch, dy, step));
        });
    }

    /** The part of whole rows that a stream of d - 1 values has. */
    private Rows carried(Rows x) {
        return x.sliceColumns(0, width);
    }

    /** {@code out = s x}, s being a vector or one number. */
    private void scale(Rows x, Parameters.Entry s, Rows out, Step step) {
        step.split(x.rows(), (first, rows) -> {
            if (block.scale() == BranchScale.NUMBER) {
                step.kernels().copy(x.slice(first, rows), out.slice(first, rows));
                step.gradients().scale(out.slice(first, rows), s.values().get(0));
            } else {
                step.gradients().multiplyColumns(x.slice(first, rows), s.values(), out.slice(first, rows));
            }
        });
    }

    /** {@code dy} becomes {@code s dy}. */
    private void scaleBack(Rows x, Parameters.Entry s, Rows dy, Step step) {
        if (block.scale() == BranchScale.NUMBER) {
            s.gradient().set(0, 0, s.gradient().get(0, 0) + step.dot(x, dy));
            step.scale(dy, s.values().get(0));
        } else {
            step.summing(dy.rows(), new Rows[] {s.gradient()}, (first, rows, sums) ->
                    step.gradients().columnFactors(x.slice(first, rows), s.values(), dy.slice(first, rows), sums[0]));
        }
    }

    /** Adds what belongs to the gradient of the branch's bias to it. */
    private static Rows biased(Branch branch, Rows dy, Step step) {
        branch.bias.ifPresent(bias -> step.addColumnSums(dy.sliceColumns(0, bias.gradient().columns()), bias.gradient()));
        return dy;
    }

    /** GPAS: {@code h <- h - SiLU(g) h}, through which the gradient of h passes unchanged (arXiv 2506.22049). */
    private static void gate(Parameters.Entry gate, TracedResidual h, Step step) {
        double g = gate.values().get(0);
        double sigmoid = 1 / (1 + Math.exp(-g));
        Rows before = h.settled();
        h.set(h.scaled(1 - g * sigmoid));
        step.back(() -> {
            double slope = sigmoid * (1 + g * (1 - sigmoid));
            Rows gradient = gate.gradient();
            gradient.set(0, 0, gradient.get(0, 0) - slope * step.dot(before, h.gradient()));
        });
    }
}
