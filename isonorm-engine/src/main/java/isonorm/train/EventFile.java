package isonorm.train;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.zip.CRC32C;

/**
 * A file of scalars as TensorBoard reads it: records of a length, its checksum, a message and its checksum; the messages are protocol
 * buffers, {@code Event {double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5}}.
 */
final class EventFile implements AutoCloseable {

    private static final int LENGTH_DELIMITED = 2;

    private final Path file;
    private final FileChannel channel;

    private EventFile(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
    }

    /** A new file in a folder, whose name sorts behind those that are there. */
    static EventFile create(Path folder, long step) throws IOException {
        long millis = System.currentTimeMillis();
        Path file = folder.resolve(String.format("events.out.tfevents.%010d.isonorm.%d.%d", millis / 1000, ProcessHandle.current().pid(), step));
        return begun(file, FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND));
    }

    /** What every such file begins with, written. */
    static EventFile begun(Path file, FileChannel channel) throws IOException {
        EventFile events = new EventFile(file, channel);
        ByteArrayOutputStream event = begin(0);
        bytes(event, 3, "brain.Event:2".getBytes(StandardCharsets.UTF_8));
        events.record(event.toByteArray());
        return events;
    }

    void scalar(long step, String tag, double value) throws IOException {
        ByteArrayOutputStream one = new ByteArrayOutputStream();
        bytes(one, 1, tag.getBytes(StandardCharsets.UTF_8));
        varint(one, 2 << 3 | 5); // float simple_value = 2
        one.writeBytes(little(4).putFloat((float) value).array());
        ByteArrayOutputStream summary = new ByteArrayOutputStream();
        bytes(summary, 1, one.toByteArray());
        ByteArrayOutputStream event = begin(step);
        bytes(event, 5, summary.toByteArray());
        record(event.toByteArray());
    }

    private static ByteArrayOutputStream begin(long step) {
        ByteArrayOutputStream event = new ByteArrayOutputStream();
        varint(event, 1 << 3 | 1);
        event.writeBytes(little(8).putDouble(System.currentTimeMillis() / 1e3).array());
        varint(event, 2 << 3);
        varint(event, step);
        return event;
    }

    private static void bytes(ByteArrayOutputStream out, int field, byte[] value) {
        varint(out, (long) field << 3 | LENGTH_DELIMITED);
        varint(out, value.length);
        out.writeBytes(value);
    }

    private static void varint(ByteArrayOutputStream out, long value) {
        long rest = value;
        while ((rest & ~0x7fL) != 0) {
            out.write((int) (rest & 0x7f | 0x80));
            rest >>>= 7;
        }
        out.write((int) rest);
    }

    private static ByteBuffer little(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    private void record(byte[] message) throws IOException {
        byte[] length = little(8).putLong(message.length).array();
        ByteBuffer record = little(16 + message.length).put(length).putInt(masked(length)).put(message).putInt(masked(message)).flip();
        try {
            while (record.hasRemaining()) {
                channel.write(record);
            }
        } catch (IOException e) {
            throw RunCheckpoints.notWritten(file, e);
        }
    }

    private static int masked(byte[] bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes);
        int value = (int) crc.getValue();
        return (value >>> 15 | value << 17) + 0xa282ead8;
    }

    void sync() throws IOException {
        channel.force(false);
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
