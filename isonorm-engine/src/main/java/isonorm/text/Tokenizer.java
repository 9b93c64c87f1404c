package isonorm.text;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.djl.huggingface.tokenizers.jni.CharSpan;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** A model's tokenizer.json, which turns text into token ids and back. It neither cuts nor pads. */
public final class Tokenizer implements AutoCloseable {

    /** Options, and what the tokenizers' library reads of system properties while it is loaded and whenever it opens a file. */
    private static final Map<String, String> OPTIONS = Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false");
    private static final Map<String, String> PROPERTIES = Map.of("ai.djl.offline", "true", "RUST_FLAVOR", "cpu", "slf4j.internal.verbosity", "ERROR");

    private final Path file;
    private final HuggingFaceTokenizer tokenizer;

    private Tokenizer(Path file, HuggingFaceTokenizer tokenizer) {
        this.file = file;
        this.tokenizer = tokenizer;
    }

    /**
     * Reads a tokenizer.json; close it.
     *
     * @throws IOException if the file is missing, or no tokenizer that can be read
     */
    public static Tokenizer open(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + " does not exist; a text needs the model's tokenizer.json");
        }
        try (InputStream json = Files.newInputStream(file)) {
            return new Tokenizer(file, opened(json));
        } catch (RuntimeException e) {
            throw unreadable(file, e);
        }
    }

    /** What the native library says of a file that it cannot read. */
    private static IOException unreadable(Path file, RuntimeException e) {
        return new IOException(file + " is no tokenizer that can be read: " + e.getMessage(), e);
    }

    /**
     * Left alone, the library would ask the network where it runs, look there for a build of itself for CUDA, and write about logging to stderr.
     * The properties that keep it from all that are the process's, so those that nobody has set are set for no longer than this takes.
     */
    private static synchronized HuggingFaceTokenizer opened(InputStream json) throws IOException {
        List<String> own = PROPERTIES.keySet().stream().filter(name -> System.getProperty(name) == null).toList();
        own.forEach(name -> System.setProperty(name, PROPERTIES.get(name)));
        try {
            return HuggingFaceTokenizer.newInstance(json, OPTIONS);
        } finally {
            own.forEach(System::clearProperty);
        }
    }

    /** The tokens of a text and nothing else. */
    public Encoded encode(String text) throws IOException {
        return new Encoded(text, encoding(text, false));
    }

    /** The ids of a text and nothing else. */
    public long[] ids(String text) throws IOException {
        return encode(text).ids();
    }

    /** The ids of a text with the special tokens that the tokenizer puts around one, the token that begins it for instance. */
    public long[] prompt(String text) throws IOException {
        return encoding(text, true).getIds();
    }

    private Encoding encoding(String text, boolean special) throws IOException {
        try {
            return tokenizer.encode(text, special, false);
        } catch (RuntimeException e) {
            throw unreadable(file, e);
        }
    }

    /** The text of tokens, without the special ones. Bytes that make no character come out as U+FFFD, unknown ids as nothing. */
    public String decode(long... ids) throws IOException {
        try {
            return tokenizer.decode(ids, true);
        } catch (RuntimeException e) {
            throw unreadable(file, e);
        }
    }

    @Override
    public void close() {
        tokenizer.close();
    }

    /** A text's tokens and where they stand in it. */
    public static final class Encoded {

        private final String text;
        private final Encoding encoding;

        private Encoded(String text, Encoding encoding) {
            this.text = text;
            this.encoding = encoding;
        }

        /** The tokens. */
        public long[] ids() {
            return encoding.getIds();
        }

        /**
         * How many bytes of UTF-8 the tokens behind {@code first}, up to and with {@code last}, stand for. A character that
         * several tokens share counts for the last of them, and what no token covers for the token behind it, or the very last.
         */
        public long bytes(int first, int last) {
            int from = text.offsetByCodePoints(0, end(first));
            int to = last == ids().length - 1 ? text.length() : text.offsetByCodePoints(from, end(last) - end(first));
            return text.substring(from, to).getBytes(StandardCharsets.UTF_8).length;
        }

        /** In code points, which the spans count. */
        private int end(int token) {
            CharSpan[] spans = encoding.getCharTokenSpans();
            int end = spans[token].getEnd();
            return token + 1 < spans.length ? Math.min(end, spans[token + 1].getStart()) : end;
        }
    }
}
