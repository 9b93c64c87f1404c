package isonorm.cli.commands;

import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsFile;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.checkpoint.TensorInfo;
import isonorm.cli.report.OutputFile;
import isonorm.cli.terminal.Json;
import isonorm.layer.Fit;
import isonorm.layer.ForwardPass;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.weights.Model;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.IntStream;

/** Inputs from a safetensors file through a model to another safetensors file, with the engine. */
final class ForwardFiles {

    private static final int ROWS_A_BATCH = 16;
    private static final int CHUNK = 1 << 16;

    /** Reads some values of a result, as {@link Result#readOutput} does. */
    private interface Values {
        void read(Result result, long first, int count, double[] into);
    }

    private ForwardFiles() {}

    /** Runs the model and writes what it gives; returns the shapes. */
    static ObjectNode run(Model model, Path inputs, Path output, String compute, Progress progress) throws IOException {
        List<Batch> batches = read(SafetensorsFile.open(inputs), model.architecture());
        List<Result> results = new ArrayList<>();
        try (ForwardPass pass = ForwardPass.streaming(model, Compute.named(compute))) {
            results.addAll(pass.run(batches, (what, done, total) -> progress.step(what, done, total)));
            return write(results, output, compute, model.architecture().comparesTowers());
        } catch (IllegalArgumentException e) { // the engine's word for inputs that do not fit the model
            throw new IOException(inputs + ": " + e.getMessage(), e);
        } finally {
            results.forEach(Result::close);
        }
    }

    private static List<Batch> read(SafetensorsFile file, Architecture architecture) throws IOException {
        if (architecture.companion().isEmpty()) {
            return read(file, architecture, "", ROWS_A_BATCH);
        }
        Architecture beside = architecture.companion().get().architecture();
        return switch (architecture.companion().get()) {
            case Companion.Encoder _ -> pairs(file, read(file, beside, "", ROWS_A_BATCH), read(file, architecture, "decoder_", ROWS_A_BATCH));
            // Each image is held against each text, so they stay together.
            case Companion.ImageTower _ -> pairs(file, read(file, beside, "", Integer.MAX_VALUE), read(file, architecture, "", Integer.MAX_VALUE));
        };
    }

    private static List<Batch> read(SafetensorsFile file, Architecture stack, String prefix, int together) throws IOException {
        return switch (stack.embedding()) {
            case Embedding.Tokens _ -> tokens(file, prefix + "input_ids", prefix + "attention_mask", together);
            case Embedding.Patches patches -> images(file, patches, together);
            case Embedding.Sound sound -> sounds(file, sound, together);
        };
    }

    private static List<Batch> pairs(SafetensorsFile file, List<Batch> companions, List<Batch> mains) throws IOException {
        if (companions.size() != mains.size()) {
            throw new IOException(file.path() + ": the decoder must be given as many rows as the encoder");
        }
        return IntStream.range(0, mains.size()).<Batch>mapToObj(i -> new Batch.Both(companions.get(i), mains.get(i))).toList();
    }

    private static List<Batch> tokens(SafetensorsFile file, String name, String maskName, int together) throws IOException {
        long[][] ids = integers(file, name);
        Optional<long[][]> mask = file.tensors().containsKey(maskName) ? Optional.of(integers(file, maskName)) : Optional.empty();
        if (mask.isPresent() && (mask.get().length != ids.length || mask.get()[0].length != ids[0].length)) {
            throw new IOException(file.path() + ": " + maskName + " must have the shape of " + name + ", " + requireNonNull(file.tensors().get(name)).shape()
                    + ", got " + requireNonNull(file.tensors().get(maskName)).shape());
        }
        List<Batch> batches = new ArrayList<>();
        int step = Math.min(together, ids.length);
        for (int row = 0; row < ids.length; row += step) {
            int from = row;
            int to = Math.min(ids.length, row + step);
            try {
                batches.add(new Batch.Tokens(Arrays.copyOfRange(ids, from, to), mask.map(all -> Arrays.copyOfRange(all, from, to))));
            } catch (IllegalArgumentException e) {
                throw new IOException(file.path() + ": " + maskName + ": " + e.getMessage(), e);
            }
        }
        return batches;
    }

    private static TensorInfo require(SafetensorsFile file, String name, int dimensions, String form) throws IOException {
        TensorInfo info = file.tensors().get(name);
        if (info == null) {
            throw new IOException(file.path() + " has no " + name + ", " + form + ", which this model reads; it has "
                    + (file.tensors().isEmpty() ? "nothing" : String.join(", ", file.tensors().keySet())));
        }
        if (info.shape().size() != dimensions || info.elements() == 0) {
            throw new IOException(file.path() + ": " + name + " must be " + form + " with at least one value, got shape " + info.shape());
        }
        if (info.elements() > Integer.MAX_VALUE / 2) {
            throw new IOException(file.path() + ": " + name + " has " + info.elements() + " values, more than one run takes; split it");
        }
        return info;
    }

    /** A matrix of whole numbers or truth values. */
    private static long[][] integers(SafetensorsFile file, String name) throws IOException {
        TensorInfo info = require(file, name, 2, "batch x tokens");
        long[][] rows = new long[info.shape().get(0).intValue()][info.shape().get(1).intValue()];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = file.map(name, arena);
            long at = 0;
            for (long[] row : rows) {
                for (int c = 0; c < row.length; c++, at++) {
                    row[c] = switch (info.dtype()) {
                        case I64 -> bytes.get(ValueLayout.JAVA_LONG_UNALIGNED, at * Long.BYTES);
                        case I32 -> bytes.get(ValueLayout.JAVA_INT_UNALIGNED, at * Integer.BYTES);
                        case BOOL, U8 -> bytes.get(ValueLayout.JAVA_BYTE, at);
                        default -> throw new IOException(file.path() + ": " + name + " must be I64 or I32 (a mask also BOOL), got " + info.dtype());
                    };
                }
            }
        }
        return rows;
    }

    private static List<Batch> images(SafetensorsFile file, Embedding.Patches patches, int together) throws IOException {
        boolean sound = patches.cut().turned(); // a spectrogram has no channels
        String name = sound ? "input_values" : "pixel_values";
        List<Long> wanted = sound
                ? List.of((long) patches.height(), (long) patches.width())
                : List.of((long) patches.channels(), (long) patches.height(), (long) patches.width());
        String form = "batch x " + String.join(" x ", wanted.stream().map(String::valueOf).toList());
        TensorInfo info = require(file, name, wanted.size() + 1, form);
        if (!info.shape().subList(1, wanted.size() + 1).equals(wanted)) {
            throw new IOException(file.path() + ": " + name + " must be " + form + " for this model, got shape " + info.shape());
        }
        int each = patches.channels() * patches.height() * patches.width();
        return values(file, info, name, together).stream().<Batch>map(pixels ->
                new Batch.Images(pixels, pixels.length / each, patches.channels(), patches.height(), patches.width())).toList();
    }

    /** The sounds of a file that a model with this embedding reads, all of which fit it. */
    static Batch.Sounds sounds(Path inputs, Embedding.Sound sound) throws IOException {
        Batch.Sounds all = (Batch.Sounds) sounds(SafetensorsFile.open(inputs), sound, Integer.MAX_VALUE).getFirst();
        try {
            Fit.require(sound, all);
        } catch (IllegalArgumentException e) {
            throw new IOException(inputs + ": " + e.getMessage(), e);
        }
        return all;
    }

    private static List<Batch> sounds(SafetensorsFile file, Embedding.Sound sound, int together) throws IOException {
        boolean waveform = sound.waveform();
        String name = waveform ? "input_values" : "input_features";
        String form = "batch x " + (waveform ? "samples" : sound.turned() ? "frames x lines" : "lines x frames");
        TensorInfo info = require(file, name, waveform ? 2 : 3, form);
        long lines = waveform ? 1 : info.shape().get(sound.turned() ? 2 : 1);
        long frames = info.shape().get(waveform || sound.turned() ? 1 : 2);
        if (lines != sound.lines()) {
            throw new IOException(file.path() + ": " + name + " must be " + form + " with " + sound.lines() + " lines for this model, got shape " + info.shape());
        }
        if (file.tensors().containsKey("attention_mask")) {
            throw new IOException(file.path() + ": sounds are read without attention_mask; leave it out, and give sounds of one length");
        }
        List<Batch> batches = new ArrayList<>();
        for (float[] values : values(file, info, name, together)) {
            batches.add(new Batch.Sounds(values, (int) (values.length / (lines * frames)), (int) lines, (int) frames));
        }
        return batches;
    }

    /** The values of a tensor, some rows of its batch after the other. */
    private static List<float[]> values(SafetensorsFile file, TensorInfo info, String name, int together) throws IOException {
        if (!Numbers.readable(info.dtype())) {
            throw new IOException(file.path() + ": " + name + " must be F32 (or F64, F16, BF16), got " + info.dtype());
        }
        int rows = info.shape().getFirst().intValue();
        int each = (int) (info.elements() / rows);
        List<float[]> all = new ArrayList<>();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = file.map(name, arena);
            double[] row = new double[each];
            int step = Math.min(together, rows);
            for (int first = 0; first < rows; first += step) {
                int count = Math.min(step, rows - first);
                float[] some = new float[count * each];
                for (int i = 0; i < count; i++) {
                    Numbers.decode(bytes, info.dtype(), (long) (first + i) * each, each, row, 0);
                    for (int v = 0; v < each; v++) {
                        some[i * each + v] = (float) row[v];
                    }
                }
                all.add(some);
            }
        }
        return all;
    }

    /** What of a result is written, under its name. */
    private record Given(String name, Function<Result, long[]> shape, Values values) {}

    private static List<Given> given(Result result, boolean towers) {
        List<Given> all = new ArrayList<>();
        all.add(new Given("output", Result::outputShape, Result::readOutput));
        if (result.pooledShape().isPresent()) {
            all.add(new Given(towers ? "text_embeds" : "pooled", each -> each.pooledShape().orElseThrow(), Result::readPooled));
        }
        if (result.companion().isPresent()) {
            all.add(new Given(towers ? "image_embeds" : "encoder", each -> each.companion().orElseThrow().outputShape(),
                    (each, first, count, into) -> each.companion().orElseThrow().readOutput(first, count, into)));
        }
        return all;
    }

    private static ObjectNode write(List<Result> results, Path output, String compute, boolean towers) throws IOException {
        Dtype dtype = compute.equals("f64") ? Dtype.F64 : Dtype.F32;
        List<TensorInfo> tensors = new ArrayList<>();
        List<Given> given = given(results.getFirst(), towers);
        for (Given each : given) {
            tensors.add(joined(each.name, dtype, results.stream().map(each.shape).toList()));
        }
        OutputFile.write(output, temporary -> {
            try (SafetensorsWriter writer = SafetensorsWriter.create(temporary, tensors, Map.of("format", "pt", "compute", compute))) {
                for (int i = 0; i < tensors.size(); i++) {
                    write(tensors.get(i), results, given.get(i), writer);
                }
            }
        });
        ObjectNode json = Json.object();
        json.put("compute", compute);
        ObjectNode shapes = json.putObject("tensors");
        for (TensorInfo tensor : tensors) {
            ArrayNode shape = shapes.putArray(tensor.name());
            tensor.shape().forEach(shape::add);
        }
        return json;
    }

    /** The shape of all results one after the other. */
    private static TensorInfo joined(String name, Dtype dtype, List<long[]> shapes) {
        List<Long> shape = new ArrayList<>(Arrays.stream(shapes.getFirst()).boxed().toList());
        shape.set(0, shapes.stream().mapToLong(each -> each[0]).sum());
        return new TensorInfo(name, dtype, shape);
    }

    private static void write(TensorInfo tensor, List<Result> results, Given given, SafetensorsWriter writer) throws IOException {
        long rows = 0;
        long perRow = tensor.elements() / tensor.shape().getFirst();
        double[] chunk = new double[CHUNK];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocate((long) CHUNK * tensor.dtype().bytes());
            for (Result result : results) {
                long count = perRow * given.shape.apply(result)[0];
                for (long done = 0; done < count; done += CHUNK) {
                    int n = (int) Math.min(CHUNK, count - done);
                    given.values.read(result, done, n, chunk);
                    Numbers.encode(chunk, 0, n, bytes, tensor.dtype(), 0);
                    writer.write(tensor.name(), (rows * perRow + done) * tensor.dtype().bytes(),
                            bytes.asSlice(0, (long) n * tensor.dtype().bytes()));
                }
                rows += given.shape.apply(result)[0];
            }
        }
    }
}
