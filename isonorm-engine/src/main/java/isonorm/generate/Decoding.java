package isonorm.generate;

import isonorm.text.Tokenizer;
import java.io.IOException;
import java.util.Arrays;

/**
 * Tokens as text while they come, in whole characters.
 *
 * <p>A token alone does not say its text: it may end inside a character, and tokenizers of the SentencePiece kind drop the space in
 * front of what comes first. So the newest tokens are decoded once with and once without the one that came, both times behind the
 * tokens of the piece before, and the difference is the new piece. While that ends with U+FFFD, it waits for the rest of the
 * character.
 */
final class Decoding {

    private static final char INCOMPLETE = '\ufffd';

    private final Tokenizer tokenizer;

    /** The tokens of the last piece, {@code given} in number, and those that have come since. */
    private long[] window;
    private int count;
    private int given;
    private String text;

    private Decoding(Tokenizer tokenizer, long[] ids) throws IOException {
        this.tokenizer = tokenizer;
        this.window = ids.clone();
        this.count = ids.length;
        this.given = ids.length;
        this.text = tokenizer.decode(ids);
    }

    /** What comes behind {@code ids}, which may be none. */
    static Decoding behind(Tokenizer tokenizer, long... ids) throws IOException {
        return new Decoding(tokenizer, ids);
    }

    /** The text that is certain now that {@code id} has come; empty while a character is incomplete. */
    String add(long id) throws IOException {
        if (count == window.length) {
            window = Arrays.copyOf(window, Math.max(16, 2 * count));
        }
        window[count++] = id;
        String all = tokenizer.decode(Arrays.copyOf(window, count));
        if (all.length() <= text.length() || all.charAt(all.length() - 1) == INCOMPLETE) {
            return "";
        }
        String piece = all.substring(text.length());
        window = Arrays.copyOfRange(window, given, count);
        count = window.length;
        given = count;
        text = tokenizer.decode(window);
        return piece;
    }

    /** What is left when no more comes: bytes that make no character, but not a character that was only begun. */
    String end() throws IOException {
        String all = tokenizer.decode(Arrays.copyOf(window, count));
        int end = all.length();
        while (end > text.length() && all.charAt(end - 1) == INCOMPLETE) {
            end--;
        }
        return all.substring(Math.min(text.length(), end), end);
    }
}
