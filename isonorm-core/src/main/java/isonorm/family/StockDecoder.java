package isonorm.family;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Scaling;
import isonorm.architecture.Stream;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;

/**
 * What a family of decoders with RMSNorms has a place for.
 *
 * @param type the model_type
 * @param name what its classes begin with
 * @param wiring of its blocks
 * @param pairing of its rotary positions, which turn whole heads
 * @param places what else it has a place for
 */
public record StockDecoder(String type, String name, Wiring wiring, Rotary.Pairing pairing, Set<Place> places) implements Stock {

    /** What a family may have a place for. */
    public enum Place {
        /** Blocks with a window; those without one then know no positions, unless no block has one. */
        WINDOWS,
        /** Biases of the MLP. */
        MLP_BIASES,
        /** A bias of the head; its format has one word for it and for all other biases. */
        HEAD_BIAS,
        /** A factor of the logits. */
        LOGIT_SCALE,
        /** Positions that turn a part of each head, as {@code proportional} ones of neighbours, in whose order queries and keys can be brought. */
        PART_OF_HEADS,
        /** An MLP without a gate, as one whose gate multiplies a constant. */
        CONSTANT_GATE,
        /** A stream of a width that its heads do not divide. */
        ANY_WIDTH
    }

    public StockDecoder {
        places = Set.copyOf(places);
    }

    /** Whether there is a place for something. */
    public boolean has(Place place) {
        return places.contains(place);
    }

    /** Keys that mean the same in every decoder's config. */
    private static final List<String> CARRIED = List.of("bos_token_id", "eos_token_id", "pad_token_id", "initializer_range", "use_cache", "dtype", "torch_dtype");

    /** Where a config says how rotary positions are scaled. */
    private static final List<String> SCALING = List.of("rope_scaling", "rope_parameters", "original_max_position_embeddings");

    @Override
    public List<String> refusals(Architecture architecture) {
        Set<String> reasons = new TreeSet<>();
        if (architecture.companion().isPresent()) {
            reasons.add("it has two stacks");
        }
        if (architecture.embedding() instanceof Embedding.Tokens tokens) {
            addOfTokens(tokens, reasons);
        } else {
            reasons.add("it reads no tokens");
        }
        boolean anyWindow = architecture.blocks().stream().anyMatch(block -> window(block));
        for (Block block : architecture.blocks()) {
            addOfBlock(block, anyWindow, reasons);
        }
        Set<Double> epsilons = new TreeSet<>(architecture.blocks().stream().map(block -> block.norm().epsilon()).toList());
        architecture.finalNorm().ifPresent(norm -> epsilons.add(norm.epsilon()));
        if (epsilons.size() > 1) {
            reasons.add("its norms have several epsilons, " + epsilons);
        }
        addOfOutput(architecture, reasons);
        return List.copyOf(reasons);
    }

    @Override
    public Optional<String> refusal(Architecture architecture, int width) {
        int heads = architecture.blocks().getFirst().mixer().attention().heads().count();
        int below = width / heads * heads;
        return has(Place.ANY_WIDTH) || width == below ? Optional.empty()
                : Optional.of("a stream of " + width + " values has no place in " + type + ", whose " + heads + " heads must divide it; the nearest that they do are "
                        + (below > 0 ? below + " (a slice, of principal components) and " : "") + (below + heads) + " (padded)");
    }

    private void addOfTokens(Embedding.Tokens tokens, Set<String> reasons) {
        if (tokens.positions() > 0) {
            reasons.add("it adds learned positions to its tokens");
        }
        if (tokens.segments() > 0) {
            reasons.add("it adds segments to its tokens");
        }
        if (tokens.projected()) {
            reasons.add("a projection stands behind its token table");
        }
        if (tokens.scale() != 1) {
            reasons.add("it multiplies its tokens' vectors with " + tokens.scale());
        }
        if (tokens.norm().isPresent()) {
            reasons.add("a norm stands behind its embedding");
        }
    }

    private static boolean window(Block block) {
        return block.mixer() instanceof Attention attention && attention.scores().window().isPresent();
    }

    private void addOfBlock(Block block, boolean anyWindow, Set<String> reasons) {
        if (block.wiring() != wiring) {
            reasons.add("its blocks are " + block.wiring().label() + ", and those of " + type + " " + wiring.label());
        }
        if (block.skip() != 1 || block.branch() != 1) {
            reasons.add("its sums have factors");
        }
        if (block.gates()) {
            reasons.add("gates scale its stream");
        }
        boolean normBias = block.norm().affine().hasBias();
        switch (block.mixer()) {
            case Attention attention -> addOfAttention(attention, anyWindow, reasons);
            case LatentAttention _ -> reasons.add("its attention is latent");
        }
        switch (block.feedForward()) {
            case Mlp mlp -> addOfMlp(mlp, normBias, reasons);
            case Experts _ -> reasons.add("it has experts");
        }
    }

    private void addOfAttention(Attention attention, boolean anyWindow, Set<String> reasons) {
        Attention.Scores scores = attention.scores();
        if (!scores.causal()) {
            reasons.add("its attention sees later positions");
        }
        if (scores.window().isPresent() && !has(Place.WINDOWS)) {
            reasons.add("its attention has a window");
        }
        if (scores.softcap().isPresent() || scores.sinks()) {
            reasons.add("its scores have a softcap or sinks");
        }
        if (scores.scale() != 1 / Math.sqrt(attention.heads().width())) {
            reasons.add("its scores are multiplied with " + scores.scale());
        }
        if (attention.positions().alibi().isPresent() || attention.positions().relative().isPresent()) {
            reasons.add("its scores have biases of distances");
        }
        Optional<Rotary> rotary = attention.positions().rotary();
        boolean turns = !has(Place.WINDOWS) || !anyWindow || scores.window().isPresent();
        if (turns != rotary.isPresent()) {
            reasons.add(turns ? "it has no rotary positions" : "its blocks without a window know positions");
        }
        rotary.ifPresent(of -> {
            boolean whole = of.width() == attention.heads().width();
            if (of.divisor() != of.width() || !whole && (!has(Place.PART_OF_HEADS) || !(of.scaling() instanceof Scaling.None))) {
                reasons.add("it turns " + of.width() + " of " + attention.heads().width() + " values of a head");
            }
            if (of.pairing() != pairing && !has(Place.PART_OF_HEADS)) {
                reasons.add("it turns " + of.pairing().label() + " of a head, and " + type + " " + pairing.label());
            }
        });
        Attention.Norms norms = attention.norms();
        if (norms.queryKey().isPresent() || norms.value().isPresent() || norms.inner().isPresent() || norms.headScales()) {
            reasons.add("norms or scales stand inside its attention");
        }
        if (attention.clip().isPresent()) {
            reasons.add("its queries, keys and values are clamped");
        }
        if (!attention.keyBias()) {
            reasons.add("its keys alone have no bias");
        }
    }

    private void addOfMlp(Mlp mlp, boolean normBias, Set<String> reasons) {
        if (!mlp.gated() && !has(Place.CONSTANT_GATE)) {
            reasons.add("its MLP has no gate");
        }
        if (mlp.clamp().isPresent() || mlp.innerNorm().isPresent()) {
            reasons.add("its MLP has bounds or a norm inside");
        }
        if (!has(Place.MLP_BIASES) && (mlp.bias() || mlp.outputBias())) {
            reasons.add("its MLP has biases");
        }
        if (!has(Place.MLP_BIASES) && normBias) {
            reasons.add("its norms have biases, which its MLP would get");
        }
    }

    private void addOfOutput(Architecture architecture, Set<String> reasons) {
        boolean words = architecture.output() instanceof Output.Words;
        if (architecture.finalNorm().filter(norm -> norm.affine().hasBias()).isPresent() && !(words && has(Place.HEAD_BIAS))) {
            reasons.add("its final norm has a bias, for which " + type + " has no place" + (words ? " behind its head" : ""));
        }
        switch (architecture.output()) {
            case Output.Words head -> {
                if (head.bias() && !has(Place.HEAD_BIAS)) {
                    reasons.add("its head has a bias");
                }
                if (head.projectedWidth() > 0 || head.transform().isPresent()) {
                    reasons.add("layers stand before its head");
                }
                if (head.softcap().isPresent() || head.scale() != 1 && !has(Place.LOGIT_SCALE)) {
                    reasons.add("its logits have a scale or a softcap");
                }
            }
            case Output.Hidden hidden -> {
                if (hidden.pooler() != Output.Pooler.NONE) {
                    reasons.add("it has a pooler");
                }
            }
            case Output.Labels _ -> reasons.add("it gives labels");
        }
    }

    /** Of one whose heads are turned and MLPs gated as here. */
    @Override
    public Architecture of(Architecture centred) {
        boolean normBias = centred.blocks().stream().anyMatch(block -> block.norm().affine().hasBias());
        boolean attention = normBias || centred.blocks().stream().anyMatch(block -> block.mixer().attention().bias() || block.mixer().attention().outputBias());
        boolean mlp = normBias || centred.blocks().stream().map(block -> (Mlp) block.feedForward()).anyMatch(of -> of.bias() || of.outputBias());
        boolean head = centred.finalNorm().filter(norm -> norm.affine().hasBias()).isPresent() || centred.output() instanceof Output.Words words && words.bias();
        boolean one = has(Place.HEAD_BIAS) && (attention || mlp || head); // word for all of them
        boolean ofAttention = one || attention;
        boolean ofMlp = one || has(Place.MLP_BIASES) && mlp;
        List<Block> blocks = new ArrayList<>();
        for (Block block : centred.blocks()) {
            blocks.add(block.withNorm(withGain(block.norm())).withMixer(block.mixer().attention().withBiases(ofAttention, ofAttention))
                    .withFeedForward(((Mlp) block.feedForward()).withBiases(ofMlp, ofMlp)));
        }
        Output output = centred.output() instanceof Output.Words words ? words.withBias(one) : centred.output();
        return centred.withFamily(type).withBlocks(blocks).withFinalNorm(centred.finalNorm().map(StockDecoder::withGain)).withOutput(output).withStream(Stream.FREE);
    }

    private static Norm withGain(Norm norm) {
        return Norm.of(NormKind.RMS, norm.epsilon(), Affine.GAIN);
    }

    @Override
    public Config config(Architecture of, Config source) {
        Attention attention = of.blocks().getFirst().mixer().attention();
        Mlp mlp = (Mlp) of.blocks().getFirst().feedForward();
        Rotary rotary = of.blocks().stream().flatMap(block -> block.mixer().attention().positions().rotary().stream()).findFirst().orElseThrow();
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("architectures", List.of(name + (of.output() instanceof Output.Words ? "ForCausalLM" : "Model")));
        config.put("model_type", type);
        config.put("vocab_size", ((Embedding.Tokens) of.embedding()).vocabulary());
        config.put("hidden_size", of.width());
        config.put("intermediate_size", mlp.hidden());
        config.put("num_hidden_layers", of.blocks().size());
        config.put("num_attention_heads", attention.heads().count());
        config.put("num_key_value_heads", attention.heads().keyValue());
        config.put("head_dim", attention.heads().width());
        config.put("hidden_act", Stock.word(mlp.activation()));
        config.put("max_position_embeddings", of.context());
        config.put("rms_norm_eps", of.blocks().getFirst().norm().epsilon());
        config.put("rope_theta", rotary.base());
        switch (rotary.scaling()) {
            case Scaling.None _ -> {}
            case Scaling.Proportional(int pairs, double factor) -> config.put("rope_parameters", Map.of("rope_type", "proportional", "rope_theta", rotary.base(),
                    "partial_rotary_factor", 2.0 * pairs / rotary.width(), "factor", factor));
            default -> SCALING.stream().filter(source::has).forEach(key -> config.put(key, source.values().get(key))); // the same words everywhere
        }
        if (has(Place.HEAD_BIAS)) {
            config.put("use_bias", attention.bias());
            config.put("moe_layer_start_index", of.blocks().size()); // no block has experts
            config.put("moe_num_experts", 1);
            config.put("moe_k", 1);
            config.put("moe_num_shared_experts", 0);
        } else {
            config.put("attention_bias", attention.bias());
        }
        if (has(Place.MLP_BIASES) && !has(Place.HEAD_BIAS)) {
            config.put("mlp_bias", mlp.bias());
        }
        config.put("tie_word_embeddings", of.tied());
        if (has(Place.LOGIT_SCALE) && of.output() instanceof Output.Words words) {
            config.put("logit_scale", words.scale());
        }
        CARRIED.stream().filter(source::has).forEach(key -> config.put(key, source.values().get(key)));
        for (String key : CARRIED.subList(0, 3)) {
            config.putIfAbsent(key, null); // else the family's own default would be meant
        }
        if (has(Place.WINDOWS)) {
            putWindows(of, config);
        }
        return Config.of(config);
    }

    /** Blocks without experts, and which of them have a window. */
    private static void putWindows(Architecture of, Map<String, Object> config) {
        List<Boolean> slides = of.blocks().stream().map(StockDecoder::window).toList();
        boolean any = slides.contains(true);
        config.put("layer_types", slides.stream().map(slide -> slide ? "sliding_attention" : "full_attention").toList());
        config.put("mlp_layer_types", IntStream.range(0, slides.size()).mapToObj(_ -> "dense").toList());
        config.put("prefix_dense_intermediate_size", config.get("intermediate_size"));
        config.put("prefix_dense_sliding_window_pattern", any ? 4 : 1); // 1 says that all of them know positions
        of.blocks().stream().flatMapToInt(block -> block.mixer().attention().scores().window().stream()).findFirst()
                .ifPresent(window -> config.put("sliding_window", window));
        config.put("num_experts", 1);
        config.put("num_experts_per_tok", 1);
    }
}
