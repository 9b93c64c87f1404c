package isonorm.hub;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Pattern;

/** The files of a commit, by path. */
record Listing(Map<String, Entry> files) {

    /**
     * One file.
     *
     * @param blob the SHA-1 of git's object: of the file, or of what stands for a large one
     * @param sha256 of a large file's bytes
     * @param xet the hash of a large file in the hub's other store
     */
    record Entry(String path, long size, String blob, Optional<String> sha256, Optional<String> xet) {

        /** What names the file's bytes in the cache. */
        String etag() {
            return sha256.orElse(blob);
        }
    }

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int VERSION = 1;
    private static final Pattern SHA_1 = Pattern.compile("[0-9a-f]{40}");
    private static final Pattern SHA_256 = Pattern.compile("[0-9a-f]{64}");

    Listing {
        files = Collections.unmodifiableMap(new TreeMap<>(files));
    }

    /** What the hub lists, of which {@code pages} are the parts. */
    static Listing of(ModelName name, List<JsonNode> pages) throws HubException {
        Map<String, Entry> files = new TreeMap<>();
        for (JsonNode page : pages) {
            for (JsonNode each : page) {
                if (each.path("type").asText().equals("file")) {
                    Entry entry = new Entry(each.path("path").asText(), each.path("size").asLong(-1), each.path("oid").asText(),
                            text(each.path("lfs").path("oid")), text(each.path("xetHash")));
                    require(name, entry);
                    files.put(entry.path(), entry);
                }
            }
        }
        return new Listing(files);
    }

    /** Nothing of a listing may lead out of its folder, and what names a blob is a hash. */
    private static void require(ModelName name, Entry entry) throws HubException {
        if (!isInside(entry.path())) {
            throw new HubException(HubException.Reason.UNUSABLE, name + " lists a file '" + entry.path() + "', which would lie outside of its folder; nothing was fetched");
        }
        if (entry.size() < 0 || !isHashed(entry)) {
            throw new HubException(HubException.Reason.UNUSABLE, name + " lists " + entry.path() + " without its size and hash, so that it could not be checked");
        }
    }

    private static boolean isHashed(Entry entry) {
        return SHA_1.matcher(entry.blob()).matches() && entry.sha256().stream().allMatch(sha -> SHA_256.matcher(sha).matches())
                && entry.xet().stream().allMatch(sha -> SHA_256.matcher(sha).matches());
    }

    private static boolean isInside(String path) {
        return path.chars().noneMatch(c -> c < ' ' || c == 0x7f || c == '\\' || c == ':')
                && List.of(path.split("/", -1)).stream().noneMatch(part -> part.isEmpty() || part.equals(".") || part.equals(".."));
    }

    private static Optional<String> text(JsonNode node) {
        return Optional.ofNullable(node.textValue());
    }

    /** What was kept of a commit; nothing where there is none, or one that cannot be used. */
    static Optional<Listing> read(Path file) {
        if (!Files.isRegularFile(file)) {
            return Optional.empty();
        }
        Map<String, Entry> files = new TreeMap<>();
        try {
            JsonNode root = JSON.readTree(Files.readAllBytes(file));
            if (root.path("format_version").asInt() != VERSION || !root.path("files").isObject()) {
                return Optional.empty();
            }
            for (Map.Entry<String, JsonNode> each : root.get("files").properties()) {
                JsonNode value = each.getValue();
                Entry entry = new Entry(each.getKey(), value.path("size").asLong(-1), value.path("blob_id").asText(), text(value.path("lfs_sha256")),
                        text(value.path("xet_hash")));
                if (!isInside(entry.path()) || entry.size() < 0 || !isHashed(entry)) {
                    return Optional.empty();
                }
                files.put(entry.path(), entry);
            }
        } catch (IOException e) {
            return Optional.empty();
        }
        return Optional.of(new Listing(files));
    }

    /** As Python's tools keep it. */
    byte[] text() throws JacksonException {
        ObjectNode root = JSON.createObjectNode().put("format_version", VERSION);
        ObjectNode all = root.putObject("files");
        for (Entry entry : files.values()) {
            ObjectNode value = all.putObject(entry.path()).put("size", entry.size()).put("blob_id", entry.blob());
            entry.sha256().ifPresent(sha -> value.put("lfs_sha256", sha).put("lfs_size", entry.size()));
            entry.xet().ifPresent(hash -> value.put("xet_hash", hash));
        }
        return JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(root);
    }

    /** The files in the top folder. */
    List<String> top() {
        List<String> top = new ArrayList<>(files.keySet());
        top.removeIf(path -> path.contains("/"));
        return top;
    }
}
