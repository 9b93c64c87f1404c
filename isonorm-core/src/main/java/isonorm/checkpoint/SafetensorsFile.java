package isonorm.checkpoint;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
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

    private final WeightFile file;

    private SafetensorsFile(WeightFile file) {
        this.file = file;
    }

    /** Reads and validates the header of {@code path}; no tensor is read. */
    public static SafetensorsFile open(Path path) throws CheckpointException {
        return new SafetensorsFile(read(path));
    }

    /** The tensors of a file, where they lie. */
    static WeightFile read(Path path) throws CheckpointException {
        return WeightFile.read(path, (channel, length) -> {
            Header header = Header.read(channel, length, path);
            List<WeightFile.Placed> placed = header.tensors().stream()
                    .map(tensor -> new WeightFile.Placed(tensor.info(), header.dataStart() + tensor.begin())).toList();
            return new WeightFile(path, length, placed, header.metadata());
        });
    }

    /** The file this was read from. */
    public Path path() {
        return file.path();
    }

    /** The tensors by name, in the order of their bytes in the file; a new map. */
    public Map<String, TensorInfo> tensors() {
        Map<String, TensorInfo> infos = LinkedHashMap.newLinkedHashMap(file.names().size());
        file.forEach(info -> infos.put(info.name(), info));
        return infos;
    }

    /** The names of the tensors in the order of their bytes in the file. */
    public Set<String> names() {
        return file.names();
    }

    /** What the tensor of this name is. */
    public TensorInfo info(String name) throws CheckpointException {
        return file.info(name);
    }

    /** What the file says about itself, in the order of the header. */
    public Map<String, String> metadata() {
        return file.metadata();
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
        return file.map(name, byteOffset, byteCount, arena);
    }
}
