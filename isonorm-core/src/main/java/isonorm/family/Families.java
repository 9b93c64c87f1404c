package isonorm.family;

import isonorm.architecture.Architecture;
import isonorm.architecture.Output;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Config;
import isonorm.words.Names;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** The families Isonorm reads, by the model_type of their config.json. */
public final class Families {

    private static final Map<String, Family> BY_TYPE = new TreeMap<>(Map.ofEntries(
            Map.entry("bert", new Bert()),
            Map.entry("bloom", new Bloom()),
            Map.entry("clip_vision_model", new ClipVision()),
            Map.entry("codegen", new Gptj()),
            Map.entry("cohere", new Cohere()),
            Map.entry("dinov2", new Dinov2()),
            Map.entry("falcon", new Falcon()),
            Map.entry("RefinedWeb", new Falcon()),
            Map.entry("RefinedWebModel", new Falcon()),
            Map.entry("gemma", new Gemma()),
            Map.entry("gemma2", new Gemma()),
            Map.entry("gemma3_text", new Gemma()),
            Map.entry("gpt2", new Gpt2()),
            Map.entry("gpt_bigcode", new GptBigCode()),
            Map.entry("gpt_neo", new GptNeo()),
            Map.entry("gpt_neox", new GptNeox()),
            Map.entry("gptj", new Gptj()),
            Map.entry("isonorm", new Isonorm()),
            Map.entry("llama", new Llama()),
            Map.entry("mistral", new Llama()),
            Map.entry("mpt", new Mpt()),
            Map.entry("nemotron", new Nemotron()),
            Map.entry("olmo", new Llama()),
            Map.entry("olmo2", new Olmo2()),
            Map.entry("opt", new Opt()),
            Map.entry("phi", new Phi()),
            Map.entry("qwen2", new Llama()),
            Map.entry("qwen3", new Llama()),
            Map.entry("stablelm", new StableLm()),
            Map.entry("stablelm_epoch", new StableLm()),
            Map.entry("starcoder2", new StarCoder2()),
            Map.entry("vit", new Vit())));

    private Families() {}

    /** Every model_type that can be read. */
    public static Set<String> types() {
        return BY_TYPE.keySet();
    }

    /**
     * The family that a config's model_type names.
     *
     * @throws CheckpointException with UNKNOWN_MODEL_TYPE, naming the nearest known one
     */
    public static Family of(Config config) throws CheckpointException {
        String type = config.textOr("", "model_type");
        Family family = BY_TYPE.get(type);
        if (family == null) {
            String hint = Names.nearest(type, types()).map(near -> "; did you mean " + near + "?").orElse("");
            throw new CheckpointException(Reason.UNKNOWN_MODEL_TYPE, "config.json has model_type " + (type.isEmpty() ? "missing" : "'" + type + "'")
                    + "; known are " + String.join(", ", types()) + hint);
        }
        return family;
    }

    /**
     * What a checkpoint says of itself. A model that was saved without its head gives its hidden states.
     *
     * @param tensors the names in the checkpoint; empty for one that is to be written
     */
    public static Family.Description describe(Config config, Set<String> tensors) throws CheckpointException {
        Family.Description description = of(config).describe(config, tensors);
        Architecture architecture = description.architecture();
        return config.isBareModel() && architecture.output() instanceof Output.Words
                ? new Family.Description(architecture.withOutput(new Output.Hidden(Output.Pooler.NONE)), description.naming())
                : description;
    }
}
