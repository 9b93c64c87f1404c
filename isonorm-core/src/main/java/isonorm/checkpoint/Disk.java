package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.NO_SPACE;
import static isonorm.checkpoint.CheckpointException.Reason.WRITE_FAILED;

import isonorm.words.SystemFault;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/** What the writers here need of a file system. */
final class Disk {

    private Disk() {}

    /** Refuses when the file system of {@code path}, which need not exist yet, has less than {@code bytes} to give. */
    static void requireSpace(Path path, long bytes) throws CheckpointException {
        Path existing = path.toAbsolutePath();
        while (existing.getParent() != null && !Files.exists(existing)) {
            existing = existing.getParent();
        }
        File file = existing.toFile(); // its file store could say the same, but not where the system lists no mount for it, as in a bare chroot
        long available = file.getUsableSpace();
        if (available < bytes && file.getTotalSpace() > 0) {
            throw new CheckpointException(NO_SPACE, String.format(Locale.ROOT,
                    "%s needs %d bytes, and its file system has %d available", path, bytes, available));
        }
    }

    /** Gives a failure to write its reason. The system says that a disk is full, or a quota used up, in words only. */
    static CheckpointException writeFailed(Path path, IOException e) {
        if (e instanceof CheckpointException known) {
            return known;
        }
        String message = String.valueOf(e.getMessage());
        boolean full = message.contains("No space left on device")
                || message.contains("not enough space on the disk")
                || message.contains("Disk quota exceeded");
        return new CheckpointException(
                full ? NO_SPACE : WRITE_FAILED, path + " cannot be written: " + SystemFault.ofNew(e), e);
    }

    /** Waits until a folder and everything in it are on the disk. */
    static void force(Path folder) throws IOException {
        Files.walkFileTree(folder, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                if (attributes.isRegularFile()) {
                    try (FileChannel channel = openToForce(file)) {
                        channel.force(true);
                    }
                }
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path visited, IOException e) throws IOException {
                if (e != null) {
                    throw e;
                }
                forceEntries(visited);
                return FileVisitResult.CONTINUE;
            }
        });
    }

    private static FileChannel openToForce(Path file) throws IOException {
        try {
            return FileChannel.open(file, StandardOpenOption.WRITE);
        } catch (AccessDeniedException e) {
            return FileChannel.open(file, StandardOpenOption.READ); // a copy of a read-only file; enough, but on Windows
        }
    }

    /** Waits until the names in a folder are on the disk, where the system can do that. */
    static void forceEntries(Path folder) throws IOException {
        FileChannel channel;
        try {
            channel = FileChannel.open(folder, StandardOpenOption.READ);
        } catch (IOException e) {
            return; // Windows does not open folders, and keeps their entries safe by itself
        }
        try (channel) {
            channel.force(true);
        }
    }

    /** The entries of a folder, sorted by name, so that nothing depends on the order of a file system. */
    static List<Path> list(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.sorted(Comparator.comparing(entry -> entry.getFileName().toString())).toList();
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    /** Deletes a folder and everything in it; a link is deleted, what it points to is not. */
    static void delete(Path folder) throws IOException {
        Files.walkFileTree(folder, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.deleteIfExists(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path visited, IOException e) throws IOException {
                Files.deleteIfExists(visited);
                return FileVisitResult.CONTINUE;
            }
        });
    }
}
