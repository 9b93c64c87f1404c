package isonorm.data;

import com.fasterxml.jackson.databind.PropertyNamingStrategies.SnakeCaseStrategy;
import com.fasterxml.jackson.databind.annotation.JsonNaming;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * What {@value #FILE} says of a folder of tokens.
 *
 * @param type of a token in a file: u16 or u32
 * @param vocabulary how many ids there are
 * @param endOfText the id behind every document
 * @param validation the share of documents that was asked for
 * @param validationBy document, or end where the last part of all tokens is for validation
 */
@JsonNaming(SnakeCaseStrategy.class)
public record Manifest(
        int formatVersion, String type, int vocabulary, int endOfText, String tokenizerSha256, double validation, long seed, long documents,
        long emptyDocuments, String validationBy, Splits splits) {

    /** The file that says what else is in the folder. */
    public static final String FILE = "dataset.json";

    static final int VERSION = 1;

    /** What is learned from, and what is not. */
    public record Splits(Part train, Part validation) {}

    /** A side, with the sums of what its files have. */
    public record Part(long documents, long tokens, List<Shard> shards) {

        /** @throws IllegalArgumentException if they are not the sums */
        public Part {
            shards = List.copyOf(shards);
            if (documents != documents(shards) || tokens != tokens(shards)) {
                throw new IllegalArgumentException("documents and tokens must be those of the files, " + documents(shards) + " and " + tokens(shards)
                        + ", got " + documents + " and " + tokens);
            }
        }

        static Part of(List<Shard> shards) {
            return new Part(documents(shards), tokens(shards), shards);
        }

        private static long documents(List<Shard> shards) {
            return shards.stream().mapToLong(Shard::documents).sum();
        }

        private static long tokens(List<Shard> shards) {
            return shards.stream().mapToLong(Shard::tokens).sum();
        }
    }

    /**
     * A file of tokens.
     *
     * @param file its name
     * @param tokens how many it has
     * @param documents how many begin in it
     * @param sha256 of its bytes
     */
    public record Shard(String file, long tokens, long documents, String sha256) {

        /** @throws IllegalArgumentException if the file is not one of the folder */
        public Shard {
            if (tokens < 0 || documents < 0) {
                throw new IllegalArgumentException("tokens and documents must be 0 or more, got " + tokens + " and " + documents);
            }
            if (!file.matches("\\w[\\w.-]*")) {
                throw new IllegalArgumentException("a file must be the name of one in the folder, got " + file);
            }
        }
    }

    public Manifest {
        if (!type.equals("u16") && !type.equals("u32")) {
            throw new IllegalArgumentException("type must be u16 or u32, got " + type);
        }
        if (documents < 0 || emptyDocuments < 0) {
            throw new IllegalArgumentException("documents must be 0 or more, got " + documents + ", and " + emptyDocuments + " empty ones");
        }
        if (endOfText < 0 || endOfText >= vocabulary) {
            throw new IllegalArgumentException("end_of_text must be below the vocabulary, got " + endOfText + " of " + vocabulary);
        }
    }

    /** Bytes of a token. */
    int width() {
        return type.equals("u16") ? Short.BYTES : Integer.BYTES;
    }

    /**
     * Of a folder.
     *
     * @throws IOException if there is none, or it is of another version, or not what {@link TokenDataBuilder} writes
     */
    public static Manifest of(Path folder) throws IOException {
        Path file = folder.resolve(FILE);
        if (!Files.isRegularFile(file)) {
            throw new IOException(folder + (Files.exists(folder) ? " has no " + FILE + "; isonorm data build makes such a folder" : " does not exist"));
        }
        ObjectNode json = JsonRecords.object(file);
        if (json.path("format_version").asInt() != VERSION) {
            throw new IOException(file + ": format_version must be " + VERSION + ", got " + json.path("format_version").asText("none"));
        }
        return JsonRecords.read(file, json, Manifest.class);
    }
}
