package isonorm.cli.commands;

import isonorm.cli.terminal.Logs;
import isonorm.cli.terminal.Table;
import isonorm.data.Manifest;
import isonorm.data.TokenDataBuilder;
import isonorm.data.Vocabulary;
import isonorm.model.Progress;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** Files of text in the place of a folder of tokens: the folder is built beside what is trained on it. */
final class TextToTokens {

    /** A text is shorter than what data build is for, and a hundredth of it may be no sequence. */
    private static final double VALIDATION = 0.1;

    private TextToTokens() {}

    /**
     * Whether a value of {@code data} is a file that has to become tokens first. Lines of JSON are not: they may be prompts with completions, which are
     * learned from as they are.
     */
    static boolean isText(String data) {
        String name = data.toLowerCase(Locale.ROOT);
        return Files.isRegularFile(Path.of(data)) && !name.matches(".*\\.(jsonl|ndjson|json)(\\.(gz|zst))?");
    }

    /**
     * Builds the folder, in the place of one that was built so before.
     *
     * @param checkpoint whose tokenizer reads the text; bytes are tokens where there is none
     * @return what was built, in words
     */
    static String build(Path text, Path folder, Optional<Path> checkpoint, Progress progress) throws IOException {
        Logs.hush();
        Manifest manifest;
        try (Vocabulary vocabulary = checkpoint.isPresent() ? Vocabulary.open(checkpoint.get(), Optional.empty()) : Vocabulary.bytes()) {
            manifest = TokenDataBuilder.of(List.of(text), vocabulary).validation(VALIDATION, 0).overwriting().writeTo(folder, progress);
        }
        return text + " as tokens is in " + folder + ": " + Table.count(manifest.splits().train().tokens(), checkpoint.isPresent() ? "token" : "byte")
                + " to learn from, " + Table.count(manifest.splits().validation().tokens()) + " for validation";
    }
}
