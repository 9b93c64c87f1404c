package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.MISSING_FILE;
import static isonorm.checkpoint.CheckpointException.Reason.NO_SPACE;
import static isonorm.checkpoint.CheckpointException.Reason.OUTPUT_EXISTS;
import static isonorm.checkpoint.CheckpointException.Reason.WRITE_FAILED;
import static isonorm.checkpoint.Samples.assertRefused;
import static isonorm.checkpoint.Samples.snapshot;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class OutputFolderTest {

    @TempDir
    Path temporary;

    private Path parent;
    private Path target;

    @BeforeEach
    void makeParent() throws IOException {
        parent = Files.createDirectory(temporary.resolve("models"));
        target = parent.resolve("out");
    }

    /** What is beside the target, by name. */
    private Set<String> names() throws IOException {
        return snapshot(parent).keySet();
    }

    private static void fill(Path folder) throws IOException {
        Samples.checkpoint(folder, "new");
        Files.createDirectory(folder.resolve("sub"));
        Files.writeString(folder.resolve("sub/file"), "deep");
    }

    @Test
    void nothingIsVisibleUntilItIsCommitted() throws IOException {
        try (OutputFolder output = OutputFolder.create(target, false)) {
            fill(output.path());
            assertFalse(Files.exists(target));
            assertEquals(parent, output.path().getParent());
            assertTrue(output.path().getFileName().toString().startsWith(".out.tmp-"));
            output.commit();
            assertFalse(Files.exists(output.path()));
        }
        assertEquals(Set.of("", "out", "out/config.json", "out/model.safetensors", "out/sub", "out/sub/file"), names());
        assertTrue(Checkpoint.open(target).has("new"));
    }

    @Test
    void interruptedOutputLeavesNothingAndTheSourceAsItWas() throws IOException {
        Path source = Samples.checkpoint(parent.resolve("in"), "a", "b");
        Map<String, String> before = snapshot(temporary);
        assertThrows(IllegalStateException.class, () -> {
            try (OutputFolder output = OutputFolder.create(parent.resolve("new/parents/out"), false)) {
                Checkpoint checkpoint = Checkpoint.open(source);
                List<TensorInfo> tensors = List.of(checkpoint.info("a"), checkpoint.info("b"));
                try (SafetensorsWriter writer =
                                SafetensorsWriter.create(output.path().resolve("model.safetensors"), tensors, Map.of());
                        Arena arena = Arena.ofConfined()) {
                    writer.write("a", 0, checkpoint.map("a", arena));
                    throw new IllegalStateException("interrupted");
                }
            }
        });
        assertEquals(before, snapshot(temporary));
    }

    @Test
    void interruptedOverwriteLeavesTheOldTarget() throws IOException {
        Samples.checkpoint(target, "old");
        Map<String, String> before = snapshot(temporary);
        try (OutputFolder output = OutputFolder.create(target, true)) {
            fill(output.path());
        }
        assertEquals(before, snapshot(temporary));
    }

    @Test
    @Timeout(60)
    void closingFromAnotherThreadWhileFilesAreWrittenLeavesNothing() throws Exception {
        for (int round = 0; round < 20; round++) {
            OutputFolder output = OutputFolder.create(target, false);
            CountDownLatch writing = new CountDownLatch(20);
            Thread writer = Thread.ofPlatform().start(() -> {
                try {
                    for (int i = 0; i < 5000; i++) {
                        Files.write(output.path().resolve("file-" + i), new byte[10]);
                        writing.countDown();
                    }
                } catch (IOException e) {
                    // the folder has gone, which ends the writer
                }
            });
            writing.await();
            Thread hook = Thread.ofPlatform().start(output::close);
            hook.join();
            writer.join();
            assertEquals(Set.of(""), names());
            assertThrows(IllegalStateException.class, output::commit);
        }
    }

    @Test
    void closingAfterCommitDoesNothing() throws IOException {
        OutputFolder output = OutputFolder.create(target, false);
        fill(output.path());
        output.commit();
        Map<String, String> before = snapshot(parent);
        output.close();
        output.close();
        assertEquals(before, snapshot(parent));
        assertThrows(IllegalStateException.class, output::commit);
    }

    @Test
    void emptyFolderIsTakenOver() throws IOException {
        Files.createDirectory(target);
        try (OutputFolder output = OutputFolder.create(target, false)) {
            fill(output.path());
            output.commit();
        }
        assertTrue(Checkpoint.open(target).has("new"));
        assertEquals(6, names().size());
    }

    @Test
    void missingParentsAreMade() throws IOException {
        Path deep = parent.resolve("a/b/out");
        try (OutputFolder output = OutputFolder.create(deep, false)) {
            fill(output.path());
            output.commit();
        }
        assertTrue(Checkpoint.open(deep).has("new"));
    }

    @Test
    void existingTargetIsRefusedWithTheRemedy() throws IOException {
        Samples.checkpoint(target, "old");
        Map<String, String> before = snapshot(parent);
        assertRefused(OUTPUT_EXISTS, () -> OutputFolder.create(target, false), target, "--overwrite");
        assertEquals(before, snapshot(parent));
    }

    @Test
    void overwriteReplacesTheWholeTarget() throws IOException {
        Samples.checkpoint(target, "old");
        Files.writeString(target.resolve("stale.txt"), "old");
        try (OutputFolder output = OutputFolder.create(target, true);
                Arena arena = Arena.ofConfined()) {
            MemorySegment mapped = Checkpoint.open(target).map("old", arena);
            fill(output.path());
            assertTrue(Checkpoint.open(target).has("old"));
            output.commit();
            assertArrayEquals(Samples.counting(8), Samples.bytes(mapped)); // who has the old files mapped keeps them
        }
        assertEquals(List.of("new"), List.copyOf(Checkpoint.open(target).names()));
        assertEquals(Set.of("", "out", "out/config.json", "out/model.safetensors", "out/sub", "out/sub/file"), names());
    }

    @Test
    void foldersThatAreNoCheckpointAreNeverReplaced() throws IOException {
        Files.createDirectory(target);
        Files.writeString(target.resolve("thesis.tex"), "years of work");
        assertRefused(OUTPUT_EXISTS, () -> OutputFolder.create(target, true), target, "config.json");
        Files.writeString(target.resolve("config.json"), "{}");
        Files.createDirectory(target.resolve(".git"));
        assertRefused(OUTPUT_EXISTS, () -> OutputFolder.create(target, true), target, ".git");
        assertEquals("years of work", Files.readString(target.resolve("thesis.tex")));
        assertRefused(OUTPUT_EXISTS, () -> OutputFolder.create(Path.of("/"), true), "/");
    }

    @Test
    void fileIsNeverReplaced() throws IOException {
        Files.writeString(target, "mine");
        assertRefused(OUTPUT_EXISTS, () -> OutputFolder.create(target, true), target, "not a folder");
        assertEquals("mine", Files.readString(target));
    }

    @Test
    void targetThatAppearsWhileWritingIsRefused() throws IOException {
        try (OutputFolder output = OutputFolder.create(target, false)) {
            fill(output.path());
            Samples.checkpoint(target, "theirs");
            assertRefused(OUTPUT_EXISTS, output::commit, target);
        }
        assertEquals(List.of("theirs"), List.copyOf(Checkpoint.open(target).names()));
        assertEquals(Set.of("", "out", "out/config.json", "out/model.safetensors"), names());
    }

    @Test
    void linkStaysAndWhatItPointsToIsReplaced() throws IOException {
        Path real = Samples.checkpoint(parent.resolve("real"), "old");
        Files.createSymbolicLink(target, real);
        try (OutputFolder output = OutputFolder.create(target, true)) {
            fill(output.path());
            output.commit();
        }
        assertTrue(Files.isSymbolicLink(target));
        assertTrue(Checkpoint.open(real).has("new"));
    }

    @Test
    void linkToNothingIsRefused() throws IOException {
        Files.createSymbolicLink(target, parent.resolve("nothing"));
        assertRefused(OUTPUT_EXISTS, () -> OutputFolder.create(target, true), target);
    }

    @Test
    void linksInAReplacedTargetAreNotFollowed() throws IOException {
        Path precious = Files.createDirectory(parent.resolve("precious"));
        Files.writeString(precious.resolve("file"), "kept");
        Samples.checkpoint(target, "old");
        Files.createSymbolicLink(target.resolve("link"), precious);
        try (OutputFolder output = OutputFolder.create(target, true)) {
            fill(output.path());
            output.commit();
        }
        assertEquals("kept", Files.readString(precious.resolve("file")));
        assertFalse(Files.exists(target.resolve("link")));
    }

    @Test
    void targetIsBackWhenTheRenamingFails() throws IOException {
        Samples.checkpoint(target, "old");
        Map<String, String> before = snapshot(parent);
        assertThrows(IOException.class,
                () -> OutputFolder.rename(parent.resolve("gone"), target, parent.resolve("aside")));
        assertEquals(before, snapshot(parent));
    }

    /** What a program that is killed between the two renames leaves. */
    private Path killedBetweenRenames() throws IOException {
        Samples.checkpoint(target, "old");
        return Files.move(target, OutputFolder.aside(target));
    }

    @Test
    void whatAKilledReplacementLeftIsPutBack() throws IOException {
        Path left = killedBetweenRenames();
        assertRefused(MISSING_FILE, () -> Checkpoint.open(target), target.toString(), left.toString(), "rename it");
        assertEquals(Optional.of(left), OutputFolder.restore(target));
        assertTrue(Checkpoint.open(target).has("old"));
        assertFalse(Files.exists(left));
        assertEquals(Optional.empty(), OutputFolder.restore(target));
    }

    @Test
    void theNextReplacementThatFailsLeavesTheOldTargetInItsPlace() throws IOException {
        Path left = killedBetweenRenames();
        try (OutputFolder output = OutputFolder.create(target, true)) {
            fill(output.path());
        }
        assertTrue(Checkpoint.open(target).has("old"));
        assertFalse(Files.exists(left));
        Files.move(target, left);
        assertRefused(OUTPUT_EXISTS, () -> OutputFolder.create(target, false), "--overwrite");
        assertTrue(Checkpoint.open(target).has("old"));
    }

    @Test
    void whatAKilledReplacementLeftBehindALinkIsPutBack() throws IOException {
        Path left = killedBetweenRenames();
        Path link = Files.createSymbolicLink(temporary.resolve("link"), target);
        assertEquals(Optional.of(left), OutputFolder.restore(link));
        assertTrue(Checkpoint.open(link).has("old"));
    }

    @Test
    void twoThatKilledReplacementsLeftAreNotChosenFrom() throws IOException {
        killedBetweenRenames();
        killedBetweenRenames();
        Map<String, String> before = snapshot(parent);
        assertRefused(OUTPUT_EXISTS, () -> OutputFolder.create(target, true), "rename one of them");
        assertEquals(before, snapshot(parent));
    }

    /** Names that are not ours are nobody's old results. */
    @Test
    void onlyWhatAReplacementNamedIsPutBack() throws IOException {
        Samples.checkpoint(parent.resolve(".out.old-mine"), "mine");
        Samples.checkpoint(parent.resolve(".out2.old-0123456789ab"), "other");
        assertEquals(Optional.empty(), OutputFolder.restore(target));
        Samples.checkpoint(target, "there");
        Samples.checkpoint(parent.resolve(".out.old-0123456789ab"), "old");
        assertEquals(Optional.empty(), OutputFolder.restore(target));
    }

    @Test
    void theRootOfAFileSystemIsRefused() throws IOException {
        Path root = temporary.getRoot();
        for (boolean overwrite : new boolean[] {false, true}) {
            assertRefused(OUTPUT_EXISTS, () -> OutputFolder.create(root, overwrite), "the root of a file system");
        }
        assertEquals(Optional.empty(), OutputFolder.restore(root));
    }

    @Test
    void aPlaceIsAskedForBeforeTheWorkAndLeftAsItWas() throws IOException {
        Map<String, String> before = snapshot(temporary);
        OutputFolder.require(parent.resolve("new/parents/out"), false);
        assertEquals(before, snapshot(temporary));
        Path file = Files.writeString(parent.resolve("file"), "mine");
        assertRefused(WRITE_FAILED, () -> OutputFolder.require(file.resolve("out"), false), "file");
        Samples.checkpoint(target, "old");
        assertRefused(OUTPUT_EXISTS, () -> OutputFolder.require(target, false), "--overwrite");
        OutputFolder.require(target, true);
        assertTrue(Checkpoint.open(target).has("old"));
    }

    /** The system itself names no file then. */
    @Test
    @EnabledOnOs(OS.LINUX)
    void aFileForWhichADiskHasNoRoomIsNamed() {
        assertRefused(NO_SPACE, () -> OutputFolder.write(Path.of("/dev/full"), new byte[10]), "/dev/full cannot be written: No space left on device");
    }

    /** Not even root can write there, whose permissions say otherwise. */
    @Test
    @EnabledOnOs(OS.LINUX)
    void aReadOnlyPlaceIsFoundBeforeTheWork() {
        assertRefused(WRITE_FAILED, () -> OutputFolder.require(Path.of("/proc/isonorm/out"), false), "/proc/isonorm/out");
    }

    @Test
    void outputThatVanishedCannotBeCommitted() throws IOException {
        Samples.checkpoint(target, "old");
        Map<String, String> before = snapshot(parent);
        try (OutputFolder output = OutputFolder.create(target, true)) {
            Files.delete(output.path());
            assertRefused(WRITE_FAILED, output::commit, target);
        }
        assertEquals(before, snapshot(parent));
    }

    @Test
    void parentThatIsAFileCannotBeWritten() throws IOException {
        Path file = Files.writeString(parent.resolve("file"), "");
        Path below = file.resolve("out");
        assertRefused(WRITE_FAILED, () -> OutputFolder.create(below, false), below);
    }

    @Test
    void spaceIsAskedForAtOnce() throws IOException {
        try (OutputFolder output = OutputFolder.create(target, false)) {
            output.requireSpace(1);
            assertRefused(NO_SPACE, () -> output.requireSpace(1L << 60), output.path(), 1L << 60);
        }
    }
}
