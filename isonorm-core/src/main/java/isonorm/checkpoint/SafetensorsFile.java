package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.MISSING_FILE;
import static isonorm.checkpoint.CheckpointException.Reason.MISSING_TENSOR;
import static isonorm.checkpoint.CheckpointException.Reason.NOT_A_CHECKPOINT;
import static isonorm.checkpoint.CheckpointException.Reason.READ_FAILED;
import static isonorm.checkpoint.CheckpointException.Reason.TRUNCATED;

import com.fasterxml.jackson.core.JsonProcessingException;
import isonorm.words.Names;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

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
    private final Map<String, TensorInfo> tensors;
    private final Map<String, Long> positions; // in the file, not in the data
    private final Map<String, String> metadata;

    private SafetensorsFile(Path path, long length, Header header) {
        this.path = path;
        this.length = length;
        Map<String, TensorInfo> infos = LinkedHashMap.newLinkedHashMap(header.tensors().size());
        Map<String, Long> starts = HashMap.newHashMap(header.tensors().size());
        for (Header.Placed tensor : header.tensors()) {
            infos.put(tensor.info().name(), tensor.info());
            starts.put(tensor.info().name(), header.dataStart() + tensor.begin());
        }
        this.tensors = Collections.unmodifiableMap(infos);
        this.positions = starts;
        this.metadata = Collections.unmodifiableMap(header.metadata());
    }

    /** Reads and validates the header of {@code path}; no tensor is read. */
    public static SafetensorsFile open(Path path) throws CheckpointException {
        // Asked first, because opening a named pipe would wait for somebody to write to it.
        if (!Files.isRegularFile(path)) {
            throw Files.exists(path)
                    ? new CheckpointException(NOT_A_CHECKPOINT, path + " is not a regular file")
                    : missing(path, null);
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

    /** The tensors by name, in the order of their bytes in the file. */
    public Map<String, TensorInfo> tensors() {
        return tensors;
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
            return channel.map(FileChannel.MapMode.READ_ONLY, positions.get(name) + byteOffset, byteCount, arena);
        } catch (IOException e) {
            throw failed(path, e);
        }
    }

    private TensorInfo info(String name) throws CheckpointException {
        TensorInfo info = tensors.get(name);
        if (info == null) {
            throw missingTensor(path, name, tensors.keySet());
        }
        return info;
    }

    static CheckpointException missingTensor(Path where, String name, Collection<String> known) {
        String suggestion = Names.nearest(name, known).map(nearest -> "; did you mean " + nearest + "?").orElse("");
        return new CheckpointException(
                MISSING_TENSOR, where + " has no tensor " + name + " among its " + known.size() + suggestion);
    }

    static CheckpointException missing(Path file, Throwable cause) {
        return new CheckpointException(MISSING_FILE, file + " does not exist", cause);
    }

    /** Gives a failure to read its reason. */
    static CheckpointException failed(Path path, IOException e) {
        return switch (e) {
            case CheckpointException known -> known;
            case NoSuchFileException gone -> missing(path, gone);
            default -> new CheckpointException(READ_FAILED, path + " cannot be read: " + cause(e), e);
        };
    }

    static void requireRange(TensorInfo info, long byteOffset, long byteCount) {
        if (byteOffset < 0 || byteCount < 0 || byteOffset > info.bytes() - byteCount) {
            throw new IllegalArgumentException("tensor " + info.name() + " has " + info.bytes() + " bytes, got " + byteCount
                    + " from " + byteOffset);
        }
    }

    /** What a JSON parser found wrong, without its words about itself. */
    static String notJson(JsonProcessingException e) {
        String words = e.getOriginalMessage();
        int itself = words.indexOf(" (start marker at");
        return itself < 0 ? words : words.substring(0, itself);
    }

    /** What the system says, in words that are not Java's; some exceptions carry only a file name and say the rest by their class. */
    static String cause(IOException e) {
        return switch (e) {
            case AccessDeniedException _ -> "permission denied";
            case FileAlreadyExistsException exists -> exists.getFile() + " exists already";
            case NoSuchFileException gone -> gone.getFile() + " does not exist";
            case NotDirectoryException file -> file.getFile() + " is no folder";
            case DirectoryNotEmptyException full -> full.getFile() + " is not empty";
            case FileSystemException system when system.getReason() != null -> system.getReason();
            case CharacterCodingException _ -> "it is not UTF-8";
            case EOFException _ -> "it ends too soon";
            default -> e.getMessage() == null ? "the system gives no reason" : e.getMessage();
        };
    }
}
