package isonorm.onnx.graph;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.function.LongConsumer;

/** Reads a message of protobuf's wire format, field by field. */
final class Fields {

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final MemorySegment message;
    private long begun;
    private long at;
    private int field;
    private long number;
    private MemorySegment bytes = MemorySegment.NULL;
    private boolean delimited;

    Fields(MemorySegment message) {
        this.message = message;
    }

    /** Goes to the next field; false behind the last. */
    boolean next() throws IOException {
        if (at == message.byteSize()) {
            return false;
        }
        begun = at;
        long tag = varint();
        field = (int) (tag >>> 3);
        delimited = (tag & 7) == 2;
        switch ((int) (tag & 7)) {
            case 0 -> number = varint();
            case 1 -> number = message.get(LONG, room(Long.BYTES));
            case 2 -> {
                long length = varint();
                bytes = message.asSlice(room(length), length);
            }
            case 5 -> number = message.get(INT, room(Integer.BYTES));
            default -> throw damaged();
        }
        if (field == 0) {
            throw damaged();
        }
        return true;
    }

    private static IOException damaged() {
        return new IOException("is no ONNX model, or damaged");
    }

    /** The place of so many bytes, which are passed. */
    private long room(long length) throws IOException {
        if (length < 0 || length > message.byteSize() - at) {
            throw damaged();
        }
        at += length;
        return at - length;
    }

    private long varint() throws IOException {
        long value = 0;
        for (int shift = 0; shift < Long.SIZE; shift += 7) {
            byte next = message.get(ValueLayout.JAVA_BYTE, room(1));
            value |= (long) (next & 0x7f) << shift;
            if (next >= 0) {
                return value;
            }
        }
        throw damaged();
    }

    int field() {
        return field;
    }

    long number() throws IOException {
        if (delimited) {
            throw damaged();
        }
        return number;
    }

    float real() throws IOException {
        return Float.intBitsToFloat((int) number());
    }

    boolean isDelimited() {
        return delimited;
    }

    MemorySegment bytes() throws IOException {
        if (!delimited) {
            throw damaged();
        }
        return bytes;
    }

    String text() throws IOException {
        return new String(bytes().toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
    }

    /** A message within this one. */
    Fields message() throws IOException {
        return new Fields(bytes());
    }

    /** This field as it stands, its tag included. */
    byte[] whole() {
        return message.asSlice(begun, at - begun).toArray(ValueLayout.JAVA_BYTE);
    }

    /** Numbers that are packed, or one of them. */
    void integers(LongConsumer each) throws IOException {
        if (!delimited) {
            each.accept(number);
            return;
        }
        Fields packed = new Fields(bytes);
        while (packed.at < packed.message.byteSize()) {
            each.accept(packed.varint());
        }
    }
}
