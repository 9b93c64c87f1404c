package isonorm.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;

/** A long row of tokens: document after document, each with the end of text behind it. Any thread may read it. */
public final class Split {

    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final List<String> names;
    private final List<MemorySegment> parts;
    private final long[] begins; // of each part, and the end
    private final int width;
    private final int vocabulary;
    private final long documents;

    /**
     * @param names of the parts, for errors
     * @param parts tokens of {@code width} bytes each, 1, 2 or 4
     */
    Split(List<String> names, List<MemorySegment> parts, int width, int vocabulary, long documents) {
        this.names = names;
        this.parts = parts;
        this.width = width;
        this.vocabulary = vocabulary;
        this.documents = documents;
        this.begins = new long[parts.size() + 1];
        for (int i = 0; i < parts.size(); i++) {
            begins[i + 1] = begins[i] + parts.get(i).byteSize() / width;
        }
    }

    /** How many tokens there are. */
    public long tokens() {
        return begins[parts.size()];
    }

    /** How many documents begin here. */
    public long documents() {
        return documents;
    }

    /**
     * The tokens {@code from} to {@code from + count - 1}.
     *
     * @throws IndexOutOfBoundsException if there are not so many
     * @throws UncheckedIOException if one of them is not in the vocabulary, so that a file must have been damaged
     */
    public int[] read(long from, int count) {
        if (from < 0 || count < 0 || from + count > tokens()) {
            throw new IndexOutOfBoundsException("there are " + tokens() + " tokens, asked for " + count + " from " + from + " on");
        }
        int[] ids = new int[count];
        int part = Arrays.binarySearch(begins, from);
        part = part < 0 ? -part - 2 : part;
        for (int done = 0; done < count; part++) {
            long first = from + done - begins[part];
            int here = (int) Math.min(count - done, begins[part + 1] - begins[part] - first);
            copy(parts.get(part), first, ids, done, here);
            for (int i = done; i < done + here; i++) {
                if (ids[i] < 0 || ids[i] >= vocabulary) {
                    IOException damaged = new IOException(names.get(part) + " is damaged: token " + (first + i - done) + " is "
                            + Integer.toUnsignedString(ids[i]) + ", and the vocabulary has " + vocabulary + "; build the data again");
                    throw new UncheckedIOException(damaged.getMessage(), damaged);
                }
            }
            done += here;
        }
        return ids;
    }

    private void copy(MemorySegment part, long first, int[] into, int at, int count) {
        switch (width) {
            case 1 -> {
                for (int i = 0; i < count; i++) {
                    into[at + i] = part.get(ValueLayout.JAVA_BYTE, first + i) & 0xff;
                }
            }
            case Short.BYTES -> {
                for (int i = 0; i < count; i++) {
                    into[at + i] = part.get(SHORT, (first + i) * Short.BYTES) & 0xffff;
                }
            }
            default -> MemorySegment.copy(part, INT, first * Integer.BYTES, into, at, count);
        }
    }
}
