package isonorm.embed;

import isonorm.checkpoint.Config;
import isonorm.words.TextFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * How sentences are embedded with a checkpoint, as the files of sentence-transformers beside it say.
 *
 * @param pooling empty where no file says it
 * @param normalizes whether embeddings have the length 1
 * @param longest how many tokens of a text are read
 * @param lowerCase whether texts are read in small letters
 * @param prompt what stands in front of every text
 */
public record SentenceSettings(Optional<Pooling> pooling, boolean normalizes, OptionalInt longest, boolean lowerCase, String prompt) {

    private static final String MODULES = "modules.json";
    private static final Pattern TRANSFORMER = Pattern.compile("sentence_.*_config\\.json");
    private static final Pattern FOLDER = Pattern.compile("\\w+");
    private static final String MODE = "pooling_mode_";

    /** What pooling files call it. */
    private static final Map<String, Pooling> MODES = Map.of("mean_tokens", Pooling.MEAN, "mean", Pooling.MEAN, "cls_token", Pooling.CLS, "cls", Pooling.CLS);

    /** Where there are no such files. */
    public static final SentenceSettings NONE = new SentenceSettings(Optional.empty(), false, OptionalInt.empty(), false, "");

    /** The same with another pooling. */
    public SentenceSettings withPooling(Pooling other) {
        return new SentenceSettings(Optional.of(other), normalizes, longest, lowerCase, prompt);
    }

    /** The same with embeddings of length 1. */
    public SentenceSettings normalized() {
        return new SentenceSettings(pooling, true, longest, lowerCase, prompt);
    }

    /**
     * Reads modules.json of a folder and what it names.
     *
     * @throws IOException if a file cannot be read, or says something else than what is computed here
     */
    public static SentenceSettings read(Path folder) throws IOException {
        return texts(folder, modules(folder, NONE));
    }

    private static SentenceSettings modules(Path folder, SentenceSettings settings) throws IOException {
        Path file = folder.resolve(MODULES);
        if (!Files.exists(file)) {
            return settings;
        }
        SentenceSettings all = settings;
        for (Config module : parse(file, "{\"modules\": " + TextFile.read(file) + "}").objects("modules")) {
            String type = module.textOr("", "type");
            String path = module.textOr("", "path");
            all = switch (type.substring(type.lastIndexOf('.') + 1)) {
                case "Transformer" -> {
                    require(path.isEmpty(), file, "the model in the folder " + path + "; the model beside " + MODULES + " is read");
                    yield all;
                }
                case "Pooling" -> {
                    require(all.pooling.isEmpty() && FOLDER.matcher(path).matches(), file, "pooling in the folder " + path + "; one is read, in a folder beside it");
                    yield all.withPooling(pooling(folder.resolve(path).resolve("config.json")));
                }
                case "Normalize" -> all.normalized();
                default -> throw refused(file, "the module " + type + "; Transformer, Pooling and Normalize are computed");
            };
        }
        require(all.pooling.isPresent(), file, "no Pooling; one is needed");
        return all;
    }

    private static Pooling pooling(Path file) throws IOException {
        Config config = parse(file, TextFile.read(file));
        require(!Boolean.FALSE.equals(config.values().get("include_prompt")), file, "include_prompt false; prompts are pooled with their texts");
        Set<String> modes = new LinkedHashSet<>(config.words("pooling_mode"));
        config.find("pooling_mode").filter(String.class::isInstance).ifPresent(mode -> modes.add((String) mode));
        config.values().forEach((key, value) -> {
            if (key.startsWith(MODE) && Boolean.TRUE.equals(value)) {
                modes.add(key.substring(MODE.length()));
            }
        });
        Optional<Pooling> only = modes.size() == 1 ? Optional.ofNullable(MODES.get(modes.iterator().next())) : Optional.empty();
        return only.orElseThrow(() -> refused(file, "pooling by " + (modes.isEmpty() ? "nothing" : String.join(" and ", modes)) + "; mean or cls is computed"));
    }

    /** What is done with texts before the model gets them. */
    private static SentenceSettings texts(Path folder, SentenceSettings settings) throws IOException {
        List<Path> files;
        try (Stream<Path> all = Files.list(folder)) {
            files = all.filter(file -> TRANSFORMER.matcher(file.getFileName().toString()).matches()).sorted().toList();
        }
        OptionalInt longest = OptionalInt.empty();
        boolean lowerCase = false;
        for (Path file : files) {
            Config config = parse(file, TextFile.read(file));
            for (Map.Entry<String, Object> entry : config.values().entrySet()) {
                boolean known = Set.of("max_seq_length", "do_lower_case").contains(entry.getKey());
                require(known || entry.getValue() == null || entry.getValue() instanceof Map<?, ?> map && map.isEmpty(), file,
                        entry.getKey() + ", of which nothing is known; take it out if embeddings do not depend on it");
            }
            Optional<Object> most = config.find("max_seq_length");
            if (most.isPresent()) {
                longest = OptionalInt.of(count(file, "max_seq_length", most.get()));
            }
            lowerCase |= config.find("do_lower_case").filter(Boolean.TRUE::equals).isPresent();
        }
        Path file = folder.resolve("tokenizer_config.json");
        if (Files.isRegularFile(file)) {
            Config tokenizer = parse(file, TextFile.read(file));
            String side = tokenizer.textOr("right", "truncation_side");
            require(side.equals("right"), file, "truncation_side " + side + "; texts are cut on the right");
            Optional<Object> most = tokenizer.find("model_max_length").filter(value -> !(value instanceof Number number && number.doubleValue() > Integer.MAX_VALUE));
            if (longest.isEmpty() && most.isPresent()) {
                longest = OptionalInt.of(count(file, "model_max_length", most.get()));
            }
        }
        return new SentenceSettings(settings.pooling, settings.normalizes, longest, lowerCase, prompt(folder));
    }

    private static int count(Path file, String key, Object value) throws IOException {
        if (value instanceof Number number && number.doubleValue() == number.intValue() && number.intValue() > 0) {
            return number.intValue();
        }
        throw refused(file, key + " = " + value + "; a number of tokens is needed");
    }

    /** What config_sentence_transformers.json puts in front of texts that are given without a prompt. */
    private static String prompt(Path folder) throws IOException {
        Path file = folder.resolve("config_sentence_transformers.json");
        if (!Files.exists(file)) {
            return "";
        }
        Config config = parse(file, TextFile.read(file));
        return config.find("default_prompt_name").map(name -> config.object("prompts").textOr("", String.valueOf(name))).orElse("");
    }

    private static Config parse(Path file, String text) throws IOException {
        try {
            return Config.parse(text);
        } catch (IllegalArgumentException e) {
            throw new IOException(file + " is no JSON that can be read: " + e.getMessage(), e);
        }
    }

    private static void require(boolean holds, Path file, String what) throws IOException {
        if (!holds) {
            throw refused(file, what);
        }
    }

    private static IOException refused(Path file, String what) {
        return new IOException(file + " has " + what);
    }
}
