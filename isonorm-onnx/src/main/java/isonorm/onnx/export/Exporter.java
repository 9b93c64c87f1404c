package isonorm.onnx.export;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Output;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.family.Isonorm;
import isonorm.onnx.OnnxExport.Part;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Graph;
import isonorm.onnx.graph.OnnxModel;
import isonorm.onnx.graph.Value;
import isonorm.onnx.graph.Value.Dimension;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * A model as a graph, from its {@link Architecture}: stack by stack what enters, the blocks, and what is made of the stream. Inputs and outputs have the
 * names that optimum's exporter gives them.
 *
 * <p>A decoder has inputs for keys and values of what was read before, and gives those of all that it has read; one beside an encoder
 * does so where it is written by itself, and reads its text whole in one graph with that.
 */
public final class Exporter {

    /** The versions of ONNX's operators that can be asked for: the first that has all that is always needed, and the last that was tried. */
    public static final int FIRST_OPSET = 18;

    public static final int LAST_OPSET = 25;

    private static final Dimension BATCH = Dimension.of("batch_size");
    private static final Dimension LENGTH = Dimension.of("sequence_length");
    private static final Dimension PAST = Dimension.of("past_sequence_length");
    private static final Dimension ENCODED = Dimension.of("encoder_sequence_length");
    private static final Dimension ALL = Dimension.of("past_sequence_length + sequence_length");

    /**
     * What is asked for.
     *
     * @param opset the version of ONNX's operators
     * @param real the type of weights and of what is computed
     * @param cache whether a decoder has inputs and outputs for keys and values
     * @param part what is written of an encoder and a decoder
     */
    public record Options(int opset, ElementType real, boolean cache, Part part) {

        public Options(int opset, ElementType real, boolean cache) {
            this(opset, real, cache, Part.WHOLE);
        }
    }

    private final Options options;
    private final Operators graph;
    private final Map<Weights.Laid, String> names = new HashMap<>();
    private final List<Value> inputs = new ArrayList<>();
    private final List<Value> outputs = new ArrayList<>();

    private Exporter(Options options) {
        this.options = options;
        this.graph = new Operators(options.real);
    }

    /** Whether a model's decoder can go on from keys and values. */
    public static boolean continues(Architecture architecture) {
        return architecture.output() instanceof Output.Words && architecture.companion().isEmpty()
                && architecture.causal();
    }

    /**
     * The graph of a model; its weights are read when it is written.
     *
     * @throws IllegalArgumentException if the opset lacks an operator
     */
    public static OnnxModel graph(Model model, Options options) throws IOException {
        Exporter exporter = new Exporter(options);
        exporter.export(model);
        List<String> lacking = exporter.graph.lacking(options.opset);
        if (!lacking.isEmpty()) {
            throw new IllegalArgumentException("opset " + options.opset + " lacks " + String.join(" and ", lacking) + ", which this model needs; ask for a later"
                    + " --opset, 23 for instance");
        }
        Graph whole = new Graph("isonorm", exporter.graph.nodes(), exporter.graph.constants(), exporter.inputs, exporter.outputs, List.of(), List.of());
        return new OnnxModel(format(options.opset), "isonorm", Isonorm.VERSION, Map.of("", (long) options.opset),
                Map.of("family", model.family()), whole, List.of());
    }

    /** The version of the file's format that came with an opset. */
    private static int format(int opset) {
        return opset < 19 ? 8 : opset < 21 ? 9 : opset < 23 ? 10 : 11;
    }

    private void export(Model model) throws IOException {
        Optional<Companion> companion = model.architecture().companion();
        if (companion.isEmpty()) {
            give(of(model, "", "input_ids", Optional.empty()), model.architecture());
            return;
        }
        switch (companion.get()) {
            case Companion.Encoder encoder when options.part == Part.ENCODER -> output("last_hidden_state",
                    of(model.companion().orElseThrow(), encoder.stack().prefix(), "input_ids", Optional.empty()).given.output(), BATCH, ENCODED,
                    Dimension.of(encoder.architecture().width()));
            case Companion.Encoder encoder when options.part != Part.WHOLE -> give(of(model, "", "input_ids", Optional.of(encoded(encoder, model.architecture()))),
                    model.architecture());
            case Companion.Encoder encoder -> {
                Made encoded = of(model.companion().orElseThrow(), encoder.stack().prefix(), "input_ids", Optional.empty());
                Made decoded = of(model, "", "decoder_input_ids", Optional.of(new AttentionPart.Encoded(encoded.given.output(), encoded.mask, AttentionPart.Cross.NONE)));
                give(decoded, model.architecture());
                output("encoder_last_hidden_state", encoded.given.output(), BATCH, ENCODED,
                        Dimension.of(encoder.architecture().width()));
            }
            case Companion.ImageTower tower -> compare(model, tower);
        }
    }

    /** What an encoder gave, or keys and values of that, as inputs. */
    private AttentionPart.Encoded encoded(Companion.Encoder encoder, Architecture architecture) {
        boolean past = options.part == Part.DECODER_WITH_PAST;
        String states = past ? "" : input("encoder_hidden_states", options.real, BATCH, ENCODED, Dimension.of(encoder.architecture().width()));
        Optional<String> mask = encoder.architecture().embedding() instanceof Embedding.Tokens
                ? Optional.of(input("encoder_attention_mask", ElementType.INT64, BATCH, ENCODED)) : Optional.empty();
        return new AttentionPart.Encoded(states, mask, (l, which, computed) -> {
            Attention.Heads heads = architecture.blocks().get(l).cross().orElseThrow().heads();
            Dimension[] shape = {BATCH, Dimension.of(heads.keyValue()), ENCODED, Dimension.of(heads.width())};
            String name = l + ".encoder." + which;
            if (past) {
                return input("past_key_values." + name, options.real, shape);
            }
            String made = computed.get();
            output("present." + name, made, shape);
            graph.in("blocks." + l + "/cross_attention");
            return made;
        });
    }

    /** {@code exp(scale) (x / |x|) . (y / |y|) + bias} of each image's vector x and each text's y. */
    private void compare(Model model, Companion.ImageTower tower) throws IOException {
        Made texts = of(model.textTower(), "", "input_ids", Optional.empty());
        Made images = of(model.companion().orElseThrow(), tower.stack().prefix(), "", Optional.empty());
        graph.in("similarity");
        String y = unit(texts.given.pooled().orElseThrow());
        String x = unit(images.given.pooled().orElseThrow());
        String each = graph.times(graph.product(x, graph.transpose(y, 1, 0)), Math.exp(model.weight(Role.of(isonorm.architecture.Part.SIMILARITY_SCALE, Field.WEIGHT)).vector()[0]));
        if (tower.bias()) {
            each = graph.add(each, graph.number(model.weight(Role.of(isonorm.architecture.Part.SIMILARITY_BIAS, Field.WEIGHT)).vector()[0]));
        }
        String turned = graph.transpose(each, 1, 0);
        Architecture image = tower.architecture();
        Dimension width = Dimension.of(((Output.Hidden) image.output()).pooledWidth(image.width()));
        Dimension count = Dimension.of("image_batch_size");
        output("logits_per_image", each, count, BATCH);
        output("logits_per_text", turned, BATCH, count);
        output("text_embeds", y, BATCH, width);
        output("image_embeds", x, count, width);
    }

    private String unit(String x) {
        return graph.divide(x, graph.apply("Sqrt", graph.sum(graph.multiply(x, x))));
    }

    /** What a stack gives, and which of what it read is no padding. */
    private record Made(Exit.Given given, Optional<String> mask) {}

    private void give(Made made, Architecture architecture) {
        Output shape = architecture.output();
        Dimension[] rows = switch (shape) {
            case Output.Words _ -> new Dimension[] {BATCH, length(architecture), Dimension.of(((Embedding.Tokens) architecture.embedding()).vocabulary())};
            case Output.Labels labels when labels.pooling() == Output.Pooling.PATCHES ->
                new Dimension[] {BATCH, Dimension.of(((Embedding.Patches) architecture.embedding()).tokens() - architecture.firstPatch()), Dimension.of(labels.labels())};
            case Output.Labels labels when labels.pooling() == Output.Pooling.EVERY -> new Dimension[] {BATCH, length(architecture), Dimension.of(labels.labels())};
            case Output.Labels labels -> new Dimension[] {BATCH, Dimension.of(labels.labels())};
            case Output.Hidden _ -> new Dimension[] {BATCH, length(architecture), Dimension.of(architecture.ending().width())};
        };
        List<Value> presents = List.copyOf(outputs);
        outputs.clear();
        output(shape instanceof Output.Hidden ? "last_hidden_state" : "logits", made.given.output(), rows);
        if (shape instanceof Output.Hidden hidden && made.given.pooled().isPresent()) {
            output(pooledName(hidden, architecture), made.given.pooled().get(), BATCH, Dimension.of(hidden.pooledWidth(architecture.ending().width())));
        }
        outputs.addAll(presents);
    }

    /** The name of the output that a pooled vector is. */
    static String pooledName(Output.Hidden shape, Architecture architecture) {
        return shape.projection().isEmpty() ? "pooler_output" : architecture.embedding() instanceof Embedding.Tokens ? "text_embeds" : "image_embeds";
    }

    private static Dimension length(Architecture architecture) {
        return architecture.embedding() instanceof Embedding.Patches patches ? Dimension.of(patches.tokens()) : LENGTH;
    }

    private String input(String name, ElementType type, Dimension... shape) {
        inputs.add(Value.of(name, type, shape));
        return name;
    }

    private void output(String name, String value, Dimension... shape) {
        graph.output(value, name);
        outputs.add(Value.of(name, options.real, shape));
    }

    /** One stack, whose input of tokens has this name. */
    private Made of(Model model, String prefix, String ids, Optional<AttentionPart.Encoded> encoded) throws IOException {
        Architecture architecture = model.architecture();
        Weights weights = new Weights(graph, model, prefix, names);
        Norms norms = new Norms(graph, weights);
        FeedForwardPart feedForward = new FeedForwardPart(graph, weights, norms);
        Entrance entrance = new Entrance(graph, weights, norms, feedForward, architecture.entrance());
        boolean beside = encoded.isPresent();
        boolean cached = beside ? options.part == Part.DECODER_WITH_PAST : options.cache && continues(architecture);
        String sum;
        Sight sight;
        Optional<Exit.Tokens> tokens = Optional.empty();
        switch (architecture.embedding()) {
            case Embedding.Tokens shape -> {
                Text text = text(architecture, weights, shape, ids, cached, beside);
                sight = text.sight;
                sum = entrance.tokens(shape, ids, text.sight.mask(), text.segments, text.rows);
                tokens = Optional.of(new Exit.Tokens(ids, text.sight.mask()));
            }
            case Embedding.Patches shape -> {
                sum = entrance.patches(shape, pixels(shape));
                sight = whole(weights, sum);
            }
            case Embedding.Sound shape -> {
                sum = entrance.frames(shape, sound(shape));
                sight = whole(weights, sum);
            }
        }
        if (cached) {
            pasts(architecture, beside ? ".decoder" : "");
        }
        boolean gives = cached || beside && options.part == Part.DECODER;
        AttentionPart attention = new AttentionPart(graph, weights, norms, sight, gives ? new Presents(architecture, cached, beside ? ".decoder" : "") : AttentionPart.Cache.NONE);
        Blocks.Streams entered = changedBasis(entrance.enter(sum), architecture.bases().entry(), isonorm.architecture.Part.STREAM_ENTRY, weights);
        Blocks.Streams streams = new Blocks(graph, weights, norms, attention, feedForward, architecture, encoded).through(entered);
        Blocks.Streams left = changedBasis(streams, architecture.bases().exit(), isonorm.architecture.Part.STREAM_EXIT, weights);
        return new Made(new Exit(graph, weights, norms, feedForward, attention, architecture.ending()).of(left, tokens), sight.mask());
    }

    /** A stream behind a change of basis, where there is one. */
    private Blocks.Streams changedBasis(Blocks.Streams streams, OptionalInt values, isonorm.architecture.Part basis, Weights weights) {
        if (values.isEmpty()) {
            return streams;
        }
        graph.in(basis.path());
        return new Blocks.Streams(weights.linear(streams.first(), Role.of(basis, Field.WEIGHT), false), Optional.empty());
    }

    /** What is known of a text besides its tokens. */
    private record Text(Sight sight, Optional<String> segments, Optional<String> rows) {}

    private Text text(Architecture architecture, Weights weights, Embedding.Tokens shape, String ids, boolean cached, boolean beside) {
        Dimension length = beside && options.part == Part.WHOLE ? Dimension.of("decoder_sequence_length") : LENGTH;
        input(ids, ElementType.INT64, BATCH, length);
        Optional<String> mask = beside ? Optional.empty() : Optional.of(input("attention_mask", ElementType.INT64, BATCH, cached ? ALL : length));
        Optional<String> segments = shape.segments() > 0 ? Optional.of(input("token_type_ids", ElementType.INT64, BATCH, length)) : Optional.empty();
        graph.in("positions");
        String queries = graph.size(ids, 1);
        String keys = !cached ? queries : mask.isPresent() ? graph.size(mask.get(), 1) : graph.add(graph.size("past_key_values.0.decoder.key", 2), queries);
        boolean counted = shape.maskedPositions() && mask.isPresent() || shape.special().padding().isPresent();
        boolean told = cached && !beside && (shape.positions() > 0 && !counted || architecture.blocks().stream().anyMatch(Exporter::turns));
        String positions = told
                ? input("position_ids", ElementType.INT64, BATCH, length)
                : graph.unsqueeze(graph.range(cached ? graph.subtract(keys, queries) : graph.integers(0), keys), 0);
        Sight sight = new Sight(graph, weights, mask, queries, keys, positions);
        Optional<String> rows = shape.positions() == 0
                ? Optional.empty()
                : Optional.of(counted ? rows(shape, ids, sight, keys, cached) : graph.add(positions, graph.integer(shape.positionOffset())));
        return new Text(sight, segments, rows);
    }

    private static boolean turns(Block block) {
        return block.mixer().attention().positions().rotary().isPresent();
    }

    /** Rows of the table of positions where these count some of the tokens alone; the others have the row before the first. */
    private String rows(Embedding.Tokens shape, String ids, Sight sight, String keys, boolean cached) {
        String last = graph.integer(shape.positionOffset() - 1L);
        String none = graph.integer(0);
        if (shape.special().padding().isPresent()) {
            String ones = graph.cast(graph.apply("Not", graph.apply("Equal", ids, graph.integer(shape.special().padding().getAsInt()))), ElementType.INT64);
            String sums = graph.apply("CumSum", ones, graph.integer(1));
            String counts = graph.multiply(cached ? graph.add(sums, sight.past()) : sums, ones);
            return graph.apply("Max", graph.add(counts, last), none);
        }
        String ones = sight.mask().orElseThrow();
        String counts = graph.multiply(graph.apply("CumSum", ones, graph.integer(1)), ones);
        String rows = graph.apply("Max", graph.add(counts, last), none);
        return cached ? graph.apply("Slice", rows, sight.past(), keys, graph.integers(1)) : rows;
    }

    /** Of what is read as one, and is no text. */
    private Sight whole(Weights weights, String sum) {
        graph.in("positions");
        String length = graph.size(sum, 1);
        return new Sight(graph, weights, Optional.empty(), length, length, graph.unsqueeze(graph.range(graph.integers(0), length), 0));
    }

    /** Images, (B, channels, height, width); a spectrogram has one channel and no dimension for it. */
    private String pixels(Embedding.Patches shape) {
        Dimension count = Dimension.of(inputs.isEmpty() ? "batch_size" : "image_batch_size");
        if (shape.cut().turned()) {
            String spectrogram = input("input_values", options.real, count, Dimension.of(shape.height()), Dimension.of(shape.width()));
            graph.in("embedding");
            return graph.unsqueeze(spectrogram, 1);
        }
        return input("pixel_values", options.real, count, Dimension.of(shape.channels()), Dimension.of(shape.height()), Dimension.of(shape.width()));
    }

    /** A sound, (B, lines, frames). */
    private String sound(Embedding.Sound shape) {
        Dimension frames = shape.frames().isPresent() ? Dimension.of(shape.frames().getAsInt()) : Dimension.of("frames");
        if (shape.waveform()) {
            String wave = input("input_values", options.real, BATCH, frames);
            graph.in("embedding");
            return graph.unsqueeze(wave, 1);
        }
        Dimension lines = Dimension.of(shape.lines());
        String given = shape.turned() ? input("input_features", options.real, BATCH, frames, lines) : input("input_features", options.real, BATCH, lines, frames);
        graph.in("embedding");
        return shape.turned() ? graph.transpose(given, 0, 2, 1) : given;
    }

    /** An input for keys and values of each block, where there are such of what was read before. */
    private void pasts(Architecture architecture, String of) {
        for (int l = 0; l < architecture.blocks().size(); l++) {
            input("past_key_values." + l + of + ".key", options.real, cached(architecture.blocks().get(l), false, PAST));
            input("past_key_values." + l + of + ".value", options.real, cached(architecture.blocks().get(l), true, PAST));
        }
    }

    /** Outputs for keys and values of all that was read, behind those that are inputs where {@code past} says that there are such. */
    private final class Presents implements AttentionPart.Cache {

        private final Architecture architecture;
        private final boolean past;
        private final String of;

        private Presents(Architecture architecture, boolean past, String of) {
            this.architecture = architecture;
            this.past = past;
            this.of = of;
        }

        @Override
        public String keys(int block, String now) {
            return all(block, "key", now, cached(architecture.blocks().get(block), false, past ? ALL : LENGTH));
        }

        @Override
        public String values(int block, String now) {
            return all(block, "value", now, cached(architecture.blocks().get(block), true, past ? ALL : LENGTH));
        }

        private String all(int block, String which, String now, Dimension... shape) {
            graph.in("blocks." + block + "/attention");
            String name = block + of + "." + which;
            String together = past ? graph.concat(2, "past_key_values." + name, now) : now;
            output("present." + name, together, shape);
            graph.in("blocks." + block + "/attention");
            return together;
        }
    }

    private static Dimension[] cached(Block block, boolean values, Dimension length) {
        return switch (block.mixer()) {
            case Attention attention -> new Dimension[] {BATCH, Dimension.of(attention.heads().keyValue()), length, Dimension.of(attention.heads().width())};
            case LatentAttention latent ->
                new Dimension[] {BATCH, Dimension.of(latent.heads()), length, Dimension.of(values ? latent.valueWidth() : latent.queryWidth())};
        };
    }
}
