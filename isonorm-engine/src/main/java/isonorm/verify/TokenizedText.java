package isonorm.verify;

import isonorm.text.TextFile;
import isonorm.text.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * A text as token ids, in windows that each begin a stride behind the one before.
 *
 * <p>The perplexity of a text is {@code exp} of the mean of {@code -log p(token)} over the tokens that some window predicts, each
 * given what stands before it in its window. Every token of the text is predicted once, but for the very first:
 *
 * <ul>
 *   <li>Where the stride is the window, windows follow each other. Each predicts its own tokens but its first, and the first of the
 *       next one. What does not fill a last window is left out.
 *   <li>Where it is shorter, windows overlap, and each predicts those of its tokens that no window before it has. So all but those
 *       of the first window have at least {@code window - stride} tokens before them. The last window ends where the text does, and
 *       may be shorter. This is how Hugging Face's guide to the perplexity of fixed-length models defines it.
 * </ul>
 *
 * @param window how many tokens a window has, two or more and no more than there are
 * @param stride how many tokens behind each other windows begin, at most {@code window}
 * @param bytes how many bytes of UTF-8 the predicted tokens stand for: all of the text but the first token, up to the last
 *     predicted one. A character that several tokens share counts for the last of them. 0 where this is not known
 */
public record TokenizedText(long[] ids, int window, int stride, long bytes) {

    /** No token follows. */
    public static final long NONE = -1;

    private static final int CHARACTERS_A_TOKEN = 64; // more than any text needs, see limited()

    public TokenizedText {
        if (window < 2 || window > ids.length) {
            throw new IllegalArgumentException("a text needs a window of two tokens or more and all of its own, got a window of " + window
                    + " in " + ids.length + " tokens");
        }
        if (stride < 1 || stride > window) {
            throw new IllegalArgumentException("a stride must be 1 to the window, " + window + ", or tokens are left out, got " + stride);
        }
    }

    /** Windows that follow each other, of a text of unknown bytes. */
    public static TokenizedText of(int window, long... ids) {
        return new TokenizedText(ids, window, window, 0);
    }

    /**
     * Reads and tokenizes a text, for windows that follow each other. No special tokens are added.
     *
     * @param window how many tokens a window has; a text that is shorter makes one window of its own length
     * @param limit how many tokens are taken at most
     * @throws IOException if a file is missing, the text is empty, not UTF-8 or shorter than two tokens, or the tokenizer cannot
     *     be read
     */
    public static TokenizedText read(Path tokenizerJson, Path textFile, int window, long limit) throws IOException {
        return read(tokenizerJson, textFile, window, window, limit);
    }

    /**
     * The same with windows that begin {@code stride} tokens behind each other.
     *
     * @param stride 1 to {@code window}
     */
    public static TokenizedText read(Path tokenizerJson, Path textFile, int window, int stride, long limit) throws IOException {
        return of(tokenizerJson, TextFile.read(textFile), textFile.toString(), window, stride, limit);
    }

    /**
     * The same of a text in memory.
     *
     * @param name what an error calls it
     */
    public static TokenizedText of(Path tokenizerJson, String given, String name, int window, int stride, long limit) throws IOException {
        if (window < 2 || limit < 2) {
            throw new IllegalArgumentException("a window and the limit must be two tokens or more, got " + window + " and " + limit);
        }
        if (stride < 1 || stride > window) {
            throw new IllegalArgumentException("a stride must be 1 to the window, " + window + ", or tokens are left out, got " + stride);
        }
        try (Tokenizer tokenizer = Tokenizer.open(tokenizerJson)) {
            Tokenizer.Encoded encoded = tokenizer.encode(limited(given, limit));
            long[] all = encoded.ids();
            int taken = (int) Math.min(all.length, limit);
            if (taken < 2) {
                throw new IOException(name + " has " + taken + " token; a perplexity needs two or more");
            }
            int length = Math.min(window, taken);
            TokenizedText text = new TokenizedText(Arrays.copyOf(all, taken), length, Math.min(stride, length), 0);
            return new TokenizedText(text.ids, length, text.stride, encoded.bytes(0, text.predicted()));
        }
    }

    /** As much of a text as {@code limit} tokens can need: no more is tokenized, and what would follow is cut off anyway. */
    private static String limited(String text, long limit) {
        if (limit >= text.length() / CHARACTERS_A_TOKEN) {
            return text;
        }
        int end = (int) limit * CHARACTERS_A_TOKEN;
        return text.substring(0, Character.isHighSurrogate(text.charAt(end - 1)) ? end - 1 : end);
    }

    /** How many windows there are. */
    public int windows() {
        return overlapping() ? 1 + Math.ceilDiv(ids.length - window, stride) : ids.length / window;
    }

    private boolean overlapping() {
        return stride < window;
    }

    /** The tokens of a window. */
    public long[] window(int index) {
        return Arrays.copyOfRange(ids, index * stride, Math.min(index * stride + window, ids.length));
    }

    /** The token that a window predicts behind one of its positions, or {@link #NONE}. */
    public long target(int index, int position) {
        int at = index * stride + position + 1;
        boolean outside = at >= ids.length || overlapping() && position + 1 >= window;
        boolean predicted = index > 0 && at < (index - 1) * stride + window; // by the window before
        return outside || predicted ? NONE : ids[at];
    }

    /** How many tokens the windows cover. */
    public int tokens() {
        return overlapping() ? ids.length : windows() * window;
    }

    /** How many tokens are predicted: from the second on, this many. */
    public int predicted() {
        return Math.min(tokens() + 1, ids.length) - 1;
    }
}
