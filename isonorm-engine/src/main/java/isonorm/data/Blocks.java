package isonorm.data;

import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;

/**
 * Cuts bytes that are too many to be held at once.
 *
 * <p>A text is cut where tokenizers would most likely part it anyway: behind a line feed between two characters that are no spaces, which
 * gives the tokens of the whole text for those that split words as GPT-2's and Llama 3's do; else behind a line feed, else behind a space,
 * and in a text that has none of them, between two characters. Where it is cut follows from the text alone.
 */
final class Blocks {

    /** Long enough that cuts are rare, short enough that all threads have one soon. */
    static final int SIZE = 1 << 16;

    private static final int LARGEST = 1 << 30;

    private final InputStream in;
    private byte[] bytes = new byte[SIZE + 1];
    private int count;
    private boolean ended;

    Blocks(InputStream in) {
        this.in = in;
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
            if (bytes.length >= LARGEST) {
                throw new IOException("a line has more than " + LARGEST + " bytes; cut it");
            }
            from = count;
            bytes = Arrays.copyOf(bytes, 2 * bytes.length);
        }
    }

    private void fill() throws IOException {
        while (!ended && count < bytes.length) {
            int read = in.read(bytes, count, bytes.length - count);
            ended = read < 0;
            count += Math.max(0, read);
        }
    }

    private byte[] take(int length) {
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
