package isonorm.verify;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;

/**
 * A text as token ids, in windows of one length that follow each other; what does not fill a last window is left out.
 *
 * <p>The perplexity of a text is {@code exp} of the mean of {@code -log p(token)} over the tokens that follow a token of a
 * window: those of the window but its first, and the first of the next one, each given what stands before it in its window. So
 * every token of the text is predicted once, but for the very first.
 *
 * @param windows at least one, of two tokens or more
 * @param following the token behind each window, or {@link #NONE} behind the last one where the text ends there
 */
public record TokenizedText(long[][] windows, long[] following) {

    /** No token follows. */
    public static final long NONE = -1;

    private static final long LARGEST_FILE = 1L << 30;
    private static final int CHARACTERS_A_TOKEN = 64; // more than any text needs, see limited()

    public TokenizedText {
        if (windows.length == 0 || windows[0].length < 2) {
            throw new IllegalArgumentException("a text needs a window of two tokens or more");
        }
        if (following.length != windows.length) {
            throw new IllegalArgumentException(windows.length + " windows need as many following tokens, got " + following.length);
        }
    }

    /**
     * Reads and tokenizes a text. No special tokens are added.
     *
     * @param window how many tokens a window has; a text that is shorter makes one window of its own length
     * @param limit how many tokens are taken at most
     * @throws IOException if a file is missing, the text is empty, not UTF-8 or shorter than two tokens, or the tokenizer cannot
     *     be read
     */
    public static TokenizedText read(Path tokenizerJson, Path textFile, int window, long limit) throws IOException {
        if (window < 2 || limit < 2) {
            throw new IllegalArgumentException("a window and the limit must be two tokens or more, got " + window + " and " + limit);
        }
        if (!Files.isRegularFile(tokenizerJson)) {
            throw new IOException(tokenizerJson + " does not exist; a text needs the model's tokenizer.json");
        }
        long[] ids = tokenize(tokenizerJson, limited(text(textFile), limit));
        int taken = (int) Math.min(ids.length, limit);
        if (taken < 2) {
            throw new IOException(textFile + " has " + taken + " token; a perplexity needs two or more");
        }
        int length = Math.min(window, taken);
        long[][] windows = new long[taken / length][];
        long[] following = new long[windows.length];
        for (int w = 0; w < windows.length; w++) {
            int end = (w + 1) * length;
            windows[w] = Arrays.copyOfRange(ids, w * length, end);
            following[w] = end < taken ? ids[end] : NONE;
        }
        return new TokenizedText(windows, following);
    }

    private static String text(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + " does not exist");
        }
        long size = Files.size(file);
        if (size == 0) {
            throw new IOException(file + " is empty");
        }
        if (size > LARGEST_FILE) {
            throw new IOException(file + " has " + size + " bytes, more than the " + LARGEST_FILE + " that are read; cut it");
        }
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file));
        CharBuffer text = CharBuffer.allocate(bytes.remaining());
        CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT);
        CoderResult result = decoder.decode(bytes, text, true);
        if (result.isError()) {
            throw new IOException(file + " is not UTF-8: byte " + bytes.position() + " starts no character");
        }
        return text.flip().toString();
    }

    /** As much of a text as {@code limit} tokens can need: no more is tokenized, and what would follow is cut off anyway. */
    private static String limited(String text, long limit) {
        if (limit >= text.length() / CHARACTERS_A_TOKEN) {
            return text;
        }
        int end = (int) limit * CHARACTERS_A_TOKEN;
        return text.substring(0, Character.isHighSurrogate(text.charAt(end - 1)) ? end - 1 : end);
    }

    private static long[] tokenize(Path tokenizerJson, String text) throws IOException {
        stayOffline();
        Map<String, String> options = Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false");
        try (InputStream json = Files.newInputStream(tokenizerJson);
                HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.newInstance(json, options)) {
            return tokenizer.encode(text, false, false).getIds();
        } catch (RuntimeException e) { // the native library's word for a file it cannot read
            throw new IOException(tokenizerJson + " is no tokenizer that can be read: " + e.getMessage(), e);
        }
    }

    /** The tokenizer's library would look for a CUDA build of itself on the network, and write about logging to stderr. */
    private static void stayOffline() {
        setIfAbsent("ai.djl.offline", "true");
        setIfAbsent("RUST_FLAVOR", "cpu");
        setIfAbsent("slf4j.internal.verbosity", "ERROR");
    }

    private static void setIfAbsent(String property, String value) {
        if (System.getProperty(property) == null) {
            System.setProperty(property, value);
        }
    }

    /** How many tokens a window has. */
    public int window() {
        return windows[0].length;
    }

    /** How many tokens all windows have together. */
    public long tokens() {
        return (long) windows.length * window();
    }
}
