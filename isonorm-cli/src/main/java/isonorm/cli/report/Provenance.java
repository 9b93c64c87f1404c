package isonorm.cli.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.Checkpoint;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.Version;
import isonorm.measure.Machine;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * Where a report comes from: when and by which command it was made, on which processor, and of which bytes.
 *
 * @param command as it was typed, quoted for a shell
 * @param sources what was read
 */
public record Provenance(ZonedDateTime when, String command, String processor, List<Source> sources) {

    private static final DateTimeFormatter MINUTES = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm 'UTC'");

    /**
     * Bytes that were read.
     *
     * @param what checkpoint, or data
     * @param sha256 of them, in hexadecimal digits
     */
    public record Source(String what, String name, String sha256) {

        /** The files of weights of a checkpoint. */
        public static List<Source> of(Checkpoint checkpoint) throws IOException {
            List<Source> sources = new ArrayList<>();
            for (Path file : checkpoint.weightFiles()) {
                sources.add(new Source("checkpoint", file.toString(), Fingerprint.sha256(file)));
            }
            return sources;
        }

        /** A file of data, or a folder: of tokens, whose dataset.json names the SHA-256 of each of its files, or of others, of which there may be millions. */
        public static Source data(Path data) throws IOException {
            Path manifest = data.resolve("dataset.json");
            if (Files.isDirectory(data) && !Files.isRegularFile(manifest)) {
                return new Source("data", data + " (names and sizes of its files)", Fingerprint.sha256(listing(data)));
            }
            Path file = Files.isRegularFile(manifest) ? manifest : data;
            return new Source("data", file.toString(), Fingerprint.sha256(file));
        }

        private static String listing(Path folder) throws IOException {
            try (Stream<Path> files = Files.walk(folder)) {
                StringBuilder lines = new StringBuilder();
                for (Path file : files.filter(Files::isRegularFile).sorted().toList()) {
                    lines.append(Files.size(file)).append(' ').append(folder.relativize(file)).append('\n');
                }
                return lines.toString();
            }
        }
    }

    /** Of what happens now. */
    public static Provenance now(List<String> arguments, List<Source> sources) {
        StringBuilder command = new StringBuilder("isonorm");
        arguments.forEach(argument -> command.append(' ').append(quoted(argument)));
        return new Provenance(ZonedDateTime.now(ZoneOffset.UTC).truncatedTo(ChronoUnit.SECONDS), command.toString(), Machine.processorName(), List.copyOf(sources));
    }

    private static String quoted(String argument) {
        return argument.matches("[A-Za-z0-9_@%+=:,./-]+") ? argument : "'" + argument.replace("'", "'\\''") + "'";
    }

    /** To the minute. */
    String date() {
        return when.format(MINUTES);
    }

    ObjectNode json() {
        ObjectNode json = Json.object().put("date", when.format(DateTimeFormatter.ISO_INSTANT)).put("command", command).put("version", Version.isonorm())
                .put("processor", processor);
        ArrayNode read = json.putArray("read");
        sources.forEach(source -> read.addObject().put("what", source.what).put("name", source.name).put("sha256", source.sha256));
        return json;
    }
}
