package isonorm.data;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Rows of comma-separated values (RFC 4180), one at a time. What separates them is ASCII, so fields of UTF-8 are left as bytes. Lines end with LF, CR or
 * both, and blank ones are no rows; a byte order mark before them is none of them.
 */
final class CsvRows {

    private static final int END = -1;

    private final InputStream in;
    private final int longest;
    private final byte[] buffer = new byte[1 << 16];
    private int at;
    private int end;
    private boolean more;

    /** @param longest the most bytes of a field */
    CsvRows(InputStream in, int longest) {
        this.in = in;
        this.longest = longest;
    }

    /** A row that is none, in words that go on behind where it stands. */
    static final class Broken extends IOException {
        private static final long serialVersionUID = 1L;

        private Broken(String message) {
            super(message);
        }
    }

    /** A field has more bytes than one may have. */
    static final class LongField extends IOException {
        private static final long serialVersionUID = 1L;
    }

    /** The fields of the first row, behind a byte order mark. */
    Optional<List<byte[]>> first() throws IOException {
        fill();
        if (end >= 3 && buffer[0] == (byte) 0xef && buffer[1] == (byte) 0xbb && buffer[2] == (byte) 0xbf) {
            at = 3;
        }
        return next();
    }

    /** The fields of the next row; empty behind the last. */
    Optional<List<byte[]>> next() throws IOException {
        int first = read();
        while (first == '\n' || first == '\r') {
            first = read();
        }
        if (first == END) {
            return Optional.empty();
        }
        at--;
        List<byte[]> fields = new ArrayList<>();
        do {
            fields.add(field());
        } while (more);
        return Optional.of(fields);
    }

    private byte[] field() throws IOException {
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        int value = read();
        if (value == '"') {
            for (value = read(); value != '"' || (value = read()) == '"'; value = read()) { // two are one that is meant
                if (value == END) {
                    throw new Broken("a quote that begins a field does not end it");
                }
                add(text, value);
            }
            if (!separates(value)) {
                throw new Broken("something stands behind the quote that ends a field");
            }
        } else {
            for (; !separates(value); value = read()) {
                add(text, value);
            }
        }
        more = value == ',';
        return text.toByteArray();
    }

    private void add(ByteArrayOutputStream text, int value) throws LongField {
        if (text.size() == longest) {
            throw new LongField();
        }
        text.write(value);
    }

    private static boolean separates(int value) {
        return value == ',' || value == '\n' || value == '\r' || value == END;
    }

    private int read() throws IOException {
        if (at == end) {
            fill();
        }
        return end <= 0 ? END : buffer[at++] & 0xff;
    }

    /** As much as there is room for, so that what begins a file is there whole. */
    private void fill() throws IOException {
        at = 0;
        end = in.readNBytes(buffer, 0, buffer.length);
    }
}
