package isonorm.onnx.graph;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;

/** A tensor's bytes, little-endian, row after row; they can be computed when they are written. */
public interface Content {

    /** The largest piece that a buffer is made of. */
    int PIECE = 1 << 26;

    /** How many there are. */
    long length();

    void writeTo(WritableByteChannel out) throws IOException;

    /** Bytes in memory, or those of a file that is mapped. */
    record Held(MemorySegment bytes) implements Content {

        public static Held of(byte[] bytes) {
            return new Held(MemorySegment.ofArray(bytes));
        }

        @Override
        public long length() {
            return bytes.byteSize();
        }

        @Override
        public void writeTo(WritableByteChannel out) throws IOException {
            for (long from = 0; from < length(); from += PIECE) {
                write(out, bytes.asSlice(from, Math.min(PIECE, length() - from)).asByteBuffer());
            }
        }
    }

    /** Writes all of a buffer. */
    static void write(WritableByteChannel out, ByteBuffer buffer) throws IOException {
        while (buffer.hasRemaining()) {
            out.write(buffer);
        }
    }
}
