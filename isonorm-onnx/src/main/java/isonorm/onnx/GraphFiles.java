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

/** A graph's file and that of its tensors, which appear complete or not at all. */
record GraphFiles(Path target, Path data) {

    /** What is done with a graph that is written and has not appeared yet. */
    @FunctionalInterface
    interface Check {
        void check(Path temporary) throws IOException;
    }

    /** Refuses a place where something is, unless that is to be replaced. */
    static GraphFiles at(Path file, boolean overwrite) throws CheckpointException {
        Path target = file.toAbsolutePath().normalize();
        GraphFiles files = new GraphFiles(target, target.resolveSibling(Encoder.dataName(target)));
        for (Path each : List.of(files.target, files.data)) {
            if (Files.isDirectory(each)) {
                throw new CheckpointException(CheckpointException.Reason.OUTPUT_EXISTS, each + " is a folder; name a file, model.onnx in it for instance");
            }
            if (Files.exists(each) && !overwrite) {
                throw new CheckpointException(CheckpointException.Reason.OUTPUT_EXISTS, each + " exists already; replace it with --overwrite");
            }
        }
        return files;
    }

    /**
     * Writes under other names, syncs, has it checked, and renames; the files that there are then.
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
            appear(output.path(), outside);
            return outside ? List.of(target, data) : List.of(target);
        }
    }

    /** A graph is never there beside another one's tensors: it goes first and comes last. */
    private void appear(Path from, boolean outside) throws IOException {
        if (outside) {
            Files.deleteIfExists(target);
            Files.move(from.resolve(data.getFileName()), data, StandardCopyOption.ATOMIC_MOVE);
        }
        Files.move(from.resolve(target.getFileName()), target, StandardCopyOption.ATOMIC_MOVE);
        if (!outside) {
            Files.deleteIfExists(data); // of a graph that was replaced
        }
        try (FileChannel folder = FileChannel.open(target.resolveSibling("").toAbsolutePath(), StandardOpenOption.READ)) {
            folder.force(true);
        } catch (IOException e) {
            return; // some systems sync no folders
        }
    }
}
