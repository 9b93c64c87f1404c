package isonorm.data;

import isonorm.weights.Fingerprint;
import isonorm.words.SystemFault;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Writes tokens one behind the other into files of a fixed size. */
final class ShardWriter implements AutoCloseable {

    private static final int BUFFER = 1 << 20;

    private final Path folder;
    private final String name;
    private final int width;
    private final long each;
    private final ByteBuffer buffer = ByteBuffer.allocate(BUFFER).order(ByteOrder.LITTLE_ENDIAN);
    private final List<Manifest.Shard> shards = new ArrayList<>();
    private @Nullable Open open;
    private long tokens;
    private long documents;

    /** A file that is being written. */
    private record Open(FileChannel channel, MessageDigest digest) {}

    /**
     * @param name of the split, which the files are called by
     * @param width bytes a token, 2 or 4
     * @param each tokens a file
     */
    ShardWriter(Path folder, String name, int width, long each) {
        this.folder = folder;
        this.name = name;
        this.width = width;
        this.each = each;
    }

    void add(int token) throws IOException {
        if (tokens == each) {
            finish();
        }
        if (buffer.remaining() < width) {
            flush();
        }
        if (width == Short.BYTES) {
            buffer.putShort((short) token);
        } else {
            buffer.putInt(token);
        }
        tokens++;
    }

    /** Says that the next token begins a document. */
    void begin() throws IOException {
        if (tokens == each) {
            finish();
        }
        documents++;
    }

    private Path file() {
        return folder.resolve(String.format(Locale.ROOT, "%s-%05d.bin", name, shards.size()));
    }

    private void flush() throws IOException {
        try {
            Open into = opened();
            into.digest.update(buffer.array(), 0, buffer.position());
            for (buffer.flip(); buffer.hasRemaining();) {
                into.channel.write(buffer);
            }
            buffer.clear();
        } catch (IOException e) {
            throw new IOException(file() + " cannot be written: " + SystemFault.of(e), e);
        }
    }

    private Open opened() throws IOException {
        Open now = open;
        if (now == null) {
            now = new Open(FileChannel.open(file(), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE), Fingerprint.sha256());
            open = now;
        }
        return now;
    }

    private void finish() throws IOException {
        flush();
        Open last = opened();
        last.channel.close();
        open = null;
        shards.add(new Manifest.Shard(file().getFileName().toString(), tokens, documents, HexFormat.of().formatHex(last.digest.digest())));
        tokens = 0;
        documents = 0;
    }

    /** Ends the last file; what has been written. */
    List<Manifest.Shard> end() throws IOException {
        if (tokens > 0) {
            finish();
        }
        return List.copyOf(shards);
    }

    @Override
    public void close() throws IOException {
        if (open != null) {
            open.channel.close();
        }
    }
}
