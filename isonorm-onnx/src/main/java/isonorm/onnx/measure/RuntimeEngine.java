package isonorm.onnx.measure;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.measure.Loaded;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.onnx.OnnxRuntime;
import isonorm.onnx.export.Exporter;
import isonorm.onnx.export.Feeds;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Encoder;
import isonorm.onnx.graph.OnnxModel;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.LongStream;

/**
 * Loads models into ONNX Runtime, to be timed there: each is exported without keys and values, in float32.
 *
 * <p>Outputs of all its models lie in one place, which the next run overwrites: a page that is touched for the first time takes as long as some products.
 */
public final class RuntimeEngine implements Loaded.Engine {

    private static final int OPSET = 23;

    private final OnnxRuntime runtime;
    private ByteBuffer room = ByteBuffer.allocateDirect(0);

    public RuntimeEngine(OnnxRuntime runtime) {
        this.runtime = runtime;
    }

    @Override
    public Loaded load(Model model, Compute compute, int threads) throws IOException {
        if (compute != Compute.F32) {
            throw new IllegalArgumentException("ONNX Runtime is timed in f32, got " + compute.label());
        }
        OnnxModel graph = Exporter.graph(model, new Exporter.Options(OPSET, ElementType.FLOAT, false));
        Path folder = Files.createTempDirectory("isonorm-onnx");
        Path file = folder.resolve("model.onnx");
        try {
            Encoder.write(graph, file, Encoder.tooLarge(graph));
            return new InRuntime(runtime.open(file, threads), graph, model.architecture(), this);
        } finally {
            Files.deleteIfExists(file);
            Files.deleteIfExists(file.resolveSibling(Encoder.dataName(file)));
            Files.deleteIfExists(folder);
        }
    }

    private ByteBuffer room(long bytes) {
        if (room.capacity() < bytes) {
            room = ByteBuffer.allocateDirect(0); // before there is another
            room = ByteBuffer.allocateDirect(Math.toIntExact(bytes));
        }
        return room.slice(0, (int) bytes).order(ByteOrder.nativeOrder());
    }

    private record InRuntime(OnnxRuntime.Session session, OnnxModel graph, Architecture architecture, RuntimeEngine engine) implements Loaded {

        @Override
        public Result run(Batch batch) throws IOException {
            long[] shape = shape(batch);
            ByteBuffer into = engine.room(LongStream.of(shape).reduce(Float.BYTES, Math::multiplyExact));
            session.run(Feeds.of(graph, batch), "logits", into, shape);
            return new Floats(into, shape);
        }

        private long[] shape(Batch batch) {
            return switch (architecture.output()) {
                case Output.Words _ when batch instanceof Batch.Tokens tokens ->
                    new long[] {batch.count(), tokens.length(), ((Embedding.Tokens) architecture.embedding()).vocabulary()};
                case Output.Labels labels when !labels.pooling().ofPositions() -> new long[] {batch.count(), labels.labels()};
                default -> throw new IllegalArgumentException("models that give words or labels are timed, got " + architecture.output());
            };
        }

        @Override
        public Text start() {
            throw new UnsupportedOperationException("texts are continued by Isonorm's own inference");
        }

        @Override
        public void close() {
            session.close();
        }
    }

    /** What a run gave, until the next one. */
    private record Floats(ByteBuffer values, long[] outputShape) implements Result {

        @Override
        public Compute compute() {
            return Compute.F32;
        }

        @Override
        public Optional<long[]> pooledShape() {
            return Optional.empty();
        }

        @Override
        public double[] outputValues() {
            double[] all = new double[values.capacity() / Float.BYTES];
            readOutput(0, all.length, all);
            return all;
        }

        @Override
        public Optional<double[]> pooledValues() {
            return Optional.empty();
        }

        @Override
        public void readOutput(long first, int count, double[] into) {
            for (int i = 0; i < count; i++) {
                into[i] = values.getFloat(Math.toIntExact((first + i) * Float.BYTES));
            }
        }

        @Override
        public void readPooled(long first, int count, double[] into) {
            throw new IllegalStateException("nothing is pooled");
        }

        @Override
        public void close() {
            // The next run overwrites it.
        }
    }
}
