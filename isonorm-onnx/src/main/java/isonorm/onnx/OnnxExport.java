package isonorm.onnx;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.NormKind;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.convert.LoadedModel;
import isonorm.model.Progress;
import isonorm.onnx.export.Exporter;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Encoder;
import isonorm.onnx.graph.Node;
import isonorm.onnx.graph.OnnxModel;
import isonorm.onnx.graph.Tensor;
import isonorm.onnx.graph.Value;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Writes a checkpoint as an ONNX graph: {@code OnnxExport.of(model).writeTo(file, Progress.NONE)}.
 *
 * <p>Weights are read tensor by tensor, so memory does not grow with the model. The files are written under other names, synced, run and compared with the
 * checkpoint where an {@link OnnxRuntime} is given, and renamed; an interrupted or failed export leaves nothing.
 */
public final class OnnxExport {

    /** The version of ONNX's operators that is written unless another one is asked for: the first with RMSNormalization. */
    public static final int OPSET = 23;

    private final LoadedModel source;
    private final int opset;
    private final Dtype dtype;
    private final Part part;
    private final boolean external;
    private final boolean overwrite;
    private final Optional<OnnxRuntime> runtime;

    private OnnxExport(LoadedModel source, int opset, Dtype dtype, Part part, boolean external, boolean overwrite, Optional<OnnxRuntime> runtime) {
        this.source = source;
        this.opset = opset;
        this.dtype = dtype;
        this.part = part;
        this.external = external;
        this.overwrite = overwrite;
        this.runtime = runtime;
    }

    /** The export of a checkpoint in float32. */
    public static OnnxExport of(LoadedModel source) {
        return new OnnxExport(source, OPSET, Dtype.F32, Part.WHOLE, false, false, Optional.empty());
    }

    /** The same for another version of ONNX's operators. */
    public OnnxExport opset(int version) {
        if (version < Exporter.FIRST_OPSET || version > Exporter.LAST_OPSET) {
            throw new IllegalArgumentException("a graph is of an opset from " + Exporter.FIRST_OPSET + " to " + Exporter.LAST_OPSET + ", got " + version);
        }
        return new OnnxExport(source, version, dtype, part, external, overwrite, runtime);
    }

    /** The same with weights and computation in F32 or F16. */
    public OnnxExport inType(Dtype type) {
        if (type != Dtype.F32 && type != Dtype.F16) {
            throw new IllegalArgumentException("a graph is of F32 or F16, which ONNX Runtime can run, got " + type);
        }
        return new OnnxExport(source, opset, type, part, external, overwrite, runtime);
    }

    /** What of an encoder and a decoder a graph is. */
    public enum Part {
        /** Both, the decoder reading its text whole; and every model that is no such two. */
        WHOLE,
        /** The encoder. */
        ENCODER,
        /** The decoder as it reads the first tokens beside what the encoder gave; it gives keys and values of both. */
        DECODER,
        /** The decoder as it goes on from keys and values of both. */
        DECODER_WITH_PAST
    }

    /**
     * One part of a model of an encoder and a decoder.
     *
     * @throws IllegalArgumentException if it is no such two
     */
    public OnnxExport part(Part which) {
        if (which != Part.WHOLE && !(Model.of(source.model()).architecture().companion().orElse(null) instanceof Companion.Encoder)) {
            throw new IllegalArgumentException("a model of an encoder and a decoder has parts, and this one is none");
        }
        return new OnnxExport(source, opset, dtype, which, external, overwrite, runtime);
    }

    /** The same with tensors in a file of their own beside the graph's; where they are more than 2 GB that is done anyway. */
    public OnnxExport externalData() {
        return new OnnxExport(source, opset, dtype, part, true, overwrite, runtime);
    }

    /** Replaces files that are already there. */
    public OnnxExport overwriting() {
        return new OnnxExport(source, opset, dtype, part, external, true, runtime);
    }

    /** Has what was written run and compared before it appears. */
    public OnnxExport verifiedBy(OnnxRuntime with) {
        return new OnnxExport(source, opset, dtype, part, external, overwrite, Optional.of(with));
    }

    /**
     * What was written.
     *
     * @param files the graph's, and that of its tensors where they are in one of their own
     * @param operators how many there are of each kind of norm
     * @param error how far the graph's output is from the checkpoint's, as a part of its standard deviation, where it was run
     * @param notes what a user should know, in sentences
     */
    public record Report(
            List<Path> files, long bytes, int opset, Dtype dtype, long parameters, int nodes, Map<String, Integer> operators, List<String> inputs,
            List<String> outputs, OptionalDouble error, List<String> notes) {}

    /**
     * Carries the export out.
     *
     * @throws IllegalArgumentException if the opset is not one that is written, or lacks an operator that the model needs
     * @throws CheckpointException if a file is wrong or changed after it was opened, or the result cannot be written
     * @throws IOException if what was written gives something else than the checkpoint
     */
    public Report writeTo(Path file, Progress progress) throws IOException {
        Model model = Model.of(source.model());
        ElementType real = dtype == Dtype.F16 ? ElementType.FLOAT16 : ElementType.FLOAT;
        Exporter.Options options = new Exporter.Options(opset, real, true, part);
        OnnxModel graph = Exporter.graph(model, options);
        boolean outside = external || Encoder.tooLarge(graph);
        AtomicReference<OptionalDouble> error = new AtomicReference<>(OptionalDouble.empty());
        List<Path> files = GraphFiles.at(file, overwrite).write(graph, outside, progress, written -> {
            if (runtime.isPresent()) {
                error.set(OptionalDouble.of(Trial.of(model, graph, options, written, runtime.get())));
            }
            source.checkpoint().requireUnchanged();
        });
        return report(model.architecture(), graph, files, requireNonNull(error.get()));
    }

    private Report report(Architecture architecture, OnnxModel graph, List<Path> files, OptionalDouble error) throws IOException {
        Map<String, Integer> norms = new TreeMap<>();
        for (Node node : graph.graph().nodes()) {
            if (node.op().endsWith("Normalization")) {
                norms.merge(node.op(), 1, Integer::sum);
            }
        }
        long bytes = 0;
        for (Path file : files) {
            bytes += Files.size(file);
        }
        List<String> notes = new ArrayList<>();
        if (architecture.blocks().stream().anyMatch(block -> block.norm().kind() == NormKind.CRMS)) {
            notes.add("ONNX has no operator for CRMSNorm, so each is eight plain ones; pre-rmsnorm has one for it, and took 0.93 to 1.02 of the time where it was measured.");
        }
        if (part == Part.WHOLE && architecture.companion().orElse(null) instanceof Companion.Encoder) {
            notes.add("The decoder reads its text whole; --part writes graphs that go on from keys and values.");
        }
        return new Report(files, bytes, opset, dtype, graph.graph().constants().stream().filter(tensor -> tensor.type().dtype().isPresent())
                .mapToLong(Tensor::elements).sum(), graph.graph().nodes().size(), norms, graph.graph().inputs().stream().map(Value::name).toList(),
                graph.graph().outputs().stream().map(Value::name).toList(), error, notes);
    }
}
