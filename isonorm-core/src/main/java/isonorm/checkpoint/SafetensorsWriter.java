package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.OUTPUT_EXISTS;
import static isonorm.checkpoint.CheckpointException.Reason.WRITE_FAILED;

import isonorm.words.Names;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Writes one safetensors file, the format of {@link SafetensorsFile}, tensor by tensor and in any order.
 *
 * <p>The header is written first: metadata sorted by key, then the tensors in the order given, padded with spaces so that
 * the data begins at a multiple of eight. The same arguments give the same bytes. Tensors follow each other without
 * padding, so each is aligned to its elements if wider elements are given first.
 *
 * <p>{@link #write} may be called by several threads at once.
 */
public final class SafetensorsWriter implements AutoCloseable {

    // A buffer holds less than 2 GB, and above some megabytes a larger one is no faster.
    static final int DIRECT_CHUNK = 1 << 24;
    static final int HEAP_CHUNK = 1 << 20;

    private final Path file;
    private final FileChannel channel;
    private final Map<String, Slot> slots;
    private boolean closed;

    /** Where a tensor goes, and how many of its bytes have been written. */
    private record Slot(TensorInfo info, long position, AtomicLong written) {}

    private SafetensorsWriter(Path file, FileChannel channel, Map<String, Slot> slots) {
        this.file = file;
        this.channel = channel;
        this.slots = slots;
    }

    /**
     * Creates a new file of its full length and writes its header. Fails at once when the file system has less space than
     * the file needs; the space is not reserved.
     */
    public static SafetensorsWriter create(Path file, List<TensorInfo> tensors, Map<String, String> metadata)
            throws IOException {
        long data = dataBytes(tensors);
        ByteBuffer header = Header.bytes(tensors, metadata);
        long total = header.remaining() + data;
        Map<String, Slot> slots = LinkedHashMap.newLinkedHashMap(tensors.size());
        long position = header.remaining();
        for (TensorInfo info : tensors) {
            Slot slot = new Slot(info, position, new AtomicLong());
            if (info.name().equals(Header.METADATA) || slots.put(info.name(), slot) != null) {
                throw new IllegalArgumentException("names of tensors must differ from each other and from "
                        + Header.METADATA + ", got " + info.name());
            }
            position += info.bytes();
        }
        Disk.requireSpace(file, total);
        FileChannel channel;
        try {
            // Only a new file: cutting an existing one short would break whoever has it mapped.
            channel = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        } catch (FileAlreadyExistsException e) {
            throw new CheckpointException(OUTPUT_EXISTS, file + " exists already", e);
        } catch (IOException e) {
            throw Disk.writeFailed(file, e);
        }
        try {
            if (data > 0) {
                writeFully(channel, ByteBuffer.allocate(1), total - 1); // the length, without the blocks in between
            }
            writeFully(channel, header, 0);
        } catch (IOException e) {
            channel.close();
            Files.deleteIfExists(file);
            throw Disk.writeFailed(file, e);
        }
        return new SafetensorsWriter(file, channel, slots);
    }

    /** The length of the file that {@link #create} makes of these arguments. */
    public static long totalBytes(List<TensorInfo> tensors, Map<String, String> metadata) throws CheckpointException {
        return dataBytes(tensors) + Header.bytes(tensors, metadata).remaining();
    }

    private static long dataBytes(List<TensorInfo> tensors) {
        long data = 0;
        for (TensorInfo info : tensors) {
            data += info.bytes();
            // Room for a header is kept, so that no position in the file overflows either.
            if (data < 0 || data > Long.MAX_VALUE - 2L * Header.LONGEST) {
                throw new IllegalArgumentException("the bytes of " + tensors.size() + " tensors must fit 63 bits");
            }
        }
        return data;
    }

    /**
     * Writes {@code bytes} into a tensor from {@code byteOffset} on. The segment may be native or on the heap, and is not
     * used after the call.
     */
    public void write(String name, long byteOffset, MemorySegment bytes) throws IOException {
        Slot slot = slots.get(name);
        if (slot == null) {
            throw new IllegalArgumentException(file + " was created without a tensor " + name
                    + Names.nearest(name, slots.keySet()).map(nearest -> "; did you mean " + nearest + "?").orElse(""));
        }
        WeightFile.requireRange(slot.info(), byteOffset, bytes.byteSize());
        try {
            if (bytes.isNative()) {
                for (long done = 0, count; done < bytes.byteSize(); done += count) {
                    count = Math.min(DIRECT_CHUNK, bytes.byteSize() - done);
                    writeFully(channel, bytes.asSlice(done, count).asByteBuffer(), slot.position() + byteOffset + done);
                }
            } else {
                writeFromHeap(bytes, slot.position() + byteOffset);
            }
        } catch (IOException e) {
            throw Disk.writeFailed(file, e);
        }
        slot.written().addAndGet(bytes.byteSize());
    }

    /** Copies through a small native buffer, because only segments of byte arrays can be viewed as a buffer. */
    private void writeFromHeap(MemorySegment bytes, long position) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment chunk = arena.allocate(Math.min(HEAP_CHUNK, bytes.byteSize()));
            for (long done = 0, count; done < bytes.byteSize(); done += count) {
                count = Math.min(HEAP_CHUNK, bytes.byteSize() - done);
                MemorySegment.copy(bytes, done, chunk, 0, count);
                writeFully(channel, chunk.asSlice(0, count).asByteBuffer(), position + done);
            }
        }
    }

    private static void writeFully(FileChannel channel, ByteBuffer bytes, long position) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes, position + bytes.position());
        }
    }

    /**
     * Waits until the bytes are on the disk and closes the file. Fails when fewer bytes of a tensor were written than it
     * has, because the rest would read as zeros.
     */
    @Override
    public void close() throws IOException {
        if (closed) {
            return;
        }
        closed = true;
        try (channel) {
            channel.force(true);
        } catch (IOException e) {
            throw Disk.writeFailed(file, e);
        }
        for (Slot slot : slots.values()) {
            if (slot.written().get() < slot.info().bytes()) {
                throw new CheckpointException(WRITE_FAILED, file + ": only " + slot.written() + " of the "
                        + slot.info().bytes() + " bytes of tensor " + slot.info().name() + " were written");
            }
        }
    }
}
