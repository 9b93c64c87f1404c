package isonorm.checkpoint;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.weights.Fingerprint;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.function.Executable;

/** What the tests here share: files made by hand, and ways to look at files and failures. */
final class Samples {

    private Samples() {}

    /** A safetensors file as it would be downloaded: this header, then so many bytes 0, 1, 2, ... */
    static byte[] file(String header, int dataLength) {
        byte[] text = header.getBytes(StandardCharsets.UTF_8);
        ByteBuffer file = ByteBuffer.allocate(Long.BYTES + text.length + dataLength).order(ByteOrder.LITTLE_ENDIAN);
        file.putLong(text.length).put(text).put(counting(dataLength));
        return file.array();
    }

    static Path write(Path file, String header, int dataLength) throws IOException {
        return Files.write(file, file(header, dataLength));
    }

    /** One tensor of a header, as text. */
    static String tensor(String name, String dtype, String shape, long begin, long end) {
        return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[" + begin + ","
                + end + "]}";
    }

    /** A checkpoint of one file with these float32 vectors of two elements. */
    static Path checkpoint(Path folder, String... names) throws IOException {
        Files.createDirectories(folder);
        Files.writeString(folder.resolve("config.json"), "{\"model_type\": \"sample\"}");
        shard(folder.resolve("model.safetensors"), names);
        return folder;
    }

    static Path shard(Path file, String... names) throws IOException {
        List<String> tensors = new ArrayList<>();
        for (String name : names) {
            tensors.add(tensor(name, "F32", "[2]", 8L * tensors.size(), 8L * tensors.size() + 8));
        }
        return write(file, "{" + String.join(",", tensors) + "}", 8 * names.length);
    }

    static byte[] counting(int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) i;
        }
        return bytes;
    }

    static byte[] bytes(MemorySegment segment) {
        return segment.toArray(ValueLayout.JAVA_BYTE);
    }

    static byte[] read(SafetensorsFile file, String name) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            return bytes(file.map(name, arena));
        }
    }

    /** Writes a file whose tensors hold 0, 1, 2, ... each. */
    static void writeCounting(Path file, List<TensorInfo> tensors, Map<String, String> metadata) throws IOException {
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, tensors, metadata)) {
            for (TensorInfo tensor : tensors) {
                writer.write(tensor.name(), 0, MemorySegment.ofArray(counting((int) tensor.bytes())));
            }
        }
    }

    /** Every file under a folder, hidden ones too, with its fingerprint. */
    static Map<String, String> snapshot(Path folder) throws IOException {
        Map<String, String> snapshot = new TreeMap<>();
        try (Stream<Path> paths = Files.walk(folder)) {
            for (Path path : paths.toList()) {
                snapshot.put(
                        folder.relativize(path).toString(),
                        Files.isRegularFile(path) ? Fingerprint.sha256(path) : "folder");
            }
        }
        return snapshot;
    }

    /** Runs what must fail for this reason, with one line that names all of these. */
    static CheckpointException assertRefused(CheckpointException.Reason reason, Executable action, Object... named) {
        CheckpointException refused = assertThrows(CheckpointException.class, action);
        assertEquals(reason, refused.reason(), refused.getMessage());
        for (Object name : named) {
            assertTrue(refused.getMessage().contains(name.toString()), () -> name + " is not in: " + refused.getMessage());
        }
        assertFalse(refused.getMessage().contains("\n"), refused.getMessage());
        return refused;
    }

    static Object[] concat(Object first, Object... rest) {
        return Stream.concat(Stream.of(first), Stream.of(rest)).toArray();
    }

    static byte[] concatenated(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }
}
