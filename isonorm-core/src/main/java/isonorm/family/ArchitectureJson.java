package isonorm.family;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Alibi;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Bases;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Companion;
import isonorm.architecture.CrossAttention;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.FeedForward;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mixer;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Scaling;
import isonorm.architecture.Routing;
import isonorm.architecture.Stack;
import isonorm.architecture.Stream;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.function.Function;

/**
 * An architecture as the {@code architecture} object of an Isonorm config.json; docs/format.md is its specification. Keys that
 * say "none" are left out. Blocks that are equal and follow each other are written once, with {@code repeat}.
 */
final class ArchitectureJson {

    private ArchitectureJson() {}

    /** The first version of the format that says what this architecture needs. */
    static int version(Architecture architecture) {
        boolean plain = architecture.companion().isEmpty() && architecture.bases().equals(Bases.ONE) && plain(architecture.embedding()) && plain(architecture.output(), architecture.width());
        return !plain || architecture.blocks().stream().anyMatch(block -> block.branch() != 1 || isNew(block.mixer()) || isNew(block.feedForward())) ? 2 : 1;
    }

    private static boolean isNew(Mixer mixer) {
        return switch (mixer) {
            case Attention attention -> attention.positions().rotary().filter(rotary -> rotary.grid().isPresent() || switch (rotary.scaling()) {
                case Scaling.None _, Scaling.Linear _, Scaling.Llama3 _ -> false;
                case Scaling.Yarn _, Scaling.Long _, Scaling.Dynamic _, Scaling.Proportional _ -> true;
            }).isPresent() || attention.scores().sinks() || !attention.keyBias() || attention.positions().relative().isPresent();
            case LatentAttention _ -> true;
        };
    }

    private static boolean isNew(FeedForward feedForward) {
        return switch (feedForward) {
            case Mlp mlp -> mlp.clamp().isPresent();
            case Experts _ -> true;
        };
    }

    static Config write(Architecture architecture) {
        return Config.parse(json(architecture).toString());
    }

    private static boolean plain(Embedding embedding) {
        return switch (embedding) {
            case Embedding.Tokens tokens -> tokens.special().equals(Embedding.Special.NONE) && tokens.projection() != Embedding.Projection.SUM;
            case Embedding.Patches patches -> patches.positions() && patches.cut().equals(Embedding.Patches.Cut.of(patches.patch()))
                    && patches.beside().equals(new Embedding.Patches.Beside(1, 0));
            case Embedding.Sound _ -> false;
        };
    }

    private static boolean plain(Output output, int width) {
        return switch (output) {
            case Output.Words words -> words.transform().map(transform -> plain(transform, width)).orElse(true);
            case Output.Labels labels -> labels.transform().isEmpty()
                    && (labels.pooling() == Output.Pooling.FIRST || labels.pooling() == Output.Pooling.FIRST_AND_MEAN);
            case Output.Hidden hidden -> hidden.projection().isEmpty() && switch (hidden.pooler()) {
                case NONE, FIRST, DENSE_TANH, NORMED_FIRST -> true;
                case LAST, END, PROBE, MEAN_OF_TWO, NORMED_MEAN -> false;
            };
        };
    }

    /** Whether it is all there, as wide as the stream. */
    private static boolean plain(Output.Transform transform, int width) {
        return transform.norm().isPresent() && transform.dense().filter(dense -> dense.bias() && dense.width() == width).isPresent();
    }

    private static ObjectNode json(Architecture architecture) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("family", architecture.family());
        json.put("width", architecture.width());
        json.put("context", architecture.context());
        json.put("stream", architecture.stream().label());
        json.set("embedding", write(architecture.embedding()));
        ArrayNode blocks = json.putArray("blocks");
        int from = 0;
        while (from < architecture.blocks().size()) {
            Block block = architecture.blocks().get(from);
            int to = from;
            while (to < architecture.blocks().size() && architecture.blocks().get(to).equals(block)) {
                to++;
            }
            blocks.add(write(block, to - from));
            from = to;
        }
        architecture.finalNorm().ifPresent(norm -> json.set("final_norm", write(norm)));
        json.set("output", write(architecture.output(), architecture.ending().width()));
        if (!architecture.bases().equals(Bases.ONE)) {
            ObjectNode bases = json.putObject("bases");
            architecture.bases().entry().ifPresent(values -> bases.put("entry", values));
            if (architecture.bases().skips()) {
                bases.put("skips", true);
            }
            architecture.bases().exit().ifPresent(values -> bases.put("exit", values));
        }
        architecture.companion().ifPresent(beside -> {
            ObjectNode second = json.putObject("companion");
            second.put("kind", beside.stack().label());
            switch (beside) {
                case Companion.Encoder(Architecture _, boolean sharesTable) -> second.put("shares_table", sharesTable);
                case Companion.ImageTower(Architecture _, boolean bias) -> second.put("bias", bias);
            }
            second.set("architecture", json(beside.architecture()));
        });
        return json;
    }

    private static ObjectNode write(Embedding embedding) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        switch (embedding) {
            case Embedding.Tokens tokens -> {
                json.put("kind", "tokens");
                json.put("vocabulary", tokens.vocabulary());
                json.put("width", tokens.width());
                if (tokens.positions() > 0) {
                    json.put("positions", tokens.positions());
                    json.put("position_offset", tokens.positionOffset());
                    json.put("masked_positions", tokens.maskedPositions());
                }
                if (tokens.segments() > 0) {
                    json.put("segments", tokens.segments());
                }
                json.put("projected", tokens.projected());
                if (tokens.projection() == Embedding.Projection.SUM) {
                    json.put("sum_projected", true);
                }
                json.put("scale", tokens.scale());
                json.put("means", tokens.means());
                tokens.special().padding().ifPresent(token -> json.put("padding_token", token));
                tokens.special().hidden().ifPresent(token -> json.put("hidden_token", token));
                tokens.special().end().ifPresent(token -> json.put("end_token", token));
            }
            case Embedding.Patches patches -> {
                json.put("kind", "patches");
                json.put("height", patches.height());
                json.put("width", patches.width());
                json.put("patch", patches.patch());
                json.put("channels", patches.channels());
                json.put("bias", patches.bias());
                json.put("mask_token", patches.maskToken());
                Embedding.Patches.Cut cut = patches.cut();
                if (cut.down() != cut.patch() || cut.across() != cut.patch()) {
                    json.putArray("steps").add(cut.down()).add(cut.across());
                }
                if (cut.turned()) {
                    json.put("turned", true);
                }
                if (!patches.beside().equals(new Embedding.Patches.Beside(1, 0))) {
                    json.put("class_tokens", patches.beside().classTokens());
                    json.put("registers", patches.beside().registers());
                }
                if (!patches.positions()) {
                    json.put("learned_positions", false);
                }
            }
            case Embedding.Sound sound -> {
                json.put("kind", "sound");
                json.put("lines", sound.lines());
                sound.frames().ifPresent(frames -> json.put("frames", frames));
                if (sound.turned()) {
                    json.put("turned", true);
                }
                ArrayNode convolutions = json.putArray("convolutions");
                for (Embedding.Sound.Convolution convolution : sound.convolutions()) {
                    ObjectNode each = convolutions.addObject();
                    each.put("channels", convolution.channels());
                    each.put("kernel", convolution.kernel());
                    each.put("stride", convolution.stride());
                    each.put("padding", convolution.padding());
                    each.put("bias", convolution.bias());
                    convolution.norm().ifPresent(norm -> {
                        each.set("norm", write(norm.norm()));
                        each.put("norm_over", norm.over().label());
                    });
                    each.put("activation", convolution.activation().map(Activation::label).orElse("glu"));
                }
                sound.projection().ifPresent(projection -> {
                    json.put("projected", true);
                    projection.norm().ifPresent(norm -> json.set("frame_norm", write(norm)));
                });
                json.put("scale", sound.scale());
                switch (sound.places()) {
                    case Embedding.Sound.Places.Table(int rows, int offset) -> json.put("positions", rows).put("position_offset", offset);
                    case Embedding.Sound.Places.Convolved convolved -> {
                        ObjectNode each = json.putObject("position_convolutions");
                        each.put("count", convolved.count());
                        each.put("kernel", convolved.kernel());
                        each.put("groups", convolved.groups());
                        convolved.norm().ifPresent(norm -> each.set("norm", write(norm)));
                        each.put("activation", convolved.activation().label());
                        each.put("magnitudes", convolved.magnitudes());
                    }
                }
                if (sound.maskToken()) {
                    json.put("mask_token", true);
                }
            }
        }
        embedding.norm().ifPresent(norm -> json.set("norm", write(norm)));
        json.put("recentre", embedding.recentre());
        return json;
    }

    private static ObjectNode write(Norm norm) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("kind", norm.kind().label());
        json.put("epsilon", norm.epsilon());
        json.put("affine", label(norm.affine()));
        if (norm.folded() != Affine.NONE) {
            json.put("folded", label(norm.folded()));
        }
        return json;
    }

    private static String label(Affine affine) {
        return affine.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    private static ObjectNode write(Block block, int repeat) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("repeat", repeat);
        if (block.both(block.attentionPlacement())) {
            json.put("placement", block.attentionPlacement().label());
        } else {
            json.put("attention_placement", block.attentionPlacement().label());
            json.put("mlp_placement", block.mlpPlacement().label());
        }
        json.put("wiring", block.wiring().label());
        json.set("norm", write(block.norm()));
        if (block.skip() != 1) {
            json.put("skip", block.skip());
        }
        if (block.branch() != 1) {
            json.put("branch", block.branch());
        }
        json.put("layer_scale", block.scale() == BranchScale.VECTOR);
        if (block.scale() == BranchScale.NUMBER) {
            json.put("skip_init", true);
        }
        if (block.gates()) {
            json.put("gates", true);
        }
        json.put("recentre", block.recentre());
        switch (block.mixer()) {
            case Attention attention -> json.set("attention", write(attention));
            case LatentAttention latent -> json.set("latent_attention", write(latent));
        }
        block.cross().ifPresent(cross -> {
            ObjectNode at = json.putObject("cross_attention");
            at.put("heads", cross.heads().count());
            at.put("key_value_heads", cross.heads().keyValue());
            at.put("head_width", cross.heads().width());
            at.put("scale", cross.scale());
            at.put("bias", cross.bias());
            at.put("key_value_bias", cross.keyValueBias());
            at.put("output_bias", cross.outputBias());
        });
        switch (block.feedForward()) {
            case Mlp mlp -> json.set("mlp", write(mlp));
            case Experts experts -> json.set("experts", write(experts));
        }
        return json;
    }

    private static ObjectNode write(Attention attention) {
        ObjectNode at = JsonNodeFactory.instance.objectNode();
        at.put("heads", attention.heads().count());
        at.put("key_value_heads", attention.heads().keyValue());
        at.put("head_width", attention.heads().width());
        at.put("causal", attention.causal());
        at.put("scale", attention.scores().scale());
        attention.scores().window().ifPresent(window -> at.put("window", window));
        attention.positions().rotary().ifPresent(rotary -> at.set("rotary", write(rotary)));
        attention.positions().alibi().ifPresent(alibi -> at.put("alibi", alibi.label()));
        attention.positions().relative().ifPresent(relative -> {
            ObjectNode bias = at.putObject("relative_bias");
            switch (relative.buckets()) {
                case RelativeBias.Distances(int count, int furthest, boolean bidirectional) ->
                    bias.put("buckets", count).put("furthest", furthest).put("bidirectional", bidirectional);
                case RelativeBias.Grid(int rows, int columns) -> bias.put("rows", rows).put("columns", columns);
            }
            bias.put("own", relative.own());
            if (relative.gates() != RelativeBias.Gates.NONE) {
                bias.put("gates", relative.gates().label());
            }
        });
        attention.norms().queryKey().ifPresent(norm -> {
            ObjectNode each = at.putObject("query_key_norm");
            each.put("span", norm.span().label());
            each.set("norm", write(norm.norm()));
        });
        attention.norms().value().ifPresent(norm -> at.set("value_norm", write(norm)));
        attention.norms().inner().ifPresent(norm -> at.set("inner_norm", write(norm)));
        if (attention.norms().headScales()) {
            at.put("head_scales", true);
        }
        attention.scores().softcap().ifPresent(cap -> at.put("softcap", cap));
        if (attention.scores().sinks()) {
            at.put("sinks", true);
        }
        attention.clip().ifPresent(clip -> at.put("clip", clip));
        at.put("bias", attention.bias());
        if (!attention.keyBias()) {
            at.put("key_bias", false);
        }
        at.put("output_bias", attention.outputBias());
        return at;
    }

    private static ObjectNode write(LatentAttention latent) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("heads", latent.heads());
        latent.queryRank().ifPresent(rank -> json.put("query_rank", rank));
        json.put("key_value_rank", latent.keyValueRank());
        json.put("plain_width", latent.plainWidth());
        json.put("value_width", latent.valueWidth());
        json.put("causal", latent.causal());
        json.put("scale", latent.scores().scale());
        json.set("rotary", write(latent.rotary()));
        json.set("norm", write(latent.norm()));
        json.put("bias", latent.bias());
        json.put("output_bias", latent.outputBias());
        return json;
    }

    private static ObjectNode write(Mlp mlp) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("hidden", mlp.hidden());
        json.put("activation", mlp.activation().label());
        json.put("gated", mlp.gated());
        mlp.clamp().ifPresent(clamp -> json.putObject("clamp").put("limit", clamp.limit()).put("added", clamp.added()));
        mlp.innerNorm().ifPresent(norm -> json.set("inner_norm", write(norm)));
        json.put("bias", mlp.bias());
        json.put("output_bias", mlp.outputBias());
        return json;
    }

    private static ObjectNode write(Experts experts) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("count", experts.count());
        json.set("expert", write(experts.expert()));
        ObjectNode routing = json.putObject("routing");
        routing.put("chosen", experts.routing().chosen());
        switch (experts.routing().scores()) {
            case Routing.Scores.Softmax() -> routing.put("scores", "softmax");
            case Routing.Scores.Sigmoid() -> routing.put("scores", "sigmoid");
            case Routing.Scores.SparseMixer(double jitter) -> routing.put("scores", "sparse-mixer").put("jitter", jitter);
        }
        routing.put("normalized", experts.routing().normalized());
        routing.put("scale", experts.routing().scale());
        if (!experts.routing().groups().equals(Routing.Groups.NONE)) {
            routing.putObject("groups").put("count", experts.routing().groups().count()).put("kept", experts.routing().groups().kept())
                    .put("scored_by", experts.routing().groups().scoredBy());
        }
        routing.put("bias", experts.routing().bias());
        routing.put("correction", experts.routing().correction());
        experts.shared().ifPresent(shared -> {
            ObjectNode all = json.putObject("shared");
            all.set("mlp", write(shared.mlp()));
            all.put("gated", shared.gated());
        });
        return json;
    }

    private static ObjectNode write(Rotary rotary) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("width", rotary.width());
        json.put("divisor", rotary.divisor());
        json.put("base", rotary.base());
        json.put("pairing", rotary.pairing().label());
        rotary.grid().ifPresent(grid -> json.putObject("grid").put("rows", grid.rows()).put("columns", grid.columns()).put("before", grid.before()));
        switch (rotary.scaling()) {
            case Scaling.None() -> {}
            case Scaling.Linear(double factor) -> json.putObject("scaling").put("kind", "linear").put("factor", factor);
            case Scaling.Llama3(double factor, double low, double high, int context) -> json.putObject("scaling")
                    .put("kind", "llama3")
                    .put("factor", factor)
                    .put("low_frequency_factor", low)
                    .put("high_frequency_factor", high)
                    .put("original_context", context);
            case Scaling.Yarn(double factor, double from, double to, double magnitude) -> json.putObject("scaling")
                    .put("kind", "yarn")
                    .put("factor", factor)
                    .put("from", from)
                    .put("to", to)
                    .put("magnitude", magnitude);
            case Scaling.Long(List<Double> factors, List<Double> longFactors, int context, double magnitude) -> {
                ObjectNode scaling = json.putObject("scaling").put("kind", "longrope").put("original_context", context).put("magnitude", magnitude);
                ArrayNode some = scaling.putArray("factors");
                factors.forEach(some::add);
                ArrayNode others = scaling.putArray("long_factors");
                longFactors.forEach(others::add);
            }
            case Scaling.Dynamic(double factor, int context) -> json.putObject("scaling")
                    .put("kind", "dynamic")
                    .put("factor", factor)
                    .put("original_context", context);
            case Scaling.Proportional(int pairs, double factor) -> json.putObject("scaling")
                    .put("kind", "proportional")
                    .put("pairs", pairs)
                    .put("factor", factor);
        }
        return json;
    }

    private static ObjectNode write(Output output, int width) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        switch (output) {
            case Output.Words words -> {
                json.put("kind", "words");
                json.put("tied", words.tied());
                json.put("bias", words.bias());
                if (words.projectedWidth() > 0) {
                    json.put("projected_width", words.projectedWidth());
                }
                words.transform().ifPresent(transform -> json.set("transform", write(transform, width)));
                json.put("scale", words.scale());
                words.softcap().ifPresent(cap -> json.put("softcap", cap));
            }
            case Output.Labels labels -> {
                json.put("kind", "labels");
                json.put("labels", labels.labels());
                json.put("pooling", labels.pooling().label());
                labels.transform().ifPresent(transform -> json.set("transform", write(transform, width)));
                json.put("bias", labels.bias());
            }
            case Output.Hidden hidden -> {
                json.put("kind", "hidden");
                json.put("pooler", hidden.pooler().label());
                hidden.probe().ifPresent(probe -> {
                    ObjectNode asks = json.putObject("probe");
                    asks.put("heads", probe.heads());
                    asks.set("norm", write(probe.norm()));
                    asks.set("mlp", write(probe.mlp()));
                });
                hidden.projection().ifPresent(projection -> json.putObject("projection").put("width", projection.width()).put("bias", projection.bias()));
            }
        }
        return json;
    }

    private static ObjectNode write(Output.Transform transform, int width) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        transform.dense().ifPresent(dense -> {
            json.put("activation", dense.activation().map(Activation::label).orElse("none"));
            if (dense.width() != width) {
                json.put("width", dense.width());
            }
            if (!dense.bias()) {
                json.put("bias", false);
            }
        });
        transform.norm().ifPresent(norm -> json.set("norm", write(norm)));
        return json;
    }

    static Architecture read(Config json) throws CheckpointException {
        List<Block> blocks = new ArrayList<>();
        for (Config each : json.objects("blocks")) {
            int repeat = each.integerOr(1, "repeat");
            if (repeat < 1 || repeat > 100_000) {
                throw Config.unsupported("blocks.repeat", repeat, "1 to 100000");
            }
            blocks.addAll(Reading.repeated(repeat, block(each)));
        }
        Bases bases = optional(json, "bases", each -> new Bases(whole(each, "entry"), each.flagOr(false, "skips"), whole(each, "exit"))).orElse(Bases.ONE);
        return new Architecture(
                json.textOr("", "family"),
                json.integer("width"),
                json.integer("context"),
                embedding(json.object("embedding")),
                blocks,
                optional(json, "final_norm", ArchitectureJson::norm),
                output(json.object("output"), bases.exit().orElse(json.integer("width"))),
                word(json, "stream", Stream.values(), Stream::label),
                bases,
                optional(json, "companion", ArchitectureJson::companion));
    }

    private static Companion companion(Config json) throws CheckpointException {
        Architecture beside = read(json.object("architecture"));
        return switch (word(json, "kind", Stack.values(), Stack::label)) {
            case ENCODER -> new Companion.Encoder(beside, json.flagOr(false, "shares_table"));
            case IMAGE -> new Companion.ImageTower(beside, json.flagOr(false, "bias"));
            case MAIN -> throw Config.unsupported("companion.kind", Stack.MAIN.label(), "encoder or image");
        };
    }

    private static CrossAttention cross(Config json) throws CheckpointException {
        int headWidth = json.integer("head_width");
        return new CrossAttention(new Attention.Heads(json.integer("heads"), json.integer("key_value_heads"), headWidth),
                json.numberOr(1 / Math.sqrt(headWidth), "scale"), json.flagOr(true, "bias"), json.flagOr(true, "key_value_bias"),
                json.flagOr(true, "output_bias"));
    }

    private static Embedding embedding(Config json) throws CheckpointException {
        Optional<Norm> norm = optional(json, "norm", ArchitectureJson::norm);
        boolean recentre = json.flagOr(false, "recentre");
        return switch (json.textOr("", "kind")) {
            case "tokens" -> new Embedding.Tokens(
                    json.integer("vocabulary"), json.integer("width"), json.integerOr(0, "positions"),
                    json.integerOr(0, "position_offset"), json.flagOr(false, "masked_positions"), json.integerOr(0, "segments"),
                    projection(json), json.numberOr(1, "scale"), json.flagOr(false, "means"),
                    new Embedding.Special(whole(json, "padding_token"), whole(json, "hidden_token"), whole(json, "end_token")), norm, recentre);
            case "patches" -> new Embedding.Patches(
                    json.integer("height"), json.integer("width"), cut(json), json.integer("channels"), json.flagOr(true, "bias"),
                    new Embedding.Patches.Beside(json.integerOr(1, "class_tokens"), json.integerOr(0, "registers")),
                    json.flagOr(true, "learned_positions"), json.flagOr(false, "mask_token"), norm, recentre);
            case "sound" -> new Embedding.Sound(
                    json.integer("lines"), whole(json, "frames"), json.flagOr(false, "turned"), convolutions(json),
                    json.flagOr(false, "projected") ? Optional.of(new Embedding.Sound.FrameProjection(optional(json, "frame_norm", ArchitectureJson::norm))) : Optional.empty(),
                    json.numberOr(1, "scale"), places(json), json.flagOr(false, "mask_token"), norm, recentre);
            default -> throw Config.unsupported("embedding.kind", json.textOr("", "kind"), "tokens, patches or sound");
        };
    }

    private static List<Embedding.Sound.Convolution> convolutions(Config json) throws CheckpointException {
        List<Embedding.Sound.Convolution> all = new ArrayList<>();
        for (Config each : json.objects("convolutions")) {
            all.add(new Embedding.Sound.Convolution(each.integer("channels"), each.integer("kernel"), each.integerOr(1, "stride"), each.integerOr(0, "padding"),
                    each.flagOr(true, "bias"), each.object("norm").isEmpty() ? Optional.empty()
                            : Optional.of(new Embedding.Sound.ChannelNorm(norm(each.object("norm")), word(each, "norm_over", Embedding.Sound.ChannelNorm.Over.values(),
                                    Embedding.Sound.ChannelNorm.Over::label))),
                    each.textOr("", "activation").equals("glu") ? Optional.empty()
                            : Optional.of(word(each, "activation", Activation.values(), Activation::label))));
        }
        return all;
    }

    private static Embedding.Projection projection(Config json) throws CheckpointException {
        boolean projected = json.flagOr(false, "projected");
        boolean sum = json.flagOr(false, "sum_projected");
        return sum ? Embedding.Projection.SUM : projected ? Embedding.Projection.TOKENS : Embedding.Projection.NONE;
    }

    private static Embedding.Sound.Places places(Config json) throws CheckpointException {
        Config convolved = json.object("position_convolutions");
        return convolved.isEmpty()
                ? new Embedding.Sound.Places.Table(json.integer("positions"), json.integerOr(0, "position_offset"))
                : new Embedding.Sound.Places.Convolved(convolved.integer("count"), convolved.integer("kernel"), convolved.integer("groups"),
                        optional(convolved, "norm", ArchitectureJson::norm), word(convolved, "activation", Activation.values(), Activation::label),
                        convolved.flagOr(false, "magnitudes"));
    }

    private static Embedding.Patches.Cut cut(Config json) throws CheckpointException {
        int patch = json.integer("patch");
        int[] steps = Reading.sides(json, patch, "steps");
        return new Embedding.Patches.Cut(patch, steps[0], steps[1], json.flagOr(false, "turned"));
    }

    private static Norm norm(Config json) throws CheckpointException {
        return new Norm(
                word(json, "kind", NormKind.values(), NormKind::label),
                json.numberOr(1e-5, "epsilon"),
                affine(json, "affine"),
                affine(json, "folded"));
    }

    private static Affine affine(Config json, String name) throws CheckpointException {
        return json.find(name).isEmpty() ? Affine.NONE : word(json, name, Affine.values(), ArchitectureJson::label);
    }

    private static Block block(Config json) throws CheckpointException {
        boolean alike = json.find("placement").isPresent();
        Placement attention = placement(json, alike ? "placement" : "attention_placement");
        Placement mlp = placement(json, alike ? "placement" : "mlp_placement");
        return new Block(
                attention,
                mlp,
                word(json, "wiring", Wiring.values(), Wiring::label),
                norm(json.object("norm")),
                json.object("latent_attention").isEmpty() ? attention(json.object("attention")) : latent(json.object("latent_attention")),
                optional(json, "cross_attention", ArchitectureJson::cross),
                json.object("experts").isEmpty() ? mlp(json.object("mlp")) : experts(json.object("experts")),
                json.numberOr(1, "skip"),
                json.numberOr(1, "branch"),
                scale(json),
                json.flagOr(false, "gates"),
                json.flagOr(false, "recentre"));
    }

    private static BranchScale scale(Config json) throws CheckpointException {
        boolean vector = json.flagOr(false, "layer_scale");
        boolean number = json.flagOr(false, "skip_init");
        if (vector && number) {
            throw Config.unsupported("skip_init", true, "false beside layer_scale");
        }
        return vector ? BranchScale.VECTOR : number ? BranchScale.NUMBER : BranchScale.NONE;
    }

    private static Placement placement(Config json, String name) throws CheckpointException {
        return word(json, name, Placement.values(), Placement::label);
    }

    private static Attention attention(Config json) throws CheckpointException {
        int headWidth = json.integer("head_width");
        Optional<Alibi> alibi = json.find("alibi").isEmpty()
                ? Optional.empty()
                : Optional.of(word(json, "alibi", Alibi.values(), Alibi::label));
        return new Attention(
                new Attention.Heads(json.integer("heads"), json.integer("key_value_heads"), headWidth),
                new Attention.Scores(json.flagOr(true, "causal"), json.numberOr(1 / Math.sqrt(headWidth), "scale"),
                        json.find("window").isPresent() ? OptionalInt.of(json.integer("window")) : OptionalInt.empty(), number(json, "softcap"),
                        json.flagOr(false, "sinks")),
                new Attention.Positions(optional(json, "rotary", ArchitectureJson::rotary), alibi, optional(json, "relative_bias", ArchitectureJson::relative)),
                new Attention.Norms(
                        optional(json, "query_key_norm", each -> new QueryKeyNorm(
                                norm(each.object("norm")), word(each, "span", QueryKeyNorm.Span.values(), QueryKeyNorm.Span::label))),
                        optional(json, "value_norm", ArchitectureJson::norm),
                        optional(json, "inner_norm", ArchitectureJson::norm),
                        json.flagOr(false, "head_scales")),
                number(json, "clip"),
                json.flagOr(true, "bias"), json.flagOr(true, "key_bias"), json.flagOr(true, "output_bias"));
    }

    private static RelativeBias relative(Config json) throws CheckpointException {
        return new RelativeBias(json.find("rows").isPresent()
                ? new RelativeBias.Grid(json.integer("rows"), json.integer("columns"))
                : new RelativeBias.Distances(json.integer("buckets"), json.integer("furthest"), json.flagOr(false, "bidirectional")),
                json.flagOr(true, "own"),
                json.find("gates").isPresent() ? word(json, "gates", RelativeBias.Gates.values(), RelativeBias.Gates::label) : RelativeBias.Gates.NONE);
    }

    private static LatentAttention latent(Config json) throws CheckpointException {
        Rotary rotary = rotary(json.object("rotary"));
        return new LatentAttention(json.integer("heads"),
                json.find("query_rank").isPresent() ? OptionalInt.of(json.integer("query_rank")) : OptionalInt.empty(),
                json.integer("key_value_rank"), json.integer("plain_width"), json.integer("value_width"),
                new Attention.Scores(json.flagOr(true, "causal"), json.numberOr(1 / Math.sqrt(json.integer("plain_width") + rotary.width()), "scale"),
                        OptionalInt.empty(), OptionalDouble.empty()),
                rotary, norm(json.object("norm")), json.flagOr(false, "bias"), json.flagOr(false, "output_bias"));
    }

    private static Rotary rotary(Config json) throws CheckpointException {
        int width = json.integer("width");
        Config scaling = json.object("scaling");
        return new Rotary(width, json.integerOr(width, "divisor"), json.numberOr(10000, "base"),
                word(json, "pairing", Rotary.Pairing.values(), Rotary.Pairing::label),
                switch (scaling.textOr("none", "kind")) {
                    case "none" -> new Scaling.None();
                    case "linear" -> new Scaling.Linear(scaling.numberOr(1, "factor"));
                    case "llama3" -> new Scaling.Llama3(scaling.numberOr(1, "factor"), scaling.numberOr(1, "low_frequency_factor"),
                            scaling.numberOr(4, "high_frequency_factor"), scaling.integer("original_context"));
                    case "yarn" -> new Scaling.Yarn(scaling.numberOr(1, "factor"), scaling.numberOr(0, "from"), scaling.numberOr(1, "to"),
                            scaling.numberOr(1, "magnitude"));
                    case "longrope" -> new Scaling.Long(Reading.numbers(scaling, "factors"), Reading.numbers(scaling, "long_factors"),
                            scaling.integer("original_context"), scaling.numberOr(1, "magnitude"));
                    case "dynamic" -> new Scaling.Dynamic(scaling.numberOr(1, "factor"), scaling.integer("original_context"));
                    case "proportional" -> new Scaling.Proportional(scaling.integer("pairs"), scaling.numberOr(1, "factor"));
                    default -> throw Config.unsupported("scaling.kind", scaling.textOr("", "kind"),
                            "linear, llama3, yarn, longrope, dynamic or proportional");
                },
                optional(json, "grid", each -> new Rotary.Grid(each.integer("rows"), each.integer("columns"), each.integerOr(0, "before"))));
    }

    private static Mlp mlp(Config json) throws CheckpointException {
        return new Mlp(json.integer("hidden"), word(json, "activation", Activation.values(), Activation::label),
                json.flagOr(false, "gated"),
                optional(json, "clamp", each -> new Mlp.Clamp(each.numberOr(0, "limit"), each.numberOr(0, "added"))), optional(json, "inner_norm", ArchitectureJson::norm), json.flagOr(true, "bias"), json.flagOr(true, "output_bias"));
    }

    private static Experts experts(Config json) throws CheckpointException {
        Config routing = json.object("routing");
        Routing.Scores scores = switch (routing.textOr("", "scores")) {
            case "softmax" -> new Routing.Scores.Softmax();
            case "sigmoid" -> new Routing.Scores.Sigmoid();
            case "sparse-mixer" -> new Routing.Scores.SparseMixer(routing.numberOr(0, "jitter"));
            default -> throw Config.unsupported("routing.scores", routing.textOr("", "scores"), "softmax, sigmoid or sparse-mixer");
        };
        Routing.Groups groups = optional(routing, "groups", each ->
                new Routing.Groups(each.integer("count"), each.integer("kept"), each.integer("scored_by"))).orElse(Routing.Groups.NONE);
        return new Experts(mlp(json.object("expert")), json.integer("count"),
                new Routing(routing.integer("chosen"), scores, routing.flagOr(false, "normalized"), routing.numberOr(1, "scale"), groups,
                        routing.flagOr(false, "bias"), routing.flagOr(false, "correction")),
                optional(json, "shared", each -> new Experts.Shared(mlp(each.object("mlp")), each.flagOr(false, "gated"))));
    }

    private static Output output(Config json, int width) throws CheckpointException {
        return switch (json.textOr("", "kind")) {
            case "words" -> new Output.Words(
                    json.flagOr(false, "tied"), json.flagOr(false, "bias"), json.integerOr(0, "projected_width"),
                    optional(json, "transform", each -> transform(each, width)),
                    json.numberOr(1, "scale"), number(json, "softcap"));
            case "labels" -> new Output.Labels(json.integer("labels"), word(json, "pooling", Output.Pooling.values(), Output.Pooling::label),
                    optional(json, "transform", each -> transform(each, width)), json.flagOr(true, "bias"));
            case "hidden" -> new Output.Hidden(word(json, "pooler", Output.Pooler.values(), Output.Pooler::label),
                    optional(json, "probe", each -> new Output.Probe(each.integer("heads"), norm(each.object("norm")), mlp(each.object("mlp")))),
                    optional(json, "projection", each -> new Output.Projection(each.integer("width"), each.flagOr(false, "bias"))));
            default -> throw Config.unsupported("output.kind", json.textOr("", "kind"), "words, labels or hidden");
        };
    }

    private static Output.Transform transform(Config json, int width) throws CheckpointException {
        return new Output.Transform(
                json.find("activation").isEmpty() ? Optional.empty() : Optional.of(new Output.Dense(json.integerOr(width, "width"),
                        json.textOr("", "activation").equals("none") ? Optional.empty() : Optional.of(word(json, "activation", Activation.values(), Activation::label)),
                        json.flagOr(true, "bias"))),
                optional(json, "norm", ArchitectureJson::norm));
    }

    private static OptionalInt whole(Config json, String name) throws CheckpointException {
        return json.find(name).isPresent() ? OptionalInt.of(json.integer(name)) : OptionalInt.empty();
    }

    private static OptionalDouble number(Config json, String name) throws CheckpointException {
        return json.find(name).isPresent() ? OptionalDouble.of(json.numberOr(0, name)) : OptionalDouble.empty();
    }

    private static <T> T word(Config json, String name, T[] values, Function<T, String> label) throws CheckpointException {
        String word = json.textOr("", name);
        for (T value : values) {
            if (label.apply(value).equals(word)) {
                return value;
            }
        }
        throw Config.unsupported(name, word.isEmpty() ? "nothing" : word, String.join(" or ", Arrays.stream(values).map(label).toList()));
    }

    @FunctionalInterface
    private interface Reader<T> {
        T read(Config json) throws CheckpointException;
    }

    private static <T> Optional<T> optional(Config json, String name, Reader<T> reader) throws CheckpointException {
        Config object = json.object(name);
        if (object.isEmpty() && json.find(name).isPresent()) {
            throw Config.unsupported(name, "no object, or an empty one", "an object with what it is made of, or no such key");
        }
        return object.isEmpty() ? Optional.empty() : Optional.of(reader.read(object));
    }
}
