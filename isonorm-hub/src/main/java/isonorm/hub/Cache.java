package isonorm.hub;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.ReentrantLock;
import java.util.stream.Stream;

/**
 * A model's part of the cache, laid out as Python's tools do: {@code blobs/<hash>}, {@code snapshots/<commit>/<path>}, which links to a blob,
 * {@code refs/<revision>}, which has a commit, and {@code trees/<commit>.json}, its files. A blob may itself be a link, into a store of all models.
 *
 * @param hub the whole cache
 * @param folder the model's
 */
record Cache(Path hub, Path folder, boolean links) {

    private static final String TAG = """
            Signature: 8a477f597d28d172789f06886806bc55
            # This file is a cache directory tag created by huggingface_hub.
            # For information about cache directory tags, see:
            #\thttps://bford.info/cachedir/
            """;
    private static final Map<Path, ReentrantLock> LOCKS = new ConcurrentHashMap<>();

    static Cache of(Settings settings, ModelName name) {
        return new Cache(settings.cache(), settings.cache().resolve("models--" + name.id().replace("/", "--")), settings.links());
    }

    Path blob(String etag) {
        return folder.resolve("blobs").resolve(etag);
    }

    Path snapshot(String commit) {
        return folder.resolve("snapshots").resolve(commit);
    }

    Path tree(String commit) {
        return folder.resolve("trees").resolve(commit + ".json");
    }

    /** The commit that a revision was when it was fetched last. */
    Optional<String> commit(ModelName name) throws IOException {
        if (name.isPinned()) {
            return Optional.of(name.revision());
        }
        Path ref = folder.resolve("refs").resolve(name.revision());
        return Files.isRegularFile(ref) ? Optional.of(Files.readString(ref).strip()).filter(commit -> commit.matches("\\w+")) : Optional.empty();
    }

    /** The snapshot that was written last. */
    Optional<String> newest() throws IOException {
        if (!Files.isDirectory(folder.resolve("snapshots"))) {
            return Optional.empty();
        }
        String newest = null;
        long when = Long.MIN_VALUE;
        try (Stream<Path> all = Files.list(folder.resolve("snapshots"))) {
            for (Path snapshot : all.filter(Files::isDirectory).sorted().toList()) {
                long written = Files.getLastModifiedTime(snapshot).toMillis();
                if (written > when) {
                    newest = String.valueOf(snapshot.getFileName());
                    when = written;
                }
            }
        }
        return Optional.ofNullable(newest);
    }

    /** Makes the folders that a fetch writes to, and tells backups that nothing here needs them. */
    void prepare() throws IOException {
        Files.createDirectories(folder.resolve("blobs"));
        try {
            Files.writeString(hub.resolve("CACHEDIR.TAG"), TAG, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        } catch (FileAlreadyExistsException e) {
            // as it should be
        }
    }

    /** Has a snapshot show a blob: by a link, or by the file itself where there are none. */
    void show(String commit, Listing.Entry file) throws IOException {
        Path blob = blob(file.etag());
        Path shown = snapshot(commit).resolve(file.path());
        if (Files.exists(shown)) {
            return;
        }
        Path parent = requireNonNull(shown.getParent());
        Files.createDirectories(parent);
        Files.deleteIfExists(shown); // a link that leads nowhere
        if (links) {
            try {
                Files.createSymbolicLink(shown, parent.relativize(blob));
                return;
            } catch (FileAlreadyExistsException e) {
                return; // somebody was faster
            } catch (IOException | UnsupportedOperationException e) {
                // Windows asks for a right that few have
            }
        }
        if (Files.isSymbolicLink(blob)) {
            Path copy = shown.resolveSibling(shown.getFileName() + "." + UUID.randomUUID() + ".tmp");
            Files.copy(blob, copy);
            Files.move(copy, shown, StandardCopyOption.ATOMIC_MOVE);
        } else {
            Files.move(blob, shown, StandardCopyOption.ATOMIC_MOVE);
        }
    }

    void refer(String revision, String commit) throws IOException {
        Path ref = folder.resolve("refs").resolve(revision);
        if (!Files.isRegularFile(ref) || !Files.readString(ref).equals(commit)) {
            write(ref, commit.getBytes(StandardCharsets.UTF_8));
        }
    }

    /** Whole or not at all. */
    static void write(Path file, byte[] bytes) throws IOException {
        Files.createDirectories(file.getParent());
        Path part = file.resolveSibling(file.getFileName() + "." + UUID.randomUUID() + ".tmp");
        try {
            Files.write(part, bytes);
            Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(part);
        }
    }

    /**
     * Held while a blob is written, against others of this program. Python's are flock's, which Java's are not on Linux; each writes to a file of its
     * own and renames it, so that all that can happen is that both fetch.
     */
    Lock lock(String etag) throws IOException {
        Path file = hub.resolve(".locks").resolve(String.valueOf(folder.getFileName())).resolve(etag + ".lock");
        Files.createDirectories(file.getParent());
        ReentrantLock here = LOCKS.computeIfAbsent(file.toAbsolutePath().normalize(), _ -> new ReentrantLock());
        here.lock();
        try {
            FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            return new Lock(here, channel, locked(channel));
        } catch (IOException | RuntimeException e) {
            here.unlock();
            throw e;
        }
    }

    /** Some file systems have no locks. */
    private static Optional<FileLock> locked(FileChannel channel) {
        try {
            return Optional.of(channel.lock());
        } catch (IOException | OverlappingFileLockException e) {
            return Optional.empty();
        }
    }

    /**
     * A lock.
     *
     * @param held the file's, which another program sees; nothing where there are none
     */
    record Lock(ReentrantLock here, FileChannel channel, Optional<FileLock> held) implements AutoCloseable {
        @Override
        public void close() throws IOException {
            try {
                channel.close();
            } finally {
                here.unlock();
            }
        }
    }
}
