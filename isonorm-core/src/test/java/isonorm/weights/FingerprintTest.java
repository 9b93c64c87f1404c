package isonorm.weights;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FingerprintTest {

    @TempDir
    Path folder;

    @Test
    void fingerprintsAreThoseOfTheStandard() throws IOException {
        // FIPS 180-4, the examples of no message and of "abc"
        assertEquals("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                Fingerprint.sha256(Files.writeString(folder.resolve("empty"), "")));
        assertEquals("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                Fingerprint.sha256(Files.writeString(folder.resolve("abc"), "abc")));
    }

    @ParameterizedTest
    @ValueSource(ints = {(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000})
    void piecesMakeTheFingerprintOfTheWhole(int length) throws Exception {
        byte[] bytes = new byte[length];
        new SplittableRandom(length).nextBytes(bytes);
        String expected = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        assertEquals(expected, Fingerprint.sha256(Files.write(folder.resolve("file"), bytes)));
    }

    @Test
    void missingFileHasNone() {
        assertThrows(NoSuchFileException.class, () -> Fingerprint.sha256(folder.resolve("none")));
    }
}
