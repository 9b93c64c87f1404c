package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.CHANGED;
import static isonorm.checkpoint.CheckpointException.Reason.CONFIG_NOT_JSON;
import static isonorm.checkpoint.CheckpointException.Reason.INDEX_DISAGREES;
import static isonorm.checkpoint.CheckpointException.Reason.INDEX_MALFORMED;
import static isonorm.checkpoint.CheckpointException.Reason.MISSING_FILE;
import static isonorm.checkpoint.CheckpointException.Reason.NOT_A_CHECKPOINT;
import static isonorm.checkpoint.CheckpointException.Reason.READ_FAILED;
import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.words.JsonFault;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * A model on disk: a folder with a {@code config.json} and its weights in safetensors or, where there are none, as PyTorch saves them.
 *
 * <p>The weights are {@code model.safetensors}; or the shards that {@code model.safetensors.index.json} lists; or the only
 * safetensors file there is, whatever its name; or {@code pytorch_model.bin}, or the shards that its index lists, of which tensors are read
 * and nothing is run. The first that is found is taken, in this order. An index lists
 * tensors with the shard that holds each. A shard may have more, which are taken as if they were listed, but no tensor is in two:
 *
 * <pre>{@code
 * {"metadata": {"total_size": 123}, "weight_map": {"tensor": "model-00001-of-00002.safetensors"}}
 * }</pre>
 *
 * <p>Its {@code total_size} is not checked, because tools disagree on what it counts. Instances are immutable and safe for
 * use by several threads.
 */
public final class Checkpoint {

    private static final String CONFIG = "config.json";
    private static final String GENERATION_CONFIG = "generation_config.json";
    private static final String WEIGHTS = "model.safetensors";
    private static final String ADAPTER = "adapter_config.json";
    private static final String INDEX = "model.safetensors.index.json";
    private static final String SAFETENSORS = ".safetensors";
    private static final String TORCH_WEIGHTS = "pytorch_model.bin";
    private static final String TORCH_INDEX = "pytorch_model.bin.index.json";
    private static final Pattern TORCH = Pattern.compile("pytorch_model.*\\.bin");

    private static final long LONGEST_JSON = 100_000_000;

    private static final Pattern OUTSIDE = Pattern.compile("[/\\\\:]");
    private static final Pattern COMPANION = Pattern.compile("tokenizer.*|vocab\\..*|merges\\.txt"
            + "|(special_tokens_map|added_tokens|generation_config|preprocessor_config)\\.json"
            + "|chat_template\\..*|.*\\.model|spiece\\..*"
            + "|modules\\.json|config_sentence_transformers\\.json|sentence_.*_config\\.json|\\d+_Pooling/config\\.json"); // of sentence-transformers
    private static final Pattern POOLING = Pattern.compile("\\d+_Pooling");

    // Python writes and reads NaN and Infinity in JSON, and so configurations have them. Of a key that comes twice it takes the last.
    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    private final Path folder;
    private final Config config;
    private final List<WeightFile> files;
    private final Map<String, WeightFile> fileOf;
    private final List<Path> companions;
    private final List<FileState> states;
    private final List<String> remarks;

    private Checkpoint(
            Path folder,
            Config config,
            List<WeightFile> files,
            Map<String, WeightFile> fileOf,
            List<Path> companions,
            List<FileState> states,
            List<String> remarks) {
        this.folder = folder;
        this.config = config;
        this.files = List.copyOf(files);
        this.fileOf = Collections.unmodifiableMap(fileOf);
        this.companions = List.copyOf(companions);
        this.states = List.copyOf(states);
        this.remarks = List.copyOf(remarks);
    }

    /**
     * Opens a folder, or the folder of a {@code config.json} or a file of weights. The headers of all weights are read and
     * validated, and no tensor is.
     */
    public static Checkpoint open(Path path) throws CheckpointException {
        Path folder = folderOf(path);
        Map<String, Path> entries = list(folder);
        List<Path> safetensors = ending(entries, SAFETENSORS);
        for (Map.Entry<String, Path> entry : entries.entrySet()) {
            if (COMPANION.matcher(entry.getKey()).matches() || List.of(CONFIG, INDEX, TORCH_INDEX).contains(entry.getKey())
                    || safetensors.contains(entry.getValue()) || TORCH.matcher(entry.getKey()).matches()) {
                requirePlain(entry.getValue());
            }
        }
        Path config = entries.get(CONFIG);
        if (config == null) {
            throw withoutConfig(folder, entries, safetensors);
        }
        if (entries.containsKey(ADAPTER)) {
            throw new CheckpointException(NOT_A_CHECKPOINT, entries.get(ADAPTER) + " says that the folder holds an adapter, which transformers would apply"
                    + " on loading and which is not read; merge it into its base model (peft: merge_and_unload), or move its files away");
        }
        Map<Path, FileState> states = states(entries); // before anything is read
        Config object = readObject(config);
        List<String> remarks = repeatedKeys(config).stream()
                .map(key -> config + " has the key " + key + " more than once; the last counts, as in Python").toList();
        List<WeightFile> files = new ArrayList<>();
        if (entries.containsKey(WEIGHTS)) {
            files.add(SafetensorsFile.read(entries.get(WEIGHTS)));
        } else if (entries.containsKey(INDEX)) {
            files.addAll(openShards(entries.get(INDEX), entries));
        } else if (safetensors.size() == 1) {
            files.add(SafetensorsFile.read(safetensors.getFirst()));
        } else if (safetensors.isEmpty() && entries.containsKey(TORCH_WEIGHTS)) {
            files.add(TorchFile.read(entries.get(TORCH_WEIGHTS)));
        } else if (safetensors.isEmpty() && entries.containsKey(TORCH_INDEX)) {
            files.addAll(openShards(entries.get(TORCH_INDEX), entries));
        } else {
            throw withoutWeights(folder, entries, safetensors);
        }
        Map<String, WeightFile> fileOf = LinkedHashMap.newLinkedHashMap(files.stream().mapToInt(file -> file.names().size()).sum());
        for (WeightFile file : files) {
            for (String name : file.names()) {
                fileOf.put(name, file);
            }
        }
        List<Path> companions = entries.entrySet().stream().filter(entry -> COMPANION.matcher(entry.getKey()).matches()).map(Map.Entry::getValue).toList();
        Set<Path> read = new LinkedHashSet<>(companions);
        read.add(config);
        files.forEach(file -> read.add(file.path()));
        return new Checkpoint(folder, object, files, fileOf, companions, read.stream().map(states::get).filter(Objects::nonNull).toList(), remarks);
    }

    private static CheckpointException withoutConfig(Path folder, Map<String, Path> entries, List<Path> safetensors) throws CheckpointException {
        if (entries.containsKey(ADAPTER)) {
            return new CheckpointException(MISSING_FILE, folder.resolve(CONFIG) + " does not exist; this is an adapter, merge it into its base model first");
        }
        if (safetensors.isEmpty() && !entries.containsKey(INDEX)) {
            Path snapshots = folder.resolve("snapshots");
            if (Files.isDirectory(snapshots)) {
                return new CheckpointException(NOT_A_CHECKPOINT, folder + " is a model's folder in the Hugging Face cache; give owner/name, or one of its snapshots: "
                        + snapshots.resolve("*"));
            }
            return OtherFormats.of(folder, entries.keySet()).orElseGet(
                    () -> new CheckpointException(NOT_A_CHECKPOINT, folder + " holds neither " + CONFIG + " nor " + WEIGHTS));
        }
        return new CheckpointException(MISSING_FILE, folder.resolve(CONFIG) + " does not exist"
                + (entries.containsKey("params.json")
                        ? "; beside params.json are the makers' own names, take the same model in Hugging Face's format"
                        : ""));
    }

    private static Map<Path, FileState> states(Map<String, Path> entries) throws CheckpointException {
        Map<Path, FileState> states = new LinkedHashMap<>();
        for (Map.Entry<String, Path> entry : entries.entrySet()) {
            String name = entry.getKey();
            Path file = entry.getValue();
            if (name.equals(CONFIG) || name.endsWith(SAFETENSORS) || TORCH.matcher(name).matches() || COMPANION.matcher(name).matches()) {
                try {
                    states.put(file, FileState.of(file));
                } catch (NoSuchFileException e) {
                    // A link to nothing, which only matters if somebody asks for the file.
                } catch (IOException e) {
                    throw WeightFile.failed(file, e);
                }
            }
        }
        return states;
    }

    /**
     * Refuses a checkpoint of which a file is no longer what it was when it was opened, so that what was read may be of two versions.
     *
     * @throws CheckpointException naming the file
     */
    public void requireUnchanged() throws CheckpointException {
        for (FileState state : states) {
            if (!state.isStill()) {
                throw new CheckpointException(CHANGED, state.file() + " changed after it was opened, so what was read may be of two versions;"
                        + " start again when nothing writes to it");
            }
        }
    }

    /** A pipe would be waited for, and a device may have no end. */
    private static void requirePlain(Path file) throws CheckpointException {
        if (Files.isSymbolicLink(file) && !Files.exists(file)) {
            throw new CheckpointException(READ_FAILED, file + " is a link that leads to no file");
        }
        if (!Files.isRegularFile(file)) {
            throw new CheckpointException(READ_FAILED, file + " is a pipe or a device; a plain file is needed");
        }
    }

    private static Path folderOf(Path path) throws CheckpointException {
        if (Files.isDirectory(path)) {
            return path;
        }
        if (!Files.exists(path)) {
            List<Path> left = OutputFolder.leftBy(path);
            if (!left.isEmpty()) {
                throw new CheckpointException(MISSING_FILE, path + " does not exist; " + left.getFirst()
                        + " is what it was before a replacement that was killed, rename it or convert again");
            }
            throw WeightFile.missing(path);
        }
        String name = path.getFileName().toString();
        if (!List.of(CONFIG, INDEX, TORCH_INDEX, TORCH_WEIGHTS).contains(name) && !name.endsWith(SAFETENSORS)) {
            throw OtherFormats.of(path).orElseGet(() -> new CheckpointException(NOT_A_CHECKPOINT, path + " is not a checkpoint; give the folder of "
                    + CONFIG + " and " + WEIGHTS));
        }
        return path.toAbsolutePath().resolveSibling("");
    }

    /** The files of a folder by name, sorted, and how sentence-transformers pools, which lies in a folder of its own. */
    private static Map<String, Path> list(Path folder) throws CheckpointException {
        Map<String, Path> entries = new LinkedHashMap<>();
        try {
            for (Path path : Disk.list(folder)) {
                String name = path.getFileName().toString();
                if (!Files.isDirectory(path)) {
                    entries.put(name, path);
                } else if (POOLING.matcher(name).matches() && Files.isRegularFile(path.resolve(CONFIG))) {
                    entries.put(name + "/" + CONFIG, path.resolve(CONFIG));
                }
            }
        } catch (IOException e) {
            throw WeightFile.failed(folder, e);
        }
        return entries;
    }

    private static List<Path> ending(Map<String, Path> entries, String ending) {
        return entries.values().stream()
                .filter(path -> path.getFileName().toString().endsWith(ending))
                .toList();
    }

    private static CheckpointException withoutWeights(Path folder, Map<String, Path> entries, List<Path> safetensors) {
        if (!safetensors.isEmpty()) {
            return new CheckpointException(MISSING_FILE, folder.resolve(INDEX) + " does not exist, and none of the "
                    + safetensors.size() + " safetensors files beside it is " + WEIGHTS);
        }
        return OtherFormats.of(folder, entries.keySet()).orElseGet(() -> WeightFile.missing(folder.resolve(WEIGHTS)));
    }

    private static List<WeightFile> openShards(Path index, Map<String, Path> entries) throws CheckpointException {
        Map<String, String> shardOf = new LinkedHashMap<>();
        Map<String, WeightFile> shards = new TreeMap<>();
        boolean torch = index.endsWith(TORCH_INDEX);
        if (!(readJson(index, INDEX_MALFORMED).get("weight_map") instanceof ObjectNode weightMap)) {
            throw new CheckpointException(INDEX_MALFORMED, index + " must have a weight_map object");
        }
        for (Map.Entry<String, JsonNode> entry : weightMap.properties()) {
            String shard = entry.getValue().textValue();
            // An index is downloaded, so it must not reach beyond its folder.
            if (shard == null || OUTSIDE.matcher(shard).find() || !(torch ? TORCH.matcher(shard).matches() : shard.endsWith(SAFETENSORS))) {
                throw new CheckpointException(INDEX_MALFORMED, index + ": tensor " + entry.getKey() + " must be in a "
                        + (torch ? "pytorch_model*.bin" : "safetensors") + " file of the folder itself, got " + entry.getValue());
            }
            shardOf.put(entry.getKey(), shard);
        }
        if (shardOf.isEmpty()) {
            throw new CheckpointException(INDEX_MALFORMED, index + " has an empty weight_map");
        }
        for (String shard : shardOf.values()) {
            if (!entries.containsKey(shard)) {
                throw new CheckpointException(MISSING_FILE, index + " lists " + shard + ", which does not exist");
            }
            if (!shards.containsKey(shard)) {
                shards.put(shard, torch ? TorchFile.read(entries.get(shard)) : SafetensorsFile.read(entries.get(shard)));
            }
        }
        for (Map.Entry<String, String> entry : shardOf.entrySet()) {
            if (!requireNonNull(shards.get(entry.getValue())).names().contains(entry.getKey())) {
                throw new CheckpointException(INDEX_DISAGREES, index + ": tensor " + entry.getKey() + " is not in "
                        + entry.getValue() + ", where the index says it is");
            }
        }
        for (Map.Entry<String, WeightFile> shard : shards.entrySet()) {
            for (String name : shard.getValue().names()) {
                // What the index leaves out, transformers reads as well; of a tensor in two shards nobody can tell which counts.
                String listed = shardOf.putIfAbsent(name, shard.getKey());
                if (listed != null && !shard.getKey().equals(listed)) {
                    throw new CheckpointException(INDEX_DISAGREES, index + ": tensor " + name + " is in " + shard.getKey() + " and in " + listed);
                }
            }
        }
        return List.copyOf(shards.values());
    }

    private static Config readObject(Path file) throws CheckpointException {
        JsonNode root = readJson(file, CONFIG_NOT_JSON);
        if (root.isObject()) {
            return Config.of(root);
        }
        throw new CheckpointException(CONFIG_NOT_JSON, file + " must be a JSON object, got "
                + root.getNodeType().name().toLowerCase(Locale.ROOT));
    }

    /** The keys that an object has more than once, each once. */
    private static Set<String> repeatedKeys(Path file) throws CheckpointException {
        Set<String> repeated = new LinkedHashSet<>();
        Deque<Set<String>> open = new ArrayDeque<>();
        try (JsonParser json = JSON.createParser(Files.readAllBytes(file))) {
            for (JsonToken token = json.nextToken(); token != null; token = json.nextToken()) {
                switch (token) {
                    case START_OBJECT -> open.push(new HashSet<>());
                    case END_OBJECT -> open.pop();
                    case FIELD_NAME -> {
                        if (!open.element().add(json.currentName())) {
                            repeated.add(json.currentName());
                        }
                    }
                    default -> { }
                }
            }
        } catch (IOException e) {
            throw WeightFile.failed(file, e);
        }
        return repeated;
    }

    private static JsonNode readJson(Path file, CheckpointException.Reason notJson) throws CheckpointException {
        try {
            if (Files.size(file) > LONGEST_JSON) {
                throw new CheckpointException(notJson, file + " has " + Files.size(file) + " bytes, more than the "
                        + LONGEST_JSON + " that are read");
            }
            return JSON.readTree(Files.readAllBytes(file));
        } catch (JsonProcessingException e) {
            throw new CheckpointException(notJson, file + " is not JSON: " + JsonFault.of(e)
                    + (e.getLocation() == null ? "" : " at line " + e.getLocation().getLineNr()), e);
        } catch (IOException e) {
            throw WeightFile.failed(file, e);
        }
    }

    /** The folder. */
    public Path folder() {
        return folder;
    }

    /** The content of {@code config.json}. */
    public Config config() {
        return config;
    }

    /** The content of {@code generation_config.json}, which not every model has; it is read now. */
    public Optional<Config> generationConfig() throws CheckpointException {
        Path file = folder.resolve(GENERATION_CONFIG);
        return companions.stream().anyMatch(each -> each.endsWith(GENERATION_CONFIG)) ? Optional.of(readObject(file)) : Optional.empty();
    }

    /** What its user should know of how it was read: a key that config.json has twice. One line each. */
    public List<String> remarks() {
        return remarks;
    }

    /** The names of all tensors: files in the order of {@link #weightFiles()}, tensors in the order of their bytes. */
    public Set<String> names() {
        return fileOf.keySet();
    }

    /** Whether there is a tensor of this name. */
    public boolean has(String name) {
        return fileOf.containsKey(name);
    }

    /** What the tensor of this name is. */
    public TensorInfo info(String name) throws CheckpointException {
        return file(name).info(name);
    }

    /** Maps exactly the bytes of a tensor, as {@link SafetensorsFile#map(String, Arena)} does. */
    public MemorySegment map(String name, Arena arena) throws IOException {
        return map(name, 0, info(name).bytes(), arena);
    }

    /** Maps {@code byteCount} bytes of a tensor from {@code byteOffset}. */
    public MemorySegment map(String name, long byteOffset, long byteCount, Arena arena) throws IOException {
        return file(name).map(name, byteOffset, byteCount, arena);
    }

    /** What the first of the weight files says about itself. */
    public Map<String, String> metadata() {
        return files.getFirst().metadata();
    }

    /** The files of weights, sorted by name. */
    public List<Path> weightFiles() {
        return files.stream().map(WeightFile::path).toList();
    }

    /**
     * The other files of the folder that a copy of the model needs, sorted by name: the tokenizer's, the chat template, and
     * the configurations of generation, preprocessing and sentence embeddings.
     */
    public List<Path> companionFiles() {
        return companions;
    }

    /** Copies them to where they lie in another folder. */
    public void copyCompanionFiles(Path to) throws IOException {
        for (Path companion : companions) {
            Path copy = to.resolve(folder.relativize(companion));
            Files.createDirectories(copy.getParent());
            Files.copy(companion, copy);
        }
    }

    private WeightFile file(String name) throws CheckpointException {
        WeightFile file = fileOf.get(name);
        if (file == null) {
            throw WeightFile.missingTensor(folder, name, fileOf.keySet());
        }
        return file;
    }
}
