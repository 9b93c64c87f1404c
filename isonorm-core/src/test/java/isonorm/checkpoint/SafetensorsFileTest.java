package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.HEADER_MALFORMED;
import static isonorm.checkpoint.CheckpointException.Reason.HEADER_NOT_JSON;
import static isonorm.checkpoint.CheckpointException.Reason.HEADER_TOO_LONG;
import static isonorm.checkpoint.CheckpointException.Reason.MISSING_FILE;
import static isonorm.checkpoint.CheckpointException.Reason.MISSING_TENSOR;
import static isonorm.checkpoint.CheckpointException.Reason.NOT_A_CHECKPOINT;
import static isonorm.checkpoint.CheckpointException.Reason.OFFSETS_HOLE;
import static isonorm.checkpoint.CheckpointException.Reason.OFFSETS_OUT_OF_RANGE;
import static isonorm.checkpoint.CheckpointException.Reason.OFFSETS_OVERLAP;
import static isonorm.checkpoint.CheckpointException.Reason.READ_FAILED;
import static isonorm.checkpoint.CheckpointException.Reason.SIZE_MISMATCH;
import static isonorm.checkpoint.CheckpointException.Reason.TRUNCATED;
import static isonorm.checkpoint.CheckpointException.Reason.UNKNOWN_DTYPE;
import static isonorm.checkpoint.Samples.assertRefused;
import static isonorm.checkpoint.Samples.counting;
import static isonorm.checkpoint.Samples.read;
import static isonorm.checkpoint.Samples.tensor;
import static isonorm.checkpoint.Samples.write;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.ReadableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsFileTest {

    @TempDir
    Path folder;

    private Path file() {
        return folder.resolve("w.safetensors");
    }

    private void assertHeaderRefused(CheckpointException.Reason reason, String header, int dataLength, Object... named)
            throws IOException {
        write(file(), header, dataLength);
        assertRefused(reason, () -> SafetensorsFile.open(file()), Samples.concat(file(), named));
    }

    @Test
    void tensorsComeInTheOrderOfTheirBytesAndNotOfTheHeader() throws IOException {
        write(file(), "{" + tensor("late", "U8", "[3]", 4, 7) + ",\"__metadata__\":{\"format\":\"pt\"},"
                + tensor("early", "F32", "[1,1]", 0, 4) + "}   ", 7);

        SafetensorsFile opened = SafetensorsFile.open(file());

        assertEquals(List.of("early", "late"), List.copyOf(opened.tensors().keySet()));
        assertEquals(new TensorInfo("early", Dtype.F32, List.of(1L, 1L)), opened.tensors().get("early"));
        assertEquals(Map.of("format", "pt"), opened.metadata());
        assertEquals(file(), opened.path());
        assertArrayEquals(new byte[] {0, 1, 2, 3}, read(opened, "early"));
        assertArrayEquals(new byte[] {4, 5, 6}, read(opened, "late"));
    }

    @Test
    void metadataMayBeNull() throws IOException {
        write(file(), "{\"__metadata__\":null," + tensor("a", "U8", "[1]", 0, 1) + "}", 1);
        assertEquals(Map.of(), SafetensorsFile.open(file()).metadata());
        assertEquals(List.of("a"), List.copyOf(SafetensorsFile.open(file()).tensors().keySet()));
    }

    @Test
    void scalarsAndEmptyTensorsAreTensors() throws IOException {
        write(file(), "{" + tensor("none", "F32", "[0,5]", 2, 2) + "," + tensor("scalar", "I16", "[]", 0, 2) + ","
                + tensor("first", "F64", "[0]", 0, 0) + "}", 2);

        SafetensorsFile opened = SafetensorsFile.open(file());

        assertEquals(List.of("first", "scalar", "none"), List.copyOf(opened.tensors().keySet()));
        assertEquals(1, opened.tensors().get("scalar").elements());
        assertArrayEquals(new byte[] {0, 1}, read(opened, "scalar"));
        assertEquals(0, read(opened, "none").length);
    }

    @Test
    void fileWithoutTensorsIsAFile() throws IOException {
        write(file(), "{}", 0);
        assertTrue(SafetensorsFile.open(file()).tensors().isEmpty());
    }

    @Test
    void unknownKeysOfATensorAreIgnored() throws IOException {
        write(file(), "{\"a\":{\"note\":[{\"x\":[1]}],\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
        assertEquals(1, SafetensorsFile.open(file()).tensors().size());
    }

    @Test
    void mappingIsReadOnlyAndExactlyTheTensor() throws IOException {
        write(file(), "{" + tensor("a", "U8", "[3]", 0, 3) + "," + tensor("b", "U8", "[5]", 3, 8) + "}", 8);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment mapped = SafetensorsFile.open(file()).map("b", arena);
            assertArrayEquals(new byte[] {3, 4, 5, 6, 7}, Samples.bytes(mapped));
            assertTrue(mapped.isReadOnly());
        }
    }

    @Test
    void partOfATensorCanBeMapped() throws IOException {
        write(file(), "{" + tensor("a", "U8", "[3]", 0, 3) + "," + tensor("b", "U8", "[5]", 3, 8) + "}", 8);
        SafetensorsFile opened = SafetensorsFile.open(file());
        try (Arena arena = Arena.ofConfined()) {
            assertArrayEquals(new byte[] {5, 6}, Samples.bytes(opened.map("b", 2, 2, arena)));
            assertEquals(0, opened.map("b", 5, 0, arena).byteSize());
            for (long[] range : new long[][] {{4, 2}, {-1, 2}, {0, -1}, {6, 0}, {Long.MAX_VALUE, 1}, {1, Long.MAX_VALUE}}) {
                var refused = assertThrows(
                        IllegalArgumentException.class, () -> opened.map("b", range[0], range[1], arena));
                assertEquals("tensor b has 5 bytes, got " + range[1] + " from " + range[0], refused.getMessage());
            }
        }
    }

    @Test
    void tensorsAboveTwoAndFilesAboveFourGigabytesAreMapped() throws IOException {
        long large = (1L << 31) + 100;
        List<TensorInfo> tensors = List.of(
                new TensorInfo("a", Dtype.F16, List.of(large / 2)),
                new TensorInfo("b", Dtype.U8, List.of(large)));
        ByteBuffer header = Header.bytes(tensors, Map.of());
        long length = header.remaining() + 2 * large;
        assertTrue(length > 1L << 32);
        try (RandomAccessFile sparse = new RandomAccessFile(file().toFile(), "rw")) {
            sparse.write(header.array());
            sparse.setLength(length);
            sparse.seek(length - 3);
            sparse.write(new byte[] {7, 8, 9});
        }
        SafetensorsFile opened = SafetensorsFile.open(file());
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment whole = opened.map("b", arena);
            assertEquals(large, whole.byteSize());
            assertArrayEquals(new byte[] {7, 8, 9}, Samples.bytes(whole.asSlice(large - 3)));
            assertArrayEquals(new byte[] {0, 7, 8, 9}, Samples.bytes(opened.map("b", large - 4, 4, arena)));
            assertEquals(0, opened.map("a", arena).get(ValueLayout.JAVA_BYTE, large - 1));
        }
    }

    // One test for each way a file can be wrong.

    @Test
    void missingFile() {
        assertRefused(MISSING_FILE, () -> SafetensorsFile.open(file()), file());
    }

    @Test
    void folderInPlaceOfAFile() {
        assertRefused(NOT_A_CHECKPOINT, () -> SafetensorsFile.open(folder), folder);
    }

    @Test
    void gitLfsPointer() throws IOException {
        Files.writeString(file(), "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
        assertRefused(NOT_A_CHECKPOINT, () -> SafetensorsFile.open(file()), file(), "git lfs pull");
    }

    @Test
    void fileWhoseBytesCannotBeRead() {
        ReadableByteChannel failing = Channels.newChannel(new InputStream() {
            @Override
            public int read() throws IOException {
                throw new IOException("Input/output error");
            }
        });
        assertThrows(IOException.class, () -> Header.read(failing, 100, file()));
        assertEquals(READ_FAILED, WeightFile.failed(file(), new IOException("Input/output error")).reason());
        assertRefused(READ_FAILED, () -> {
            throw WeightFile.failed(file(), new AccessDeniedException(file().toString()));
        }, file(), "permission denied");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 7})
    void fileTooShortForTheLengthOfItsHeader(int length) throws IOException {
        Files.write(file(), new byte[length]);
        assertRefused(TRUNCATED, () -> SafetensorsFile.open(file()), file(), length + " bytes");
    }

    @Test
    void fileTooShortForItsHeader() throws IOException {
        byte[] whole = Samples.file("{" + tensor("a", "U8", "[3]", 0, 3) + "}", 0);
        Files.write(file(), Arrays.copyOf(whole, whole.length - 1));
        assertRefused(TRUNCATED, () -> SafetensorsFile.open(file()), file(), whole.length - 1, whole.length - 8);
    }

    @Test
    void fileTooShortForItsTensors() throws IOException {
        assertHeaderRefused(TRUNCATED, "{" + tensor("a", "U8", "[30]", 0, 30) + "}", 29, "29", "30");
    }

    @Test
    void fileThatShrinksAfterOpening() throws IOException {
        write(file(), "{" + tensor("a.weight", "U8", "[30]", 0, 30) + "}", 30);
        SafetensorsFile opened = SafetensorsFile.open(file());
        long length = Files.size(file());
        try (RandomAccessFile shrinking = new RandomAccessFile(file().toFile(), "rw");
                Arena arena = Arena.ofConfined()) {
            shrinking.setLength(length - 1);
            assertRefused(TRUNCATED, () -> opened.map("a.weight", arena), file(), "a.weight", length, length - 1);
        }
    }

    @Test
    void fileThatVanishesAfterOpening() throws IOException {
        write(file(), "{" + tensor("a", "U8", "[3]", 0, 3) + "}", 3);
        SafetensorsFile opened = SafetensorsFile.open(file());
        Files.delete(file());
        try (Arena arena = Arena.ofConfined()) {
            assertRefused(MISSING_FILE, () -> opened.map("a", arena), file());
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {100_000_001L, Long.MAX_VALUE, Long.MIN_VALUE, -1L})
    void headerAboveTheCap(long length) throws IOException {
        ByteBuffer start = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
        Files.write(file(), start.array());
        assertRefused(
                HEADER_TOO_LONG, () -> SafetensorsFile.open(file()), file(), Long.toUnsignedString(length), "100000000");
    }

    @Test
    void headerOfExactlyTheCapIsNotTooLong() throws IOException {
        Files.write(file(), ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(100_000_000).array());
        assertRefused(TRUNCATED, () -> SafetensorsFile.open(file()), file(), "100000000");
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", " {}", "[]", "{", "{\"a\"}", "{} x", "{}{}", "{}\0", "null", "{\"a\":NaN}", "{'a':1}", "{\"__metadata__\":{}", "{,}",
        "{\"\\ud800\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", "{\"__metadata__\":{\"a\":\"\\udfff\"}}"
    })
    void headerThatIsNotAJsonObject(String header) throws IOException {
        assertHeaderRefused(HEADER_NOT_JSON, header, 0);
    }

    @Test
    void headerThatIsNotUtf8() throws IOException {
        byte[] bytes = Samples.file("{\"a\":1}", 0);
        bytes[10] = (byte) 0xff;
        Files.write(file(), bytes);
        assertRefused(HEADER_NOT_JSON, () -> SafetensorsFile.open(file()), file(), "UTF-8");
    }

    @Test
    void headerInAnotherEncodingThanUtf8() throws IOException {
        byte[] utf16 = "{}".getBytes(StandardCharsets.UTF_16LE);
        Files.write(file(), Samples.concatenated(new byte[] {4, 0, 0, 0, 0, 0, 0, 0}, utf16));
        assertRefused(HEADER_NOT_JSON, () -> SafetensorsFile.open(file()), file());
    }

    @Test
    void keyTwice() throws IOException {
        String tensor = tensor("twice", "U8", "[1]", 0, 1);
        assertHeaderRefused(HEADER_NOT_JSON, "{" + tensor + "," + tensor + "}", 1, "twice");
        assertHeaderRefused(HEADER_NOT_JSON, "{\"a\":{\"shape\":[1],\"shape\":[1]}}", 1, "shape");
        assertHeaderRefused(HEADER_NOT_JSON, "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "key k twice");
        assertHeaderRefused(HEADER_NOT_JSON, "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__");
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "1", "[]", "{}", "{\"shape\":[1],\"data_offsets\":[0,1]}", "{\"dtype\":\"U8\",\"data_offsets\":[0,1]}",
        "{\"dtype\":\"U8\",\"shape\":[1]}", "{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}",
        "{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}", "{\"dtype\":\"U8\",\"shape\":[\"1\"],\"data_offsets\":[0,1]}",
        "{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}", "{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}",
        "{\"dtype\":\"U8\",\"shape\":[[1]],\"data_offsets\":[0,1]}", "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}",
        "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}", "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":{}}",
        "{\"dtype\":\"U8\",\"shape\":[9223372036854775808],\"data_offsets\":[0,1]}",
        "{\"dtype\":\"U8\",\"shape\":null,\"data_offsets\":[0,1]}"
    })
    void tensorNotOfTheFormatsForm(String tensor) throws IOException {
        assertHeaderRefused(HEADER_MALFORMED, "{\"b.weight\":" + tensor + "}", 1, "b.weight");
    }

    @ParameterizedTest
    @ValueSource(strings = {"[]", "\"a\"", "{\"k\":1}", "{\"k\":null}", "{\"k\":{}}"})
    void metadataThatIsNotStrings(String metadata) throws IOException {
        assertHeaderRefused(HEADER_MALFORMED, "{\"__metadata__\":" + metadata + "}", 0, "__metadata__");
    }

    @Test
    void nestingWithoutEnd() throws IOException {
        assertHeaderRefused(HEADER_MALFORMED, "{\"a\":{\"x\":" + "[".repeat(1_000_000) + "}}", 0);
        String closed = "[".repeat(20) + "]".repeat(20);
        assertHeaderRefused(HEADER_MALFORMED,
                "{\"a\":{\"x\":" + closed + ",\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0);
    }

    @Test
    void numberWithoutEnd() throws IOException {
        assertHeaderRefused(HEADER_MALFORMED,
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[" + "9".repeat(1_000_000) + "],\"data_offsets\":[0,1]}}", 0);
    }

    @ParameterizedTest
    @ValueSource(strings = {"F31", "", "f32", "F4", "F32 "})
    void unknownDtype(String dtype) throws IOException {
        assertHeaderRefused(UNKNOWN_DTYPE, "{" + tensor("b.weight", dtype, "[1]", 0, 4) + "}", 4, "b.weight", dtype);
    }

    @Test
    void offsetsThatAreNotOffsets() throws IOException {
        assertHeaderRefused(OFFSETS_OUT_OF_RANGE, "{" + tensor("b", "U8", "[1]", -1, 0) + "}", 1, "tensor b", "-1");
        assertHeaderRefused(OFFSETS_OUT_OF_RANGE, "{" + tensor("b", "U8", "[1]", 2, 1) + "}", 1, "tensor b", "2 to 1");
        assertHeaderRefused(OFFSETS_OUT_OF_RANGE,
                "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,18446744073709551616]}}", 1, "tensor b",
                "18446744073709551616");
    }

    @Test
    void overlappingTensors() throws IOException {
        assertHeaderRefused(OFFSETS_OVERLAP,
                "{" + tensor("a", "U8", "[4]", 0, 4) + "," + tensor("b", "U8", "[4]", 3, 7) + "}", 7, "tensor b", "3 to 7", "4");
        // Two names for the same bytes would read well, but no two tensors may share memory.
        assertHeaderRefused(OFFSETS_OVERLAP,
                "{" + tensor("a", "U8", "[4]", 0, 4) + "," + tensor("b", "U8", "[4]", 0, 4) + "}", 4, "tensor b");
    }

    @Test
    void holeBeforeBetweenAndAfterTensors() throws IOException {
        assertHeaderRefused(OFFSETS_HOLE, "{" + tensor("a", "U8", "[4]", 1, 5) + "}", 5, "tensor a", "1 to 5", "0");
        assertHeaderRefused(OFFSETS_HOLE,
                "{" + tensor("a", "U8", "[4]", 0, 4) + "," + tensor("b", "U8", "[4]", 5, 9) + "}", 9, "tensor b", "4");
        assertHeaderRefused(OFFSETS_HOLE, "{" + tensor("a", "U8", "[4]", 0, 4) + "}", 5, "5 bytes", "4");
        assertHeaderRefused(OFFSETS_HOLE, "{}", 1, "1 bytes");
        assertHeaderRefused(OFFSETS_HOLE,
                "{" + tensor("a", "U8", "[4]", 0, 4) + "," + tensor("e", "U8", "[0]", 6, 6) + "}", 6, "tensor e");
    }

    @Test
    void shapeThatDoesNotFillItsOffsets() throws IOException {
        assertHeaderRefused(SIZE_MISMATCH, "{" + tensor("a", "F32", "[2,3]", 0, 20) + "}", 20, "tensor a", "24", "[2, 3]");
        assertHeaderRefused(SIZE_MISMATCH, "{" + tensor("a", "F32", "[]", 0, 0) + "}", 0, "tensor a");
        // 2^62 + 1 float32 elements are 4 bytes when the product wraps.
        assertHeaderRefused(SIZE_MISMATCH, "{" + tensor("a", "F32", "[4611686018427387905]", 0, 4) + "}", 4, "tensor a",
                "4611686018427387905");
        assertHeaderRefused(SIZE_MISMATCH, "{" + tensor("a", "U8", "[4294967296,4294967296]", 0, 0) + "}", 0, "tensor a");
        assertHeaderRefused(SIZE_MISMATCH, "{" + tensor("a", "U8", "[4294967296,4294967296,0]", 0, 0) + "}", 0, "tensor a");
    }

    @Test
    void missingTensorSuggestsTheNearest() throws IOException {
        write(file(), "{" + tensor("h.0.attn.weight", "U8", "[0]", 0, 0) + "," + tensor("h.0.attn.bias", "U8", "[0]", 0, 0)
                + "}", 0);
        SafetensorsFile opened = SafetensorsFile.open(file());
        try (Arena arena = Arena.ofConfined()) {
            assertRefused(MISSING_TENSOR, () -> opened.map("h.0.attn.wieght", arena), file(), "h.0.attn.wieght",
                    "did you mean h.0.attn.weight?");
        }
    }

    @Test
    void hostileNamesStayOnOneLine() throws IOException {
        assertHeaderRefused(UNKNOWN_DTYPE, "{" + tensor("a\\n\\u202eb\\u2028" + "x".repeat(100_000), "Z", "[]", 0, 0) + "}", 0,
                "a\\u000a\\u202eb\\u2028x");
    }

    @Test
    void mappedBytesAreTheFiles() throws IOException {
        write(file(), "{" + tensor("a", "I32", "[1000]", 0, 4000) + "}", 4000);
        assertArrayEquals(counting(4000), read(SafetensorsFile.open(file()), "a"));
    }
}
