package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.HEADER_TOO_LONG;
import static isonorm.checkpoint.CheckpointException.Reason.NO_SPACE;
import static isonorm.checkpoint.CheckpointException.Reason.OUTPUT_EXISTS;
import static isonorm.checkpoint.CheckpointException.Reason.WRITE_FAILED;
import static isonorm.checkpoint.Samples.assertRefused;
import static isonorm.checkpoint.Samples.counting;
import static isonorm.checkpoint.Samples.read;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SafetensorsWriterTest {

    @TempDir
    Path folder;

    private Path file() {
        return folder.resolve("w.safetensors");
    }

    private static TensorInfo info(String name, Dtype dtype, Long... shape) {
        return new TensorInfo(name, dtype, List.of(shape));
    }

    @Test
    void fileIsExactlyTheseBytes() throws IOException {
        List<TensorInfo> tensors = List.of(info("b", Dtype.F32, 2L), info("a\"é", Dtype.BF16, 1L, 1L), info("s", Dtype.I8));
        Samples.writeCounting(file(), tensors, Map.of("z", "1", "format", "pt"));

        String header = "{\"__metadata__\":{\"format\":\"pt\",\"z\":\"1\"},"
                + "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                + "\"a\\\"é\":{\"dtype\":\"BF16\",\"shape\":[1,1],\"data_offsets\":[8,10]},"
                + "\"s\":{\"dtype\":\"I8\",\"shape\":[],\"data_offsets\":[10,11]}} ";
        byte[] headerBytes = header.getBytes(StandardCharsets.UTF_8);
        assertEquals(0xd0, headerBytes.length); // a multiple of eight
        assertArrayEquals(
                Samples.concatenated(
                        new byte[] {(byte) 0xd0, 0, 0, 0, 0, 0, 0, 0},
                        headerBytes,
                        new byte[] {0, 1, 2, 3, 4, 5, 6, 7},
                        new byte[] {0, 1},
                        new byte[] {0}),
                Files.readAllBytes(file()));
        assertEquals(Files.size(file()), SafetensorsWriter.totalBytes(tensors, Map.of("z", "1", "format", "pt")));
    }

    @Test
    void fileWithoutTensorsIsExactlyTheseBytes() throws IOException {
        Samples.writeCounting(file(), List.of(), Map.of());
        assertArrayEquals(
                new byte[] {8, 0, 0, 0, 0, 0, 0, 0, '{', '}', ' ', ' ', ' ', ' ', ' ', ' '}, Files.readAllBytes(file()));
    }

    @ParameterizedTest
    @EnumSource(Dtype.class)
    void everyDtypeAndShapeRoundTrips(Dtype dtype) throws IOException {
        SplittableRandom random = new SplittableRandom(dtype.ordinal());
        List<TensorInfo> tensors = new ArrayList<>();
        for (List<Long> shape : List.<List<Long>>of(
                List.of(), List.of(0L), List.of(1L), List.of(7L), List.of(3L, 5L), List.of(2L, 0L, 3L), List.of(2L, 3L, 1L, 4L))) {
            tensors.add(new TensorInfo("t" + tensors.size(), dtype, shape));
        }
        Map<String, byte[]> values = new java.util.HashMap<>();
        List<TensorInfo> order = new ArrayList<>(tensors);
        Collections.reverse(order); // the order of writing does not matter
        try (SafetensorsWriter writer = SafetensorsWriter.create(file(), tensors, Map.of("k", "\u0001\n\"ü😀"))) {
            for (TensorInfo tensor : order) {
                byte[] bytes = new byte[(int) tensor.bytes()];
                random.nextBytes(bytes);
                values.put(tensor.name(), bytes);
                writer.write(tensor.name(), 0, MemorySegment.ofArray(bytes));
            }
        }
        SafetensorsFile opened = SafetensorsFile.open(file());
        assertEquals(Map.of("k", "\u0001\n\"ü😀"), opened.metadata());
        assertEquals(tensors, List.copyOf(opened.tensors().values()));
        for (TensorInfo tensor : tensors) {
            assertArrayEquals(values.get(tensor.name()), read(opened, tensor.name()), tensor.name());
        }
    }

    @Test
    void segmentsOfAnyKindAreWrittenInPieces() throws IOException {
        int length = 2 * SafetensorsWriter.DIRECT_CHUNK + 5;
        byte[] expected = counting(length);
        long odd = 3;
        try (SafetensorsWriter writer = SafetensorsWriter.create(
                        file(), List.of(info("x", Dtype.U8, odd), info("heap", Dtype.U8, (long) length),
                                info("native", Dtype.U8, (long) length), info("floats", Dtype.F32, 2L)), Map.of());
                Arena arena = Arena.ofShared()) {
            writer.write("x", 0, MemorySegment.ofArray(new byte[3]));
            writer.write("heap", 0, MemorySegment.ofArray(expected).asSlice(0, length / 2));
            writer.write("heap", length / 2, MemorySegment.ofArray(expected).asSlice(length / 2).asReadOnly());
            MemorySegment segment = arena.allocate(length);
            MemorySegment.copy(expected, 0, segment, ValueLayout.JAVA_BYTE, 0, length);
            writer.write("native", 0, segment);
            writer.write("floats", 0, MemorySegment.ofArray(new float[] {1, -2}));
        }
        SafetensorsFile opened = SafetensorsFile.open(file());
        assertArrayEquals(expected, read(opened, "heap"));
        assertArrayEquals(expected, read(opened, "native"));
        assertArrayEquals(new byte[] {0, 0, (byte) 0x80, 0x3f, 0, 0, 0, (byte) 0xc0}, read(opened, "floats"));
    }

    @Test
    void severalThreadsWriteAtOnce() throws Exception {
        int parts = 64;
        int part = 10_000;
        byte[] expected = new byte[parts * part];
        new SplittableRandom(1).nextBytes(expected);
        try (SafetensorsWriter writer =
                SafetensorsWriter.create(file(), List.of(info("t", Dtype.U8, (long) expected.length)), Map.of())) {
            try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
                List<Future<?>> written = new ArrayList<>();
                for (int i = 0; i < parts; i++) {
                    long begin = (long) i * part;
                    written.add(threads.submit(() -> {
                        writer.write("t", begin, MemorySegment.ofArray(expected).asSlice(begin, part));
                        return null;
                    }));
                }
                for (Future<?> one : written) {
                    one.get();
                }
            }
        }
        assertArrayEquals(expected, read(SafetensorsFile.open(file()), "t"));
    }

    @Test
    void fileHasItsFullLengthFromTheStart() throws IOException {
        long large = (1L << 31) + 100;
        List<TensorInfo> tensors = List.of(info("a", Dtype.U8, large), info("b", Dtype.U8, large));
        SafetensorsWriter writer = SafetensorsWriter.create(file(), tensors, Map.of());
        assertEquals(SafetensorsWriter.totalBytes(tensors, Map.of()), Files.size(file()));
        writer.write("b", large - 3, MemorySegment.ofArray(new byte[] {7, 8, 9}));
        assertRefused(WRITE_FAILED, writer::close, file(), "tensor a", "0 of the " + large);
        try (Arena arena = Arena.ofConfined()) {
            assertArrayEquals(
                    new byte[] {0, 7, 8, 9}, Samples.bytes(SafetensorsFile.open(file()).map("b", large - 4, 4, arena)));
        }
    }

    @Test
    void tensorWrittenInPartIsRefusedOnClosing() throws IOException {
        SafetensorsWriter writer = SafetensorsWriter.create(file(), List.of(info("a.weight", Dtype.U8, 9L)), Map.of());
        writer.write("a.weight", 0, MemorySegment.ofArray(new byte[8]));
        assertRefused(WRITE_FAILED, writer::close, file(), "a.weight", "8 of the 9");
        writer.close(); // closing twice does nothing
    }

    @Test
    void moreThanTheDiskHasIsRefusedBeforeAFileIsMade() {
        List<TensorInfo> tensors = List.of(info("huge", Dtype.F32, 1L << 58));
        assertRefused(NO_SPACE, () -> SafetensorsWriter.create(file(), tensors, Map.of()), file(), "11529215046068", "available");
        assertFalse(Files.exists(file()));
    }

    @Test
    void fullDiskAndUsedUpQuotaHaveNoSpace() {
        assertRefused(NO_SPACE, () -> {
            try {
                fill();
            } catch (IOException e) {
                throw Disk.writeFailed(file(), e);
            }
        }, file(), "No space left on device");
        assertEquals(NO_SPACE, Disk.writeFailed(file(), new IOException("Disk quota exceeded")).reason());
        assertEquals(WRITE_FAILED, Disk.writeFailed(file(), new IOException("Input/output error")).reason());
    }

    /** Fails as a write to a full disk does: really so where the system has a device for it. */
    private static void fill() throws IOException {
        Path full = Path.of("/dev/full");
        if (!Files.exists(full)) {
            throw new IOException("No space left on device");
        }
        try (FileChannel channel = FileChannel.open(full, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.allocate(1));
        }
    }

    @Test
    void existingFileIsLeftAlone() throws IOException {
        Files.writeString(file(), "mine");
        assertRefused(OUTPUT_EXISTS, () -> SafetensorsWriter.create(file(), List.of(), Map.of()), file());
        assertEquals("mine", Files.readString(file()));
    }

    @Test
    void folderThatIsNotThere() {
        Path lost = folder.resolve("no/w.safetensors");
        assertRefused(WRITE_FAILED, () -> SafetensorsWriter.create(lost, List.of(), Map.of()), lost);
    }

    @Test
    void headerAboveTheCapIsNotWritten() {
        String megabyte = "x".repeat(1 << 20);
        List<TensorInfo> tensors = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            tensors.add(info(i + megabyte, Dtype.U8, 0L));
        }
        assertRefused(HEADER_TOO_LONG, () -> SafetensorsWriter.create(file(), tensors, Map.of()), "100 tensors");
        assertFalse(Files.exists(file()));
    }

    @Test
    void callersMistakesAreRefused() throws IOException {
        TensorInfo a = info("a", Dtype.U8, 4L);
        assertThrows(IllegalArgumentException.class, () -> SafetensorsWriter.create(file(), List.of(a, a), Map.of()));
        assertThrows(IllegalArgumentException.class,
                () -> SafetensorsWriter.create(file(), List.of(info("__metadata__", Dtype.U8)), Map.of()));
        assertThrows(IllegalArgumentException.class,
                () -> SafetensorsWriter.create(file(), List.of(info("\ud800", Dtype.U8)), Map.of()));
        assertThrows(IllegalArgumentException.class, () -> SafetensorsWriter.create(file(), List.of(), Map.of("k", "\udc00")));
        TensorInfo half = info("h", Dtype.U8, Long.MAX_VALUE / 2 + 1);
        assertThrows(IllegalArgumentException.class,
                () -> SafetensorsWriter.totalBytes(List.of(half, info("i", Dtype.U8, Long.MAX_VALUE / 2 + 1)), Map.of()));
        assertFalse(Files.exists(file()));
        try (SafetensorsWriter writer = SafetensorsWriter.create(file(), List.of(a), Map.of())) {
            MemorySegment two = MemorySegment.ofArray(new byte[2]);
            assertEquals("tensor a has 4 bytes, got 2 from 3",
                    assertThrows(IllegalArgumentException.class, () -> writer.write("a", 3, two)).getMessage());
            assertThrows(IllegalArgumentException.class, () -> writer.write("a", -1, two));
            assertTrue(assertThrows(IllegalArgumentException.class, () -> writer.write("b", 0, two)).getMessage()
                    .contains("without a tensor b"));
            writer.write("a", 0, MemorySegment.ofArray(new byte[4]));
        }
    }
}
