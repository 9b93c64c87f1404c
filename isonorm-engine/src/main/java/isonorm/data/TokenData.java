package isonorm.data;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.model.Progress;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.GZIPInputStream;

/**
 * Tokens to learn from, and tokens to validate with.
 *
 * @param vocabulary how many ids there are
 * @param endOfText the id behind every document
 * @param tokenizerJson the tokenizer that gives these ids
 */
public record TokenData(Split train, Split validation, int vocabulary, int endOfText, byte[] tokenizerJson) {

    /** The file that says what else is in the folder. */
    public static final String MANIFEST = "dataset.json";

    static final String TOKENIZER = "tokenizer.json";
    static final int VERSION = 1;
    static final String TRAIN = "train";
    static final String VALIDATION = "validation";

    private static final ObjectMapper JSON = new ObjectMapper();

    /**
     * Maps a folder that {@link TokenDataBuilder} wrote. Nothing but sizes, and the tokenizer, is looked at.
     *
     * @throws IOException naming the file that is missing or is not what {@value #MANIFEST} says
     */
    public static TokenData open(Path folder) throws IOException {
        JsonNode manifest = manifest(folder);
        String type = manifest.path("type").asText();
        int width = switch (type) {
            case "u16" -> Short.BYTES;
            case "u32" -> Integer.BYTES;
            default -> throw new IOException(folder.resolve(MANIFEST) + ": type must be u16 or u32, got " + type);
        };
        Path tokenizer = folder.resolve(TOKENIZER);
        requireFile(tokenizer);
        if (!Fingerprint.sha256(tokenizer).equals(manifest.path("tokenizer_sha256").asText())) {
            throw new IOException(tokenizer + " is not the tokenizer the data was made with; build the data again");
        }
        int vocabulary = manifest.path("vocabulary").asInt();
        int endOfText = manifest.path("end_of_text").asInt();
        if (endOfText < 0 || endOfText >= vocabulary) {
            throw new IOException(folder.resolve(MANIFEST) + ": end_of_text must be below the vocabulary, got " + endOfText + " of " + vocabulary);
        }
        return new TokenData(split(folder, manifest, TRAIN, width, vocabulary), split(folder, manifest, VALIDATION, width, vocabulary),
                vocabulary, endOfText, Files.readAllBytes(tokenizer));
    }

    /**
     * What {@value #MANIFEST} of a folder says.
     *
     * @throws IOException if it is missing or of another version
     */
    public static JsonNode manifest(Path folder) throws IOException {
        Path file = folder.resolve(MANIFEST);
        if (!Files.isRegularFile(file)) {
            throw new IOException(folder + (Files.exists(folder) ? " has no " + MANIFEST + "; isonorm data build makes such a folder" : " does not exist"));
        }
        JsonNode manifest;
        try {
            manifest = JSON.readTree(file.toFile());
        } catch (JsonProcessingException e) {
            throw new IOException(file + " is not JSON: " + e.getOriginalMessage(), e);
        }
        if (manifest.path("format_version").asInt() != VERSION) {
            throw new IOException(file + ": format_version must be " + VERSION + ", got " + manifest.path("format_version").asText("none"));
        }
        return manifest;
    }

    static List<Shard> shards(JsonNode manifest, String split) {
        List<Shard> shards = new ArrayList<>();
        for (JsonNode shard : manifest.path("splits").path(split).path("shards")) {
            shards.add(new Shard(shard.path("file").asText(), shard.path("tokens").asLong(), shard.path("documents").asLong(),
                    shard.path("sha256").asText()));
        }
        return shards;
    }

    static void putShards(ObjectNode manifest, String split, List<Shard> shards) {
        ObjectNode node = manifest.withObjectProperty("splits").putObject(split);
        node.put("documents", shards.stream().mapToLong(Shard::documents).sum());
        node.put("tokens", shards.stream().mapToLong(Shard::tokens).sum());
        var list = node.putArray("shards");
        shards.forEach(shard -> list.addObject().put("file", shard.file()).put("tokens", shard.tokens()).put("documents", shard.documents())
                .put("sha256", shard.sha256()));
    }

    private static Split split(Path folder, JsonNode manifest, String name, int width, int vocabulary) throws IOException {
        List<String> names = new ArrayList<>();
        List<MemorySegment> parts = new ArrayList<>();
        long documents = 0;
        for (Shard shard : shards(manifest, name)) {
            Path file = folder.resolve(Path.of(shard.file()).getFileName());
            requireFile(file);
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
                if (channel.size() != shard.tokens() * width) {
                    throw new IOException(file + " is damaged: " + MANIFEST + " says " + shard.tokens() * width + " bytes, got " + channel.size()
                            + "; build the data again");
                }
                parts.add(channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto()));
            }
            names.add(file.toString());
            documents += shard.documents();
        }
        return new Split(names, parts, width, vocabulary, documents);
    }

    private static void requireFile(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + " is missing; build the data again");
        }
    }

    /**
     * Reads every byte of a folder.
     *
     * @throws IOException naming the first file that is not what it was when it was written
     */
    public static void check(Path folder, Progress progress) throws IOException {
        open(folder);
        JsonNode manifest = manifest(folder);
        List<Shard> all = new ArrayList<>(shards(manifest, TRAIN));
        all.addAll(shards(manifest, VALIDATION));
        for (int i = 0; i < all.size(); i++) {
            progress.step("reading", i, all.size());
            Path file = folder.resolve(all.get(i).file());
            if (!Fingerprint.sha256(file).equals(all.get(i).sha256())) {
                throw new IOException(file + " is damaged: its bytes are not those that were written; build the data again");
            }
        }
    }

    /**
     * A text in memory whose tokens are its bytes.
     *
     * @param validation the share of it, at its end, that is not learned from
     */
    public static TokenData ofBytes(String text, double validation) {
        return ofBytes(text.getBytes(StandardCharsets.UTF_8), validation);
    }

    private static TokenData ofBytes(byte[] text, double validation) {
        if (!(validation >= 0 && validation < 1)) {
            throw new IllegalArgumentException("the share for validation must be 0 or more and below 1, got " + validation);
        }
        long training = (long) (text.length * (1 - validation));
        MemorySegment all = MemorySegment.ofArray(text);
        Vocabulary bytes = Vocabulary.bytes();
        return new TokenData(new Split(List.of("text"), List.of(all.asSlice(0, training)), 1, bytes.size(), 1),
                new Split(List.of("text"), List.of(all.asSlice(training)), 1, bytes.size(), 0), bytes.size(), bytes.endOfText(), bytes.tokenizerJson());
    }

    /** The plays of Shakespeare that come with Isonorm, a megabyte; the last twentieth is for validation. */
    public static TokenData shakespeare() throws IOException {
        try (InputStream packed = TokenData.class.getResourceAsStream("shakespeare.txt.gz"); InputStream text = new GZIPInputStream(packed)) {
            return ofBytes(text.readAllBytes(), 0.05);
        }
    }
}
