package isonorm.convert;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Parameter;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.Fingerprint;
import isonorm.checkpoint.OutputFolder;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.checkpoint.TensorInfo;
import isonorm.family.LoadedModel;
import isonorm.weights.Matrix;
import isonorm.weights.Progress;
import isonorm.weights.Slabs;
import isonorm.weights.Source;
import isonorm.weights.Stored;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Writes a checkpoint in another form: {@code Conversion.of(model, Form.PRE_RMSNORM).writeTo(folder, Progress.NONE)}.
 *
 * <p>Values are computed in float64 and rounded once. The source is only read. The result is written to a temporary folder,
 * synced, verified if a verifier was given, and renamed; an interrupted or failed conversion leaves nothing.
 */
public final class Conversion {

    /** Files are split at this size: several are hashed on several cores. */
    static final long LARGEST_FILE = 2_000_000_000L;

    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    private final LoadedModel source;
    private final Form form;
    private final Optional<Dtype> dtype;
    private final boolean untie;
    private final boolean overwrite;
    private final Verifier verifier;
    private final long largestFile;

    private Conversion(LoadedModel source, Form form, Optional<Dtype> dtype, boolean untie, boolean overwrite, Verifier verifier,
            long largestFile) {
        this.source = source;
        this.form = form;
        this.dtype = dtype;
        this.untie = untie;
        this.overwrite = overwrite;
        this.verifier = verifier;
        this.largestFile = largestFile;
    }

    /** The conversion of {@code source} to {@code form} in the type each tensor has now. */
    public static Conversion of(LoadedModel source, Form form) {
        return new Conversion(source, form, Optional.empty(), false, false, Verifier.NONE, LARGEST_FILE);
    }

    /** Writes every matrix in {@code type}; in Isonorm's own forms vectors are float32 at least. */
    public Conversion inType(Dtype type) {
        return new Conversion(source, form, Optional.of(type), untie, overwrite, verifier, largestFile);
    }

    /** Gives a tied head a weight of its own. */
    public Conversion untied() {
        return new Conversion(source, form, dtype, true, overwrite, verifier, largestFile);
    }

    /** Replaces a checkpoint that is already where the result goes. */
    public Conversion overwriting() {
        return new Conversion(source, form, dtype, untie, true, verifier, largestFile);
    }

    /** Has the result verified before it is moved to its place. */
    public Conversion verifiedBy(Verifier check) {
        return new Conversion(source, form, dtype, untie, overwrite, check, largestFile);
    }

    /** Splits files at this size: for tests, which have no gigabytes to write. */
    Conversion splitAt(long bytes) {
        return new Conversion(source, form, dtype, untie, overwrite, verifier, bytes);
    }

    /**
     * Carries the conversion out.
     *
     * @return what was done, as it is also written to report.json
     * @throws ConversionRefused with every reason, if the model has no exact equal in this form
     * @throws CheckpointException if a file is wrong, a value is not finite or does not fit, or the result cannot be written
     */
    public ObjectNode writeTo(Path folder, Progress progress) throws IOException {
        Plan plan = Plan.of(source, form, untie);
        Map<Role, Source> sources = plan.naming().sources(plan.result().architecture());
        List<TensorPlan> tensors = TensorPlan.all(plan.result().architecture(), plan.result().weights(), sources, this::typeOf);
        requireApart(source.checkpoint().folder(), folder);
        try (OutputFolder output = OutputFolder.create(folder, overwrite); OutputFolder.Promise _ = output.closedAtExit()) {
            output.requireSpace(tensors.stream().mapToLong(tensor -> tensor.info().bytes()).sum());
            List<String> sourceHashes = fingerprints(source.checkpoint().weightFiles(), progress, "reading the source");
            ObjectNode report = report(plan, tensors, sourceHashes);
            List<Written> written = writeTensors(output.path(), tensors, report, progress);
            JSON.writeValue(output.path().resolve("config.json").toFile(), withType(plan.config()));
            for (Path companion : source.checkpoint().companionFiles()) {
                Files.copy(companion, output.path().resolve(companion.getFileName().toString()));
            }
            report.set("result_files", files(written.stream().map(Written::file).toList(), written.stream().map(Written::hash).toList()));
            Optional<ObjectNode> verification = verifier.verify(plan, LoadedModel.open(output.path()));
            verification.ifPresent(measured -> report.set("verification", measured));
            JSON.writeValue(output.path().resolve("report.json").toFile(), report);
            output.commit();
            return report;
        }
    }

    /** The source is never touched, and overwriting a folder that holds it would delete it. */
    private static void requireApart(Path from, Path to) throws IOException {
        Path source = from.toRealPath();
        Path target = to.toAbsolutePath().normalize();
        Path real = Files.exists(target) ? target.toRealPath() : target;
        if (source.startsWith(real)) {
            throw new CheckpointException(Reason.OUTPUT_EXISTS, to + " is or holds the checkpoint to convert; write to another folder");
        }
    }

    private Dtype typeOf(Parameter parameter) {
        Dtype wanted = dtype.orElseGet(() -> storedType(parameter.role()));
        boolean widen = parameter.isVector() && !form.isFamilyFormat() && wanted.bytes() < Dtype.F32.bytes();
        return widen ? Dtype.F32 : wanted;
    }

    /** The type a role has in the source; roles that appear take the type of the token or patch embedding. */
    private Dtype storedType(Role role) {
        Map<Role, Matrix> weights = source.model().weights();
        Matrix stored = weights.get(role);
        for (Part part : List.of(Part.TOKEN_EMBEDDING, Part.PATCH_PROJECTION)) {
            stored = stored != null ? stored : weights.get(Role.of(part, Role.Field.WEIGHT));
        }
        try {
            return ((Stored) stored).dtype();
        } catch (CheckpointException e) {
            throw new IllegalStateException(e); // The tensor was there when the model was opened.
        }
    }

    /** A written file and its hash. */
    private record Written(Path file, String hash) {}

    /**
     * Writes every tensor. While the next file is computed, the last one is synced and hashed: the one waits for the disk, the
     * other reads what is still in memory.
     */
    private List<Written> writeTensors(Path folder, List<TensorPlan> tensors, ObjectNode report, Progress progress) throws IOException {
        List<List<TensorPlan>> files = split(tensors);
        long total = tensors.stream().mapToLong(tensor -> tensor.info().bytes()).sum();
        long done = 0;
        Map<String, String> index = new TreeMap<>();
        List<Future<Written>> hashed = new ArrayList<>();
        List<Future<Void>> synced = new ArrayList<>();
        try (ExecutorService background = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int f = 0; f < files.size(); f++) {
                String name = files.size() == 1 ? "model.safetensors" : String.format(Locale.ROOT, "model-%05d-of-%05d.safetensors", f + 1, files.size());
                Path file = folder.resolve(name);
                List<TensorInfo> infos = files.get(f).stream().map(TensorPlan::info).toList();
                SafetensorsWriter writer = SafetensorsWriter.create(file, infos, metadata(report, infos));
                try {
                    for (TensorPlan tensor : files.get(f)) {
                        progress.step("converting", done, total);
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
                hashed.add(background.submit(() -> new Written(file, Fingerprint.sha256(file))));
            }
            progress.step("converting", done, total);
            if (files.size() > 1) {
                writeIndex(folder, total, index);
            }
            progress.step("syncing", 0, 1);
            for (Future<Void> sync : synced) {
                finished(sync);
            }
            List<Written> written = new ArrayList<>();
            for (Future<Written> hash : hashed) {
                written.add(finished(hash));
            }
            progress.step("syncing", 1, 1);
            return written;
        } finally {
            Stored.unmapLast();
        }
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
        JSON.writeValue(folder.resolve("model.safetensors.index.json").toFile(), json);
    }

    private List<List<TensorPlan>> split(List<TensorPlan> tensors) {
        List<List<TensorPlan>> files = new ArrayList<>();
        long size = Long.MAX_VALUE;
        for (TensorPlan tensor : tensors) {
            if (files.isEmpty() || size + tensor.info().bytes() > largestFile) {
                files.add(new ArrayList<>());
                size = 0;
            }
            files.getLast().add(tensor);
            size += tensor.info().bytes();
        }
        return files;
    }

    /** What a file says of itself: the report as far as it is known before the file is finished, for this file's tensors. */
    private static Map<String, String> metadata(ObjectNode report, List<TensorInfo> infos) throws IOException {
        ObjectNode own = report.deepCopy();
        ObjectNode all = (ObjectNode) own.get("tensors");
        all.retain(infos.stream().map(TensorInfo::name).toList());
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("format", "pt");
        metadata.put("isonorm", new ObjectMapper().writeValueAsString(own));
        return metadata;
    }

    private ObjectNode withType(ObjectNode config) {
        ObjectNode json = config.deepCopy();
        ObjectNode family = form.isFamilyFormat() ? json : (ObjectNode) json.get("source_config");
        dtype.ifPresent(type -> {
            String word = switch (type) {
                case F64 -> "float64";
                case F32 -> "float32";
                case F16 -> "float16";
                case BF16 -> "bfloat16";
                default -> throw new IllegalArgumentException("weights cannot be of type " + type);
            };
            for (String key : List.of("dtype", "torch_dtype")) {
                if (family.has(key)) {
                    family.put(key, word);
                }
            }
        });
        return json;
    }

    private ObjectNode report(Plan plan, List<TensorPlan> tensors, List<String> sourceHashes) {
        ObjectNode report = JsonNodeFactory.instance.objectNode();
        report.put("isonorm_version", Plan.VERSION);
        report.put("family", plan.result().architecture().family());
        report.put("from", Plan.currentForm(source).map(Form::label).orElse("the family's checkpoint"));
        report.put("to", form.label());
        report.put("parameters_before", source.model().architecture().parameterCount());
        report.put("parameters_after", plan.result().architecture().parameterCount());
        ArrayNode notes = report.putArray("notes");
        plan.notes().forEach(notes::add);
        ArrayNode unused = report.putArray("left_out");
        source.unused().forEach(unused::add);
        report.set("source_files", files(source.checkpoint().weightFiles(), sourceHashes));
        ObjectNode each = report.putObject("tensors");
        for (TensorPlan tensor : tensors) {
            ObjectNode entry = each.putObject(tensor.info().name());
            entry.put("dtype", tensor.info().dtype().name());
            ArrayNode shape = entry.putArray("shape");
            tensor.info().shape().forEach(shape::add);
            ArrayNode steps = entry.putArray("steps");
            List<String> words = new ArrayList<>();
            tensor.parts().stream().map(TensorPlan.Part::matrix).distinct().forEach(matrix -> matrix.describe(words));
            words.forEach(steps::add);
        }
        return report;
    }

    private static ArrayNode files(List<Path> files, List<String> hashes) {
        ArrayNode list = JsonNodeFactory.instance.arrayNode();
        for (int i = 0; i < files.size(); i++) {
            list.addObject().put("file", files.get(i).getFileName().toString()).put("sha256", hashes.get(i));
        }
        return list;
    }

    private static List<String> fingerprints(List<Path> files, Progress progress, String what) throws IOException {
        String[] hashes = new String[files.size()];
        progress.step(what, 0, 1);
        Slabs.parallel(hashes.length, i -> hashes[i] = Fingerprint.sha256(files.get(i)));
        progress.step(what, 1, 1);
        return List.of(hashes);
    }
}
