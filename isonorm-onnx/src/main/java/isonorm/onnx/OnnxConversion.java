package isonorm.onnx;

import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.OutputFolder;
import isonorm.family.Isonorm;
import isonorm.layer.Tolerance;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.onnx.graph.Decoder;
import isonorm.onnx.graph.Encoder;
import isonorm.onnx.graph.OnnxModel;
import isonorm.onnx.rewrite.GraphRewrite;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Writes a graph of any origin as an equal one with RMSNorm: {@code OnnxConversion.of(file).writeTo(other, Progress.NONE)}.
 *
 * <p>Residual streams are found by following the graph, so no family is known by name. The result is run beside the source where an {@link OnnxRuntime} is
 * given, before it appears.
 */
public final class OnnxConversion {

    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    /** How far outputs may be apart, in parts of their standard deviation. */
    private static final double LIMIT = Tolerance.written(Dtype.F32, Compute.F32);

    private final Path source;
    private final boolean kept;
    private final boolean overwrite;
    private final Optional<OnnxRuntime> runtime;

    private OnnxConversion(Path source, boolean kept, boolean overwrite, Optional<OnnxRuntime> runtime) {
        this.source = source;
        this.kept = kept;
        this.overwrite = overwrite;
        this.runtime = runtime;
    }

    /** The conversion of the graph in a file. */
    public static OnnxConversion of(Path file) {
        return new OnnxConversion(file, false, false, Optional.empty());
    }

    /** Streams are centred, and norms stay what they are. */
    public OnnxConversion keepingLayerNorm() {
        return new OnnxConversion(source, true, overwrite, runtime);
    }

    /** Replaces files that are already there. */
    public OnnxConversion overwriting() {
        return new OnnxConversion(source, kept, true, runtime);
    }

    /** Has what was written run and compared before it appears. */
    public OnnxConversion verifiedBy(OnnxRuntime with) {
        return new OnnxConversion(source, kept, overwrite, Optional.of(with));
    }

    /**
     * A residual stream whose mean was taken out.
     *
     * @param norms those that read it
     * @param writers what writes to it, by kind: names of constants that were centred, and of values whose mean is taken out
     */
    public record Stream(List<String> norms, Map<String, List<String>> writers) {}

    /**
     * What was written, as it is also in the last of the files, a report in JSON.
     *
     * @param norms how many LayerNorms the source has
     * @param changed how many of them are RMSNorms, or read what is centred
     * @param folded how many of those gave gain and bias to the products behind them
     * @param composed how many of them were of plain operators
     * @param left why the others were left as they are
     * @param error how far outputs are from the source's, as a part of their standard deviation, where both were run
     * @param unrun why they were not, where they should have been
     */
    public record Report(
            List<Path> files, long opset, int norms, int changed, int folded, int composed, List<Stream> streams, List<String> left, OptionalDouble error,
            Optional<String> unrun) {}

    /**
     * Carries the conversion out.
     *
     * @throws isonorm.model.ConversionRefused with every reason, if no norm can be changed
     * @throws CheckpointException if the result cannot be written
     * @throws IOException if the source cannot be read, or the result gives something else
     */
    public Report writeTo(Path file, Progress progress) throws IOException {
        OnnxModel model = Decoder.read(source);
        GraphRewrite.Made made = GraphRewrite.of(model, kept);
        GraphFiles files = GraphFiles.at(file, overwrite);
        if (Files.exists(files.target()) && Files.isSameFile(files.target(), source)) {
            throw new CheckpointException(CheckpointException.Reason.OUTPUT_EXISTS, file + " is the graph to convert; write to another file");
        }
        boolean outside = Encoder.tooLarge(made.model()) || Encoder.tooLarge(model);
        AtomicReference<Outcome> outcome = new AtomicReference<>(new Outcome(OptionalDouble.empty(), Optional.empty()));
        List<Path> written = files.write(made.model(), outside, progress, temporary -> {
            if (runtime.isPresent()) {
                Outcome here = run(model, temporary, runtime.get());
                requireEqual(here.error);
                outcome.set(here);
            }
            OutputFolder.write(GraphFiles.report(temporary), JSON.writeValueAsBytes(json(model, made, requireNonNull(outcome.get()), temporary)));
        });
        Outcome ran = requireNonNull(outcome.get());
        return new Report(written, made.model().opset(), made.norms(), made.changed(), made.folded(), made.composed(),
                made.streams().stream().map(stream -> new Stream(stream.norms(), stream.writers())).toList(), made.left(), ran.error, ran.unrun);
    }

    private ObjectNode json(OnnxModel model, GraphRewrite.Made made, Outcome ran, Path written) throws IOException {
        ObjectNode json = JSON.createObjectNode();
        json.put("isonorm_version", Isonorm.VERSION).put("to", kept ? "centred" : "rmsnorm").put("opset_before", model.opset()).put("opset", made.model().opset());
        json.put("norms", made.norms()).put("changed", made.changed()).put("folded", made.folded()).put("composed", made.composed());
        json.putArray("streams");
        for (GraphRewrite.Changed stream : made.streams()) {
            ObjectNode one = json.withArray("streams").addObject();
            stream.norms().forEach(one.putArray("norms")::add);
            ObjectNode writers = one.putObject("writers");
            stream.writers().forEach((kind, names) -> names.forEach(writers.withArray(kind)::add));
        }
        made.left().forEach(json.putArray("left")::add);
        json.putArray("source_files").add(hashed(source));
        json.putArray("result_files").add(hashed(written));
        Path data = written.resolveSibling(Encoder.dataName(written));
        if (Files.exists(data)) {
            json.withArray("result_files").add(hashed(data));
        }
        json.put("verified", ran.error.isPresent());
        ran.error.ifPresent(error -> json.putObject("verification").put("runtime", "ONNX Runtime " + runtime.orElseThrow().version())
                .put("largest_error", error).put("tolerance", LIMIT));
        ran.unrun.ifPresent(reason -> json.put("not_run", reason));
        return json;
    }

    private static ObjectNode hashed(Path file) throws IOException {
        return JSON.createObjectNode().put("file", file.getFileName().toString()).put("sha256", Fingerprint.sha256(file));
    }

    /** How far outputs are apart, or why that is not known. */
    private record Outcome(OptionalDouble error, Optional<String> unrun) {}

    private Outcome run(OnnxModel model, Path written, OnnxRuntime with) {
        try {
            return new Outcome(OptionalDouble.of(GraphTrial.difference(model, source, written, with)), Optional.empty());
        } catch (IOException e) {
            return new Outcome(OptionalDouble.empty(), Optional.of(String.valueOf(e.getMessage())));
        }
    }

    private void requireEqual(OptionalDouble error) throws IOException {
        if (error.isPresent() && !(error.getAsDouble() <= LIMIT)) { // also NaN
            throw new IOException(String.format(Locale.ROOT, "%s, converted, gives other outputs: they are off by %.1e of their spread where %.0e is rounding, so it"
                    + " was not kept", source.getFileName(), error.getAsDouble(), LIMIT));
        }
    }
}
