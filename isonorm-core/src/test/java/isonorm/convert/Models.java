package isonorm.convert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Output;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.checkpoint.Config;
import isonorm.convert.PlainForward.Input;
import isonorm.convert.PlainForward.Result;
import isonorm.family.Families;
import isonorm.family.Family;
import isonorm.family.Fixtures;
import isonorm.model.Transformer;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.SampleCheckpoint;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** What the tests here share: inputs, models in memory, and how far two results are apart. */
public final class Models {

    private Models() {}

    /** The inputs of a fixture, row by row of the batch. */
    public static List<Input> inputs(Map<String, SampleCheckpoint.Tensor> golden) {
        if (golden.containsKey("decoder_input_ids")) {
            Map<String, SampleCheckpoint.Tensor> decoder = Map.of("input_ids", golden.get("decoder_input_ids"));
            Map<String, SampleCheckpoint.Tensor> encoder = new LinkedHashMap<>(golden);
            encoder.remove("decoder_input_ids");
            List<Input> mains = inputs(decoder);
            List<Input> companions = inputs(encoder);
            return IntStream.range(0, mains.size()).mapToObj(b -> new Input(mains.get(b).ids(), null, mains.get(b).seen(), companions.get(b))).toList();
        }
        if (golden.containsKey("input_ids") && golden.containsKey("pixel_values")) { // each image with each text
            Map<String, SampleCheckpoint.Tensor> texts = new LinkedHashMap<>(golden);
            texts.remove("pixel_values");
            return inputs(Map.of("pixel_values", golden.get("pixel_values"))).stream()
                    .flatMap(image -> inputs(texts).stream().map(text -> new Input(text.ids(), null, text.seen(), image))).toList();
        }
        SampleCheckpoint.Tensor ids = golden.get("input_ids");
        SampleCheckpoint.Tensor pixels = golden.getOrDefault("pixel_values", golden.getOrDefault("input_values", golden.get("input_features")));
        SampleCheckpoint.Tensor mask = golden.get("attention_mask");
        int batch = (ids == null ? pixels : ids).shape().getFirst().intValue();
        List<Input> inputs = new ArrayList<>();
        for (int b = 0; b < batch; b++) {
            if (ids == null) {
                double[] all = pixels.values();
                inputs.add(new Input(null, Arrays.copyOfRange(all, b * all.length / batch, (b + 1) * all.length / batch), null));
            } else {
                int length = ids.shape().get(1).intValue();
                int[] tokens = new int[length];
                boolean[] seen = new boolean[length];
                for (int i = 0; i < length; i++) {
                    tokens[i] = (int) ids.values()[b * length + i];
                    seen[i] = mask == null || mask.values()[b * length + i] == 1;
                }
                inputs.add(new Input(tokens, null, seen));
            }
        }
        return inputs;
    }

    /** There is every case that is wanted and no other, each as often as is wanted or more often. */
    public static void assertAtLeast(Map<String, Integer> fewest, Map<String, Integer> counts) {
        assertEquals(fewest.keySet(), counts.keySet());
        fewest.forEach((name, count) -> assertTrue(counts.get(name) >= count, () -> name + ": " + counts.get(name) + " of " + count));
    }

    public static double deviation(double[] values) {
        double mean = Arrays.stream(values).average().orElseThrow();
        return Math.sqrt(Arrays.stream(values).map(v -> (v - mean) * (v - mean)).average().orElseThrow());
    }

    public static double largestDifference(double[] reference, double[] values, boolean[] counts) {
        assertEquals(reference.length, values.length);
        double largest = 0;
        for (int i = 0; i < reference.length; i++) {
            if (counts == null || counts[i]) {
                double difference = Math.abs(reference[i] - values[i]);
                largest = difference <= largest ? largest : difference; // NaN too
            }
        }
        return largest;
    }

    /** One input of a fixture, short: what a conversion changes shows at any position. */
    public static Input sample(Map<String, SampleCheckpoint.Tensor> golden) {
        Input input = inputs(golden).getFirst();
        return shortened(input);
    }

    private static Input shortened(Input input) {
        return input == null || input.ids() == null ? input
                : new Input(Arrays.copyOf(input.ids(), 10), null, Arrays.copyOf(input.seen(), 10), shortened(input.companion()));
    }

    public static double[] flat(double[][] rows) {
        return Arrays.stream(rows).flatMapToDouble(Arrays::stream).toArray();
    }

    public static boolean outputIsTheStream(Model model) {
        return model.architecture().output() instanceof Output.Hidden hidden && hidden.pooler().bareStream();
    }

    public static double[][] withoutMeans(double[][] rows) {
        return Arrays.stream(rows).map(row -> {
            double mean = Arrays.stream(row).average().orElseThrow();
            return Arrays.stream(row).map(value -> value - mean).toArray();
        }).toArray(double[][]::new);
    }

    /** How far two results are apart, in standard deviations of the first. Where the stream is the output its means may differ. */
    public static double difference(Transformer original, Result wanted, Result result) {
        boolean stream = outputIsTheStream(Model.of(original));
        double[] output = flat(stream ? withoutMeans(wanted.output()) : wanted.output());
        double[] other = flat(stream ? withoutMeans(result.output()) : result.output());
        double apart = largestDifference(output, other, null) / (output.length > 1 ? deviation(output) : Math.abs(output[0]));
        if (wanted.pooled() == null) {
            return apart;
        }
        double pooled = largestDifference(wanted.pooled(), result.pooled(), null) / deviation(wanted.pooled());
        return apart >= pooled ? apart : pooled;
    }

    /** The same model with its weights in memory, since many others are made of them. */
    public static Model inMemory(Transformer transformer) throws IOException {
        Model model = Model.of(transformer);
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        for (Map.Entry<Role, Matrix> entry : model.weights().entrySet()) {
            Matrix matrix = entry.getValue();
            double[] values = new double[matrix.rows() * matrix.columns()];
            matrix.prepare();
            matrix.read(0, matrix.rows(), values);
            matrix.release();
            weights.put(entry.getKey(), Dense.of(matrix.rows(), matrix.columns(), values));
        }
        return new Model(model.architecture(), weights);
    }

    public static LoadedModel inMemory(String fixture) throws IOException {
        LoadedModel source = Fixtures.open(fixture);
        return new LoadedModel(source.checkpoint(), source.config(), inMemory(source.model()), source.unused());
    }

    /** What a written result would be when it is opened again, without rounding. */
    static LoadedModel loaded(Plan plan) {
        return new LoadedModel(plan.source().checkpoint(), plan.config(), plan.result(), List.of());
    }

    /** A model of a config that no fixture has, with random weights. Gains are random too, so that none hides what it should do. */
    public static LoadedModel random(ObjectNode json, long seed) throws IOException {
        Config config = Config.parse(json.toString());
        Family.Description description = Families.describe(config, Set.of());
        SplittableRandom random = new SplittableRandom(seed);
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        for (Parameter parameter : description.architecture().parameters()) {
            int rows = Math.max(1, parameter.rows());
            double size = parameter.isVector() ? 1 : 3 / Math.sqrt(parameter.columns());
            weights.put(parameter.role(), Dense.of(rows, parameter.columns(),
                    random.doubles((long) rows * parameter.columns(), -size, size).map(v -> v + size / 4).toArray()));
        }
        return new LoadedModel(Fixtures.open("gpt2").checkpoint(), config, new Model(description.architecture(), weights), List.of());
    }
}
