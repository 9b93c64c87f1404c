package isonorm.onnx;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.OutputFolder;
import isonorm.model.Progress;
import isonorm.onnx.graph.Encoder;
import isonorm.onnx.graph.OnnxModel;
import java.io.Closeable;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Stream;

/**
 * A graph's file, and what may lie beside it: its tensors, and a report of how it was made. All of it appears complete or not at all.
 *
 * @param beside the names of what may lie there
 */
record GraphFiles(Path target, List<Path> beside) {

    /** What is done with a graph that is written and has not appeared yet. */
    @FunctionalInterface
    interface Check {
        void check(Path temporary) throws IOException;
    }

    /** Refuses a place where something is, unless that is to be replaced. */
    static GraphFiles at(Path file, boolean overwrite) throws CheckpointException {
        Path target = file.toAbsolutePath().normalize();
        GraphFiles files = new GraphFiles(target, List.of(target.resolveSibling(Encoder.dataName(target)), report(target)));
        for (Path each : files.all()) {
            if (Files.isDirectory(each)) {
                throw new CheckpointException(CheckpointException.Reason.OUTPUT_EXISTS, each + " is a folder; name a file, model.onnx in it for instance");
            }
            if (Files.exists(each) && !overwrite) {
                throw new CheckpointException(CheckpointException.Reason.OUTPUT_EXISTS, each + " exists already; replace it with --overwrite");
            }
        }
        return files;
    }

    /** Where the report of a graph is. */
    static Path report(Path graph) {
        return graph.resolveSibling(graph.getFileName() + ".report.json");
    }

    private List<Path> all() {
        return Stream.concat(Stream.of(target), beside.stream()).toList();
    }

    /**
     * Writes under other names, syncs, has it checked, which may write a report beside it, and renames; the files that there are then.
     *
     * @param outside whether tensors are in a file of their own
     */
    List<Path> write(OnnxModel graph, boolean outside, Progress progress, Check check) throws IOException {
        try (OutputFolder output = OutputFolder.create(Files.exists(target) ? target.resolveSibling(target.getFileName() + ".new") : target, false);
                Closeable _ = output.closedAtExit()) {
            output.requireSpace(graph.graph().constants().stream().mapToLong(tensor -> tensor.content().length()).sum());
            Path written = output.path().resolve(target.getFileName());
            progress.step("writing " + target.getFileName(), 0, 1);
            Encoder.write(graph, written, outside);
            progress.step("running " + target.getFileName(), 0, 1);
            check.check(written);
            appear(output.path());
            return all().stream().filter(Files::exists).toList();
        }
    }

    /** A graph is never there beside another one's tensors or report: it goes first and comes last. */
    private void appear(Path from) throws IOException {
        List<Path> made = beside.stream().filter(each -> Files.exists(from.resolve(each.getFileName()))).toList();
        if (!made.isEmpty()) {
            Files.deleteIfExists(target);
        }
        for (Path each : made) {
            Files.move(from.resolve(each.getFileName()), each, StandardCopyOption.ATOMIC_MOVE);
        }
        Files.move(from.resolve(target.getFileName()), target, StandardCopyOption.ATOMIC_MOVE);
        for (Path each : beside) {
            if (!made.contains(each)) {
                Files.deleteIfExists(each); // of a graph that was replaced
            }
        }
        try (FileChannel folder = FileChannel.open(target.resolveSibling("").toAbsolutePath(), StandardOpenOption.READ)) {
            folder.force(true);
        } catch (IOException e) {
            return; // some systems sync no folders
        }
    }
}
