package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.PICKLE_REFUSED;
import static isonorm.checkpoint.CheckpointException.Reason.TRUNCATED;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * Where the files of a zip archive lie that are stored as they are: what Java's own classes for zip do not tell, and mapping needs.
 *
 * @see <a href="https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT">The format</a>, sections 4.3 and 4.5.3 (more than 4 GB)
 */
final class StoredZip {

    /** A file's first byte and how many there are. */
    record Entry(long begin, long bytes) {}

    private record Listed(int method, long bytes, long header) {}

    private static final int END = 0x06054b50;
    private static final int END_BYTES = 22;
    private static final int LONGEST_COMMENT = 0xffff;
    private static final int WIDE_LOCATOR = 0x07064b50;
    private static final int WIDE_LOCATOR_BYTES = 20;
    private static final int WIDE_END = 0x06064b50;
    private static final int WIDE_END_BYTES = 56;
    private static final int LISTED = 0x02014b50;
    private static final int LISTED_BYTES = 46;
    private static final int LOCAL = 0x04034b50;
    private static final int LOCAL_BYTES = 30;
    private static final int WIDE = 1;
    private static final long LONGEST_LIST = 100_000_000;

    private final FileChannel channel;
    private final long length;
    private final Path path;
    private final Map<String, Listed> entries = new LinkedHashMap<>();

    private StoredZip(FileChannel channel, long length, Path path) {
        this.channel = channel;
        this.length = length;
        this.path = path;
    }

    /** Reads the list of an archive. */
    static StoredZip read(FileChannel channel, long length, Path path) throws IOException {
        StoredZip zip = new StoredZip(channel, length, path);
        zip.readList();
        return zip;
    }

    Set<String> names() {
        return entries.keySet();
    }

    /** Where a file lies that is not compressed. */
    Entry stored(String name) throws IOException {
        Listed listed = entries.get(name);
        if (listed == null || listed.method != 0) {
            throw damaged(name + " is missing or compressed, which torch.save never does");
        }
        ByteBuffer local = at(listed.header, LOCAL_BYTES);
        long begin = listed.header + LOCAL_BYTES + Short.toUnsignedInt(local.getShort(26)) + Short.toUnsignedInt(local.getShort(28));
        if (local.getInt(0) != LOCAL || listed.bytes < 0 || begin > length - listed.bytes) {
            throw damaged(name + " does not lie where its list says");
        }
        return new Entry(begin, listed.bytes);
    }

    /** The content of a small one. */
    byte[] bytes(String name, int most) throws IOException {
        Entry entry = stored(name);
        if (entry.bytes > most) {
            throw damaged(name + " has " + entry.bytes + " bytes, more than the " + most + " that are read");
        }
        return at(entry.begin, (int) entry.bytes).array();
    }

    private void readList() throws IOException {
        int tail = (int) Math.min(length, END_BYTES + LONGEST_COMMENT);
        ByteBuffer last = at(length - tail, tail);
        int end = tail - END_BYTES;
        while (end >= 0 && last.getInt(end) != END) {
            end--;
        }
        if (end < 0) {
            throw new CheckpointException(TRUNCATED, path + " is a zip archive without its end; is the download complete?");
        }
        long size = Integer.toUnsignedLong(last.getInt(end + 12));
        long begin = Integer.toUnsignedLong(last.getInt(end + 16));
        int locator = end - WIDE_LOCATOR_BYTES;
        if (locator >= 0 && last.getInt(locator) == WIDE_LOCATOR) {
            ByteBuffer wide = at(last.getLong(locator + 8), WIDE_END_BYTES);
            if (wide.getInt(0) != WIDE_END) {
                throw damaged("its end does not lie where it says");
            }
            size = wide.getLong(40);
            begin = wide.getLong(48);
        }
        if (size < 0 || size > LONGEST_LIST) {
            throw damaged("its list has " + size + " bytes");
        }
        ByteBuffer list = at(begin, (int) size);
        while (list.remaining() >= LISTED_BYTES && list.getInt(list.position()) == LISTED) {
            readListed(list);
        }
        if (list.hasRemaining()) {
            throw damaged("its list is not one of a zip archive");
        }
    }

    private void readListed(ByteBuffer list) throws CheckpointException {
        int at = list.position();
        int nameLength = Short.toUnsignedInt(list.getShort(at + 28));
        int extraLength = Short.toUnsignedInt(list.getShort(at + 30));
        int next = at + LISTED_BYTES + nameLength + extraLength + Short.toUnsignedInt(list.getShort(at + 32));
        if (next > list.limit()) {
            throw damaged("its list ends within a name");
        }
        long compressed = Integer.toUnsignedLong(list.getInt(at + 20));
        long bytes = Integer.toUnsignedLong(list.getInt(at + 24));
        long header = Integer.toUnsignedLong(list.getInt(at + 42));
        ByteBuffer extra = list.slice(at + LISTED_BYTES + nameLength, extraLength).order(ByteOrder.LITTLE_ENDIAN);
        while (extra.remaining() >= 4) {
            int kind = Short.toUnsignedInt(extra.getShort());
            int count = Math.min(Short.toUnsignedInt(extra.getShort()), extra.remaining());
            ByteBuffer values = extra.slice(extra.position(), count).order(ByteOrder.LITTLE_ENDIAN);
            extra.position(extra.position() + count);
            if (kind == WIDE) { // those of the three that have all bits set above, in this order
                bytes = bytes == 0xffffffffL && values.remaining() >= 8 ? values.getLong() : bytes;
                compressed = compressed == 0xffffffffL && values.remaining() >= 8 ? values.getLong() : compressed;
                header = header == 0xffffffffL && values.remaining() >= 8 ? values.getLong() : header;
            }
        }
        int method = bytes == compressed ? Short.toUnsignedInt(list.getShort(at + 10)) : -1;
        byte[] name = new byte[nameLength];
        list.get(at + LISTED_BYTES, name);
        if (entries.put(new String(name, StandardCharsets.UTF_8), new Listed(method, bytes, header)) != null) {
            throw damaged("it has a file twice");
        }
        list.position(next);
    }

    private ByteBuffer at(long position, int count) throws IOException {
        if (position < 0 || count < 0 || position > length - count) {
            throw damaged("its list points beyond its end");
        }
        ByteBuffer buffer = ByteBuffer.allocate(count).order(ByteOrder.LITTLE_ENDIAN);
        readFully(channel, position, buffer, path);
        return buffer.rewind();
    }

    /** Fills a buffer from a place of a file. */
    static void readFully(FileChannel channel, long position, ByteBuffer buffer, Path path) throws IOException {
        long at = position;
        while (buffer.hasRemaining()) {
            int read = channel.read(buffer, at);
            if (read < 0) {
                throw new CheckpointException(TRUNCATED, path + " ends before its tensors do; is the download complete?");
            }
            at += read;
        }
    }

    private CheckpointException damaged(String what) {
        return new CheckpointException(PICKLE_REFUSED, path + " is a damaged zip archive: " + what);
    }
}
