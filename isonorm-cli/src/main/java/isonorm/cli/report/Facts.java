package isonorm.cli.report;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Part;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Role;
import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.Dtype;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.Table;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.family.Isonorm;
import isonorm.model.Transformer;
import isonorm.text.Tokenizer;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Quantized;
import isonorm.weights.Sinusoids;
import isonorm.weights.Stored;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** What a checkpoint is and what it can become, as JSON and as a table of the same facts. */
public final class Facts {

    private static final int NAMED = 10; // keys in a row

    private final ObjectNode json;

    private Facts(ObjectNode json) {
        this.json = json;
    }

    public static Facts of(LoadedModel model) throws IOException {
        Architecture architecture = Model.of(model.model()).architecture();
        ObjectNode json = Json.object();
        json.put("checkpoint", model.checkpoint().folder().toString());
        json.put("family", architecture.family());
        model.whole().ifPresent(whole -> json.put("language_model_of", whole));
        json.put("form", Conversion.formOf(model).map(Form::label).orElse(null));
        Isonorm.rotation(model.config()).ifPresent(rotation -> json.put("rotated", rotation.toString()));
        json.put("parameters", architecture.parameterCount());
        json.set("stored", stored(model.checkpoint()));
        json.set("memory", memory(architecture, json.path("stored").path("bytes").asLong(), dtypes(model.checkpoint())));
        if (model.bits().isPresent()) {
            json.put("bits_per_weight", bitsPerWeight(model));
        }
        json.set("input", input(Model.of(model.model())));
        json.put("width", architecture.width());
        json.put("stream", architecture.stream().label());
        json.put("stream_width", architecture.streamWidth());
        json.put("blocks", architecture.blocks().size());
        Model.of(model.model()).companion().ifPresent(second -> json.putObject("second_stack")
                .put("kind", architecture.companion().orElseThrow().stack().label()).put("blocks", second.depth()).put("width", second.width())
                .set("input", input(second)));
        json.set("attention", attention(architecture.blocks()));
        json.set("mlp", mlp(architecture.blocks()));
        if (architecture.blocks().stream().anyMatch(block -> experts(block).isPresent())) {
            json.set("experts", experts(architecture.blocks()));
            json.put("parameters_for_token", architecture.parametersForToken());
        }
        json.set("norms", norms(architecture));
        json.put("output", architecture.comparesTowers() ? "how near each image and each text are" : output(architecture.output()));
        json.put("tied", architecture.tied());
        json.set("left_out", Json.of(model.unused()));
        json.set("unknown_keys", Json.of(model.unknownKeys()));
        if (architecture.embedding() instanceof Embedding.Tokens) {
            ObjectNode texts = json.putObject("texts");
            Optional<String> obstacle = Tokenizer.obstacle(model.checkpoint().folder().resolve("tokenizer.json"));
            texts.put("possible", obstacle.isEmpty());
            obstacle.ifPresent(why -> texts.put("reason", why));
        }
        ObjectNode forms = json.putObject("forms");
        for (Form form : Form.values()) {
            forms.set(form.label(), possibility(Conversion.refusals(model, form), () -> Conversion.of(model, form)));
        }
        ObjectNode families = json.putObject("families");
        for (String family : Conversion.families()) {
            families.set(family, possibility(Conversion.refusals(model, family), () -> Conversion.as(model, family)));
        }
        return new Facts(json);
    }

    public ObjectNode json() {
        return json;
    }

    /** How many bits a value of a matrix takes in the files, its share of scales included. */
    public static double bitsPerWeight(LoadedModel model) throws IOException {
        double bits = 0;
        double values = 0;
        for (Map.Entry<Role, Matrix> weight : Model.of(model.model()).weights().entrySet()) {
            double count = (double) weight.getValue().rows() * weight.getValue().columns();
            int each = switch (weight.getValue()) {
                case Quantized _ -> 0;
                case Stored stored -> stored.dtype().bytes() * Byte.SIZE;
                default -> -1; // In no file.
            };
            if (weight.getKey().field() == Role.Field.WEIGHT && weight.getValue().rows() > 1 && each >= 0) {
                values += count;
                bits += weight.getValue() instanceof Quantized quantized ? quantized.bits() : each * count;
            }
        }
        return bits / values;
    }

    /** Bits per weight as they are printed. */
    public static String bits(double each) {
        return String.format(Locale.ROOT, "%.2f", each);
    }

    private static ObjectNode stored(Checkpoint checkpoint) throws IOException {
        ObjectNode json = Json.object();
        long bytes = 0;
        for (Path file : checkpoint.weightFiles()) {
            bytes += Files.size(file);
        }
        json.put("files", checkpoint.weightFiles().size());
        json.put("bytes", bytes);
        json.put("tensors", checkpoint.names().size());
        ObjectNode dtypes = json.putObject("dtypes");
        dtypes(checkpoint).forEach((dtype, count) -> dtypes.put(dtype.name(), count));
        return json;
    }

    /** What running it takes at least: its weights as they are stored, and keys and values of each token that a text is continued from. */
    private static ObjectNode memory(Architecture architecture, long weights, Map<Dtype, Long> dtypes) {
        ObjectNode json = Json.object();
        json.put("weights", weights);
        if (architecture.output() instanceof Output.Words && architecture.blocks().stream().allMatch(block -> attention(block).causal())) {
            long each = dtypes.containsKey(Dtype.F32) ? Float.BYTES : Short.BYTES;
            long token = architecture.blocks().stream().mapToLong(block -> 2L * attention(block).heads().keyValue() * attention(block).heads().width()).sum() * each;
            json.put("for_token", token);
            if (architecture.context() > 0) {
                json.put("for_context", token * architecture.context());
            }
        }
        return json;
    }

    /** How many tensors there are of each type. */
    private static Map<Dtype, Long> dtypes(Checkpoint checkpoint) throws IOException {
        Map<Dtype, Long> counts = new TreeMap<>();
        for (String name : checkpoint.names()) {
            counts.merge(checkpoint.info(name).dtype(), 1L, Long::sum);
        }
        return counts;
    }

    private static ObjectNode input(Model stack) {
        Architecture architecture = stack.architecture();
        ObjectNode json = Json.object();
        switch (architecture.embedding()) {
            case Embedding.Tokens tokens -> {
                json.put("kind", "tokens");
                json.put("vocabulary", tokens.vocabulary());
                json.put("context", architecture.context());
                boolean computed = stack.weights().get(Role.of(Part.POSITION_EMBEDDING, Role.Field.WEIGHT)) instanceof Sinusoids;
                json.put("positions", computed ? "computed" : positions(tokens, architecture.blocks()));
            }
            case Embedding.Patches patches -> {
                json.put("kind", "images");
                json.put("channels", patches.channels());
                json.put("height", patches.height());
                json.put("width", patches.width());
                json.put("patch", patches.patch());
            }
            case Embedding.Sound sound -> {
                json.put("kind", "sounds");
                json.put("lines", sound.lines());
                sound.frames().ifPresent(frames -> json.put("frames", frames));
                json.put("positions", switch (sound.places()) {
                    case Embedding.Sound.Places.Table _ -> stack.weights().get(Role.of(Part.POSITION_EMBEDDING, Role.Field.WEIGHT)) instanceof Sinusoids ? "computed" : "learned";
                    case Embedding.Sound.Places.Convolved _ -> "convolved";
                });
            }
        }
        return json;
    }

    private static String positions(Embedding.Tokens tokens, List<Block> blocks) {
        if (tokens.positions() > 0) {
            return "learned";
        }
        if (blocks.stream().anyMatch(block -> attention(block).positions().rotary().isPresent())) {
            return "rotary";
        }
        if (blocks.stream().anyMatch(block -> attention(block).positions().relative().isPresent())) {
            return "relative";
        }
        return blocks.stream().anyMatch(block -> attention(block).positions().alibi().isPresent()) ? "alibi" : "none";
    }

    private static Attention attention(Block block) {
        return block.mixer().attention();
    }

    /** A block's MLP, or what each of its experts is. */
    private static Mlp mlp(Block block) {
        return switch (block.feedForward()) {
            case Mlp mlp -> mlp;
            case Experts experts -> experts.expert();
        };
    }

    private static Optional<Experts> experts(Block block) {
        return switch (block.feedForward()) {
            case Mlp _ -> Optional.empty();
            case Experts experts -> Optional.of(experts);
        };
    }

    private static ObjectNode experts(List<Block> blocks) {
        List<Block> some = blocks.stream().filter(block -> experts(block).isPresent()).toList();
        Function<Function<Experts, Object>, JsonNode> each = what -> each(some, block -> what.apply(experts(block).orElseThrow()));
        ObjectNode json = Json.object();
        json.put("blocks", some.size());
        json.set("count", each.apply(Experts::count));
        json.set("chosen", each.apply(experts -> experts.routing().chosen()));
        json.set("shared_hidden", each.apply(experts -> experts.shared().map(shared -> shared.mlp().hidden()).orElse(0)));
        return json;
    }

    private static ObjectNode attention(List<Block> blocks) {
        Function<Function<Attention, Object>, JsonNode> each = what -> each(blocks, block -> what.apply(attention(block)));
        ObjectNode json = Json.object();
        json.set("heads", each.apply(attention -> attention.heads().count()));
        json.set("key_value_heads", each.apply(attention -> attention.heads().keyValue()));
        json.set("head_width", each.apply(attention -> attention.heads().width()));
        json.set("causal", each.apply(Attention::causal));
        json.set("window", each.apply(attention -> attention.scores().window().isPresent() ? attention.scores().window().getAsInt() : "none"));
        json.set("query_key_norm", each.apply(attention -> kind(attention.norms().queryKey().map(QueryKeyNorm::norm))));
        json.set("value_norm", each.apply(attention -> kind(attention.norms().value())));
        json.set("inner_norm", each.apply(attention -> kind(attention.norms().inner())));
        return json;
    }

    private static ObjectNode mlp(List<Block> blocks) {
        ObjectNode json = Json.object();
        json.set("hidden", each(blocks, block -> mlp(block).hidden()));
        json.set("activation", each(blocks, block -> mlp(block).activation().label()));
        json.set("gated", each(blocks, block -> mlp(block).gated()));
        json.set("inner_norm", each(blocks, block -> kind(mlp(block).innerNorm())));
        return json;
    }

    private static ObjectNode norms(Architecture architecture) {
        List<Block> blocks = architecture.blocks();
        ObjectNode json = Json.object();
        json.set("kind", each(blocks, block -> block.norm().kind().label()));
        json.set("placement", each(blocks, Facts::placement));
        json.set("wiring", each(blocks, block -> block.wiring().label()));
        json.set("applies", each(blocks, block -> applies(block.norm())));
        json.set("skip", each(blocks, Block::skip));
        json.set("layer_scale", each(blocks, block -> block.scale() == BranchScale.VECTOR));
        json.set("skip_init", each(blocks, block -> block.scale() == BranchScale.NUMBER));
        json.set("gates", each(blocks, Block::gates));
        json.set("epsilon", each(blocks, block -> block.norm().epsilon()));
        json.put("embedding", norm(architecture.embedding().norm()));
        json.put("final", norm(architecture.finalNorm()));
        return json;
    }

    private static String placement(Block block) {
        String attention = block.attentionPlacement().label();
        return block.both(block.attentionPlacement()) ? attention : attention + " and " + block.mlpPlacement().label();
    }

    private static String kind(Optional<Norm> norm) {
        return norm.map(there -> there.kind().label()).orElse("none");
    }

    private static @Nullable String norm(Optional<Norm> norm) {
        return norm.map(there -> there.kind().label() + ", " + applies(there)).orElse(null);
    }

    private static String applies(Norm norm) {
        return switch (norm.affine()) {
            case NONE -> "no gain";
            case GAIN -> "gain";
            case GAIN_AND_BIAS -> "gain and bias";
        };
    }

    private static String output(Output output) {
        return switch (output) {
            case Output.Words _ -> "logits over the vocabulary";
            case Output.Labels labels -> "scores of " + Table.count(labels.labels(), "label");
            case Output.Hidden hidden -> "hidden states" + (hidden.pooler() == Output.Pooler.NONE ? "" : " and a pooled vector");
        };
    }

    /** One value where all blocks agree, else the different values. */
    private static JsonNode each(List<Block> blocks, Function<Block, Object> what) {
        List<Object> distinct = blocks.stream().map(what).distinct().toList();
        return Json.of(distinct.size() == 1 ? distinct.getFirst() : distinct);
    }

    private static ObjectNode possibility(List<String> reasons, Supplier<Conversion> conversion) throws IOException {
        ObjectNode json = Json.object();
        json.put("possible", reasons.isEmpty());
        if (reasons.isEmpty()) {
            Transformer result = conversion.get().result();
            json.put("parameters", result.parameterCount()).put("tied", Model.of(result).architecture().tied());
        } else {
            json.set("reasons", Json.of(reasons));
        }
        return json;
    }

    /** Shows the facts to a person. */
    public void print(Console console) {
        String form = json.path("form").asText("");
        console.out().println(console.bold(json.path("checkpoint").asText()) + ": " + json.path("family").asText()
                + (json.path("form").isNull() ? "" : " in the form " + form));
        console.out().println();
        what().print(console.out());
        Table possible = Table.ofFacts();
        Table impossible = Table.ofFacts();
        boolean anything = false;
        boolean everything = true;
        for (var entry : json.path("forms").properties()) {
            if (entry.getValue().path("possible").asBoolean()) {
                anything = true;
                possible.row(entry.getKey(), Table.count(entry.getValue().path("parameters").asLong(), "parameter") + "; "
                        + meaning(entry.getKey()) + (json.path("tied").asBoolean() && !entry.getValue().path("tied").asBoolean()
                                ? "; its head is a matrix of its own, for the token table is centred and the head is not" : ""));
            } else {
                everything = false;
                String name = entry.getKey();
                for (JsonNode reason : entry.getValue().path("reasons")) {
                    impossible.row(name, reason.asText());
                    name = "";
                }
            }
        }
        for (var entry : json.path("families").properties()) {
            if (entry.getValue().path("possible").asBoolean()) {
                anything = true;
                possible.row("as " + entry.getKey(), Table.count(entry.getValue().path("parameters").asLong(), "parameter") + "; an ordinary " + entry.getKey()
                        + " with RMSNorms, for whatever runs one");
            }
        }
        if (anything) {
            console.out().println();
            console.out().println(console.bold("It can become"));
            possible.print(console.out());
        }
        if (!everything) {
            console.out().println();
            console.out().println(console.bold("It cannot become"));
            impossible.print(console.out());
        }
    }

    /** The rows that say what the model is. */
    public Table what() {
        JsonNode stored = json.path("stored");
        JsonNode attention = json.path("attention");
        JsonNode mlp = json.path("mlp");
        JsonNode norms = json.path("norms");
        List<String> dtypes = new ArrayList<>();
        stored.path("dtypes").properties().forEach(entry -> dtypes.add(entry.getKey()));
        Table table = Table.ofFacts()
                .row("parameters", Table.count(json.path("parameters").asLong()) + (json.has("parameters_for_token")
                        ? ", of which a token uses " + Table.count(json.path("parameters_for_token").asLong()) : ""))
                .row("stored", Table.count(stored.path("tensors").asLong(), "tensor") + " of " + String.join(" and ", dtypes) + " in "
                        + Table.count(stored.path("files").asLong(), "file") + ", " + Table.bytes(stored.path("bytes").asLong())
                        + (json.has("bits_per_weight") ? "; " + bits(json.path("bits_per_weight").asDouble()) + " bits per weight" : ""))
                .row("memory", "at least " + Table.bytes(json.path("memory").path("weights").asLong()) + (json.path("memory").has("for_token")
                        ? ", and " + Table.bytes(json.path("memory").path("for_token").asLong()) + " for each token that it continues" : "")
                        + (json.path("memory").has("for_context") ? ", " + Table.bytes(json.path("memory").path("for_context").asLong()) + " for its context" : ""))
                .row("input", inputInWords(json.path("input")))
                .row("stream", Table.count(json.path("blocks").asLong(), "block") + ", width " + json.path("width").asText()
                        + switch (json.path("stream").asText()) {
                            case "compressed" -> ", centred and carried in " + json.path("stream_width").asText() + " values";
                            case "centred" -> ", centred";
                            default -> json.has("rotated") ? ", rotated (" + json.path("rotated").asText() + ")" : "";
                        })
                .row("attention", attentionInWords(attention) + (json.path("second_stack").path("kind").asText().equals("encoder")
                        ? ", and to the encoder" : ""))
                .row("mlp", values(mlp.path("hidden")) + ", " + values(mlp.path("activation")) + (mlp.path("gated").asBoolean() ? ", gated" : "")
                        + innerNorm(mlp));
        JsonNode second = json.path("second_stack");
        if (!second.isMissingNode()) {
            table.row(second.path("kind").asText().equals("encoder") ? "encoder" : "image tower", Table.count(second.path("blocks").asLong(), "block")
                    + ", width " + second.path("width").asText() + ", reads " + inputInWords(second.path("input")));
        }
        if (json.has("experts")) {
            table.row("experts", expertsInWords(json.path("experts"), json.path("blocks").asInt()));
        }
        table.row("norms", values(norms.path("kind")) + " (" + values(norms.path("applies"))
                        + (values(norms.path("kind")).equals(NormKind.DYNAMIC_TANH.label()) ? "" : ", epsilon " + values(norms.path("epsilon")))
                        + "), " + placementInWords(values(norms.path("placement"))) + ", " + values(norms.path("wiring")) + scalesInWords(norms)
                        + (norms.path("embedding").isNull() ? "" : "; embedding norm " + norms.path("embedding").asText())
                        + (norms.path("final").isNull() ? "; no final norm" : "; final norm " + norms.path("final").asText()))
                .row("output", json.path("output").asText() + (json.path("tied").asBoolean() ? ", the head is tied to the token table" : ""));
        if (json.has("texts")) {
            table.row("texts", json.path("texts").path("reason").asText("read with its tokenizer.json"));
        }
        if (json.has("language_model_of")) {
            table.row("part of", json.path("language_model_of").asText() + ", of which the language model alone is read");
        }
        if (!json.path("left_out").isEmpty()) {
            table.row("not used", Table.count(json.path("left_out").size(), "tensor") + ", " + json.path("left_out").get(0).asText()
                    + (json.path("left_out").size() > 1 ? " for instance" : ""));
        }
        if (!json.path("unknown_keys").isEmpty()) {
            List<String> keys = new ArrayList<>();
            json.path("unknown_keys").forEach(key -> keys.add(key.asText()));
            table.row("not known", String.join(", ", keys.subList(0, Math.min(NAMED, keys.size()))) + (keys.size() > NAMED
                    ? " and " + (keys.size() - NAMED) + " more" : "") + " of config.json, which no output was made of");
        }
        return table;
    }

    private static String inputInWords(JsonNode input) {
        return input.path("kind").asText().equals("tokens")
                ? "tokens of " + Table.count(input.path("vocabulary").asLong()) + ", context " + Table.count(input.path("context").asLong())
                        + ", positions " + input.path("positions").asText()
                : "images of " + input.path("channels") + " x " + input.path("height") + " x " + input.path("width") + ", patches of "
                        + input.path("patch");
    }

    private static String attentionInWords(JsonNode attention) {
        String heads = values(attention.path("heads"));
        String keys = values(attention.path("key_value_heads"));
        String window = values(attention.path("window"));
        String norm = values(attention.path("query_key_norm"));
        String valueNorm = values(attention.path("value_norm"));
        return heads + " heads of " + values(attention.path("head_width")) + (keys.equals(heads) ? "" : ", " + keys + " key-value heads")
                + (attention.path("causal").asBoolean() ? ", causal" : ", both directions")
                + (window.equals("none") ? "" : ", window " + window) + (norm.equals("none") ? "" : ", queries and keys through " + norm)
                + (valueNorm.equals("none") ? "" : ", values through " + valueNorm) + innerNorm(attention);
    }

    private static String expertsInWords(JsonNode experts, int blocks) {
        String shared = values(experts.path("shared_hidden"));
        return values(experts.path("count")) + ", of which a token chooses " + values(experts.path("chosen"))
                + (shared.equals("0") ? "" : ", and an MLP of " + shared + " for all")
                + (experts.path("blocks").asInt() == blocks ? "" : ", in " + experts.path("blocks") + " of the blocks");
    }

    private static String innerNorm(JsonNode subLayer) {
        String norm = values(subLayer.path("inner_norm"));
        return norm.equals("none") ? "" : ", " + norm + " before the last linear layer";
    }

    private static String scalesInWords(JsonNode norms) {
        JsonNode skip = norms.path("skip");
        return (skip.isArray() || skip.asDouble() != 1 ? ", the stream times " + factors(skip) + " at each sum" : "")
                + (norms.path("layer_scale").toString().contains("true") ? ", LayerScale" : "")
                + (norms.path("skip_init").toString().contains("true") ? ", SkipInit" : "")
                + (norms.path("gates").toString().contains("true") ? ", gates on the stream" : "");
    }

    private static String factors(JsonNode skip) {
        List<String> all = new ArrayList<>();
        (skip.isArray() ? skip : List.of(skip)).forEach(value -> all.add(String.format(Locale.ROOT, "%.4g", value.asDouble())));
        return String.join(" or ", all);
    }

    private static String placementInWords(String label) {
        return switch (label) {
            case "pre" -> "before the sub-layers (pre)";
            case "post" -> "behind the sum (post)";
            case "peri" -> "before and behind the sub-layers (peri)";
            case "output" -> "behind the sub-layers (output)";
            case "both" -> "before the sub-layers and behind the sum (both)";
            case "dual" -> "behind the sum of one of two streams (dual)";
            default -> label;
        };
    }

    private static String meaning(String form) {
        return switch (Form.named(form).orElseThrow()) {
            case CENTRED -> "the family's own format, so every other tool loads it";
            case PRE_RMSNORM -> "RMSNorm without gain before each reader";
            case PRE_CRMSNORM -> "the same with one value less in the stream";
            case RMSNORM -> "Post-LN with RMSNorm and explicit recentring";
            case PRE_LN -> "an ordinary checkpoint of the family again";
        };
    }

    /** A value, or the values of blocks that differ. */
    private static String values(JsonNode node) {
        if (!node.isArray()) {
            return node.isDouble() ? String.format(Locale.ROOT, "%.0e", node.asDouble()) : node.asText();
        }
        List<String> all = new ArrayList<>();
        node.forEach(value -> all.add(values(value)));
        return String.join(" or ", all);
    }
}
