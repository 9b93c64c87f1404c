package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.data.RunLock;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** A run on a disk that takes no more, which a limit of the size of files stands for. */
class FullDiskTest {

    @TempDir
    Path folder;

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void theLastCheckpointStaysAndTheRunGoesOnFromIt() throws IOException, InterruptedException {
        Map<String, String> values = TrainerTest.small(folder.resolve("alone"));
        try (Trainer trainer = Trainer.begin(Configuration.of(values).run(), new Silent(-1))) {
            trainer.run();
        }
        Path run = folder.resolve("full");
        values.put("out", run.toString());
        try (Trainer trainer = Trainer.begin(Configuration.of(values).run(), new Silent(4))) {
            assertThrows(IllegalStateException.class, trainer::run);
        }
        Process process = new ProcessBuilder("sh", "-c", "ulimit -f 64; exec \"$@\"", "sh", // 32 or 64 KiB, and the optimizer's state is more
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "@src/main/resources/isonorm/jvm.args", "-XX:-UsePerfData",
                "-cp", System.getProperty("java.class.path"), FullDiskTest.class.getName(), run.toString())
                .redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes()).strip().lines().toList().getLast();
        assertEquals(3, process.waitFor(), output);
        assertTrue(output.contains(".checkpoint-0000006") && output.contains("File too large") && output.endsWith("go on with --resume " + run), output);
        try (Stream<Path> files = Files.list(run)) {
            List<String> names = files.map(file -> file.getFileName().toString()).filter(name -> !name.startsWith("events") && !name.equals(RunLock.FILE)).sorted().toList();
            assertEquals(List.of("checkpoint-0000003", "config.yaml", "metrics.jsonl"), names, "nothing half written is left");
        }
        try (Trainer trainer = Trainer.resume(run, new Silent(-1))) {
            trainer.run();
        }
        assertArrayEquals(Files.readAllBytes(folder.resolve("alone/model/model.safetensors")), Files.readAllBytes(run.resolve("model/model.safetensors")));
    }

    @Test
    void metricsThatCannotBeWrittenAreNamed() throws IOException {
        Metrics metrics = Metrics.open(folder, 0, false);
        metrics.close();
        String message = assertThrows(IOException.class, () -> metrics.write(1, List.of(new Metrics.BlockLine(0, 1, 1, 0, 1)))).getMessage();
        assertTrue(message.startsWith(folder.resolve("metrics.jsonl") + " cannot be written"), message);
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void eventsThatCannotBeWrittenAreNamed() throws IOException {
        Path file = folder.resolve("events.out.tfevents.1");
        try (FileChannel full = FileChannel.open(Path.of("/dev/full"), StandardOpenOption.WRITE)) {
            String message = assertThrows(IOException.class, () -> EventFile.begun(file, full)).getMessage();
            assertEquals(file + " cannot be written: No space left on device", message);
        }
    }

    /** Goes on with a run. */
    public static void main(String[] arguments) {
        try (Trainer trainer = Trainer.resume(Path.of(arguments[0]), new Silent(-1))) {
            trainer.run();
        } catch (IOException e) {
            System.out.println(e.getMessage());
            System.exit(3);
        }
    }

    /** Ends a run behind a step. */
    private record Silent(long last) implements Trainer.Watcher {
        @Override
        public void step(long done, long total) {
            if (done == last) {
                throw new IllegalStateException("killed");
            }
        }
    }
}
