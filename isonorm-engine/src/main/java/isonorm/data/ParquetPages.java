package isonorm.data;

import java.io.EOFException;
import java.io.IOException;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/**
 * Looks through the headers of a column chunk's pages before anybody reads them: each page must be of a size and end where the chunk does, or
 * before. Hardwood believes them, and waits without end for the rest of a page that is longer than its chunk.
 *
 * <p>A header is a struct of Thrift's compact protocol; of its fields only the size behind it and the number of values matter here.
 *
 * @see <a href="https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift">PageHeader</a>
 */
final class ParquetPages {

    private static final int USUAL = 1 << 13; // bytes of a header; smallest and largest values in it may make it longer
    private static final int LONGEST = 1 << 26;
    private static final int DEEPEST = 32;

    // Fields of a page's header.
    private static final int UNPACKED_SIZE = 2;
    private static final int SIZE = 3;
    private static final int DATA = 5;
    private static final int DATA_V2 = 8;

    private static final int NUMBER_OF_VALUES = 1; // field of both kinds of data page

    private long size = -1;
    private long unpacked = -1;
    private long values;

    private ParquetPages() {}

    /**
     * Refuses a chunk whose pages do not fit into it.
     *
     * @param from the chunk's first byte in the file
     * @param length of the chunk, in bytes
     * @param values that its pages have together
     * @throws IOException saying what does not fit, but not in which file
     */
    static void require(FileChannel file, long from, long length, long values) throws IOException {
        if (from < 0 || length < 0 || from > file.size() - length) {
            throw new IOException("a column from byte " + from + ", " + length + " bytes long, does not lie in the " + file.size() + " of the file");
        }
        long end = from + length;
        long seen = 0;
        for (long at = from; at < end && seen < values;) {
            ParquetPages page = new ParquetPages();
            int header = page.header(file, at, end);
            if (page.size < 0 || page.unpacked < 0 || page.values < 0 || page.size > end - at - header) {
                throw new IOException("the page at byte " + at + " says that it has " + page.size + " bytes and " + page.values + " values, and its column ends "
                        + (end - at - header) + " bytes behind its header");
            }
            seen += page.values;
            at += header + page.size;
        }
    }

    /** Reads a header, and says how long it is. */
    private int header(FileChannel file, long at, long end) throws IOException {
        for (long room = USUAL;; room *= 8) {
            ByteBuffer bytes = ByteBuffer.allocate((int) Math.min(room, end - at));
            while (bytes.hasRemaining()) {
                if (file.read(bytes, at + bytes.position()) < 0) {
                    throw new EOFException();
                }
            }
            bytes.flip();
            try {
                struct(bytes, 0, false);
                return bytes.position();
            } catch (BufferUnderflowException e) {
                if (room >= end - at || room >= LONGEST) {
                    throw new IOException("the header of the page at byte " + at + " does not end", e);
                }
            }
        }
    }

    /** Reads or passes over a struct: at depth 0 the header, {@code data} for what a header holds of a data page. */
    private void struct(ByteBuffer bytes, int depth, boolean data) throws IOException {
        if (depth > DEEPEST) {
            throw new IOException("a page's header is nested more than " + DEEPEST + " levels deep");
        }
        int field = 0;
        for (int type; (type = bytes.get()) != 0;) {
            int step = (type & 0xf0) >>> 4;
            field = step == 0 ? (int) signed(bytes) : field + step;
            type &= 0xf;
            if (type == 5 && depth == 0 && field == SIZE) {
                size = signed(bytes);
            } else if (type == 5 && depth == 0 && field == UNPACKED_SIZE) {
                unpacked = signed(bytes);
            } else if (type == 5 && data && field == NUMBER_OF_VALUES) {
                values = signed(bytes);
            } else {
                skip(bytes, type, depth, depth == 0 && (field == DATA || field == DATA_V2));
            }
        }
    }

    private void skip(ByteBuffer bytes, int type, int depth, boolean data) throws IOException {
        switch (type) {
            case 1, 2 -> { } // true and false, which are types of their own
            case 3 -> skip(bytes, 1);
            case 4, 5, 6 -> number(bytes);
            case 7 -> skip(bytes, Double.BYTES);
            case 8 -> skip(bytes, number(bytes));
            case 9, 10 -> {
                int head = bytes.get();
                long count = (head & 0xf0) == 0xf0 ? number(bytes) : (head & 0xf0) >>> 4;
                for (long i = 0; i < count; i++) {
                    int each = head & 0xf;
                    skip(bytes, each <= 2 ? 3 : each, depth + 1, false);
                }
            }
            case 12 -> struct(bytes, depth + 1, data);
            default -> throw new IOException("a page's header has a field of the unknown type " + type);
        }
    }

    private static void skip(ByteBuffer bytes, long count) {
        if (count < 0 || count > bytes.remaining()) {
            throw new BufferUnderflowException();
        }
        bytes.position(bytes.position() + (int) count);
    }

    private static long signed(ByteBuffer bytes) throws IOException {
        long number = number(bytes);
        return number >>> 1 ^ -(number & 1);
    }

    private static long number(ByteBuffer bytes) throws IOException {
        long number = 0;
        for (int shift = 0; shift < Long.SIZE; shift += 7) {
            byte next = bytes.get();
            number |= (long) (next & 0x7f) << shift;
            if (next >= 0) {
                return number;
            }
        }
        throw new IOException("a page's header has a number that is too long");
    }
}
