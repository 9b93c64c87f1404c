package isonorm.family;

import isonorm.architecture.Architecture;
import isonorm.architecture.Output;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Config;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/** The families Isonorm reads, by the model_type of their config.json. */
public final class Families {

    private static final Map<String, Family> BY_TYPE = new TreeMap<>(Map.ofEntries(
            Map.entry("arcee", new LlamaRelatives()),
            Map.entry("audio-spectrogram-transformer", new Ast()),
            Map.entry("beit", Beit.BEIT),
            Map.entry("bert", Bert.BERT),
            Map.entry("bert-generation", Bert.BERT_GENERATION),
            Map.entry("biogpt", new BioGpt()),
            Map.entry("bart", new Bart()),
            Map.entry("blenderbot", new Bart()),
            Map.entry("bloom", new Bloom()),
            Map.entry("camembert", Bert.CAMEMBERT),
            Map.entry("clip", Clip.CLIP),
            Map.entry("clip_text_model", ClipText.CLIP),
            Map.entry("clip_vision_model", new ClipVision()),
            Map.entry("codegen", new Gptj()),
            Map.entry("cohere", new Cohere()),
            Map.entry("cohere2", new Cohere()),
            Map.entry("cohere2_moe", new Cohere()),
            Map.entry("cwm", new LlamaRelatives()),
            Map.entry("data2vec-text", Bert.DATA2VEC_TEXT),
            Map.entry("data2vec-audio", new Wav2Vec2()),
            Map.entry("data2vec-vision", Beit.DATA2VEC_VISION),
            Map.entry("dbrx", new Dbrx()),
            Map.entry("deepseek_v2", new DeepSeek()),
            Map.entry("deepseek_v3", new DeepSeek()),
            Map.entry("deit", Vit.DEIT),
            Map.entry("dinov2", new Dinov2()),
            Map.entry("dinov2_with_registers", new Dinov2()),
            Map.entry("dinov3_vit", new Dinov3()),
            Map.entry("distilbert", new DistilBert()),
            Map.entry("dots1", new SparseGlm()),
            Map.entry("electra", new Electra()),
            Map.entry("ernie", Bert.ERNIE),
            Map.entry("ernie4_5", new LlamaRelatives()),
            Map.entry("ernie4_5_moe", new ErnieMoe()),
            Map.entry("esm", new Esm()),
            Map.entry("exaone4", new Olmo2()),
            Map.entry("falcon", new Falcon()),
            Map.entry("gemma", new Gemma()),
            Map.entry("gemma2", new Gemma()),
            Map.entry("gemma3_text", new Gemma()),
            Map.entry("glm", new Glm()),
            Map.entry("glm4", new Glm()),
            Map.entry("glm4_moe", new SparseGlm()),
            Map.entry("gpt2", new Gpt2()),
            Map.entry("gpt_bigcode", new GptBigCode()),
            Map.entry("gpt_neo", new GptNeo()),
            Map.entry("gpt_neox", new GptNeox()),
            Map.entry("gpt_neox_japanese", new GptNeoxJapanese()),
            Map.entry("gpt_oss", new GptOss()),
            Map.entry("gptj", new Gptj()),
            Map.entry("granite", new Granite()),
            Map.entry("granitemoe", new Granite()),
            Map.entry("granitemoeshared", new Granite()),
            Map.entry("helium", new LlamaRelatives()),
            Map.entry("hubert", new Wav2Vec2()),
            Map.entry("hyperclovax", new Granite()),
            Map.entry("ijepa", Vit.IJEPA),
            Map.entry("internvl_vision", new InternVlVision()),
            Map.entry("isonorm", new Isonorm()),
            Map.entry("jais2", new LlamaRelatives()),
            Map.entry("llama", new Llama()),
            Map.entry("megatron-bert", Bert.MEGATRON_BERT),
            Map.entry("m2m_100", new Bart()),
            Map.entry("marian", new Bart()),
            Map.entry("mbart", new Bart()),
            Map.entry("ministral", new LlamaRelatives()),
            Map.entry("mistral", new Llama()),
            Map.entry("mixtral", new SparseLlama()),
            Map.entry("modernbert", ModernBert.ENCODER),
            Map.entry("modernbert-decoder", ModernBert.DECODER),
            Map.entry("mpt", new Mpt()),
            Map.entry("mixformer-sequential", new Mixformer()),
            Map.entry("mpnet", new Mpnet()),
            Map.entry("mt5", new T5()),
            Map.entry("nanochat", new NanoChat()),
            Map.entry("nemotron", new Nemotron()),
            Map.entry("olmo", new Llama()),
            Map.entry("olmo2", new Olmo2()),
            Map.entry("olmo3", new Olmo2()),
            Map.entry("olmoe", new SparseLlama()),
            Map.entry("opt", new Opt()),
            Map.entry("pegasus", new Bart()),
            Map.entry("persimmon", new Persimmon()),
            Map.entry("phi", new Phi()),
            Map.entry("phi-msft", new Mixformer()),
            Map.entry("phi3", new Phi3()),
            Map.entry("phimoe", new SparseLlama()),
            Map.entry("plbart", new Bart()),
            Map.entry("qwen2", new Llama()),
            Map.entry("qwen2_moe", new SparseLlama()),
            Map.entry("qwen3", new Llama()),
            Map.entry("qwen3_moe", new SparseLlama()),
            Map.entry("RefinedWeb", new Falcon()),
            Map.entry("RefinedWebModel", new Falcon()),
            Map.entry("roberta", Bert.ROBERTA),
            Map.entry("roberta-prelayernorm", Bert.ROBERTA_PRELAYERNORM),
            Map.entry("seed_oss", new LlamaRelatives()),
            Map.entry("siglip", Clip.SIGLIP),
            Map.entry("siglip_text_model", ClipText.SIGLIP),
            Map.entry("siglip_vision_model", new SiglipVision()),
            Map.entry("smollm3", new LlamaRelatives()),
            Map.entry("speech_to_text", new SpeechToText()),
            Map.entry("splinter", Bert.SPLINTER),
            Map.entry("stablelm", new StableLm()),
            Map.entry("stablelm_epoch", new StableLm()),
            Map.entry("starcoder2", new StarCoder2()),
            Map.entry("t5", new T5()),
            Map.entry(TimmVit.TYPE, new TimmVit()),
            Map.entry("umt5", new T5()),
            Map.entry("unispeech", new Wav2Vec2()),
            Map.entry("unispeech-sat", new Wav2Vec2()),
            Map.entry("vaultgemma", new Gemma()),
            Map.entry("vit", Vit.VIT),
            Map.entry("vit_mae", Vit.VIT_MAE),
            Map.entry("vit_msn", Vit.VIT_MSN),
            Map.entry("wav2vec2", new Wav2Vec2()),
            Map.entry("wavlm", new Wav2Vec2()),
            Map.entry("whisper", new SpeechToText()),
            Map.entry("xglm", new Xglm()),
            Map.entry("xlm-roberta", Bert.XLM_ROBERTA),
            Map.entry("xlm-roberta-xl", Bert.XLM_ROBERTA_XL)));

    /** Types that older files call otherwise. */
    private static final Map<String, String> OTHER_NAMES = Map.of("RefinedWeb", "falcon", "RefinedWebModel", "falcon", "stablelm_epoch", "stablelm");

    /** Why some that look like one that is read are none of them. */
    private static final Map<String, String> NOT_READ = Map.of(
            "internlm3", "no release of transformers has it to be compared with; a file whose bias and qkv_bias are false is a Llama:"
                    + " give it model_type llama and the class LlamaForCausalLM");

    private Families() {}

    /** Every model_type that can be read. */
    public static Set<String> types() {
        return BY_TYPE.keySet();
    }

    /** The families that models of others can be written in, those that have a place for least first: of two that fit, more programs run the plainer one. */
    public static List<Stock> stocks() {
        return BY_TYPE.values().stream().map(Family::stock).flatMap(Optional::stream).distinct()
                .sorted(Comparator.comparingInt(Families::places).thenComparing(Stock::type)).toList();
    }

    /** What reads images fits nothing that fits another. */
    private static int places(Stock stock) {
        return stock instanceof StockDecoder decoder ? decoder.places().size() : Integer.MAX_VALUE;
    }

    /** What a config's family goes by: its model_type, or, of a format that has none, a word of ours. */
    public static String type(Config config) {
        return TimmVit.is(config) ? TimmVit.TYPE : config.textOr("", "model_type");
    }

    /**
     * The family that a config's model_type names.
     *
     * @throws CheckpointException with UNKNOWN_MODEL_TYPE, naming a known one that is spelled almost so, the part of the model that is one, or
     *     the tool whose config it is
     */
    public static Family of(Config config) throws CheckpointException {
        String type = type(config);
        Family family = BY_TYPE.get(type);
        if (family == null) {
            throw new CheckpointException(Reason.UNKNOWN_MODEL_TYPE, "config.json has model_type " + (type.isEmpty() ? "missing" : "'" + type + "'")
                    + "; " + part(config).or(() -> otherTool(config)).or(() -> Optional.ofNullable(NOT_READ.get(type))).orElseGet(() -> "known are " + String.join(", ", types())
                    + sameSpelling(type).map(near -> "; did you mean " + near + "?").orElse("")));
        }
        return family;
    }

    /** A known type of the same letters and digits; a name that is only similar is another family's. */
    private static Optional<String> sameSpelling(String type) {
        return types().stream().filter(known -> !type.isEmpty() && letters(known).equals(letters(type))).findFirst();
    }

    private static String letters(String type) {
        return type.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]", "");
    }

    /** A model of several is not read, but one in it may be. */
    private static Optional<String> part(Config config) {
        return config.values().keySet().stream().filter(key -> key.endsWith("_config") && BY_TYPE.containsKey(config.object(key).textOr("", "model_type")))
                .findFirst().map(key -> "that is a model of several, and the one in " + key + ", " + config.object(key).textOr("", "model_type")
                        + ", is read where it was saved alone, with its own save_pretrained");
    }

    private static Optional<String> otherTool(Config config) {
        if (config.has("pretrained_cfg") || config.has("architecture") && config.has("num_classes")) {
            return Optional.of("it is timm's config, of which plain ViTs, vit_base_patch16_224 and its like, are read, and the rest only in the format of Hugging Face"
                    + " transformers");
        }
        return config.has("model_cfg")
                ? Optional.of("it is OpenCLIP's config, with its names of tensors; take the same model in the format of Hugging Face transformers")
                : Optional.empty();
    }

    /**
     * The keys of a config that can be read of which nothing is known, so that they were not used; a dot stands between an object's and what is in it.
     * Those whose value is null say nothing and are none of them.
     */
    public static List<String> unknownKeys(Config config) throws CheckpointException {
        String type = type(config);
        return of(config) instanceof Isonorm ? KnownKeys.unasked(config) : KnownKeys.unknown(config, OTHER_NAMES.getOrDefault(type, type));
    }

    /**
     * What a checkpoint says of itself. A model that was saved without its head gives its hidden states.
     *
     * @param tensors the names in the checkpoint; empty for one that is to be written
     */
    public static Family.Description describe(Config config, Set<String> tensors) throws CheckpointException {
        Family family = of(config);
        if (family instanceof Isonorm) {
            return family.describe(config, tensors);
        }
        AnyConfig.require(config);
        Family.Description description = DecoderLabels.of(config, tensors, family.describe(config, tensors));
        Architecture architecture = description.architecture();
        AnyConfig.require(config, architecture);
        return config.isBareModel() && architecture.output() instanceof Output.Words
                ? new Family.Description(architecture.withOutput(new Output.Hidden(Output.Pooler.NONE)), description.naming())
                : description;
    }
}
