package isonorm.bench;

import isonorm.checkpoint.SafetensorsFile;
import isonorm.checkpoint.TensorInfo;
import isonorm.convert.LoadedModel;
import isonorm.generate.GeneratedTokens;
import isonorm.generate.Generator;
import isonorm.generate.Options;
import isonorm.inference.Inference;
import isonorm.measure.Machine;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Objects;

/**
 * How long a model that writes about sounds, Whisper for instance, takes to read one and to write tokens about it: {@code CHECKPOINT FEATURES TOKENS THREADS
 * WARM_UPS RUNS}, where FEATURES is a safetensors file with input_features, lines by frames. Prints one line of JSON; seconds are the medians over runs.
 */
public final class Transcribe {

    private Transcribe() {}

    public static void main(String[] arguments) throws IOException {
        LoadedModel model = LoadedModel.open(Path.of(arguments[0]));
        Batch.Sounds sound = sound(Path.of(arguments[1]));
        int tokens = Integer.parseInt(arguments[2]);
        int threads = Integer.parseInt(arguments[3]);
        int warmUps = Integer.parseInt(arguments[4]);
        double[] reading = new double[Integer.parseInt(arguments[5])];
        double[] writing = new double[reading.length];
        double[] all = new double[reading.length];
        String ids = "";
        try (Inference inference = Inference.load(model.model(), Compute.F32, threads)) {
            for (int run = -warmUps; run < reading.length; run++) {
                long start = System.nanoTime();
                GeneratedTokens written = Generator.generateAbout(inference, model, sound, new long[0], Options.tokens(tokens).ignoreEnd(true));
                if (run >= 0) {
                    all[run] = (System.nanoTime() - start) / 1e9;
                    reading[run] = written.reading().toNanos() / 1e9;
                    writing[run] = written.writing().toNanos() / 1e9;
                }
                ids = Arrays.toString(written.rows().getFirst().ids());
            }
        }
        System.out.printf(Locale.ROOT, "{\"machine\": \"%s\", \"seconds\": %.4f, \"reading_seconds\": %.4f, \"writing_seconds\": %.4f, \"ids\": %s}%n",
                Machine.here().line(threads), median(all), median(reading), median(writing), ids);
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    private static Batch.Sounds sound(Path path) throws IOException {
        SafetensorsFile file = SafetensorsFile.open(path);
        TensorInfo info = Objects.requireNonNull(file.tensors().get("input_features"));
        double[] values = new double[Math.toIntExact(info.elements())];
        try (Arena arena = Arena.ofConfined()) {
            Numbers.decode(file.map("input_features", arena), info.dtype(), 0, values.length, values, 0);
        }
        float[] narrow = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            narrow[i] = (float) values[i];
        }
        return new Batch.Sounds(narrow, 1, info.shape().get(1).intValue(), info.shape().get(2).intValue());
    }
}
