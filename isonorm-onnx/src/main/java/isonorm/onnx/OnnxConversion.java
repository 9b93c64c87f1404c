package isonorm.onnx;

import static java.util.Objects.requireNonNull;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.layer.Tolerance;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.onnx.graph.Decoder;
import isonorm.onnx.graph.Encoder;
import isonorm.onnx.graph.OnnxModel;
import isonorm.onnx.rewrite.GraphRewrite;
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
     * @param from the first norm that reads it
     * @param norms how many do
     * @param writers how many of each kind were centred
     */
    public record Stream(String from, int norms, Map<String, Integer> writers) {}

    /**
     * What was written.
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
        });
        Outcome ran = requireNonNull(outcome.get());
        return new Report(written, made.model().opset(), made.norms(), made.changed(), made.folded(), made.composed(),
                made.streams().stream().map(stream -> new Stream(stream.from(), stream.norms(), stream.writers())).toList(), made.left(), ran.error,
                ran.unrun);
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
        double limit = Tolerance.written(Dtype.F32, Compute.F32);
        if (error.isPresent() && !(error.getAsDouble() <= limit)) { // also NaN
            throw new IOException(String.format(Locale.ROOT, "%s, converted, gives other outputs: they are off by %.1e of their spread where %.0e is rounding, so it"
                    + " was not kept", source.getFileName(), error.getAsDouble(), limit));
        }
    }
}
