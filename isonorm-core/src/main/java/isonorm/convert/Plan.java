package isonorm.convert;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Companion;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.RelativeBias;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Config;
import isonorm.family.Families;
import isonorm.family.Family;
import isonorm.family.Isonorm;
import isonorm.family.Naming;
import isonorm.family.Stock;
import isonorm.family.StockDecoder;
import isonorm.family.StockTower;
import isonorm.model.ConversionRefused;
import isonorm.rewrite.Rewrite;
import isonorm.weights.Model;
import isonorm.weights.Quantized;
import isonorm.weights.Rotation;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * How a model is brought into a form: the rewrites, and the names and config of the result. Making a plan reads no weights.
 *
 * @param original the function that must not change: the source's, or what the source was before it was rounded where it is a centred model
 * @param result the rewritten model
 * @param rotation in which basis its stream is, with its width
 * @param naming how the result's tensors are named
 * @param config the result's config.json
 * @param notes what a user of the result should know, in sentences
 */
record Plan(
        LoadedModel source, Form form, Model original, List<Rewrite> rewrites, Model result, Optional<Rotation> rotation, Naming naming, Config config, List<String> notes) {

    /** Whether what is written is another function than the source, and held to itself before it is rounded. */
    boolean isSlice() {
        return original == result && !rewrites.isEmpty();
    }

    private static final int NAMED = 10; // keys in a note

    private static final String DUAL = "it has two streams, and its sub-layers and its output read one of them without a norm, so its mean is not redundant";

    /**
     * The form a model is in already; empty for an ordinary checkpoint of a family.
     */
    static Optional<Form> currentForm(LoadedModel model) {
        return model.config().textOr("", "model_type").equals("isonorm")
                ? Form.named(model.config().textOr("", "form"))
                : Optional.empty();
    }

    /** Whether matrices of a model are in few bits. */
    static boolean isQuantized(LoadedModel model) {
        return Model.of(model.model()).weights().values().stream().anyMatch(Quantized.class::isInstance);
    }

    /** Why a model that is rotated or in few bits is converted no further; empty where it is neither. */
    static Optional<String> last(LoadedModel model) {
        if (isQuantized(model)) {
            return Optional.of("its weights are in few bits, and what they were rounded from is gone; convert the checkpoint it came from, and quantize that");
        }
        return Isonorm.rotation(model.config()).map(rotation -> "its stream is rotated (" + rotation + "), and of a rotated one no mean is known and nothing kept for"
                + " a way back; convert the checkpoint it came from");
    }

    /** The form a model is in, in the words of reports. */
    static String formOf(LoadedModel model) {
        return Isonorm.rotation(model.config()).isPresent() ? Form.PRE_RMSNORM + ", rotated" : currentForm(model).map(Form::label).orElse("the family's checkpoint");
    }

    /** Every reason why {@code model} cannot become {@code form}; empty when it can. */
    static List<String> refusals(LoadedModel model, Form form) {
        if (last(model).isPresent()) {
            return List.of(last(model).get());
        }
        Architecture main = architecture(model);
        List<String> reasons = new ArrayList<>(refusals(main, currentForm(model), form));
        if (form == Form.PRE_LN && currentForm(model).isEmpty()) {
            return reasons; // which is of the whole
        }
        List<String> ofBoth = List.copyOf(reasons);
        main.companion().ifPresent(beside -> refusals(beside.architecture(), currentForm(model), form).stream().filter(reason -> !ofBoth.contains(reason))
                .forEach(reason -> reasons.add("of its " + beside.stack().title() + ": " + reason)));
        if (form == Form.CENTRED && reasons.isEmpty() && computed(model)) {
            reasons.add("its positions are computed and not stored, so there is no place where their mean could be taken out; ask for pre-rmsnorm or"
                    + " pre-crmsnorm");
        }
        if (form == Form.PRE_CRMSNORM && main.companion().filter(Plan::givesBareNorm).isPresent()) {
            reasons.add("its encoder gives what a norm without a gain gives, which would have one value less");
        }
        return reasons;
    }

    /** Every reason why {@code model} cannot be written as one of a stock family; empty when it can. */
    static List<String> refusals(LoadedModel model, Stock stock) {
        Architecture architecture = architecture(model);
        if (last(model).isPresent()) {
            return List.of(last(model).get());
        }
        if (currentForm(model).isPresent()) {
            return List.of("it is in the " + currentForm(model).get() + " form; convert the checkpoint it came from");
        }
        List<String> reasons = new ArrayList<>(refusals(architecture, Optional.empty(), Form.PRE_RMSNORM));
        stock.refusals(architecture).stream().filter(reason -> !reasons.contains(reason)).forEach(reasons::add);
        return reasons;
    }

    /**
     * The plan that makes {@code source} a model of a stock family: a tied table stays tied where the head cannot tell that its means are gone.
     *
     * @throws ConversionRefused with every reason, if there is no exact way
     */
    static Plan of(LoadedModel source, Stock stock, boolean untie) throws IOException {
        List<String> reasons = refusals(source, stock);
        if (!reasons.isEmpty()) {
            throw new ConversionRefused(reasons);
        }
        Model original = Model.of(source.model());
        boolean bare = original.architecture().finalNorm().filter(norm -> norm.affine() == Affine.NONE).isPresent();
        List<Rewrite> rewrites = new ArrayList<>(List.of(new Rewrite.Centre(untie || !bare), new Rewrite.ToRmsNorm()));
        rewrites.addAll(ofParts(stock));
        Architecture target = stock.of(Rewrite.all(original, rewrites).architecture());
        rewrites.add(new Rewrite.Settle(target));
        Config config = stock.config(target, source.config());
        Family.Description description = described(stock, config, target);
        return new Plan(source, Form.CENTRED, original, rewrites, Rewrite.all(original, rewrites), Optional.empty(), description.naming(), config, notes(source, target));
    }

    /** What a stock family has besides: scales, an order of queries and keys, gates. */
    static List<Rewrite> ofParts(Stock stock) {
        List<Rewrite> rewrites = new ArrayList<>();
        switch (stock) {
            case StockTower _ -> rewrites.add(new Rewrite.UnitScale(BranchScale.VECTOR));
            case StockDecoder decoder -> {
                if (decoder.has(StockDecoder.Place.PART_OF_HEADS)) {
                    rewrites.add(new Rewrite.TurnNeighbours());
                }
                if (decoder.has(StockDecoder.Place.CONSTANT_GATE)) {
                    rewrites.add(new Rewrite.ConstantGate());
                }
            }
        }
        return rewrites;
    }

    static Family.Description described(Stock stock, Config config, Architecture target) throws IOException {
        Family.Description description = Families.describe(config, Set.of());
        if (!description.architecture().equals(target)) {
            throw new ConversionRefused(List.of("a config.json of " + stock.type() + " cannot say what differs between its blocks"));
        }
        return description;
    }

    private static boolean sharesTable(Architecture architecture) {
        return architecture.companion().filter(beside -> beside instanceof Companion.Encoder encoder && encoder.sharesTable()).isPresent();
    }

    private static boolean givesBareNorm(Companion beside) {
        return beside instanceof Companion.Encoder(Architecture encoder, boolean _) && encoder.finalNorm().filter(norm -> !norm.affine().hasGain()).isPresent();
    }

    /** Whether a table that enters the stream lies in no file. */
    private static boolean computed(LoadedModel model) {
        try {
            Family.Description description = Families.describe(familyConfig(model), Set.of());
            return description.architecture().parameters().stream().anyMatch(parameter -> description.naming().computed(parameter).isPresent());
        } catch (CheckpointException | IllegalArgumentException | ArithmeticException e) {
            return false; // What is wrong with a source_config is said where it is needed.
        }
    }

    private static Config familyConfig(LoadedModel model) {
        return currentForm(model).isPresent() ? model.config().object("source_config") : model.config();
    }

    /** Those of one stack. */
    private static List<String> refusals(Architecture architecture, Optional<Form> current, Form form) {
        if (current.isPresent()) {
            return refusalsOfIsonorm(architecture, current.get(), form);
        }
        if (form == Form.PRE_LN) {
            return List.of("it is an ordinary checkpoint of " + architecture.family()
                    + " already; pre-ln leads back from pre-rmsnorm and pre-crmsnorm");
        }
        List<String> reasons = new ArrayList<>();
        List<Block> blocks = architecture.blocks();
        if (blocks.isEmpty()) {
            reasons.add("it has no blocks");
        }
        long rms = blocks.stream().filter(block -> !block.norm().kind().centres()).count();
        if (rms > 0) {
            NormKind kind = blocks.stream().map(block -> block.norm().kind()).filter(other -> !other.centres()).findFirst().orElseThrow();
            reasons.add("its norms are " + kind.label() + (kind.scalesRows() ? " already" : "") + " (" + rms + " of " + blocks.size()
                    + " blocks): they see the mean of the stream, so taking the mean out would change the function");
        }
        if (architecture.finalNorm().map(norm -> !norm.kind().centres()).orElse(false) && rms == 0) {
            reasons.add("its final norm is " + architecture.finalNorm().get().kind().label() + ", which sees the mean of the stream");
        }
        if (architecture.embedding().streamNorm().map(norm -> !norm.kind().centres()).orElse(false) && rms == 0) {
            reasons.add("its embedding norm is " + architecture.embedding().streamNorm().get().kind().label()
                    + ", which sees the mean of what enters the stream");
        }
        if (form == Form.RMSNORM) {
            postReasons(blocks, rms, reasons);
        } else {
            preReasons(architecture, form, reasons);
        }
        return reasons;
    }

    private static List<String> refusalsOfIsonorm(Architecture architecture, Form current, Form form) {
        if (current == form) {
            return List.of("it is " + form + " already");
        }
        if (current == Form.RMSNORM) {
            return List.of("it is a Post-LN model in the rmsnorm form, which has no other form; keep the checkpoint it came from");
        }
        if (form == Form.RMSNORM) {
            return List.of("it is a Pre-LN model in the " + current + " form; rmsnorm is the form of Post-LN models");
        }
        List<String> reasons = new ArrayList<>();
        embeddingReason(architecture, form, reasons);
        if (form.isFamilyFormat() && architecture.blocks().stream().anyMatch(block -> block.mixer().attention().gates() == RelativeBias.Gates.EACH_HEAD)) {
            reasons.add("each head has gates of its own here, with its part of what a norm applied in them, and " + architecture.family()
                    + "'s format has one layer for all heads; keep the checkpoint it came from");
        }
        return reasons;
    }

    private static void postReasons(List<Block> blocks, long rms, List<String> reasons) {
        long others = blocks.stream().filter(block -> !behindSum(block)).count();
        if (others == 0) {
            return;
        }
        if (blocks.stream().anyMatch(block -> block.either(Placement.DUAL))) {
            reasons.add(DUAL);
        } else if (blocks.stream().allMatch(block -> block.both(Placement.PRE)) && rms == 0) {
            reasons.add("its norms stand before the sub-layers (Pre-LN, " + others + " of " + blocks.size()
                    + " blocks); ask for pre-rmsnorm or pre-crmsnorm");
        } else {
            reasons.add("its norms do not stand behind the sum (" + placements(blocks.stream().filter(block -> !behindSum(block)).findFirst().orElseThrow())
                    + "); rmsnorm is the form of Post-LN models");
        }
    }

    /** Whether every norm that a block has on the stream stands behind a sum and is all that does. */
    private static boolean behindSum(Block block) {
        return block.either(Placement.POST)
                && Stream.of(block.attentionPlacement(), block.mlpPlacement()).allMatch(of -> of == Placement.POST || of == Placement.NONE);
    }

    private static String placements(Block block) {
        return Stream.of(block.attentionPlacement(), block.mlpPlacement()).distinct().map(Placement::label).collect(Collectors.joining(" and "));
    }

    private static void preReasons(Architecture architecture, Form form, List<String> reasons) {
        List<Block> blocks = architecture.blocks();
        if (architecture.dual()) {
            reasons.add(DUAL);
            return;
        }
        long post = count(blocks, of -> !of.normalizesInput() && of.normalizesSum());
        long output = count(blocks, of -> !of.normalizesInput() && of.normalizesBranch() && !of.normalizesSum());
        long peri = count(blocks, of -> of.normalizesInput() && of.normalizesBranch() && !of.normalizesSum());
        long both = count(blocks, of -> of.normalizesInput() && of.normalizesSum());
        long none = blocks.stream().filter(block -> block.either(Placement.NONE) && !block.either(Placement.POST)).count();
        if (post > 0) {
            reasons.add("its norms stand behind the sum (Post-LN, " + post + " of " + blocks.size()
                    + " blocks): the sub-layers read the stream without a norm, so its mean is not redundant"
                    + (blocks.stream().allMatch(Plan::behindSum) ? "; ask for rmsnorm" : ""));
        }
        if (output > 0) {
            reasons.add("its sub-layers read the stream without a norm (" + output + " of " + blocks.size()
                    + " blocks have norms on their outputs alone), so its mean is not redundant");
        }
        if (none > 0) {
            reasons.add("sub-layers of it have no norm at all and read the stream as it is (" + none + " of " + blocks.size()
                    + " blocks), so its mean is not redundant");
        }
        if (peri > 0) {
            reasons.add("norms with a gain write into its stream (" + peri + " of " + blocks.size()
                    + " blocks have norms on their outputs), so the stream is not centred by its weights");
        }
        if (both > 0) {
            reasons.add("its stream is what norms with a gain give (" + both + " of " + blocks.size()
                    + " blocks have norms before the sub-layers and behind the sum), so it is not centred by its weights");
        }
        if (architecture.finalNorm().isEmpty() && post == 0) {
            reasons.add("it has no final norm: its output reads the stream, mean included");
        }
        if (post == 0) {
            embeddingReason(architecture, form, reasons);
        }
    }

    private static long count(List<Block> blocks, Predicate<Placement> which) {
        return blocks.stream().filter(block -> which.test(block.attentionPlacement()) || which.test(block.mlpPlacement())).count();
    }

    private static void embeddingReason(Architecture architecture, Form form, List<String> reasons) {
        boolean affine = architecture.embedding().streamNorm().map(norm -> norm.affine() != Affine.NONE).orElse(false);
        if (form == Form.CENTRED && architecture.entersWhole()) {
            reasons.add("what enters its stream comes out of an activation, so it needs an explicit recentring, for which " + architecture.family()
                    + "'s format has no place; ask for pre-rmsnorm or pre-crmsnorm");
        } else if (form == Form.CENTRED && affine) {
            reasons.add("its embedding norm has a gain, so what it writes into the stream needs an explicit recentring, for which "
                    + architecture.family() + "'s format has no place; ask for pre-rmsnorm or pre-crmsnorm");
        }
    }

    /**
     * The plan that leads from {@code source} to {@code form}.
     *
     * @param untie whether a tied head becomes a weight of its own; {@link Form#CENTRED} always unties, having no place for the
     *     means
     * @throws ConversionRefused with every reason, if there is no exact way
     */
    static Plan of(LoadedModel source, Form form, boolean untie) throws IOException {
        return of(source, form, untie, new LeftOut.Last());
    }

    /** The same, of which a compressed stream leaves a dimension out that need not be the last. */
    static Plan of(LoadedModel source, Form form, boolean untie, LeftOut leftOut) throws IOException {
        List<String> reasons = refusals(source, form);
        if (!reasons.isEmpty()) {
            throw new ConversionRefused(reasons);
        }
        Optional<Form> current = currentForm(source);
        if (untie && current.isPresent() && !form.isFamilyFormat()) {
            throw new ConversionRefused(List.of("the head is untied when a family's checkpoint is converted, not between isonorm forms; "
                    + "convert the original checkpoint"));
        }
        List<Rewrite> rewrites = new ArrayList<>();
        Config familyConfig = source.config();
        Model original = Model.of(source.model());
        if (current.isPresent()) {
            familyConfig = source.config().object("source_config");
            rewrites.addAll(unrounded(current.get(), form, source, familyConfig));
            boolean rounded = !rewrites.stream().allMatch(each -> each instanceof Rewrite.Expand || each instanceof Rewrite.Swap); // they give the function that the file holds
            original = rounded ? rewritten(source, rewrites) : original;
            back(form, source, familyConfig, rewrites);
        }
        forth(current.isPresent(), form, untie, rewrites);
        OptionalInt dimension = OptionalInt.empty();
        if (form == Form.PRE_CRMSNORM) {
            dimension = leftOut.of(rewritten(source, rewrites));
            dimension.ifPresent(of -> rewrites.add(new Rewrite.Swap(of)));
            rewrites.add(new Rewrite.Compress());
        }
        if (form == Form.CENTRED) {
            unitScale(current.isPresent() ? describe(source, familyConfig) : architecture(source)).ifPresent(rewrites::add);
        }
        Model result = rewritten(source, rewrites);
        if (form.isFamilyFormat() && !result.architecture().tied() && sharesTable(result.architecture())) {
            rewrites.add(new Rewrite.Unshare());
            result = rewrites.getLast().apply(result);
        }
        if (!form.isFamilyFormat()) {
            Config config = Isonorm.config(result.architecture(), form.label(), familyConfig, Isonorm.VERSION);
            List<String> notes = notes(source, result.architecture());
            if (dimension.isPresent()) {
                config = Isonorm.withLeftOut(config, dimension.getAsInt());
                notes.add("Dimension " + dimension.getAsInt() + " of the stream is the one that is left out, in place of the last, which would cost more where values are"
                        + " rounded; left_out_dimension in config.json says so, and the way back puts it where it was.");
            }
            return new Plan(source, form, original, rewrites, result, Optional.empty(), Isonorm.naming(), config, notes);
        }
        boolean untied = result.architecture().output() instanceof Output.Words words && !words.tied();
        Config config = untied ? Family.untied(familyConfig) : familyConfig;
        Naming naming = current.isPresent()
                ? Families.describe(config, Set.of()).naming()
                : Families.describe(config, source.names()).naming();
        return new Plan(source, form, original, rewrites, result, Optional.empty(), naming, config, notes(source, result.architecture()));
    }

    /** What a model's file says of the one that it was made from may not fit what the file holds. */
    private static Model rewritten(LoadedModel source, List<Rewrite> rewrites) throws CheckpointException {
        try {
            return Rewrite.all(Model.of(source.model()), rewrites);
        } catch (IllegalArgumentException e) {
            if (currentForm(source).isEmpty()) {
                throw e;
            }
            throw disagrees(source, e.getMessage(), e);
        }
    }

    private static CheckpointException disagrees(LoadedModel source, @Nullable String how, @Nullable Exception cause) {
        String message = source.checkpoint().folder() + ": the form, the architecture and the source_config of config.json are not of one model: " + how
                + "; convert the original checkpoint again";
        return cause == null ? new CheckpointException(Reason.CONFIG_DISAGREES, message) : new CheckpointException(Reason.CONFIG_DISAGREES, message, cause);
    }

    /** What finds a centred model again that was rounded when it was written: a compressed one is centred by being expanded. */
    private static List<Rewrite> unrounded(Form current, Form form, LoadedModel source, Config familyConfig) throws CheckpointException {
        List<Rewrite> rewrites = new ArrayList<>();
        rewrites.add(current == Form.PRE_CRMSNORM ? new Rewrite.Expand() : new Rewrite.Recentre());
        Isonorm.leftOut(source.config(), architecture(source).width()).ifPresent(dimension -> rewrites.add(new Rewrite.Swap(dimension)));
        if (form.isFamilyFormat()) {
            rewrites.add(new Rewrite.Refold(describe(source, familyConfig)));
        }
        return rewrites;
    }

    private static void back(Form form, LoadedModel source, Config familyConfig, List<Rewrite> rewrites) throws CheckpointException {
        if (form.isFamilyFormat()) {
            Architecture family = describe(source, familyConfig);
            unitScale(family).ifPresent(rewrites::add);
            rewrites.add(new Rewrite.Restore(family));
        }
    }

    private static Architecture architecture(LoadedModel model) {
        return Model.of(model.model()).architecture();
    }

    /** The architecture of the family's checkpoint that an Isonorm one came from. */
    private static Architecture describe(LoadedModel source, Config familyConfig) throws CheckpointException {
        try {
            Architecture family = Families.describe(familyConfig, Set.of()).architecture();
            if (family.blocks().size() != source.model().depth()) {
                throw disagrees(source, family.blocks().size() + " blocks in source_config, " + source.model().depth() + " in architecture", null);
            }
            return family;
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw disagrees(source, e.getMessage(), e);
        }
    }

    /** What gives a format the scales back that conversion has folded. */
    private static Optional<Rewrite> unitScale(Architecture architecture) {
        return architecture.blocks().stream().map(Block::scale).filter(scale -> scale != BranchScale.NONE).findFirst().map(Rewrite.UnitScale::new);
    }

    private static void forth(boolean isonorm, Form form, boolean untie, List<Rewrite> rewrites) {
        switch (form) {
            case CENTRED -> rewrites.add(new Rewrite.Centre(true));
            case PRE_RMSNORM, PRE_CRMSNORM -> {
                if (!isonorm) {
                    rewrites.add(new Rewrite.Centre(untie));
                    rewrites.add(new Rewrite.ToRmsNorm());
                    rewrites.add(new Rewrite.Fold());
                }
            }
            case RMSNORM -> {
                if (untie) {
                    rewrites.add(new Rewrite.Untie());
                }
                rewrites.add(new Rewrite.PostToRmsNorm());
            }
            case PRE_LN -> {
                if (untie) {
                    rewrites.add(new Rewrite.Untie());
                }
            }
        }
    }

    static List<String> notes(LoadedModel source, Architecture result) throws CheckpointException {
        List<String> notes = new ArrayList<>();
        source.whole().ifPresent(whole -> notes.add("This is the language model of " + whole + ", alone: " + source.unused().size()
                + " tensors of its other parts are left out."));
        List<String> unknown = source.unknownKeys();
        if (!unknown.isEmpty()) {
            notes.add("config.json has keys that are not known to " + Families.type(source.config()) + " and were not used: "
                    + String.join(", ", unknown.subList(0, Math.min(NAMED, unknown.size())))
                    + (unknown.size() > NAMED ? " and " + (unknown.size() - NAMED) + " more" : "") + ".");
        }
        if (!result.comparesTowers() && result.output() instanceof Output.Hidden hidden && hidden.pooler().bareStream()) {
            notes.add("The last hidden state of this model is the residual stream itself: a converted model gives it without each token's "
                    + "mean. The pooled output is unchanged.");
        }
        return notes;
    }
}
