package isonorm.convert;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.checkpoint.Config;
import isonorm.family.Isonorm;
import isonorm.family.Naming;
import isonorm.family.Stock;
import isonorm.model.ConversionRefused;
import isonorm.rewrite.Rewrite;
import isonorm.weights.Basis;
import isonorm.weights.Model;
import isonorm.weights.Rotation;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Stream;

/** How a model's stream is carried in another basis: the pre-rmsnorm form, rotated. Making a plan reads no weights. */
final class Rotating {

    private static final String OTHER_VALUES = ": a gain acts on each value of the stream by itself, and a rotated stream has others";

    private Rotating() {}

    /** Every reason why {@code model} cannot be rotated so and written as a stock family then; empty when it can. */
    static List<String> refusals(LoadedModel model, Rotation rotation, boolean given, Stock stock) {
        List<String> reasons = new ArrayList<>(refusals(model, rotation, given));
        Architecture architecture = Model.of(model.model()).architecture();
        stock.refusals(architecture).stream().filter(reason -> !reasons.contains(reason)).forEach(reasons::add);
        if (rotation.extent() == Rotation.Extent.SUB_LAYER) {
            reasons.add("a product stands on each skip of it then, for which " + stock.type() + " has no place; leave the basis one");
        }
        if (reasons.isEmpty()) {
            stock.refusal(architecture, rotation.carried(architecture.width())).ifPresent(reasons::add);
        }
        return reasons;
    }

    /** Every reason why {@code model} cannot be rotated so; empty when it can. */
    static List<String> refusals(LoadedModel model, Rotation rotation, boolean given) {
        Optional<String> early = Plan.last(model).or(() -> Plan.currentForm(model).map(form -> "it is in the " + form + " form; convert the checkpoint it came from"));
        if (early.isPresent()) {
            return List.of(early.get());
        }
        Architecture main = Model.of(model.model()).architecture();
        List<String> reasons = new ArrayList<>(streamReasons(main));
        main.companion().ifPresent(beside -> {
            List<String> others = streamReasons(beside.architecture());
            if (main.comparesTowers() && beside.architecture().output() instanceof Output.Hidden hidden && hidden.probe().isEmpty() && hidden.projection().isEmpty()) {
                others.add("what it pools is the stream behind the final norm, and no matrix reads that");
            }
            others.stream().filter(reason -> !reasons.contains(reason)).forEach(reason -> reasons.add("of its " + beside.stack().title() + ": " + reason));
        });
        if (rotation.heads()) {
            headReasons(main, reasons);
            main.companion().ifPresent(beside -> headReasons(beside.architecture(), reasons));
        }
        if (rotation.extent() == Rotation.Extent.SUB_LAYER) {
            if (rotation.kind() != Rotation.Kind.PRINCIPAL) {
                reasons.add("a basis for each sub-layer is of its own principal components, got " + rotation.kind().label() + "; one is enough of others");
            }
            if (main.companion().isPresent()) {
                reasons.add("it has two stacks, and a basis for each sub-layer is found for one");
            }
        }
        if (reasons.isEmpty()) {
            widthReasons(main, rotation, given, reasons);
        }
        return reasons;
    }

    /** What stands between the values of attention and its output projection and does not commute with a rotation of them. */
    private static void headReasons(Architecture architecture, List<String> reasons) {
        Set<String> found = new LinkedHashSet<>();
        for (Block block : architecture.blocks()) {
            switch (block.mixer()) {
                case LatentAttention _ -> found.add("its attention is latent: the heads' values are not rotated");
                case Attention attention -> {
                    if (attention.norms().value().isPresent()) {
                        found.add("a norm of values stands inside its attention, which a rotation of the heads' values does not pass");
                    }
                    if (attention.norms().inner().isPresent()) {
                        found.add("a norm stands before its attention's output projection, which a rotation of the heads' values does not pass");
                    }
                    if (attention.clip().isPresent()) {
                        found.add("its queries, keys and values are clamped, which a rotation of the heads' values does not pass");
                    }
                }
            }
        }
        found.stream().filter(reason -> !reasons.contains(reason)).forEach(reasons::add);
    }

    private static List<String> streamReasons(Architecture architecture) {
        List<String> reasons = new ArrayList<>();
        List<Block> blocks = architecture.blocks();
        if (blocks.isEmpty()) {
            return new ArrayList<>(List.of("it has no blocks"));
        }
        String ofBlocks = " of " + blocks.size() + " blocks";
        List<NormKind> kinds = Stream.concat(blocks.stream().map(Block::norm), architecture.finalNorm().stream()).map(Norm::kind).distinct().toList();
        if (kinds.contains(NormKind.DYNAMIC_TANH)) {
            reasons.add("its norms are dyt, which act on each value of the stream by itself, and a rotated stream has others");
        } else if (kinds.size() > 1) {
            reasons.add("its norms are of two kinds, " + kinds.getFirst().label() + " and " + kinds.get(1).label() + ", of which one sees the mean of the stream");
        }
        if (architecture.dual()) {
            reasons.add("it has two streams, and what norms with a gain give is one of them" + OTHER_VALUES);
            return reasons;
        }
        long sum = count(blocks, Placement::normalizesSum);
        long branch = count(blocks, Placement::normalizesBranch);
        long none = count(blocks, of -> of == Placement.NONE);
        if (sum > 0) {
            reasons.add("its stream is what norms with a gain give (" + sum + ofBlocks + " have norms behind the sum)" + OTHER_VALUES);
        }
        if (branch > 0) {
            reasons.add("norms with a gain write into its stream (" + branch + ofBlocks + " have norms on their outputs)" + OTHER_VALUES);
        }
        if (none > 0) {
            reasons.add("sub-layers of it have no norm and read the stream as it is (" + none + ofBlocks + ")");
        }
        if (architecture.finalNorm().isEmpty() && sum == 0) {
            reasons.add("it has no final norm: its output reads the stream as it is");
        }
        return reasons;
    }

    private static boolean layer(Architecture architecture) {
        return architecture.blocks().getFirst().norm().kind().centres();
    }

    private static long count(List<Block> blocks, Predicate<Placement> which) {
        return blocks.stream().filter(block -> which.test(block.attentionPlacement()) || which.test(block.mlpPlacement())).count();
    }

    /** Whether what its output is, or a norm behind the final one, is made of all the values that the stream has, so that it must be what it was; a tower pools by matrices. */
    private static boolean leavesThroughMatrix(Architecture architecture) {
        return switch (architecture.output()) {
            case Output.Words _ -> false;
            case Output.Labels labels -> labels.transform().filter(transform -> transform.dense().isEmpty()).isPresent();
            case Output.Hidden hidden -> !architecture.comparesTowers() || hidden.probe().isEmpty() && hidden.projection().isEmpty();
        };
    }

    private static void widthReasons(Architecture main, Rotation rotation, boolean given, List<String> reasons) {
        int d = main.width();
        int k = rotation.width(d);
        boolean layer = layer(main);
        int fewest = layer ? d - 1 : d;
        if (k > d) {
            reasons.add("its stream has a width of " + d + ", and a rotation can't make it wider, got a width of " + k);
        } else if (rotation.pad().orElse(k) < k) {
            reasons.add("a stream of " + k + " values is padded to as many or more, got " + rotation.pad().getAsInt());
        } else if (rotation.carried(d) != d && main.companion().isPresent()) {
            reasons.add("it has two stacks, which a width of " + rotation.carried(d) + " cannot be meant for both of; leave it out");
        } else if (k < fewest && !given) {
            reasons.add("a width of " + k + " cuts off a part of the stream, which takes " + fewest + " of its " + d + " values" + (layer ? " (its mean is not needed)" : "")
                    + "; what can be cut off is found by principal components of data");
        } else if (rotation.kind() == Rotation.Kind.PRINCIPAL && !given) {
            reasons.add("principal components come of data, and none is given");
        } else if (k < 2) {
            reasons.add("a stream has 2 values or more, got a width of " + k);
        } else if (rotation.carried(d) != d && main.output() instanceof Output.Hidden && !leavesThroughMatrix(main)) {
            reasons.add("what it pools is as wide as the stream; leave the width out");
        } else {
            Stream.concat(Stream.of(main), main.companion().map(Companion::architecture).stream()).flatMap(each -> rotation.obstacle(each.width()).stream()).distinct()
                    .forEach(reasons::add);
        }
    }

    /**
     * The plan that rotates {@code source}.
     *
     * @param given the basis, where it isn't what the rotation says it is made of, or that of each sub-layer and the last one; of fewer vectors than the stream has dimensions
     *     it gives another function
     * @param untie whether a tied head becomes a weight of its own wherever it could stay tied
     * @param stock as which family it is written; empty for Isonorm's own format
     * @throws ConversionRefused with every reason, if there is no exact way
     */
    static Plan plan(LoadedModel source, Rotation rotation, List<Basis> given, boolean untie, Optional<Stock> stock) throws IOException {
        List<String> reasons = stock.isPresent() ? refusals(source, rotation, !given.isEmpty(), stock.get()) : refusals(source, rotation, !given.isEmpty());
        if (!reasons.isEmpty()) {
            throw new ConversionRefused(reasons);
        }
        Model original = Model.of(source.model());
        List<Rewrite> rewrites = rewrites(original.architecture(), rotation, given, untie);
        Config config = source.config();
        Naming naming = Isonorm.naming();
        if (stock.isPresent()) {
            rewrites.addAll(Plan.ofParts(stock.get()));
            Architecture target = stock.get().of(Rewrite.all(original, rewrites).architecture());
            rewrites.add(new Rewrite.Settle(target));
            config = stock.get().config(target, source.config());
            naming = Plan.described(stock.get(), config, target).naming();
        }
        Model result = Rewrite.all(original, rewrites);
        Rotation whole = rotation.of(original.width());
        config = stock.isPresent() ? config : Isonorm.rotated(result.architecture(), config, whole);
        List<String> notes = new ArrayList<>(Plan.notes(source, result.architecture()));
        notes.add("The residual stream is in another basis (" + rotation + "): hidden states are not those of the original, and there is no way back; keep it.");
        Architecture turned = result.architecture();
        turned.companion().map(Companion::architecture).filter(beside -> beside.bases().entry().isPresent())
                .ifPresent(_ -> notes.add("What its second stack is entered with passes a matrix of its own, embedding.basis, since its embedding cannot give values of another basis."));
        turned.bases().entry().ifPresent(_ -> notes.add("What enters the stream passes a matrix of its own, embedding.basis, since its embedding cannot give values of another basis."));
        turned.bases().exit().ifPresent(_ -> notes.add("The final norm reads the stream through a matrix of its own, output.basis, so that it and what is behind it are what they were."));
        if (turned.bases().skips()) {
            notes.add("Each sub-layer reads the stream in a basis of its own, and products on the skips, attention_skip and mlp_skip, lead from one to the next.");
        }
        int kept = whole.width(original.width());
        boolean cut = kept < original.width() - (layer(original.architecture()) ? 1 : 0);
        if (cut) {
            notes.add("It is another function: of " + original.width() + " values of the stream the " + kept + " that are largest over the data are left.");
        }
        return new Plan(source, stock.isPresent() ? Form.CENTRED : Form.PRE_RMSNORM, cut ? result : original, rewrites, result, Optional.of(whole), naming, config, notes);
    }

    private static List<Rewrite> rewrites(Architecture architecture, Rotation rotation, List<Basis> given, boolean untie) {
        boolean layer = layer(architecture);
        boolean normed = Stream.concat(Stream.of(architecture), architecture.companion().map(Companion::architecture).stream())
                .anyMatch(each -> each.embedding() instanceof Embedding.Sound
                        || each.embedding().streamNorm().filter(norm -> !commutes(norm) || rotation.carried(architecture.width()) != architecture.width()).isPresent());
        boolean alone = architecture.companion().isEmpty() && architecture.embedding() instanceof Embedding.Tokens tokens && !tokens.projected() && tokens.positions() == 0
                && tokens.segments() == 0 && tokens.special().hidden().isEmpty();
        List<Rewrite> rewrites = new ArrayList<>();
        if (untie || mustUntie(architecture, rotation, normed, alone)) {
            rewrites.add(new Rewrite.Untie());
        }
        if (normed) {
            rewrites.add(alone ? new Rewrite.NormTable() : new Rewrite.Enter());
        }
        if (leavesThroughMatrix(architecture)) {
            rewrites.add(new Rewrite.Leave());
        }
        if (layer) {
            rewrites.add(new Rewrite.Centre(false));
            rewrites.add(new Rewrite.ToRmsNorm());
        }
        rewrites.add(new Rewrite.Fold());
        rewrites.add(new Rewrite.FoldOutput());
        if (rotation.heads()) {
            rewrites.add(new Rewrite.RotateHeads(rotation));
        }
        rewrites.add(new Rewrite.Rotate(rotation, given));
        return rewrites;
    }

    /** Whether a norm of what enters the stream gives a rotated vector of a rotated one, of as many values: that of others would have another length. */
    private static boolean commutes(Norm norm) {
        return norm.kind() == NormKind.RMS && norm.affine() == Affine.NONE;
    }

    /** Whether a head that is the token table would be another matrix than the table then. */
    private static boolean mustUntie(Architecture architecture, Rotation rotation, boolean normed, boolean alone) {
        if (!(architecture.output() instanceof Output.Words words) || !words.tied()) {
            return false;
        }
        boolean entersStream = architecture.tokensEnterStream() && (!normed || alone);
        boolean bare = architecture.finalNorm().filter(norm -> norm.affine() == Affine.NONE).isPresent();
        boolean readsStream = words.projectedWidth() == 0 && words.transform().isEmpty();
        boolean one = rotation.extent() == Rotation.Extent.MODEL;
        return readsStream ? !(one && bare && entersStream && !normed && rotation.width(architecture.width()) == architecture.width() && rotation.carried(architecture.width()) == architecture.width()) : entersStream;
    }
}
