package isonorm.data;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.mutation.Mutator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** That pages which do not fit into their column are refused before the library for Parquet waits for them. */
class ParquetPagesTest {

    @TempDir
    Path folder;

    /** A data page's header and so many bytes behind it: type, sizes unpacked and packed, and in a struct of its own the values. */
    private static byte[] page(int size, int values, int bytes) {
        ByteArrayOutputStream page = new ByteArrayOutputStream();
        for (int[] field : new int[][] {{0x15, 0}, {0x15, size}, {0x15, size}, {0x2c, 0}, {0x15, values}, {0x15, 0}}) {
            page.write(field[0]);
            if (field[0] == 0x15) {
                number(page, field[1]);
            }
        }
        page.write(0);
        page.write(0);
        page.writeBytes(new byte[bytes]);
        return page.toByteArray();
    }

    private static void number(ByteArrayOutputStream to, int value) {
        int rest = value << 1 ^ value >> 31;
        for (; (rest & ~0x7f) != 0; rest >>>= 7) {
            to.write(rest & 0x7f | 0x80);
        }
        to.write(rest);
    }

    private void require(byte[] pages, long length, long values) throws IOException {
        Path file = Files.write(folder.resolve("pages"), pages);
        try (FileChannel channel = FileChannel.open(file)) {
            ParquetPages.require(channel, 0, length, values);
        }
    }

    private void refused(byte[] pages, long values, String why) {
        String message = assertThrows(IOException.class, () -> require(pages, pages.length, values)).getMessage();
        assertTrue(message.contains(why), message);
    }

    @Test
    void whatFitsIsNotRefused() throws IOException {
        byte[] one = page(100, 7, 100);
        require(one, one.length, 7);
        ByteArrayOutputStream two = new ByteArrayOutputStream();
        two.writeBytes(one);
        two.writeBytes(page(300, 5, 300));
        require(two.toByteArray(), two.size(), 12);
        two.writeBytes(new byte[] {1, 2, 3}); // behind the last value nothing is read
        require(two.toByteArray(), two.size(), 12);
    }

    @Test
    void whatDoesNotFitIs() {
        refused(page(101, 7, 100), 7, "the page at byte 0 says that it has 101 bytes and 7 values, and its column ends 100 bytes behind its header");
        refused(page(-1, 7, 100), 7, "-1 bytes");
        refused(page(Integer.MAX_VALUE, 7, 100), 7, "2147483647 bytes");
        refused(page(100, -7, 100), 7, "-7 values");
        refused(new byte[] {0x15}, 7, "does not end");
        refused(new byte[] {0x18, 0x7f, 0}, 7, "does not end");
        refused(new byte[] {0x1d, 0, 0}, 7, "unknown type");
        byte[] nested = new byte[100];
        Arrays.fill(nested, (byte) 0x1c);
        refused(nested, 7, "nested");
        assertTrue(assertThrows(IOException.class, () -> require(page(1, 1, 1), 1000, 1)).getMessage().contains("does not lie in the"));
    }

    /** A changed file at which the library waited without end. */
    @Test
    void aFileWhosePageIsLongerThanItsColumnIsRefusedAtOnce() throws IOException, URISyntaxException {
        List<byte[]> valid = new ArrayList<>();
        for (String name : List.of("snappy", "gzip", "zstd", "uncompressed")) {
            valid.add(Files.readAllBytes(Path.of(ParquetPagesTest.class.getResource(name + ".parquet").toURI())));
        }
        SplittableRandom random = new SplittableRandom(876);
        Path file = Files.write(folder.resolve("rows.parquet"), Mutator.bytes(valid.get(random.nextInt(valid.size())), valid, random));
        String message = assertTimeoutPreemptively(Duration.ofSeconds(30), () -> assertThrows(IOException.class, () -> DocumentFile.open(file, "text", 1 << 20))).getMessage();
        assertTrue(message.contains("the page at byte "), message);
        for (byte[] each : valid) {
            Files.write(file, each);
            assertDoesNotThrow(() -> DocumentFile.open(file, "text", 1 << 20).close());
        }
    }
}
