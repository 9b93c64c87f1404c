package isonorm.cli.terminal;

import isonorm.words.Escapes;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A stream in which control characters of names, keys, prompts and files are written out, as JSON writes them, so that none of them reaches a
 * terminal: it would clear the screen, or hide what follows. Line breaks and tabs pass, and the console's own styles.
 */
final class Escaped extends PrintStream {

    private static final List<byte[]> STYLES = List.of(bytes(Console.BOLD), bytes(Console.GREEN), bytes(Console.PLAIN));

    private final PrintStream raw;

    private Escaped(PrintStream raw) {
        super(new Filter(raw), false, raw.charset());
        this.raw = raw;
    }

    static Escaped over(PrintStream stream) {
        return stream instanceof Escaped escaped ? escaped : new Escaped(stream);
    }

    /** Behind it: for what draws, and takes care of what it draws itself. */
    PrintStream raw() {
        return raw;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    /** Bytes of a charset in which those below 128 are ASCII, as all of terminals are. */
    private static final class Filter extends OutputStream {

        private final PrintStream to;
        private final boolean unicode;

        private Filter(PrintStream to) {
            this.to = to;
            this.unicode = to.charset().equals(StandardCharsets.UTF_8);
        }

        @Override
        public void write(int b) throws IOException {
            write(new byte[] {(byte) b}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int from, int count) throws IOException {
            int end = from + count;
            int written = from;
            for (int i = from; i < end; ) {
                int control = control(bytes, i, end);
                if (control == 0) {
                    i++;
                    continue;
                }
                to.write(bytes, written, i - written);
                byte[] escape = bytes(Escapes.of(bytes[i + control - 1] & 0xff));
                to.write(escape, 0, escape.length);
                i += control;
                written = i;
            }
            to.write(bytes, written, end - written);
        }

        /** How many bytes the control character here has; 0 where there is none, or one that passes. */
        private int control(byte[] bytes, int i, int end) {
            int b = bytes[i] & 0xff;
            if (unicode && b == 0xc2 && i + 1 < end && (bytes[i + 1] & 0xff) < 0xa0) {
                return 2; // U+0080 to U+009F, of which terminals understand some as they do escapes
            }
            if (b >= ' ' && b != 0x7f || b == '\n' || b == '\t') {
                return 0;
            }
            boolean passes = b == '\r' && i + 1 < end && bytes[i + 1] == '\n' || STYLES.stream().anyMatch(style -> begins(bytes, i, end, style));
            return passes ? 0 : 1;
        }

        private static boolean begins(byte[] bytes, int from, int end, byte[] style) {
            for (int i = 0; i < style.length; i++) {
                if (from + i >= end || bytes[from + i] != style[i]) {
                    return false;
                }
            }
            return true;
        }

        @Override
        public void flush() throws IOException {
            to.flush();
            if (to.checkError()) {
                throw new IOException("nobody reads any more");
            }
        }
    }
}
