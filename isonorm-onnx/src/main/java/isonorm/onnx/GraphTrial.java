package isonorm.onnx;

import isonorm.onnx.OnnxRuntime.Values;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.OnnxModel;
import isonorm.onnx.graph.Tensor;
import isonorm.onnx.graph.Value;
import isonorm.weights.Seed;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/** Runs two graphs with the same inputs and outputs beside each other, on inputs that are made up from what their names and dimensions say. */
final class GraphTrial {

    private static final long SEED = 20260721;
    private static final long BATCH = 2;
    private static final long LENGTH = 6;

    /** Ids that are in every vocabulary. */
    private static final int WORDS = 30;

    private GraphTrial() {}

    /**
     * The largest difference of an output, as a part of its standard deviation.
     *
     * @throws IOException if one of them cannot be run on such inputs
     */
    static double difference(OnnxModel model, Path one, Path other, OnnxRuntime runtime) throws IOException {
        Map<String, Values> inputs = inputs(model);
        int threads = Runtime.getRuntime().availableProcessors();
        Map<String, Values> expected;
        try (OnnxRuntime.Session session = runtime.open(one, threads)) {
            expected = session.run(inputs);
        }
        double worst = 0;
        try (OnnxRuntime.Session session = runtime.open(other, threads)) {
            Map<String, Values> given = session.run(inputs);
            for (Map.Entry<String, Values> each : expected.entrySet()) {
                if (each.getValue() instanceof Values.Reals(float[] values, long[] shape, boolean _)) {
                    boolean alike = given.get(each.getKey()) instanceof Values.Reals(float[] _, long[] made, boolean _) && Arrays.equals(shape, made);
                    float[] others = given.get(each.getKey()) instanceof Values.Reals(float[] all, long[] _, boolean _) ? all : new float[0];
                    worst = Math.max(worst, alike ? error(values, others) : Double.POSITIVE_INFINITY);
                }
            }
        }
        return worst;
    }

    private static double error(float[] expected, float[] given) {
        double mean = 0;
        for (float value : expected) {
            mean += value / (double) expected.length;
        }
        double largest = 0;
        double spread = 0;
        for (int i = 0; i < expected.length; i++) {
            double difference = Math.abs((double) given[i] - expected[i]);
            largest = Double.isNaN(difference) ? Double.POSITIVE_INFINITY : Math.max(largest, difference);
            spread += (expected[i] - mean) * (expected[i] - mean);
        }
        return largest == 0 ? 0 : largest / Math.sqrt(spread / expected.length);
    }

    private static Map<String, Values> inputs(OnnxModel model) throws IOException {
        SplittableRandom random = Seed.of(SEED).random();
        List<String> constants = model.graph().constants().stream().map(Tensor::name).toList();
        Map<String, Values> inputs = new LinkedHashMap<>();
        for (Value input : model.graph().inputs()) {
            if (constants.contains(input.name())) {
                continue;
            }
            Value.Type type = input.type().orElseThrow(() -> new IOException("input " + input.name() + " is no tensor"));
            long[] shape = type.shape().orElse(List.of()).stream().mapToLong(dimension -> dimension.size().orElseGet(() -> size(dimension.name()))).toArray();
            int count = Math.toIntExact(Arrays.stream(shape).reduce(1, Math::multiplyExact));
            inputs.put(input.name(), switch (type.elements()) {
                case INT64 -> new Values.Integers(integers(input.name(), shape, count, random), shape);
                case FLOAT, FLOAT16 -> {
                    float[] values = new float[count];
                    for (int i = 0; i < count; i++) {
                        values[i] = (float) random.nextGaussian();
                    }
                    yield new Values.Reals(values, shape, type.elements() == ElementType.FLOAT16);
                }
                default -> throw new IOException("no input of " + type.elements() + " is made up for " + input.name());
            });
        }
        return inputs;
    }

    private static long size(String dimension) {
        String[] parts = dimension.split("\\+");
        long size = 0;
        for (String part : parts) {
            String name = part.strip();
            size += name.contains("past") ? 0 : name.contains("batch") || name.equals("N") || name.equals("B") ? BATCH : name.matches("\\d+") ? Long.parseLong(name) : LENGTH;
        }
        return size;
    }

    private static long[] integers(String name, long[] shape, int count, SplittableRandom random) {
        long[] values = new long[count];
        int last = shape.length == 0 ? 1 : (int) Math.max(1, shape[shape.length - 1]);
        Arrays.setAll(values, i -> name.contains("mask") ? 1 : name.contains("type") ? 0 : name.contains("position") ? i % last : random.nextInt(WORDS));
        return values;
    }
}
