package isonorm.convert;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.checkpoint.OutputFolder;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.checkpoint.TensorInfo;
import isonorm.convert.Conversion.HashedFile;
import isonorm.family.RemoteCode;
import isonorm.model.Progress;
import isonorm.rewrite.TensorPlan;
import isonorm.rewrite.TensorWriting;
import isonorm.weights.Fingerprint;
import isonorm.weights.Slabs;
import isonorm.weights.Stored;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** The files with a checkpoint's weights: one, or several with an index. */
final class ModelFiles {

    /** Files are split at this size: several are hashed on several cores. */
    static final long LARGEST = 2_000_000_000L;

    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    /** What a file with these tensors says of itself. */
    @FunctionalInterface
    interface Metadata {
        Map<String, String> of(List<TensorInfo> infos) throws IOException;
    }

    private ModelFiles() {}

    /**
     * Writes every tensor. While the next file is computed, the last one is synced and hashed: the one waits for the disk, the
     * other reads what is still in memory.
     */
    static List<HashedFile> write(Path folder, List<TensorPlan> tensors, long largest, Metadata metadata, String what, Progress progress)
            throws IOException {
        List<List<TensorPlan>> files = split(tensors, largest);
        long total = tensors.stream().mapToLong(tensor -> tensor.info().bytes()).sum();
        long done = 0;
        Map<String, String> index = new TreeMap<>();
        List<Future<HashedFile>> hashed = new ArrayList<>();
        List<Future<Void>> synced = new ArrayList<>();
        try (ExecutorService background = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int f = 0; f < files.size(); f++) {
                String name = files.size() == 1 ? "model.safetensors" : String.format(Locale.ROOT, "model-%05d-of-%05d.safetensors", f + 1, files.size());
                Path file = folder.resolve(name);
                List<TensorInfo> infos = files.get(f).stream().map(TensorPlan::info).toList();
                SafetensorsWriter writer = SafetensorsWriter.create(file, infos, metadata.of(infos));
                try {
                    for (TensorPlan tensor : files.get(f)) {
                        progress.step(what, done, total);
                        TensorWriting.write(tensor, writer);
                        done += tensor.info().bytes();
                        index.put(tensor.info().name(), name);
                    }
                } finally {
                    synced.add(background.submit(() -> {
                        writer.close();
                        return null;
                    }));
                }
                hashed.add(background.submit(() -> new HashedFile(name, Fingerprint.sha256(file))));
            }
            progress.step(what, done, total);
            if (files.size() > 1) {
                writeIndex(folder, total, index);
            }
            progress.step("syncing", 0, 1);
            for (Future<Void> sync : synced) {
                finished(sync);
            }
            List<HashedFile> written = new ArrayList<>();
            for (Future<HashedFile> hash : hashed) {
                written.add(finished(hash));
            }
            progress.step("syncing", 1, 1);
            return written;
        } finally {
            Stored.unmapLast();
        }
    }

    /** The files of Python by which transformers computes a checkpoint of this architecture. */
    static Conversion.Code writeCode(Path folder, Architecture architecture) throws IOException {
        RemoteCode.writeTo(folder);
        List<HashedFile> files = new ArrayList<>();
        for (String file : RemoteCode.FILES) {
            files.add(new HashedFile(file, Fingerprint.sha256(folder.resolve(file))));
        }
        return new Conversion.Code(RemoteCode.VERSION, RemoteCode.modelClass(architecture), files);
    }

    private static <T> T finished(Future<T> future) throws IOException {
        try {
            return future.get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof IOException cause) {
                throw cause;
            }
            throw new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted while waiting for the disk");
        }
    }

    private static void writeIndex(Path folder, long total, Map<String, String> index) throws IOException {
        ObjectNode json = JSON.createObjectNode();
        json.putObject("metadata").put("total_size", total);
        ObjectNode map = json.putObject("weight_map");
        index.forEach(map::put);
        OutputFolder.write(folder.resolve("model.safetensors.index.json"), JSON.writeValueAsBytes(json));
    }

    private static List<List<TensorPlan>> split(List<TensorPlan> tensors, long largest) {
        List<List<TensorPlan>> files = new ArrayList<>();
        long size = Long.MAX_VALUE;
        for (TensorPlan tensor : tensors) {
            if (files.isEmpty() || size + tensor.info().bytes() > largest) {
                files.add(new ArrayList<>());
                size = 0;
            }
            files.getLast().add(tensor);
            size += tensor.info().bytes();
        }
        return files;
    }

    /** The files of a source and their hashes. */
    static List<HashedFile> hashed(List<Path> files, Progress progress) throws IOException {
        HashedFile[] hashed = new HashedFile[files.size()];
        progress.step("reading the source", 0, 1);
        Slabs.parallel(hashed.length, i -> hashed[i] = new HashedFile(files.get(i).getFileName().toString(), Fingerprint.sha256(files.get(i))));
        progress.step("reading the source", 1, 1);
        return List.of(hashed);
    }
}
