package isonorm.data;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import java.util.zip.ZipException;

/**
 * Unpacks gzip (RFC 1952): every member, to the end of what is packed, or fails. Where something is cut or is no member, java.util.zip ends
 * as if nothing more followed. Zeros behind the last member are padding.
 */
final class Gunzip extends InputStream {

    private static final int HEADER_CHECKED = 2;
    private static final int EXTRA = 4;
    private static final int NAME = 8;
    private static final int COMMENT = 16;
    private static final int UNKNOWN = 0xe0;

    private final InputStream in;
    private final Inflater inflater = new Inflater(true);
    private final CRC32 sum = new CRC32();
    private final byte[] packed = new byte[Blocks.SIZE];
    private int at;
    private int end;
    private long member; // how many have begun
    private boolean within;

    Gunzip(InputStream in) {
        this.in = in;
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] into, int from, int length) throws IOException {
        if (length == 0) {
            return 0;
        }
        while (within || begin()) {
            int count;
            try {
                count = inflater.inflate(into, from, length);
            } catch (DataFormatException e) {
                throw new ZipException("what is packed is damaged" + (e.getMessage() == null ? "" : ", " + e.getMessage()));
            }
            if (count > 0) {
                sum.update(into, from, count);
                return count;
            }
            if (inflater.finished()) {
                at = end - inflater.getRemaining();
                end();
            } else if (inflater.needsDictionary()) {
                throw new ZipException("it is packed with a dictionary, which gzip has none of");
            } else {
                requireMore("what is packed");
                inflater.setInput(packed, at, end - at);
                at = end;
            }
        }
        return -1;
    }

    /** The next member's header; whether there is one. */
    private boolean begin() throws IOException {
        int first = next();
        while (member > 0 && first == 0) {
            first = next();
        }
        if (first < 0) {
            if (member == 0) {
                throw new EOFException("it ends before it has begun");
            }
            return false;
        }
        if (first != 0x1f || needed() != 0x8b || needed() != 8) {
            throw new ZipException(member == 0 ? "it does not begin as one" : "behind part " + member + " stands something else");
        }
        int flags = needed();
        if ((flags & UNKNOWN) != 0) {
            throw new ZipException("it has flags that are not known");
        }
        skip(6); // time, effort, system
        if ((flags & EXTRA) != 0) {
            skip(needed() | needed() << 8);
        }
        for (int text : new int[] {NAME, COMMENT}) {
            if ((flags & text) != 0) {
                while (needed() != 0) {}
            }
        }
        skip((flags & HEADER_CHECKED) != 0 ? 2 : 0);
        inflater.reset();
        inflater.setInput(packed, at, end - at);
        at = end;
        sum.reset();
        member++;
        within = true;
        return true;
    }

    /** The member's sum and length. */
    private void end() throws IOException {
        within = false;
        if (fourBytes() != sum.getValue() || fourBytes() != (inflater.getBytesWritten() & 0xffffffffL)) {
            throw new ZipException("part " + member + " is damaged: it is not what its sum says");
        }
    }

    private long fourBytes() throws IOException {
        return needed() | needed() << 8 | needed() << 16 | (long) needed() << 24;
    }

    private void skip(int count) throws IOException {
        for (int i = 0; i < count; i++) {
            needed();
        }
    }

    private int needed() throws IOException {
        requireMore("the head or the end of part " + Math.max(1, within ? member : member + 1));
        return packed[at++] & 0xff;
    }

    private void requireMore(String where) throws IOException {
        if (at == end && !fill()) {
            throw new EOFException("it is cut off within " + where);
        }
    }

    private int next() throws IOException {
        return at < end || fill() ? packed[at++] & 0xff : -1;
    }

    private boolean fill() throws IOException {
        at = 0;
        end = Math.max(0, in.read(packed, 0, packed.length));
        return end > 0;
    }

    @Override
    public void close() throws IOException {
        inflater.end();
        in.close();
    }
}
