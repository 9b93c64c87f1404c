package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.OUTPUT_EXISTS;
import static isonorm.checkpoint.CheckpointException.Reason.WRITE_FAILED;
import static java.util.Objects.requireNonNull;

import isonorm.words.SystemFault;
import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * A folder that appears complete or not at all.
 *
 * <p>It is filled under the temporary name {@code .name.tmp-<random>} beside its target, so on the same file system, and
 * {@link #commit()} renames it. {@link #close()} without a commit deletes it, and nothing is left of it. Whoever has files
 * of a replaced target open or mapped keeps them.
 *
 * <p>An existing target is replaced only if it is of the kind that is written: for a checkpoint a folder with a
 * {@code config.json}, and without a {@code .git}. Anything else is somebody's own and is never deleted.
 *
 * <p>A replaced target is renamed to {@code .name.old-<random>} first. A program that is killed before the next renaming leaves it under that
 * name, and nothing under its own; {@link #restore} puts it back, and {@link #create} does so before it looks at the target.
 *
 * <p>All methods may be called from any thread, so that a shutdown hook can close what an interrupted program leaves.
 */
public final class OutputFolder implements AutoCloseable {

    private static final SecureRandom RANDOM = new SecureRandom();
    private static final int RANDOM_BYTES = 6;
    private static final String OLD = ".old-";
    private static final int DELETE_ATTEMPTS = 20;

    private final Path target;
    private final boolean overwrite;
    private final String mark;
    private final Path temporary;
    private final List<Path> createdParents; // innermost first
    private boolean done;

    private OutputFolder(Path target, boolean overwrite, String mark, Path temporary, List<Path> createdParents) {
        this.target = target;
        this.overwrite = overwrite;
        this.mark = mark;
        this.temporary = temporary;
        this.createdParents = createdParents;
    }

    /**
     * Makes the temporary folder, and the parents of {@code target} that are missing. Refuses a target that exists, unless
     * it is an empty folder or {@code overwrite} allows replacing a checkpoint; the target is left as it is until
     * {@link #commit()}.
     */
    public static OutputFolder create(Path target, boolean overwrite) throws CheckpointException {
        return create(target, overwrite, "config.json");
    }

    /** The same for a folder of another kind, whose {@code mark} is the name of a file that every folder of that kind has. */
    public static OutputFolder create(Path target, boolean overwrite, String mark) throws CheckpointException {
        List<Path> createdParents = new ArrayList<>();
        Path real = target.toAbsolutePath().normalize();
        try {
            restore(real);
            if (Files.exists(real)) {
                real = real.toRealPath(); // a link stays, and what it points to is replaced
            }
            requireReplaceable(real, overwrite, mark);
            Path parent = requireNonNull(real.getParent()); // the root was refused
            for (Path missing = parent; missing != null && !Files.exists(missing); missing = missing.getParent()) {
                createdParents.add(missing);
            }
            Files.createDirectories(parent);
            Path temporary = Files.createDirectory(parent.resolve("." + real.getFileName() + ".tmp-" + random()));
            return new OutputFolder(real, overwrite, mark, temporary, createdParents);
        } catch (IOException e) {
            deleteIfEmpty(createdParents);
            throw Disk.writeFailed(target, e);
        }
    }

    /**
     * Refuses a target as {@link #create} would, and a place where nothing can be written: for whoever works for long before there is something
     * to write. Nothing is left.
     */
    public static void require(Path target, boolean overwrite) throws CheckpointException {
        create(target, overwrite).close();
    }

    /** The same for a folder of another kind. */
    public static void require(Path target, boolean overwrite, String mark) throws CheckpointException {
        create(target, overwrite, mark).close();
    }

    /**
     * Puts back a target that a replacement left under another name because it was killed between its two renames.
     *
     * @return the name that it had; none if nothing was to be put back
     * @throws CheckpointException if there are several, or it cannot be renamed
     */
    public static Optional<Path> restore(Path target) throws CheckpointException {
        List<Path> left = leftBy(target);
        if (left.size() > 1) {
            throw new CheckpointException(OUTPUT_EXISTS, target + " is missing, and " + left.getFirst() + " and " + left.getLast() + " are what it was before"
                    + " replacements that were killed; rename one of them to " + target + ", or delete them");
        }
        if (left.isEmpty()) {
            return Optional.empty();
        }
        try {
            Files.move(left.getFirst(), pointedTo(target), StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            throw Disk.writeFailed(target, e);
        }
        return Optional.of(left.getFirst());
    }

    /** What a missing target was before replacements that were killed. */
    static List<Path> leftBy(Path target) {
        Path real;
        try {
            real = pointedTo(target);
        } catch (IOException e) {
            return List.of();
        }
        Path parent = real.getParent();
        if (parent == null || Files.exists(real, LinkOption.NOFOLLOW_LINKS) || !Files.isDirectory(parent)) {
            return List.of();
        }
        Pattern old = Pattern.compile(Pattern.quote("." + real.getFileName() + OLD) + "[0-9a-f]{" + 2 * RANDOM_BYTES + "}");
        try {
            return Disk.list(parent).stream().filter(entry -> old.matcher(entry.getFileName().toString()).matches() && Files.isDirectory(entry)).toList();
        } catch (IOException e) {
            return List.of(); // who may not list it writes nothing there either
        }
    }

    /** Where a link leads; the target itself if it is none. */
    private static Path pointedTo(Path target) throws IOException {
        Path real = target.toAbsolutePath().normalize();
        return Files.isSymbolicLink(real) ? real.resolveSibling(Files.readSymbolicLink(real)).normalize() : real;
    }

    private static void requireReplaceable(Path target, boolean overwrite, String mark) throws IOException {
        if (target.getFileName() == null) {
            throw new CheckpointException(OUTPUT_EXISTS, target + " is the root of a file system; choose a folder in it");
        }
        if (!Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        if (!Files.isDirectory(target)) {
            throw new CheckpointException(OUTPUT_EXISTS, target + " exists and is not a folder; choose another name");
        }
        if (!Files.isWritable(target)) {
            throw new CheckpointException(WRITE_FAILED, target + " is not writable");
        }
        if (Disk.list(target).isEmpty()) {
            return;
        }
        if (!Files.isRegularFile(target.resolve(mark)) || Files.exists(target.resolve(".git"))) {
            String kind = mark.equals("config.json") ? "a checkpoint" : "what would be written";
            throw new CheckpointException(OUTPUT_EXISTS, target + " is not empty and does not look like " + kind + ", which"
                    + " has a " + mark + " and no .git, so it is not replaced; choose another name");
        }
        if (!overwrite) {
            throw new CheckpointException(OUTPUT_EXISTS, target + " exists already; replace it with --overwrite");
        }
    }

    private static String random() {
        byte[] bytes = new byte[RANDOM_BYTES];
        RANDOM.nextBytes(bytes);
        return HexFormat.of().formatHex(bytes);
    }

    /** Promises that {@link #close()} is called if the program is ended before the promise, which this gives, is closed. */
    public Closeable closedAtExit() {
        Thread hook = new Thread(this::close, "isonorm-cleanup");
        Runtime.getRuntime().addShutdownHook(hook);
        return () -> {
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException e) {
                // The program is ending, and the hook is doing its work.
            }
        };
    }

    /**
     * Writes a file. What the system says of a full disk names none, and this does.
     *
     * @param options as of {@link Files#write(Path, byte[], OpenOption...)}
     */
    public static void write(Path file, byte[] content, OpenOption... options) throws CheckpointException {
        try {
            Files.write(file, content, options);
        } catch (IOException e) {
            throw Disk.writeFailed(file, e);
        }
    }

    /** The temporary folder, to be filled. */
    public Path path() {
        return temporary;
    }

    /** Refuses when the file system has less than {@code bytes} left: one question before many files are written. */
    public void requireSpace(long bytes) throws CheckpointException {
        Disk.requireSpace(temporary, bytes);
    }

    /**
     * Waits until everything is on the disk and gives the folder its name. A target to be replaced is moved aside before,
     * back if the renaming fails, and deleted after. When this fails the target is as it was, except where the message
     * says otherwise.
     */
    public synchronized void commit() throws IOException {
        if (done) {
            throw new IllegalStateException(target + " has been committed or closed before");
        }
        try {
            Disk.force(temporary);
            requireReplaceable(target, overwrite, mark); // asked again, writing may have taken hours
            Path aside = aside(target);
            rename(temporary, target, aside);
            done = true;
            Disk.forceEntries(requireNonNull(target.getParent()));
            if (Files.exists(aside)) {
                deleteOld(aside);
            }
        } catch (IOException e) {
            throw Disk.writeFailed(target, e);
        }
    }

    /** A name for what is replaced. */
    static Path aside(Path target) {
        return target.resolveSibling("." + target.getFileName() + OLD + random());
    }

    /** Renames {@code complete} to {@code target}, and a target there is to {@code aside}: both or neither. */
    static void rename(Path complete, Path target, Path aside) throws IOException {
        boolean replaces = Files.exists(target);
        if (replaces) {
            Files.move(target, aside, StandardCopyOption.ATOMIC_MOVE);
        }
        try {
            Files.move(complete, target, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            if (replaces) {
                try {
                    Files.move(aside, target, StandardCopyOption.ATOMIC_MOVE);
                } catch (IOException again) {
                    e.addSuppressed(again);
                    throw new CheckpointException(WRITE_FAILED, target + " could not be replaced, and what it was is now "
                            + aside + ": " + SystemFault.of(e), e);
                }
            }
            throw e;
        }
    }

    private void deleteOld(Path aside) throws CheckpointException {
        try {
            Disk.delete(aside);
        } catch (IOException e) {
            throw new CheckpointException(WRITE_FAILED, target + " is complete, but what it replaced could not be deleted"
                    + " and is now " + aside + ": " + SystemFault.of(e), e);
        }
    }

    /**
     * Deletes the temporary folder and the parents made for it, unless it was committed. A file that cannot be deleted
     * stays; there is nothing better to do at the end of a program that failed already.
     */
    @Override
    public synchronized void close() {
        if (done) {
            return;
        }
        done = true;
        // Another thread may still be writing while a shutdown hook runs, and could make files faster than they are
        // deleted. Under another name the folder gets no new ones, except those just being made.
        Path doomed = temporary.resolveSibling(temporary.getFileName() + "-deleted");
        try {
            Files.move(temporary, doomed, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            doomed = temporary;
        }
        for (int attempt = 0; attempt < DELETE_ATTEMPTS && Files.exists(doomed); attempt++) {
            try {
                Disk.delete(doomed);
            } catch (IOException e) {
                Thread.onSpinWait();
            }
        }
        deleteIfEmpty(createdParents);
    }

    private static void deleteIfEmpty(List<Path> folders) {
        for (Path folder : folders) {
            try {
                Files.deleteIfExists(folder);
            } catch (IOException e) {
                return; // somebody else uses it by now, and so the outer ones too
            }
        }
    }
}
