package isonorm.convert;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import isonorm.architecture.Architecture;
import isonorm.architecture.Parameter;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.OutputFolder;
import isonorm.checkpoint.TensorInfo;
import isonorm.family.Families;
import isonorm.family.Isonorm;
import isonorm.family.RemoteCode;
import isonorm.family.Stock;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.model.Transformer;
import isonorm.rewrite.TensorPlan;
import isonorm.weights.Basis;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Quantization;
import isonorm.weights.QuantizedParts;
import isonorm.weights.Source;
import isonorm.weights.Stored;
import isonorm.weights.StoredCodes;
import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Writes a checkpoint in another form: {@code Conversion.of(model, Form.PRE_RMSNORM).verifiedBy(Verification.verifier()).writeTo(folder)}.
 *
 * <p>Values are computed in float64 and rounded once. The source is only read. The result is written to a temporary folder,
 * synced, verified if a verifier was given, and renamed; an interrupted or failed conversion leaves nothing.
 */
public final class Conversion {

    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    private final LoadedModel source;
    private final Aim aim;
    private final Optional<Dtype> dtype;
    private final boolean untie;
    private final boolean overwrite;
    private final boolean code;
    private final Optional<Verifier> verifier;
    private final long largestFile;

    private Conversion(LoadedModel source, Aim aim, Optional<Dtype> dtype, boolean untie, boolean overwrite, boolean code, Optional<Verifier> verifier, long largestFile) {
        this.source = source;
        this.aim = aim;
        this.dtype = dtype;
        this.untie = untie;
        this.overwrite = overwrite;
        this.code = code;
        this.verifier = verifier;
        this.largestFile = largestFile;
    }

    /** The conversion of {@code source} to {@code form} in the type each tensor has now. */
    public static Conversion of(LoadedModel source, Form form) {
        return of(source, new Aim.InForm(form));
    }

    private static Conversion of(LoadedModel source, Aim aim) {
        return new Conversion(source, aim, Optional.empty(), false, false, true, Optional.empty(), ModelFiles.LARGEST);
    }

    /**
     * The conversion of {@code source} to an ordinary checkpoint of another family, whose norms are RMSNorms.
     *
     * @param family its model_type, one of {@link #families}
     * @throws IllegalArgumentException if there is no such family
     */
    public static Conversion as(LoadedModel source, String family) {
        return of(source, new Aim.AsFamily(stock(family)));
    }

    /** The model_types of the families in which some models of others can be written. */
    public static List<String> families() {
        return Families.stocks().stream().map(Stock::type).toList();
    }

    /** Every reason why a model cannot be written as one of {@code family}, one of {@link #families}; empty when it can. */
    public static List<String> refusals(LoadedModel model, String family) {
        return Plan.refusals(model, stock(family));
    }

    private static Stock stock(String family) {
        return Families.stocks().stream().filter(stock -> stock.type().equals(family)).findFirst().orElseThrow(() ->
                new IllegalArgumentException("models of other families are not written as " + family + "; known are " + String.join(", ", families())));
    }

    /**
     * The conversion of {@code source} to an RMSNorm model whose stream is carried in another basis, {@link Form#PRE_RMSNORM} rotated. Of models with LayerNorm
     * or RMSNorm before the sub-layers.
     */
    public static Conversion rotated(LoadedModel source, Rotation rotation) {
        return of(source, new Aim.Rotated(rotation.value(), List.of(), Optional.empty()));
    }

    /**
     * The same in a given basis, the principal components of what the norms of the stream give for some data, the largest first. Fewer of them than the stream
     * has dimensions make another function, a slice: what is written is then verified against that, before it is rounded.
     *
     * @param rotation what else is wanted; its kind and width are those of the given basis
     * @param columns the vectors of the basis, one behind the other
     */
    public static Conversion rotated(LoadedModel source, Rotation rotation, double[] columns) {
        return given(source, rotation, List.of(columns), isonorm.weights.Rotation.Extent.MODEL);
    }

    /**
     * The same in several bases, of as many vectors each: every sub-layer reads the stream in its own, and a product on each skip leads to the next (SliceGPT, arXiv 2401.15024).
     *
     * @param columns the vectors of each basis, one behind the other: of the sub-layers in their order, two a block, and of what is behind the last block
     */
    public static Conversion rotated(LoadedModel source, Rotation rotation, List<double[]> columns) {
        return given(source, rotation, columns, isonorm.weights.Rotation.Extent.SUB_LAYER);
    }

    private static Conversion given(LoadedModel source, Rotation rotation, List<double[]> columns, isonorm.weights.Rotation.Extent extent) {
        int d = source.model().width();
        List<Basis> given = columns.stream().map(each -> Basis.given(d, each)).toList();
        if (given.stream().mapToInt(Basis::to).distinct().count() != 1) {
            throw new IllegalArgumentException("a stream has one width: its bases have as many vectors each, got " + given.stream().map(Basis::to).toList());
        }
        Rotation whole = new Rotation("principal", rotation.seed(), OptionalInt.of(given.getFirst().to()), rotation.pad(), rotation.heads(), extent.label());
        return of(source, new Aim.Rotated(whole.value(), given, Optional.empty()));
    }

    /**
     * A rotated one written as an ordinary checkpoint of another family, which needs no code of ours.
     *
     * @param family its model_type, one of {@link #families}
     * @throws IllegalStateException if this is no conversion to a rotated model
     */
    public Conversion inFormatOf(String family) {
        if (!(aim instanceof Aim.Rotated rotated)) {
            throw new IllegalStateException("only a rotated model is written in another family's format by this, got one " + aim.label());
        }
        return new Conversion(source, new Aim.Rotated(rotated.rotation(), rotated.given(), Optional.of(stock(family))), dtype, untie, overwrite, code, verifier, largestFile);
    }

    /** Every reason why a model cannot be rotated so and written as one of {@code family} then, one of {@link #families}; empty when it can. */
    public static List<String> refusals(LoadedModel model, Rotation rotation, String family) {
        return Rotating.refusals(model, rotation.value(), rotation.kind().equals("principal"), stock(family));
    }

    /**
     * {@code source} with its linear layers, head and table in few bits, another function near to it, in Isonorm's own format. What is written is verified
     * against that function.
     *
     * @param chosen codes and scales by the paths of their matrices, where they are not to be roundings to the nearest
     * @param method the word for how they were chosen
     * @throws IllegalArgumentException if a pattern of what is kept fits nothing
     */
    public static Conversion quantized(LoadedModel source, Bits bits, Map<String, Codes> chosen, String method) {
        return of(source, new Aim.InFewBits(bits.parts(source), Map.copyOf(chosen), method));
    }

    /** Every reason why a model can't be quantized; empty when it can. */
    public static List<String> quantizingRefusals(LoadedModel model) {
        return Aim.InFewBits.refusals(model);
    }

    /**
     * How many bits matrices are written in.
     *
     * @param layers of linear layers of blocks, 8 or 4
     * @param ends of head and table, 8 or 4
     * @param group how many inputs share a scale, a multiple of 32
     * @param kept names of matrices that stay, as tensors are named in Isonorm's format without their last part, {@code *} standing for any letters
     */
    public record Bits(int layers, int ends, int group, List<String> kept) {

        public Bits {
            kept = List.copyOf(kept);
            new Quantization(layers, group); // which refuses what there isn't
            new Quantization(ends, group);
        }

        /** The names of the matrices of blocks' layers that a model has and that are written so. */
        public Set<String> layersOf(LoadedModel source) {
            QuantizedParts parts = parts(source);
            return Model.of(source.model()).weights().keySet().stream().filter(role -> QuantizedParts.isLayer(role) && parts.of(role).isPresent()).map(Role::path)
                    .collect(Collectors.toCollection(LinkedHashSet::new));
        }

        QuantizedParts parts(LoadedModel source) {
            Set<String> paths = new LinkedHashSet<>();
            List<Role> all = Model.of(source.model()).weights().keySet().stream().filter(QuantizedParts::applies).toList();
            for (String pattern : kept) {
                Pattern names = Pattern.compile(Stream.of(pattern.split("\\*", -1)).map(Pattern::quote).collect(Collectors.joining(".*")));
                List<String> fit = all.stream().filter(role -> names.matcher(StoredCodes.name(role)).matches()).map(Role::path).toList();
                if (fit.isEmpty()) {
                    throw new IllegalArgumentException("no matrix that would be quantized is called " + pattern + "; one is called " + StoredCodes.name(all.getFirst()));
                }
                paths.addAll(fit);
            }
            return new QuantizedParts(new Quantization(layers, group), new Quantization(ends, group), paths);
        }
    }

    /**
     * A matrix in few bits.
     *
     * @param codes (rows, columns), of 8 bits -128 to 127 and of 4 bits -8 to 7
     * @param scales (rows, groups), the bits of float16 numbers
     */
    @SuppressWarnings("ArrayRecordComponent") // as large as a model: nobody copies or compares them
    public record Codes(byte[] codes, short[] scales) {}

    /** Every reason why a model's stream cannot be rotated so; empty when it can. */
    public static List<String> refusals(LoadedModel model, Rotation rotation) {
        return Rotating.refusals(model, rotation.value(), rotation.kind().equals("principal"));
    }

    /**
     * In which basis a stream is carried, so that it can be made again: Q of {@code h Q}, h being what the stream carried before.
     *
     * @param kind {@code random}, evenly distributed over all rotations, or {@code hadamard}, a Hadamard matrix with random signs, of widths that have one, or
     *     {@code principal}, the principal components of data
     * @param seed of what is drawn by chance
     * @param width how many values are carried: as many as before where it isn't said, or one less of a model with LayerNorms
     * @param pad how many the stream has then, zeros behind those; none more where it isn't said
     * @param heads whether the values of each head of attention are rotated too
     * @param basis {@code one} for the whole model, or {@code per-block}: one for each sub-layer
     */
    public record Rotation(String kind, long seed, OptionalInt width, OptionalInt pad, boolean heads, String basis) {

        public Rotation(String kind, long seed, OptionalInt width, OptionalInt pad, boolean heads) {
            this(kind, seed, width, pad, heads, isonorm.weights.Rotation.Extent.MODEL.label());
        }

        public Rotation(String kind, long seed, OptionalInt width) {
            this(kind, seed, width, OptionalInt.empty(), false);
        }

        public Rotation {
            if (isonorm.weights.Rotation.Kind.named(kind).isEmpty()) {
                throw new IllegalArgumentException("a rotation is of a kind " + isonorm.weights.Rotation.Kind.labels() + ", got " + kind);
            }
            if (isonorm.weights.Rotation.Extent.named(basis).isEmpty()) {
                throw new IllegalArgumentException("a basis is " + isonorm.weights.Rotation.Extent.labels() + ", got " + basis);
            }
            new isonorm.weights.Rotation(isonorm.weights.Rotation.Kind.RANDOM, seed, width, pad, heads); // which refuses a width of 0
        }

        static Rotation of(isonorm.weights.Rotation rotation) {
            return new Rotation(rotation.kind().label(), rotation.seed(), rotation.width(), rotation.pad(), rotation.heads(), rotation.extent().label());
        }

        isonorm.weights.Rotation value() {
            return new isonorm.weights.Rotation(isonorm.weights.Rotation.Kind.named(kind).orElseThrow(), seed, width, pad, heads,
                    isonorm.weights.Rotation.Extent.named(basis).orElseThrow());
        }
    }

    private Plan plan() throws IOException {
        boolean rounds = aim instanceof Aim.InForm(Form form) && form == Form.PRE_CRMSNORM
                && dtype.orElseGet(() -> storedType(Role.of(Part.TOKEN_EMBEDDING, Role.Field.WEIGHT))).bytes() < Dtype.F32.bytes();
        return rounds ? Plan.of(source, Form.PRE_CRMSNORM, untie, new LeftOut.Cheapest()) : aim.plan(source, untie);
    }

    /** The form a model is in already; empty for an ordinary checkpoint of a family. */
    public static Optional<Form> formOf(LoadedModel model) {
        return Plan.currentForm(model);
    }

    /** Every reason why a model cannot become {@code form}; empty when it can. */
    public static List<String> refusals(LoadedModel model, Form form) {
        return Plan.refusals(model, form);
    }

    /**
     * What this writes, before it is written and rounded; nothing is read yet.
     *
     * @throws ConversionRefused with every reason, if the model has no exact equal in this form
     */
    public Transformer result() throws IOException {
        return plan().result();
    }

    /** Writes every matrix in {@code type}; in Isonorm's own forms vectors are float32 at least. */
    public Conversion inType(Dtype type) {
        return new Conversion(source, aim, Optional.of(type), untie, overwrite, code, verifier, largestFile);
    }

    /** Gives a tied head a weight of its own. */
    public Conversion untied() {
        return new Conversion(source, aim, dtype, true, overwrite, code, verifier, largestFile);
    }

    /** Replaces a checkpoint that is already where the result goes. */
    public Conversion overwriting() {
        return new Conversion(source, aim, dtype, untie, true, code, verifier, largestFile);
    }

    /** Writes no files of Python beside a checkpoint in Isonorm's own format, by which Hugging Face transformers would compute it. */
    public Conversion withoutCode() {
        return new Conversion(source, aim, dtype, untie, overwrite, false, verifier, largestFile);
    }

    /** Has the result verified before it appears; where it is not equal, nothing is left of it. */
    public Conversion verifiedBy(Verifier check) {
        return new Conversion(source, aim, dtype, untie, overwrite, code, Optional.of(check), largestFile);
    }

    /** Splits files at this size: for tests, which have no gigabytes to write. */
    Conversion splitAt(long bytes) {
        return new Conversion(source, aim, dtype, untie, overwrite, code, verifier, bytes);
    }

    /**
     * What was done, as it is also written to report.json.
     *
     * @param version of Isonorm
     * @param from the form the source was in, or that it was the family's checkpoint
     * @param rotation the basis in which the stream is carried, with its width, where that was asked for
     * @param slice whether a part of the stream was cut off: the result is another function then, and verified against itself before it was rounded
     * @param notes what a user of the result should know, in sentences
     * @param leftOut tensors of the source that its architecture does not use and that are not in the result
     * @param code what Hugging Face transformers computes the result by; empty where it was not asked for, or not needed
     * @param verification what showed that the result is equal, where a verifier was given
     */
    public record Report(
            String version,
            String family,
            String from,
            String to,
            Optional<Rotation> rotation,
            boolean slice,
            long parametersBefore,
            long parametersAfter,
            List<String> notes,
            List<String> leftOut,
            List<HashedFile> sourceFiles,
            List<Tensor> tensors,
            List<HashedFile> resultFiles,
            Optional<Code> code,
            Optional<Evidence> verification) {

        private Report withTensors(List<Tensor> some) {
            return new Report(version, family, from, to, rotation, slice, parametersBefore, parametersAfter, notes, leftOut, sourceFiles, some, resultFiles, code, verification);
        }

        private Report withResult(List<HashedFile> files, Optional<Code> python, Optional<Evidence> evidence) {
            return new Report(version, family, from, to, rotation, slice, parametersBefore, parametersAfter, notes, leftOut, sourceFiles, tensors, files, python, evidence);
        }
    }

    /**
     * Files of Python beside a checkpoint.
     *
     * @param version of them
     * @param modelClass the class in them that computes this model with its head
     */
    public record Code(int version, String modelClass, List<HashedFile> files) {

        public Code {
            files = List.copyOf(files);
        }
    }

    /** A file of a checkpoint by its name, and the SHA-256 of its bytes in hexadecimal digits. */
    public record HashedFile(String name, String sha256) {}

    /** A tensor of the result, and what was done to it, step by step in words. */
    public record Tensor(String name, Dtype dtype, List<Long> shape, List<String> steps) {}

    /**
     * A tensor of a file that does not hold what it should: values that are not the roundings of those they were to be.
     *
     * @param tensor its name in the file
     * @param values how many values it has
     * @param different how many of them are not the rounding
     * @param times how many times as far off as one rounding to the file's coarsest type they are, by root mean squares
     */
    public record Deviation(String tensor, long values, long different, double times) {

        @Override
        public String toString() {
            return "tensor " + tensor + " is not the rounding of what it should be: " + different + " of " + values + " values are others";
        }
    }

    /**
     * A checkpoint of which it is written down how it was converted, made again from what may be its source, and held to that value by value.
     *
     * @param source whether it was made from this source: the hashes of its report say so, or most of its values are what the source gives
     * @param deviations where it was, what the file does not hold as it should; empty where it was not
     */
    public record Remade(boolean source, List<Deviation> deviations) {

        public Remade {
            deviations = List.copyOf(deviations);
        }

        /** Whether each value is the rounding of what the source gives. */
        public boolean exact() {
            return source && deviations.isEmpty();
        }
    }

    /** Makes {@code written} from {@code source} again; empty where nothing says that it was converted, or from another form or model. */
    public static Optional<Remade> again(LoadedModel source, LoadedModel written, Progress progress) throws IOException {
        return Remaking.remade(source, written, progress);
    }

    /**
     * The tensors of {@code written} that hold something else than the roundings of a model's values, in the order of a forward pass.
     *
     * @param model with the parameters of what was written
     */
    public static List<Deviation> deviations(Transformer model, LoadedModel written, Progress progress) throws IOException {
        return Roundings.deviations(Model.of(model), written, progress);
    }

    /** {@link #writeTo(Path, Progress)} without anybody to watch. */
    public Report writeTo(Path folder) throws IOException {
        return writeTo(folder, Progress.NONE);
    }

    /**
     * Carries the conversion out.
     *
     * @throws ConversionRefused with every reason, if the model has no exact equal in this form
     * @throws CheckpointException if a file is wrong or changed after it was opened, a value is not finite or does not fit, or the result cannot be written
     * @throws IOException if the verifier finds that the result is not equal
     */
    public Report writeTo(Path folder, Progress progress) throws IOException {
        Plan plan = plan();
        Map<Role, Source> sources = plan.naming().sources(plan.result().architecture());
        List<TensorPlan> needed = TensorPlan.all(plan.result().architecture(), plan.result().weights(), sources, this::typeOf).stream()
                .flatMap(tensor -> tensor.inFewBits().stream()).toList();
        boolean sameFamily = aim instanceof Aim.InForm && aim.isFamilyFormat() && formOf(source).isEmpty();
        List<TensorPlan> tensors = Besides.with(needed, plan.naming(), sameFamily ? Optional.of(source) : Optional.empty(), dtype);
        requireApart(source.checkpoint().folder(), folder);
        try (OutputFolder output = OutputFolder.create(folder, overwrite); Closeable _ = output.closedAtExit()) {
            output.requireSpace(tensors.stream().mapToLong(tensor -> tensor.info().bytes()).sum());
            Report report = report(plan, tensors, ModelFiles.hashed(source.checkpoint().weightFiles(), progress));
            List<HashedFile> written =
                    ModelFiles.write(output.path(), tensors, largestFile, infos -> metadata(report, infos), "converting", progress);
            Architecture architecture = plan.result().architecture();
            boolean coded = code && !aim.isFamilyFormat();
            Config config = withType(plan.config());
            (coded ? RemoteCode.named(config, architecture) : config).writeTo(output.path().resolve("config.json"));
            Optional<Code> python = coded ? Optional.of(ModelFiles.writeCode(output.path(), architecture)) : Optional.empty();
            source.checkpoint().copyCompanionFiles(output.path());
            LoadedModel result = LoadedModel.open(output.path());
            Optional<Evidence> evidence =
                    verifier.isPresent() ? Optional.of(verifier.get().verify(plan.original() == plan.result() ? plan.result() : source.model(), plan.original(), plan.result(), result, progress)) : Optional.empty();
            Report whole = report.withResult(written, python, evidence);
            OutputFolder.write(output.path().resolve("report.json"), JSON.writeValueAsBytes(Reports.json(whole)));
            source.checkpoint().requireUnchanged();
            output.commit();
            return whole;
        } catch (IOException | InternalError e) { // the second from mapped memory that is no longer in the file
            source.checkpoint().requireUnchanged();
            throw e;
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
        boolean widen = parameter.isVector() && !aim.isFamilyFormat() && wanted.bytes() < Dtype.F32.bytes();
        return widen ? Dtype.F32 : wanted;
    }

    /** The type a role has in the source; roles that appear take the type of the token or patch embedding, or else of the first tensor. */
    private Dtype storedType(Role role) {
        Map<Role, Matrix> weights = Model.of(source.model()).weights();
        Stream<Matrix> asked = Stream.of(role, Role.of(Part.TOKEN_EMBEDDING, Role.Field.WEIGHT), Role.of(Part.PATCH_PROJECTION, Role.Field.WEIGHT)).map(weights::get);
        Stored stored = Stream.concat(asked, weights.values().stream()).filter(Stored.class::isInstance).map(Stored.class::cast).findFirst().orElseThrow();
        try {
            return stored.dtype();
        } catch (CheckpointException e) {
            throw new IllegalStateException(e); // The tensor was there when the model was opened.
        }
    }

    /** What a file says of itself: the report as far as it is known before the file is finished, for this file's tensors. */
    private static Map<String, String> metadata(Report report, List<TensorInfo> infos) throws IOException {
        Set<String> names = infos.stream().map(TensorInfo::name).collect(Collectors.toSet());
        Report own = report.withTensors(report.tensors().stream().filter(tensor -> names.contains(tensor.name())).toList());
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("format", "pt");
        metadata.put("isonorm", new ObjectMapper().writeValueAsString(Reports.json(own)));
        return metadata;
    }

    /** The config of the result, which says the type that was asked for under the keys that it has. */
    private Config withType(Config config) {
        if (dtype.isEmpty()) {
            return config;
        }
        String word = switch (dtype.get()) {
            case F64 -> "float64";
            case F32 -> "float32";
            case F16 -> "float16";
            case BF16 -> "bfloat16";
            default -> throw new IllegalArgumentException("weights cannot be of type " + dtype.get());
        };
        Config family = aim.isFamilyFormat() ? config : config.object("source_config");
        for (String key : List.of("dtype", "torch_dtype")) {
            family = family.has(key) ? family.with(key, word) : family;
        }
        return aim.isFamilyFormat() ? family : config.with("source_config", family);
    }

    private Report report(Plan plan, List<TensorPlan> tensors, List<HashedFile> sourceFiles) {
        List<Tensor> each = new ArrayList<>();
        for (TensorPlan tensor : tensors) {
            List<String> steps = new ArrayList<>();
            tensor.parts().stream().map(TensorPlan.Part::matrix).distinct().forEach(matrix -> matrix.describe(steps));
            each.add(new Tensor(tensor.info().name(), tensor.info().dtype(), tensor.info().shape(), List.copyOf(steps)));
        }
        Set<String> written = aim.isFamilyFormat() ? each.stream().map(Tensor::name).collect(Collectors.toSet()) : Set.of();
        List<String> leftOut = source.unused().stream().filter(name -> !written.contains(name)).toList();
        return new Report(Isonorm.VERSION, Model.of(source.model()).architecture().family(),
                Plan.formOf(source), aim.label(), plan.rotation().map(Rotation::of), plan.isSlice(),
                Model.of(source.model()).architecture().parameterCount(), plan.result().architecture().parameterCount(),
                plan.notes(), leftOut, sourceFiles, List.copyOf(each), List.of(), Optional.empty(), Optional.empty());
    }
}
