package isonorm.data;

import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;

/**
 * Cuts bytes that are too many to be held at once. A byte order mark before them is none of them.
 *
 * <p>A text is cut where tokenizers would most likely part it anyway: behind a line feed between two characters that are no spaces, which
 * gives the tokens of the whole text for those that split words as GPT-2's and Llama 3's do; else behind a line feed, else behind a space,
 * and in a text that has none of them, between two characters. Where it is cut follows from the text alone.
 */
final class Blocks {

    /** Long enough that cuts are rare, short enough that all threads have one soon. */
    static final int SIZE = 1 << 16;

    private final InputStream in;
    private final int longest;
    private byte[] bytes = new byte[SIZE + 1];
    private int count;
    private boolean ended;
    private boolean begun;
    private int mark;

    /**
     * @param longest the most bytes of a line
     */
    Blocks(InputStream in, int longest) {
        this.in = in;
        this.longest = longest;
    }

    /** How many bytes of a byte order mark stood before the text; known once some of it was taken. */
    int mark() {
        return mark;
    }

    /** The next part of a text, of {@link #SIZE} bytes at most; empty at its end. */
    byte[] text() throws IOException {
        fill();
        return take(count <= SIZE ? count : cut(bytes, 0));
    }

    /** Whether nothing follows. */
    boolean done() throws IOException {
        fill();
        return count == 0;
    }

    /** Some whole lines; empty at the end. A line may be long, and then is alone. */
    byte[] lines() throws IOException {
        for (int from = 0;;) {
            fill();
            for (int i = count - 1; i >= from; i--) {
                if (bytes[i] == '\n') {
                    return take(i + 1);
                }
            }
            if (ended) {
                return take(count);
            }
            if (count > longest) {
                throw new LongLine();
            }
            from = count;
            bytes = Arrays.copyOf(bytes, (int) Math.min(2L * bytes.length, longest + 1L));
        }
    }

    /** A line is longer than is read. */
    static final class LongLine extends IOException {
        private static final long serialVersionUID = 1L;
    }

    private void fill() throws IOException {
        while (!ended && count < bytes.length) {
            int read = in.read(bytes, count, bytes.length - count);
            ended = read < 0;
            count += Math.max(0, read);
            if (!begun && (ended || count >= 3)) {
                begun = true;
                mark = count >= 3 && bytes[0] == (byte) 0xef && bytes[1] == (byte) 0xbb && bytes[2] == (byte) 0xbf ? 3 : 0;
                count -= mark;
                System.arraycopy(bytes, mark, bytes, 0, count);
            }
        }
    }

    private byte[] take(int length) {
        if (length == bytes.length) { // a long line, of which there need not be two
            byte[] all = bytes;
            bytes = new byte[SIZE + 1];
            count = 0;
            return all;
        }
        byte[] taken = Arrays.copyOf(bytes, length);
        count -= length;
        System.arraycopy(bytes, length, bytes, 0, count);
        return taken;
    }

    /** Where a text that goes on for more than {@link #SIZE} bytes behind {@code from} is cut. */
    static int cut(byte[] text, int from) {
        int end = from + SIZE;
        int least = from + SIZE / 2;
        for (int i = end - 1; i > least; i--) {
            if (text[i - 1] == '\n' && printed(text[i]) && printed(text[i - 2])) {
                return i;
            }
        }
        for (int i = end - 1; i > least; i--) {
            if (text[i - 1] == '\n' && printed(text[i])) {
                return i;
            }
        }
        for (int i = end - 1; i > least; i--) {
            if (!printed(text[i - 1]) && printed(text[i])) {
                return i;
            }
        }
        int i = end;
        while (i > end - 3 && (text[i] & 0xc0) == 0x80) {
            i--;
        }
        return i;
    }

    private static boolean printed(byte character) {
        return (character & 0xff) > ' ';
    }
}
