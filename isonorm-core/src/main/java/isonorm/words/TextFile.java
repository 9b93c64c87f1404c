package isonorm.words;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Reads files of UTF-8 text and takes nothing else. */
public final class TextFile {

    private static final long LARGEST = 1L << 30;

    private TextFile() {}

    /** The text of a file that has any, without a byte order mark before it. */
    public static String read(Path file) throws IOException {
        if (!Files.exists(file)) {
            throw new IOException(file + " does not exist");
        }
        if (Files.isDirectory(file)) {
            throw new IOException(file + " is a folder, a file of text is needed");
        }
        long size = Files.size(file);
        if (size == 0) {
            throw new IOException(file + " is empty");
        }
        if (size > LARGEST) {
            throw new IOException(file + " has " + size + " bytes, more than the " + LARGEST + " that are read; cut it");
        }
        byte[] all = Files.readAllBytes(file);
        int mark = all.length >= 3 && all[0] == (byte) 0xef && all[1] == (byte) 0xbb && all[2] == (byte) 0xbf ? 3 : 0; // of the bytes' order
        if (all.length == mark) {
            throw new IOException(file + " is empty");
        }
        ByteBuffer bytes = ByteBuffer.wrap(all).position(mark);
        CharBuffer text = CharBuffer.allocate(bytes.remaining());
        CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT);
        CoderResult result = decoder.decode(bytes, text, true);
        if (result.isError()) {
            throw new IOException(file + " is not UTF-8: byte " + bytes.position() + " starts no character (line "
                    + line(bytes.array(), bytes.position()) + ")");
        }
        return text.flip().toString();
    }

    private static int line(byte[] bytes, int position) {
        int line = 1;
        for (int i = 0; i < position; i++) {
            if (bytes[i] == '\n') {
                line++;
            }
        }
        return line;
    }
}
