package isonorm.weights;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** The identity of a file's bytes. */
public final class Fingerprint {

    // Large enough that the system call does not show beside the hash, small enough to stay in the cache.
    private static final int CHUNK = 1 << 20;

    private Fingerprint() {}

    /** Returns the SHA-256 of the file's bytes in 64 lower-case hexadecimal digits. */
    public static String sha256(Path file) throws IOException {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
        // A heap buffer, because the digest hashes an array in place and copies a direct buffer 4 KB at a time.
        ByteBuffer chunk = ByteBuffer.allocate(CHUNK);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            while (channel.read(chunk) >= 0) {
                digest.update(chunk.flip());
                chunk.clear();
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }
}
