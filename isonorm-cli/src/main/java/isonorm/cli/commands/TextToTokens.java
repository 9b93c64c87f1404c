package isonorm.cli.commands;

import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Logs;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.data.Manifest;
import isonorm.data.TokenDataBuilder;
import isonorm.data.Vocabulary;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * A file of text in the place of a folder of tokens, which is built beside what is trained on it.
 *
 * @param column of the text, where the file is a table
 * @param checkpoint whose tokenizer reads the text; bytes are tokens where there is none
 */
record TextToTokens(Path text, String column, Optional<Path> checkpoint) {

    static final String DATA = "data";

    /** The key of a column; what it is without one. */
    static final String COLUMN = "data.column";

    static final String USUAL = "text";

    /** A text is shorter than what data build is for, and a hundredth of it may be no sequence. */
    private static final double VALIDATION = 0.1;

    /** Says in a folder of tokens which text they are of. */
    private static final String SOURCE = "text.sha256";

    /**
     * What keys and values say of a text, where {@code data} is one. Lines of JSON are none: they may be prompts with completions, which are learned from as
     * they are.
     */
    static Optional<TextToTokens> of(Map<String, String> values) {
        String data = values.getOrDefault(DATA, "");
        if (data.isEmpty() || !Files.isRegularFile(Path.of(data)) || data.toLowerCase(Locale.ROOT).matches(".*\\.(jsonl|ndjson|json)(\\.(gz|zst))?")) {
            return Optional.empty();
        }
        return Optional.of(new TextToTokens(Path.of(data), values.getOrDefault(COLUMN, USUAL),
                Optional.of(values.getOrDefault("from", "")).filter(from -> !from.isEmpty()).map(Path::of)));
    }

    /** Why processes of a group do not take a text, each of which would build it: what to say of wrong usage. */
    String refusal() {
        return "processes of a group read data that is there before they start, got the text " + text + "; build it with isonorm data build " + text
                + " --out FOLDER, and set data to that";
    }

    /** The folder of tokens of what is trained in a folder. */
    static Path beside(Path out) {
        return Path.of(out + "-tokens");
    }

    /** Whether a folder has the tokens of this text, as it is now. */
    boolean isIn(Path folder) throws IOException {
        Path source = folder.resolve(SOURCE);
        return Files.exists(source) && Files.readString(source).equals(source());
    }

    private String source() throws IOException {
        return Fingerprint.sha256(text) + " " + column + System.lineSeparator();
    }

    /** Builds the folder, in the place of one that was built so before, and says so. */
    void build(Path folder, Console console, boolean quiet) throws IOException {
        Logs.hush();
        Manifest manifest;
        try (ProgressBar progress = ProgressBar.on(console, quiet);
                Vocabulary vocabulary = checkpoint.isPresent() ? Vocabulary.open(checkpoint.get(), Optional.empty()) : Vocabulary.bytes()) {
            manifest = TokenDataBuilder.of(List.of(text), vocabulary).key(column).validation(VALIDATION, 0).overwriting().writeTo(folder, progress);
        }
        Files.writeString(folder.resolve(SOURCE), source());
        if (!quiet) {
            console.err().println(text + " as tokens is in " + folder + ": " + Table.count(manifest.splits().train().tokens(), checkpoint.isPresent() ? "token" : "byte")
                    + " to learn from, " + Table.count(manifest.splits().validation().tokens()) + " for validation");
        }
    }
}
