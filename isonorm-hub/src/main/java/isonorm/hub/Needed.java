package isonorm.hub;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * The files that a checkpoint is read from, in the order in which {@code Checkpoint.open} looks for them.
 *
 * @param first what is known by the listing alone
 * @param index which of them says what else is needed
 */
record Needed(List<String> first, Optional<String> index) {

    private static final long LONGEST_INDEX = 100_000_000;
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Pattern COMPANION = Pattern.compile("(config|generation_config|special_tokens_map|added_tokens|preprocessor_config|adapter_config)\\.json"
            + "|modules\\.json|(config_)?sentence_.*\\.json|[0-9]_\\w+/config\\.json|tokenizer[^/]*|vocab\\.[^/]*|merges\\.txt|chat_template\\.[^/]*|[^/]*\\.model|spiece\\.[^/]*");

    static Needed of(ModelName name, Listing listing) throws HubException {
        List<String> top = listing.top();
        List<String> safetensors = top.stream().filter(file -> file.endsWith(".safetensors")).toList();
        List<String> needed = new ArrayList<>(listing.files().keySet().stream().filter(file -> COMPANION.matcher(file).matches()).toList());
        if (!top.contains("config.json")) {
            throw new HubException(HubException.Reason.UNUSABLE, name + " has no config.json, so it is no checkpoint (" + some(top) + "); --include fetches files by name");
        }
        for (String one : List.of("model.safetensors", "model.safetensors.index.json")) {
            if (top.contains(one)) {
                needed.add(one);
                return new Needed(needed, Optional.of(one).filter(file -> file.endsWith(".json")));
            }
        }
        if (safetensors.size() == 1) {
            needed.add(safetensors.getFirst());
            return new Needed(needed, Optional.empty());
        }
        for (String one : safetensors.isEmpty() ? List.of("pytorch_model.bin", "pytorch_model.bin.index.json") : List.<String>of()) {
            if (top.contains(one)) {
                needed.add(one);
                return new Needed(needed, Optional.of(one).filter(file -> file.endsWith(".json")));
            }
        }
        throw new HubException(HubException.Reason.UNUSABLE, name + " has weights neither in model.safetensors nor in pytorch_model.bin (" + some(top)
                + "); --include fetches files by name");
    }

    private static String some(List<String> files) {
        return files.isEmpty() ? "it has no files" : "it has " + files.stream().limit(5).collect(Collectors.joining(", ")) + (files.size() > 5 ? " and " + (files.size() - 5) + " more" : "");
    }

    /** The files with tensors that an index names, each once. */
    static List<String> shards(ModelName name, Path index, Listing listing) throws IOException {
        TreeSet<String> shards = new TreeSet<>();
        String file = String.valueOf(index.getFileName());
        JsonNode map = Files.size(index) > LONGEST_INDEX ? JSON.missingNode() : read(index).path("weight_map");
        for (JsonNode shard : map) {
            if (!shard.isTextual() || !listing.top().contains(shard.asText())) {
                throw new HubException(HubException.Reason.UNUSABLE, name + " has no file " + shard + ", which its " + file + " names");
            }
            shards.add(shard.asText());
        }
        if (shards.isEmpty()) {
            throw new HubException(HubException.Reason.UNUSABLE, name + " has a " + file + " that names no file");
        }
        return List.copyOf(shards);
    }

    private static JsonNode read(Path index) throws IOException {
        try {
            return JSON.readTree(Files.readAllBytes(index));
        } catch (JacksonException e) {
            return JSON.missingNode();
        }
    }

    /** What a glob means to Python's tools, where a star matches slashes too. */
    static List<String> matching(List<String> globs, Listing listing) {
        List<Pattern> patterns = globs.stream().map(Needed::pattern).toList();
        return listing.files().keySet().stream().filter(path -> patterns.stream().anyMatch(pattern -> pattern.matcher(path).matches())).toList();
    }

    private static Pattern pattern(String glob) {
        StringBuilder pattern = new StringBuilder();
        String whole = glob.endsWith("/") ? glob + "*" : glob;
        for (int i = 0; i < whole.length(); i++) {
            char c = whole.charAt(i);
            int end = c == '[' ? whole.indexOf(']', i + 2) : -1;
            if (end > 0) {
                String set = whole.substring(i + 1, end);
                pattern.append(set.startsWith("!") ? "[^" : "[").append((set.startsWith("!") ? set.substring(1) : set).replaceAll("[\\\\\\[\\]&^]", "\\\\$0")).append(']');
                i = end;
            } else {
                pattern.append(switch (c) {
                    case '*' -> ".*";
                    case '?' -> ".";
                    default -> Pattern.quote(String.valueOf(c));
                });
            }
        }
        return Pattern.compile(pattern.toString(), Pattern.DOTALL);
    }
}
