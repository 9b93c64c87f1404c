package isonorm.bench;

import com.sun.management.OperatingSystemMXBean;
import isonorm.architecture.Embedding;
import isonorm.convert.LoadedModel;
import isonorm.depth.DepthSurvey;
import isonorm.measure.Machine;
import isonorm.measure.Quartiles;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Transformer;
import isonorm.weights.Model;
import isonorm.weights.Seed;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * What measuring depth costs over the blocks' forward pass alone (no logits), in turn on the same random tokens: {@code CHECKPOINT WINDOW TOKENS
 * ROUNDS [TYPE]}.
 */
public final class DepthOverhead {

    private DepthOverhead() {}

    public static void main(String[] arguments) throws IOException {
        System.out.println(Machine.here().line(Runtime.getRuntime().availableProcessors()));
        Transformer model = LoadedModel.open(Path.of(arguments[0])).model();
        int window = Integer.parseInt(arguments[1]);
        int windows = Integer.parseInt(arguments[2]) / window;
        int rounds = Integer.parseInt(arguments[3]);
        Compute compute = Compute.named(arguments.length > 4 ? arguments[4] : "f32");
        int vocabulary = ((Embedding.Tokens) Model.of(model).architecture().embedding()).vocabulary();
        double[] plain = new double[rounds];
        double[] measured = new double[rounds];
        double[] plainCpu = new double[rounds];
        double[] measuredCpu = new double[rounds];
        try (DepthSurvey survey = DepthSurvey.of(model, compute)) {
            for (int round = -2; round < rounds; round++) { // two to warm up
                long start = System.nanoTime();
                long cpu = cpu();
                survey.readOnly(batches(windows, window, vocabulary));
                long between = System.nanoTime();
                long cpuBetween = cpu();
                survey.measure(batches(windows, window, vocabulary), (long) windows * window, Progress.NONE);
                if (round >= 0) {
                    plain[round] = (between - start) / 1e9;
                    measured[round] = (System.nanoTime() - between) / 1e9;
                    plainCpu[round] = cpuBetween - cpu;
                    measuredCpu[round] = cpu() - cpuBetween;
                }
            }
        }
        Quartiles ratio = Quartiles.ofRatios(measured, plain);
        System.out.printf(Locale.ROOT, "plain %.3f s, measured %.3f s, ratio %.3f (%.3f to %.3f), of processor time %.3f%n", Quartiles.of(plain).median(),
                Quartiles.of(measured).median(), ratio.median(), ratio.lower(), ratio.upper(),
                Quartiles.ofRatios(measuredCpu, plainCpu).median());
    }

    /** Of all threads; what other programs take does not count. */
    private static long cpu() {
        return ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getProcessCpuTime();
    }

    private static Iterator<Batch.Tokens> batches(int windows, int window, int vocabulary) {
        SplittableRandom random = Seed.of(1).random();
        return IntStream.range(0, windows).mapToObj(_ -> Batch.Tokens.of(random.longs(window, 0, vocabulary).toArray())).iterator();
    }
}
