package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.MISSING_FILE;
import static isonorm.checkpoint.CheckpointException.Reason.MISSING_TENSOR;
import static isonorm.checkpoint.CheckpointException.Reason.NOT_A_CHECKPOINT;
import static isonorm.checkpoint.CheckpointException.Reason.READ_FAILED;
import static isonorm.checkpoint.CheckpointException.Reason.TRUNCATED;

import isonorm.words.Names;
import isonorm.words.SystemFault;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * One safetensors file, of which the header has been read and validated and the tensors are mapped on request.
 *
 * <p>The format, all numbers little-endian:
 *
 * <pre>
 * 8 bytes   N, the length of the header, unsigned, at most 100,000,000
 * N bytes   the header: a UTF-8 JSON object that starts with '{' and may end in spaces
 *             "name": {"dtype": "F32", "shape": [rows, columns], "data_offsets": [begin, end]}   for every tensor
 *             "__metadata__": {"key": "value"}                                                   optional, or null
 * the rest  the data; offsets count from its first byte, elements are in row-major order
 * </pre>
 *
 * <p>No key appears twice. The tensors cover the data from its first byte to the end of the file without a hole or an
 * overlap, so that no byte of a file is left unexplained. A tensor may be empty, and the shape {@code []} is a scalar.
 * Other keys in a tensor's object are ignored, as the reference implementation does.
 *
 * <p>The file is opened for each mapping and not held open in between. Instances are immutable and safe for use by
 * several threads.
 *
 * @see <a href="https://github.com/huggingface/safetensors#format">The format</a>
 */
public final class SafetensorsFile {

    private final Path path;
    private final long length;
    private final long dataStart;
    private final Map<String, Header.Placed> tensors; // one map, since there may be a million
    private final Map<String, String> metadata;

    private SafetensorsFile(Path path, long length, Header header) {
        this.path = path;
        this.length = length;
        this.dataStart = header.dataStart();
        this.tensors = LinkedHashMap.newLinkedHashMap(header.tensors().size());
        for (Header.Placed tensor : header.tensors()) {
            tensors.put(tensor.info().name(), tensor);
        }
        this.metadata = Collections.unmodifiableMap(header.metadata());
    }

    /** Reads and validates the header of {@code path}; no tensor is read. */
    public static SafetensorsFile open(Path path) throws CheckpointException {
        // Asked first, because opening a named pipe would wait for somebody to write to it.
        if (!Files.isRegularFile(path)) {
            throw Files.exists(path)
                    ? new CheckpointException(NOT_A_CHECKPOINT, path + " is not a regular file")
                    : missing(path);
        }
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            long length = channel.size();
            return new SafetensorsFile(path, length, Header.read(channel, length, path));
        } catch (IOException e) {
            throw failed(path, e);
        }
    }

    /** The file this was read from. */
    public Path path() {
        return path;
    }

    /** The tensors by name, in the order of their bytes in the file; a new map. */
    public Map<String, TensorInfo> tensors() {
        Map<String, TensorInfo> infos = LinkedHashMap.newLinkedHashMap(tensors.size());
        tensors.forEach((name, tensor) -> infos.put(name, tensor.info()));
        return infos;
    }

    /** The names of the tensors in the order of their bytes in the file. */
    public Set<String> names() {
        return Collections.unmodifiableSet(tensors.keySet());
    }

    /** What the tensor of this name is. */
    public TensorInfo info(String name) throws CheckpointException {
        return placed(name).info();
    }

    /** What the file says about itself, in the order of the header. */
    public Map<String, String> metadata() {
        return metadata;
    }

    /**
     * Maps exactly the bytes of a tensor, read-only and of any size, for as long as {@code arena} lives. Elements need not
     * be aligned in a file, so they are read with little-endian unaligned layouts, such as
     * {@link java.lang.foreign.ValueLayout#JAVA_FLOAT_UNALIGNED}. An empty tensor gives an empty segment.
     */
    public MemorySegment map(String name, Arena arena) throws IOException {
        return map(name, 0, info(name).bytes(), arena);
    }

    /** Maps {@code byteCount} bytes of a tensor from {@code byteOffset}, as {@link #map(String, Arena)} does. */
    public MemorySegment map(String name, long byteOffset, long byteCount, Arena arena) throws IOException {
        TensorInfo info = info(name);
        requireRange(info, byteOffset, byteCount);
        if (byteCount == 0) {
            return arena.allocate(0).asReadOnly(); // the system maps no fewer bytes than one
        }
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            // A mapping beyond the end of the file would succeed, and fail only when its values are read.
            long now = channel.size();
            if (now != length) {
                throw new CheckpointException(TRUNCATED, path + " was " + length + " bytes long when it was opened and is "
                        + now + " now, so its tensor " + name + " cannot be trusted");
            }
            return channel.map(FileChannel.MapMode.READ_ONLY, dataStart + placed(name).begin() + byteOffset, byteCount, arena);
        } catch (IOException e) {
            throw failed(path, e);
        }
    }

    private Header.Placed placed(String name) throws CheckpointException {
        Header.Placed tensor = tensors.get(name);
        if (tensor == null) {
            throw missingTensor(path, name, tensors.keySet());
        }
        return tensor;
    }

    static CheckpointException missingTensor(Path where, String name, Collection<String> known) {
        String suggestion = Names.nearest(name, known).map(nearest -> "; did you mean " + nearest + "?").orElse("");
        return new CheckpointException(
                MISSING_TENSOR, where + " has no tensor " + name + " among its " + known.size() + suggestion);
    }

    static CheckpointException missing(Path file) {
        return new CheckpointException(MISSING_FILE, file + " does not exist");
    }

    private static CheckpointException missing(Path file, Throwable cause) {
        return new CheckpointException(MISSING_FILE, file + " does not exist", cause);
    }

    /** Gives a failure to read its reason. */
    static CheckpointException failed(Path path, IOException e) {
        return switch (e) {
            case CheckpointException known -> known;
            case NoSuchFileException gone -> missing(path, gone);
            default -> new CheckpointException(READ_FAILED, path + " cannot be read: " + SystemFault.of(e), e);
        };
    }

    static void requireRange(TensorInfo info, long byteOffset, long byteCount) {
        if (byteOffset < 0 || byteCount < 0 || byteOffset > info.bytes() - byteCount) {
            throw new IllegalArgumentException("tensor " + info.name() + " has " + info.bytes() + " bytes, got " + byteCount
                    + " from " + byteOffset);
        }
    }
}
