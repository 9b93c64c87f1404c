package isonorm.family;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.OutputFolder;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Two files of Python beside a checkpoint in Isonorm's own format, by which Hugging Face transformers computes it
 * ({@code trust_remote_code=True}). They are the same beside every checkpoint, and config.json names the classes.
 */
public final class RemoteCode {

    /** Of both files; {@code CODE_VERSION} in the first of them. */
    public static final int VERSION = 1;

    /** What they are called, beside the checkpoint and among the resources. */
    public static final List<String> FILES = List.of("configuration_isonorm.py", "modeling_isonorm.py");

    private static final String CONFIGURATION = "configuration_isonorm.";
    private static final String MODELING = "modeling_isonorm.";
    private static final String MAP = "auto_map";

    private RemoteCode() {}

    /** Whether a config.json says where to find them. */
    public static boolean isNamedBy(Config config) {
        return isOwn(config) && config.has(MAP);
    }

    /** Whether a config.json is of Isonorm's own format. */
    public static boolean isOwn(Config config) {
        return config.textOr("", "model_type").equals("isonorm");
    }

    /** The class that computes a model of this architecture with its head. */
    public static String modelClass(Architecture architecture) {
        return "Isonorm" + kind(architecture);
    }

    /** A config.json of Isonorm's own format that names the classes for its architecture. */
    public static Config named(Config config, Architecture architecture) {
        String kind = kind(architecture);
        Map<String, String> map = new LinkedHashMap<>();
        map.put("AutoConfig", CONFIGURATION + "IsonormConfig");
        map.put("AutoModel", MODELING + (architecture.comparesTowers() ? "Isonorm" + kind : "IsonormModel"));
        if (architecture.comparesTowers()) {
            map.put("AutoModelForZeroShotImageClassification", MODELING + "Isonorm" + kind);
        } else if (kind.equals("ForConditionalGeneration")) {
            map.put(architecture.companion().orElseThrow().architecture().embedding() instanceof Embedding.Sound ? "AutoModelForSpeechSeq2Seq" : "AutoModelForSeq2SeqLM",
                    MODELING + "Isonorm" + kind);
        } else if (!kind.equals("Model")) {
            map.put("AutoModel" + kind, MODELING + "Isonorm" + kind);
        }
        return config.with("architectures", List.of("Isonorm" + kind)).with(MAP, map);
    }

    /** What a class is called behind the name of the format. */
    private static String kind(Architecture architecture) {
        if (architecture.comparesTowers()) {
            return "TwoTowerModel";
        }
        return switch (architecture.output()) {
            case Output.Words _ when architecture.companion().orElse(null) instanceof Companion.Encoder -> "ForConditionalGeneration";
            case Output.Words _ -> architecture.causal() ? "ForCausalLM" : "ForMaskedLM";
            case Output.Hidden _ -> "Model";
            case Output.Labels labels -> switch (architecture.embedding()) {
                case Embedding.Tokens _ -> labels.pooling() == Output.Pooling.EVERY ? "ForTokenClassification" : "ForSequenceClassification";
                case Embedding.Patches _ when labels.pooling() == Output.Pooling.PATCHES -> "ForMaskedImageModeling";
                case Embedding.Patches patches -> patches.cut().turned() ? "ForAudioClassification" : "ForImageClassification";
                case Embedding.Sound _ -> labels.pooling() == Output.Pooling.EVERY ? "ForCTC" : "ForAudioClassification";
            };
        };
    }

    /** Writes them into a folder. */
    public static void writeTo(Path folder) throws IOException {
        for (String file : FILES) {
            OutputFolder.write(folder.resolve(file), bytes(file));
        }
    }

    /** What is in one of them. */
    public static byte[] bytes(String file) throws IOException {
        try (InputStream in = requireNonNull(RemoteCode.class.getResourceAsStream(file))) {
            return in.readAllBytes();
        }
    }
}
