package isonorm.family;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Config;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Keys that transformers would use in a config of any family, and that no family reads otherwise. */
final class AnyConfig {

    private static final Pattern HEAD = Pattern.compile(".*For([A-Z]\\w*)|.*(DoubleHeadsModel|ModelWithProjection|Backbone|RewardModel)");

    /** The keys under which configs say how their weights were quantized. */
    private static final List<String> QUANTIZED = List.of("quantization_config", "compression_config", "quantization");

    private AnyConfig() {}

    /** Refuses what would make another model of any architecture. */
    static void require(Config config) throws CheckpointException {
        for (String key : QUANTIZED) {
            if (!config.object(key).isEmpty() && !Isonorm.isQuantized(config)) {
                throw new CheckpointException(Reason.CONFIG_UNSUPPORTED, "config.json has " + key + ": the weights are quantized, by " + method(config.object(key))
                        + ", and only weights of F64, F32, F16 or BF16 are read; take the checkpoint that it was made from");
            }
        }
        if (!config.object("per_layer_config").isEmpty()) {
            throw Config.unsupported("per_layer_config", "settings of single blocks", "none");
        }
        if (!config.object("pruned_heads").isEmpty()) {
            throw Config.unsupported("pruned_heads", "heads of some blocks", "none: all blocks have as many heads");
        }
        if (config.find("transformers_weights").isPresent()) {
            throw Config.unsupported("transformers_weights", config.textOr("", "transformers_weights"), "none: the weights are model.safetensors or its shards");
        }
    }

    /** Refuses what does not fit what a family made of the config. */
    static void require(Config config, Architecture architecture) throws CheckpointException {
        boolean encoder = architecture.companion().filter(beside -> beside instanceof Companion.Encoder).isPresent();
        if (!encoder && !config.modelClass().endsWith("EncoderModel")) {
            config.requireFlag(false, "is_encoder_decoder");
        }
        if (architecture.causal()) {
            config.requireFlag(true, "is_causal");
        }
        requireHead(config, switch (architecture.output()) {
            case Output.Words _ when encoder -> Set.of("ConditionalGeneration");
            case Output.Words _ -> architecture.causal() ? Set.of("CausalLM") : Set.of("MaskedLM", "PreTraining");
            case Output.Labels labels when labels.pooling() == Output.Pooling.EVERY && architecture.embedding() instanceof Embedding.Sound ->
                    Set.of("CTC", "AudioFrameClassification");
            case Output.Labels labels when labels.pooling() == Output.Pooling.EVERY -> Set.of("TokenClassification", "QuestionAnswering", "PreTraining");
            case Output.Labels labels when labels.pooling() == Output.Pooling.PATCHES -> Set.of("MaskedImageModeling");
            case Output.Labels _ -> Set.of("SequenceClassification", "NextSentencePrediction", "ImageClassification", "ImageClassificationWithTeacher",
                    "AudioClassification");
            case Output.Hidden hidden when hidden.projection().isPresent() -> Set.of("ModelWithProjection");
            case Output.Hidden _ -> architecture.embedding() instanceof Embedding.Patches ? Set.of("ImageClassification") : Set.of();
        });
        List<String> types = config.words("layer_types");
        if (!types.isEmpty() && types.size() != architecture.blocks().size()) {
            throw Config.unsupported("layer_types", "of " + types.size() + " blocks", "one for each of " + architecture.blocks().size());
        }
        for (int l = 0; l < types.size(); l++) {
            if (!types.get(l).equals(Reading.kind(Reading.slides(architecture.blocks().get(l))))) {
                throw Config.unsupported("layer_types", types.get(l) + " in block " + l, Reading.kind(Reading.slides(architecture.blocks().get(l)))
                        + ", which the other keys ask for there");
            }
        }
    }

    private static String method(Config how) {
        boolean bitsandbytes = how.find("load_in_8bit").equals(Optional.of(true)) || how.find("load_in_4bit").equals(Optional.of(true));
        return how.textOr(bitsandbytes ? "bitsandbytes" : "a method it does not name", "quant_method", "quant_algo", "mode")
                + how.find("bits", "w_bit").filter(Number.class::isInstance).map(bits -> " of " + bits + " bits").orElse("");
    }

    private static void requireHead(Config config, Set<String> read) throws CheckpointException {
        Matcher head = HEAD.matcher(config.modelClass());
        if (head.matches() && !read.contains(head.group(1) != null ? head.group(1) : head.group(2))) {
            throw new CheckpointException(Reason.CONFIG_UNSUPPORTED, "config.json is of the class " + config.modelClass()
                    + ", whose head is not read; save what is in front of it alone, with AutoModel.from_pretrained(DIR).save_pretrained(OUT)");
        }
    }
}
