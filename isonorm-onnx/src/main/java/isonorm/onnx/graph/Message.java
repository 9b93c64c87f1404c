package isonorm.onnx.graph;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** A message of protobuf's wire format, put together field by field; contents of tensors are written when it is, so it can be of any length. */
final class Message {

    private static final int VARINT = 0;
    private static final int DELIMITED = 2;
    private static final int FIXED_32 = 5;

    private final List<Content> parts = new ArrayList<>();
    private ByteArrayOutputStream open = new ByteArrayOutputStream();
    private long before;

    Message number(int field, long value) {
        varint((long) field << 3 | VARINT);
        varint(value);
        return this;
    }

    Message real(int field, float value) {
        varint((long) field << 3 | FIXED_32);
        int bits = Float.floatToRawIntBits(value);
        for (int shift = 0; shift < Integer.SIZE; shift += Byte.SIZE) {
            open.write(bits >>> shift);
        }
        return this;
    }

    Message text(int field, String value) {
        return bytes(field, value.getBytes(StandardCharsets.UTF_8));
    }

    Message bytes(int field, byte[] value) {
        varint((long) field << 3 | DELIMITED);
        varint(value.length);
        open.writeBytes(value);
        return this;
    }

    Message content(int field, Content content) {
        varint((long) field << 3 | DELIMITED);
        varint(content.length());
        append(content);
        return this;
    }

    Message message(int field, Message other) {
        varint((long) field << 3 | DELIMITED);
        varint(other.length());
        other.close();
        other.parts.forEach(this::append);
        return this;
    }

    /** A field as it stood in another message, its tag included. */
    Message field(byte[] whole) {
        open.writeBytes(whole);
        return this;
    }

    private void append(Content content) {
        if (content instanceof Content.Held held && content.length() < Short.MAX_VALUE) {
            open.writeBytes(held.bytes().toArray(ValueLayout.JAVA_BYTE));
            return;
        }
        close();
        parts.add(content);
        before += content.length();
    }

    private void close() {
        if (open.size() > 0) {
            parts.add(Content.Held.of(open.toByteArray()));
            before += open.size();
            open = new ByteArrayOutputStream();
        }
    }

    private void varint(long value) {
        long rest = value;
        while ((rest & ~0x7fL) != 0) {
            open.write((int) (rest & 0x7f | 0x80));
            rest >>>= 7;
        }
        open.write((int) rest);
    }

    long length() {
        return before + open.size();
    }


    void writeTo(WritableByteChannel out) throws IOException {
        close();
        ByteBuffer buffer = ByteBuffer.allocate(1 << 16);
        for (Content part : parts) {
            if (part instanceof Content.Held held && part.length() <= buffer.remaining()) {
                buffer.put(held.bytes().asByteBuffer());
            } else {
                Content.write(out, buffer.flip());
                buffer.clear();
                part.writeTo(out);
            }
        }
        Content.write(out, buffer.flip());
    }
}
