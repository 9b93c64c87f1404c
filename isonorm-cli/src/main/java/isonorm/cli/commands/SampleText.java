package isonorm.cli.commands;

import isonorm.cli.report.Provenance;
import isonorm.data.TokenData;
import isonorm.verify.TokenizedText;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import java.util.stream.IntStream;

/** The text that depth is measured on: one that is given, or 110 kB of Shakespeare. */
final class SampleText {

    /** What the embedded text is called. */
    static final String NAME = "the embedded sample";

    /** Which part of a folder of tokens is a text. */
    enum Part {
        /** What is learned from, and what is for validation behind it. */
        ALL,
        /** What is learned from. */
        LEARNED,
        /** What is for validation. */
        HELD_OUT
    }

    private static final String RESOURCE = "tinyshakespeare-heldout.txt";

    private SampleText() {}

    /**
     * Reads and tokenizes a text, in whole windows that follow each other.
     *
     * @param file none for the embedded sample; a folder of tokens that {@link isonorm.data.TokenDataBuilder} wrote is a text too, what is learned
     *     from first and what is for validation behind it
     * @param limit how many tokens are taken at most
     * @throws IOException if a file is missing, or the text is empty, not UTF-8, or shorter than one window
     */
    static TokenizedText read(Path tokenizerJson, Optional<Path> file, int window, long limit) throws IOException {
        TokenizedText text = file.isEmpty()
                ? TokenizedText.of(tokenizerJson, embedded(), NAME, window, window, limit)
                : Files.isDirectory(file.get())
                        ? tokens(tokenizerJson, file.get(), file.get(), Part.ALL, window, limit)
                        : TokenizedText.read(tokenizerJson, file.get(), window, limit);
        return wholeWindow(text, window, file.map(Path::toString).orElse(NAME) + " has ");
    }

    private static TokenizedText wholeWindow(TokenizedText text, int window, String whose) throws IOException {
        if (text.window() < window) {
            throw new IOException(whose + text.ids().length + " tokens, fewer than one window of " + window + "; take a shorter window or a longer text");
        }
        return text;
    }

    /**
     * The same of one part of a folder of tokens.
     *
     * @param name what an error calls it
     */
    static TokenizedText part(Path tokenizerJson, Path folder, Path name, Part part, int window, long limit) throws IOException {
        return wholeWindow(tokens(tokenizerJson, folder, name, part, window, limit), window,
                name + (part == Part.HELD_OUT ? " has for validation, which is never learned from, " : " has to learn from "));
    }

    private static TokenizedText tokens(Path tokenizerJson, Path folder, Path name, Part part, int window, long limit) throws IOException {
        TokenData data = TokenData.open(folder);
        if (!Files.isRegularFile(tokenizerJson)) {
            throw new NoSuchFileException(tokenizerJson.toString());
        }
        if (!Arrays.equals(data.tokenizerJson(), Files.readAllBytes(tokenizerJson))) {
            throw new IOException(name + " was not tokenized as the model's texts were; build it with --tokenizer " + tokenizerJson);
        }
        int most = (int) Math.min(limit, Integer.MAX_VALUE - 8);
        int first = part == Part.HELD_OUT ? 0 : (int) Math.min(most, data.train().tokens());
        int second = part == Part.LEARNED ? 0 : (int) Math.min(most - first, data.validation().tokens());
        long[] ids = IntStream.concat(Arrays.stream(data.train().read(0, first)), Arrays.stream(data.validation().read(0, second))).asLongStream().toArray();
        if (ids.length < 2) {
            throw new IOException(name + " has " + ids.length + " tokens" + (part == Part.HELD_OUT ? " for validation" : "") + "; two or more are needed");
        }
        return TokenizedText.of(Math.min(window, ids.length), ids);
    }

    /** The embedded sample's bytes. */
    static Provenance.Source source() throws IOException {
        return new Provenance.Source("data", NAME, Fingerprint.sha256(embedded()));
    }

    private static String embedded() throws IOException {
        try (InputStream in = SampleText.class.getResourceAsStream(RESOURCE)) {
            if (in == null) {
                throw new IOException("this build lacks its sample text, " + RESOURCE + "; give a text");
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
