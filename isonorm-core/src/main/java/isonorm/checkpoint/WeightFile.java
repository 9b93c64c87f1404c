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
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/**
 * A file of tensors, each of which lies in it as one run of little-endian elements, whatever says where: the header of {@link SafetensorsFile}
 * or the pickle of {@link TorchFile}. It is opened for each mapping and not held open in between.
 */
final class WeightFile {

    /** A tensor, and where its bytes begin in the file. */
    record Placed(TensorInfo info, long begin) {}

    /** Reads what is needed to know where tensors lie. */
    @FunctionalInterface
    interface Opening {
        WeightFile read(FileChannel channel, long length) throws IOException;
    }

    private final Path path;
    private final long length;
    private final Map<String, Placed> tensors; // one map, since there may be a million
    private final Map<String, String> metadata;

    /** Of tensors that end before the file does, in the order in which they shall be named. */
    WeightFile(Path path, long length, List<Placed> placed, Map<String, String> metadata) {
        this.path = path;
        this.length = length;
        this.tensors = LinkedHashMap.newLinkedHashMap(placed.size());
        for (Placed tensor : placed) {
            tensors.put(tensor.info.name(), tensor);
        }
        this.metadata = Collections.unmodifiableMap(metadata);
    }

    static WeightFile read(Path path, Opening opening) throws CheckpointException {
        // Asked first, because opening a named pipe would wait for somebody to write to it.
        if (!Files.isRegularFile(path)) {
            throw Files.exists(path)
                    ? new CheckpointException(NOT_A_CHECKPOINT, path + " is not a regular file")
                    : missing(path);
        }
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            return opening.read(channel, channel.size());
        } catch (IOException e) {
            throw failed(path, e);
        }
    }

    Path path() {
        return path;
    }

    Set<String> names() {
        return Collections.unmodifiableSet(tensors.keySet());
    }

    void forEach(Consumer<TensorInfo> with) {
        tensors.values().forEach(tensor -> with.accept(tensor.info));
    }

    TensorInfo info(String name) throws CheckpointException {
        return placed(name).info;
    }

    Map<String, String> metadata() {
        return metadata;
    }

    /** Maps a part of a tensor's bytes, read-only, for as long as {@code arena} lives. */
    MemorySegment map(String name, long byteOffset, long byteCount, Arena arena) throws IOException {
        Placed tensor = placed(name);
        requireRange(tensor.info, byteOffset, byteCount);
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
            return channel.map(FileChannel.MapMode.READ_ONLY, tensor.begin + byteOffset, byteCount, arena);
        } catch (IOException e) {
            throw failed(path, e);
        }
    }

    private Placed placed(String name) throws CheckpointException {
        Placed tensor = tensors.get(name);
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
