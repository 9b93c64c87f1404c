package isonorm.convert;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import isonorm.architecture.Architecture;
import isonorm.architecture.Block;
import isonorm.architecture.Role;
import isonorm.architecture.Stack;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.OutputFolder;
import isonorm.convert.Conversion.HashedFile;
import isonorm.family.Families;
import isonorm.family.Family;
import isonorm.family.Isonorm;
import isonorm.family.Naming;
import isonorm.family.RemoteCode;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.model.Transformer;
import isonorm.rewrite.TensorPlan;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Stored;
import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;

/**
 * A model without some of its blocks, in the format it came in. The others stay as they are, value for value, and are numbered anew.
 *
 * <p>What a config says block by block loses the same entries. What a family computes from a block's number, an attention scale or the
 * kind of every second block, would change with the number: where the config has no words for it as it was, the model is refused.
 */
public final class Pruning {

    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    private final LoadedModel source;
    private final Set<Integer> removed;
    private final Model result;
    private final Naming naming;
    private final Config config;
    private final Optional<Verifier> verifier;

    private Pruning(LoadedModel source, Set<Integer> removed, Model result, Naming naming, Config config, Optional<Verifier> verifier) {
        this.source = source;
        this.removed = removed;
        this.result = result;
        this.naming = naming;
        this.config = config;
        this.verifier = verifier;
    }

    /**
     * Plans it; no weights are read.
     *
     * @throws IllegalArgumentException if there is no such block, or none would stay
     * @throws ConversionRefused if the family's config cannot say what would be left
     */
    public static Pruning of(LoadedModel source, Collection<Integer> blocks) throws IOException {
        Architecture whole = Model.of(source.model()).architecture();
        int count = whole.blocks().size();
        if (Plan.isQuantized(source)) {
            throw new ConversionRefused(List.of("its weights are in few bits; prune the checkpoint it came from, and quantize that"));
        }
        Set<Integer> removed = new TreeSet<>(blocks);
        for (int block : removed) {
            if (block < 0 || block >= count) {
                throw new IllegalArgumentException("there is no block " + block + "; this model has blocks 0 to " + (count - 1));
            }
        }
        if (removed.isEmpty() || removed.size() == count) {
            throw new IllegalArgumentException(removed.isEmpty() ? "no block is named" : "no block would be left; this model has " + count);
        }
        List<Integer> kept = IntStream.range(0, count).filter(block -> !removed.contains(block)).boxed().toList();
        Model result = without(Model.of(source.model()), kept);
        Config config = Families.of(source.config()).keeping(source.config(), kept, result.architecture());
        Family.Description description = Families.describe(config, source.names());
        if (description.architecture().equals(result.architecture())) {
            return new Pruning(source, removed, result, description.naming(), config, Optional.empty());
        }
        List<Block> other = description.architecture().blocks();
        int changed = IntStream.range(0, kept.size()).filter(l -> !other.get(l).equals(result.architecture().blocks().get(l))).findFirst().orElse(0);
        throw new ConversionRefused(List.of("a config.json of " + whole.family() + " says what block " + kept.get(changed) + " is by its number, and as block "
                + changed + " it would be another; remove blocks of which those that stay keep theirs, the last ones for instance"));
    }

    private static Model without(Model model, List<Integer> kept) {
        Architecture architecture = model.architecture();
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        model.weights().forEach((role, matrix) -> {
            int block = role.block() < 0 || role.stack() != Stack.MAIN ? role.block() : kept.indexOf(role.block());
            if (role.block() < 0 || block >= 0) {
                weights.put(role.inBlock(block), matrix);
            }
        });
        return new Model(architecture.withBlocks(kept.stream().map(architecture.blocks()::get).toList()), weights);
    }

    /** The model that is pruned. */
    public LoadedModel source() {
        return source;
    }

    /** The model without the blocks. */
    public Transformer result() {
        return result;
    }

    /** Has what is written verified, against the source without the blocks, before it appears; where it is not equal, nothing is left of it. */
    public Pruning verifiedBy(Verifier check) {
        return new Pruning(source, removed, result, naming, config, Optional.of(check));
    }

    /**
     * What was done, as it is also written to report.json.
     *
     * @param version of Isonorm
     * @param removed the blocks that went, counted from 0
     * @param code what Hugging Face transformers computes the result by, where that lay beside the source
     * @param verification what showed that the result is the source without the blocks, where a verifier was given
     */
    public record Report(
            String version,
            String family,
            List<Integer> removed,
            int blocksBefore,
            int blocksAfter,
            long parametersBefore,
            long parametersAfter,
            List<HashedFile> sourceFiles,
            List<HashedFile> resultFiles,
            Optional<Conversion.Code> code,
            Optional<Evidence> verification) {}

    /** The blocks that go, counted from 0. */
    public Set<Integer> removed() {
        return removed;
    }

    /** {@link #writeTo(Path, Progress)} without anybody to watch. */
    public Report writeTo(Path folder) throws IOException {
        return writeTo(folder, Progress.NONE);
    }

    /**
     * Writes the checkpoint: to a temporary folder, synced, verified if a verifier was given, renamed. Tensors keep their types and, bit for
     * bit, their values.
     *
     * @throws CheckpointException if the folder exists, or cannot be written, or a file of the source changed after it was opened
     * @throws IOException if the verifier finds that the result is not equal
     */
    public Report writeTo(Path folder, Progress progress) throws IOException {
        requireApart(source, folder);
        List<TensorPlan> tensors = TensorPlan.all(result.architecture(), result.weights(), naming.sources(result.architecture()),
                parameter -> type(parameter.role()));
        try (OutputFolder output = OutputFolder.create(folder, false); Closeable _ = output.closedAtExit()) {
            output.requireSpace(tensors.stream().mapToLong(tensor -> tensor.info().bytes()).sum());
            List<HashedFile> sourceFiles = ModelFiles.hashed(source.checkpoint().weightFiles(), progress);
            List<HashedFile> written =
                    ModelFiles.write(output.path(), tensors, ModelFiles.LARGEST, _ -> Map.of("format", "pt"), "writing", progress);
            Optional<Conversion.Code> code = Optional.empty();
            if (RemoteCode.isNamedBy(config)) {
                code = Optional.of(ModelFiles.writeCode(output.path(), result.architecture()));
            }
            config.writeTo(output.path().resolve("config.json"));
            source.checkpoint().copyCompanionFiles(output.path());
            LoadedModel whole = LoadedModel.open(output.path());
            Optional<Evidence> evidence = verifier.isPresent() ? Optional.of(verifier.get().verify(result, result, result, whole, progress)) : Optional.empty();
            Report report = report(sourceFiles, written, code, evidence);
            OutputFolder.write(output.path().resolve("report.json"), JSON.writeValueAsBytes(Reports.json(report)));
            source.checkpoint().requireUnchanged();
            output.commit();
            return report;
        } catch (IOException | InternalError e) { // the second from mapped memory that is no longer in the file
            source.checkpoint().requireUnchanged();
            throw e;
        }
    }

    /**
     * Refuses a folder to write to as {@link #writeTo} would: for whoever works for long before it is known which blocks go.
     *
     * @throws CheckpointException if the folder exists, or nothing can be written there
     */
    public static void requireTarget(LoadedModel source, Path folder) throws IOException {
        requireApart(source, folder);
        OutputFolder.require(folder, false);
    }

    private static void requireApart(LoadedModel source, Path folder) throws IOException {
        if (folder.toAbsolutePath().normalize().startsWith(source.checkpoint().folder().toRealPath())) {
            throw new CheckpointException(Reason.OUTPUT_EXISTS, folder + " is in the checkpoint that is pruned; write to another folder");
        }
    }

    private Dtype type(Role role) {
        try {
            return ((Stored) result.weight(role)).dtype();
        } catch (CheckpointException e) {
            throw new IllegalStateException(e); // The tensor was there when the model was opened.
        }
    }

    private Report report(List<HashedFile> sourceFiles, List<HashedFile> resultFiles, Optional<Conversion.Code> code, Optional<Evidence> evidence) {
        Architecture before = Model.of(source.model()).architecture();
        Architecture after = result.architecture();
        return new Report(Isonorm.VERSION, after.family(), List.copyOf(removed), before.blocks().size(), after.blocks().size(),
                before.parameterCount(), after.parameterCount(), sourceFiles, resultFiles, code, evidence);
    }
}
