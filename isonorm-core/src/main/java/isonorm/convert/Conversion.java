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
import isonorm.checkpoint.OutputFolder;
import isonorm.checkpoint.TensorInfo;
import isonorm.family.LoadedModel;
import isonorm.weights.Matrix;
import isonorm.weights.Progress;
import isonorm.weights.Source;
import isonorm.weights.Stored;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Writes a checkpoint in another form: {@code Conversion.of(model, Form.PRE_RMSNORM).writeTo(folder, Progress.NONE)}.
 *
 * <p>Values are computed in float64 and rounded once. The source is only read. The result is written to a temporary folder,
 * synced, verified if a verifier was given, and renamed; an interrupted or failed conversion leaves nothing.
 */
public final class Conversion {

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
        return new Conversion(source, form, Optional.empty(), false, false, Verifier.NONE, ModelFiles.LARGEST);
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
            List<String> sourceHashes = ModelFiles.fingerprints(source.checkpoint().weightFiles(), progress, "reading the source");
            ObjectNode report = report(plan, tensors, sourceHashes);
            List<ModelFiles.Written> written =
                    ModelFiles.write(output.path(), tensors, largestFile, infos -> metadata(report, infos), "converting", progress);
            JSON.writeValue(output.path().resolve("config.json").toFile(), withType(plan.config()));
            for (Path companion : source.checkpoint().companionFiles()) {
                Files.copy(companion, output.path().resolve(companion.getFileName().toString()));
            }
            report.set("result_files", ModelFiles.json(written));
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
        report.set("source_files", ModelFiles.json(source.checkpoint().weightFiles(), sourceHashes));
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
}
