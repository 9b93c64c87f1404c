package isonorm.verify;

import isonorm.layer.LogProbabilities;
import isonorm.text.BeginningToken;
import isonorm.text.Tokenizer;
import isonorm.words.TextFile;
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
 * <p>Where tokens begin a text, they stand in front of each window and take some of its positions. They are not predicted; each token of the text
 * is, the very first too, and a window predicts none behind its own.
 *
 * @param beginning the tokens in front of each window, see {@link BeginningToken}; none as a rule
 * @param window how many tokens a window has, with those that begin it: two or more, and no more than there are
 * @param stride how many tokens of the text behind each other windows begin, at most those that a window has of it
 * @param bytes how many bytes of UTF-8 the predicted tokens stand for: all of the text but the first token, up to the last
 *     predicted one. A character that several tokens share counts for the last of them. 0 where this is not known
 */
public record TokenizedText(long[] ids, long[] beginning, int window, int stride, long bytes) {

    /** No token follows. */
    public static final long NONE = LogProbabilities.NONE;

    private static final int CHARACTERS_A_TOKEN = 64; // more than any text needs, see limited()

    public TokenizedText {
        int most = beginning.length + ids.length;
        if (window < 2 || window <= beginning.length || window > most) {
            throw new IllegalArgumentException("a text needs a window of two tokens or more and all of its own, got a window of " + window
                    + " in " + most + " tokens" + (beginning.length > 0 ? ", " + beginning.length + " of which begin it" : ""));
        }
        if (stride < 1 || stride > window - beginning.length) {
            throw new IllegalArgumentException("a stride must be 1 to the window, " + (window - beginning.length)
                    + ", or tokens are left out, got " + stride);
        }
    }

    /** A text with nothing in front of its windows. */
    public TokenizedText(long[] ids, int window, int stride, long bytes) {
        this(ids, new long[0], window, stride, bytes);
    }

    /** Windows that follow each other, of a text of unknown bytes. */
    public static TokenizedText of(int window, long... ids) {
        return new TokenizedText(ids, window, window, 0);
    }

    /**
     * Reads and tokenizes a text, for windows that follow each other, with no special token in front.
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
        return read(tokenizerJson, textFile, BeginningToken.NEVER, window, stride, limit);
    }

    /**
     * The same with what begins a text in front of each window.
     *
     * @throws IllegalArgumentException as {@link Tokenizer#beginning} does
     */
    public static TokenizedText read(Path tokenizerJson, Path textFile, BeginningToken wanted, int window, int stride, long limit) throws IOException {
        return of(tokenizerJson, TextFile.read(textFile), textFile.toString(), wanted, window, stride, limit);
    }

    /**
     * The same of a text in memory.
     *
     * @param name what an error calls it
     */
    public static TokenizedText of(Path tokenizerJson, String given, String name, int window, int stride, long limit) throws IOException {
        return of(tokenizerJson, given, name, BeginningToken.NEVER, window, stride, limit);
    }

    private static TokenizedText of(Path tokenizerJson, String given, String name, BeginningToken wanted, int window, int stride, long limit)
            throws IOException {
        if (window < 2 || limit < 2) {
            throw new IllegalArgumentException("a window and the limit must be two tokens or more, got " + window + " and " + limit);
        }
        if (stride < 1 || stride > window) {
            throw new IllegalArgumentException("a stride must be 1 to the window, " + window + ", or tokens are left out, got " + stride);
        }
        try (Tokenizer tokenizer = Tokenizer.open(tokenizerJson)) {
            long[] beginning = tokenizer.beginning(wanted);
            Tokenizer.Encoded encoded = tokenizer.encode(limited(given, limit));
            long[] all = encoded.ids();
            int taken = (int) Math.min(all.length, limit);
            if (taken < 2) {
                throw new IOException(name + " has " + taken + " token; a perplexity needs two or more");
            }
            int length = Math.min(window, beginning.length + taken);
            int own = Math.max(1, length - beginning.length);
            TokenizedText text = new TokenizedText(Arrays.copyOf(all, taken), beginning, length, Math.min(stride, own), 0);
            return new TokenizedText(text.ids, beginning, length, text.stride,
                    encoded.bytes(text.first() - 1, text.first() - 1 + text.predicted()));
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
        return overlapping() ? 1 + Math.ceilDiv(ids.length - own(), stride) : ids.length / own();
    }

    /** How many tokens of the text a window has. */
    private int own() {
        return window - beginning.length;
    }

    private boolean overlapping() {
        return stride < own();
    }

    /** The first token that is predicted. */
    private int first() {
        return beginning.length > 0 ? 0 : 1;
    }

    /** The tokens of a window. */
    public long[] window(int index) {
        int from = index * stride;
        int count = Math.min(own(), ids.length - from);
        long[] tokens = Arrays.copyOf(beginning, beginning.length + count);
        System.arraycopy(ids, from, tokens, beginning.length, count);
        return tokens;
    }

    /** The token that a window predicts behind one of its positions, or {@link #NONE}. */
    public long target(int index, int position) {
        int own = position + 1 - beginning.length;
        int at = index * stride + own;
        boolean outside = own < 0 || at >= ids.length || (overlapping() || beginning.length > 0) && position + 1 >= window;
        boolean predicted = index > 0 && at < (index - 1) * stride + own(); // by the window before
        return outside || predicted ? NONE : ids[at];
    }

    /** How many tokens of the text the windows cover. */
    public int tokens() {
        return overlapping() ? ids.length : windows() * own();
    }

    /** How many tokens are predicted: all that the windows cover behind what begins them, or from the second on. */
    public int predicted() {
        return beginning.length > 0 ? tokens() : Math.min(tokens() + 1, ids.length) - 1;
    }
}
