package isonorm.depth;

import isonorm.verify.TokenizedText;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Optional;

/** The text that depth is measured on: one that is given, or 110 kB of Shakespeare. */
public final class SampleText {

    /** What the embedded text is called. */
    public static final String NAME = "the embedded sample";

    private static final String RESOURCE = "tinyshakespeare-heldout.txt";

    private SampleText() {}

    /**
     * Reads and tokenizes a text, in whole windows that follow each other.
     *
     * @param file none for the embedded sample
     * @param limit how many tokens are taken at most
     * @throws IOException if a file is missing, or the text is empty, not UTF-8, or shorter than one window
     */
    public static TokenizedText read(Path tokenizerJson, Optional<Path> file, int window, long limit) throws IOException {
        TokenizedText text = file.isPresent()
                ? TokenizedText.read(tokenizerJson, file.get(), window, limit)
                : TokenizedText.of(tokenizerJson, embedded(), NAME, window, window, limit);
        if (text.window() < window) {
            throw new IOException(file.map(Path::toString).orElse(NAME) + " has " + text.ids().length + " tokens, fewer than one window of "
                    + window + "; take a shorter window or a longer text");
        }
        return text;
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
