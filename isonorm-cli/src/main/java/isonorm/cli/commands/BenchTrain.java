package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.tensor.ProcessMemory;
import isonorm.train.ProcessGroup;
import isonorm.train.StepTimes;
import isonorm.train.Strategy;
import java.io.IOException;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code isonorm bench train}: how long a step of training takes. */
@Command(
        name = "train",
        description = {
            "Measure a step of training: forward, backward, clipping and AdamW, on random tokens. Prints one line of JSON.",
            "gpt: learned positions, biases, GELU. llama: rotary positions, no biases, SwiGLU. The head is not tied."
        },
        footer = {
            "  isonorm bench train --dtype bf16 --arch llama --norm rms",
            "  isonorm bench train --norm rms-equivalent --steps 30"
        })
final class BenchTrain extends Subcommand {

    private static final Map<String, String> NORMS = Map.of("ln", "pre-ln", "rms", "pre-rmsnorm", "crms", "pre-crmsnorm",
            "rms-equivalent", "pre-rmsnorm-equivalent", "crms-equivalent", "pre-crmsnorm-equivalent");

    @Option(names = "--dtype", paramLabel = "TYPE", defaultValue = "f32", converter = Choice.Measurable.class,
            description = "f32, or bf16 with float32 weights. Default: ${DEFAULT-VALUE}.")
    private String dtype;

    @Option(names = "--arch", paramLabel = "KIND", defaultValue = "gpt", description = "gpt or llama. Default: ${DEFAULT-VALUE}.")
    private String kind;

    @Option(names = "--norm", paramLabel = "NORM", defaultValue = "ln",
            description = "ln, rms, crms, rms-equivalent or crms-equivalent. Default: ${DEFAULT-VALUE}.")
    private String norm;

    @Option(names = "--vocab", paramLabel = "N", defaultValue = "4096", description = "Tokens of the vocabulary. Default: ${DEFAULT-VALUE}.")
    private int vocabulary;

    @Option(names = "--seq", paramLabel = "N", defaultValue = "256", description = "Tokens a sequence. Default: ${DEFAULT-VALUE}.")
    private int length;

    @Option(names = "--batch", paramLabel = "N", defaultValue = "8", description = "Sequences. Default: ${DEFAULT-VALUE}.")
    private int batch;

    @Option(names = "--width", paramLabel = "N", defaultValue = "384", description = "Width of the stream. Default: ${DEFAULT-VALUE}.")
    private int width;

    @Option(names = "--layers", paramLabel = "N", defaultValue = "6", description = "Blocks. Default: ${DEFAULT-VALUE}.")
    private int blocks;

    @Option(names = "--heads", paramLabel = "N", defaultValue = "6", description = "Heads. Default: ${DEFAULT-VALUE}.")
    private int heads;

    @Option(names = "--steps", paramLabel = "N", defaultValue = "24", description = "Steps that are counted. Default: ${DEFAULT-VALUE}.")
    private int steps;

    @Option(names = "--warmup", paramLabel = "N", defaultValue = "16",
            description = "Steps before them, while which the JVM compiles. Default: ${DEFAULT-VALUE}.")
    private int warmup;

    @Option(names = "--threads", paramLabel = "N", defaultValue = "2", description = "Threads. Default: ${DEFAULT-VALUE}.")
    private int threads;

    /** How long a step waits for other ranks. */
    private static final Duration WAIT = Duration.ofMinutes(1);

    BenchTrain(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        for (int value : new int[] {vocabulary, length, batch, width, blocks, heads, steps, threads}) {
            if (value < 1) {
                throw wrongUsage("sizes, --steps and --threads must be 1 or more, got " + value);
            }
        }
        if (warmup < 0) {
            throw wrongUsage("--warmup must be 0 or more, got " + warmup);
        }
        if (!NORMS.containsKey(norm)) {
            throw wrongUsage("--norm must be ln, rms, crms, rms-equivalent or crms-equivalent, got " + norm);
        }
        StepTimes.Kind architecture = switch (kind) {
            case "gpt" -> StepTimes.Kind.GPT;
            case "llama" -> StepTimes.Kind.LLAMA;
            default -> throw wrongUsage("--arch must be gpt or llama, got " + kind);
        };
        announceEngine();
        StepTimes times;
        try (ProcessGroup group = ProcessGroup.join(System.getenv(), WAIT); ProgressBar progress = ProgressBar.on(console, quiet || group.rank() > 0)) {
            times = StepTimes.of(new StepTimes.Work(architecture, Strategy.named(NORMS.get(norm)), dtype.equals("bf16"), vocabulary, length, batch,
                    width, blocks, heads, steps + warmup, warmup, threads), group, done -> progress.step("training", done, steps + warmup));
            if (group.rank() > 0) {
                return DONE; // the leading one shows what it measured
            }
        }
        double median = median(times.seconds());
        ObjectNode json = Json.object();
        json.put("mode", "isonorm").put("dtype", dtype).put("arch", kind).put("norm", norm).put("vocab", vocabulary).put("seq", length)
                .put("batch", batch).put("width", width).put("layers", blocks).put("heads", heads).put("steps", steps).put("threads", threads)
                .put("params", times.parameters()).put("median_s", rounded(median)).put("min_s", rounded(Collections.min(times.seconds())))
                .put("tokens_per_s", Math.round(batch * length / median));
        if (!times.waited().isEmpty()) {
            json.put("waited_s", rounded(median(times.waited()))).put("waited_for_gradients_s", rounded(median(times.waitedForGradients())));
        }
        ProcessMemory.peak().ifPresent(peak -> json.put("peak_mib", peak >> 20));
        json.put("machine", Speeds.machine(threads));
        console.jsonLine(json);
        return DONE;
    }

    private static double median(List<Double> seconds) {
        return seconds.stream().sorted().skip(seconds.size() / 2).findFirst().orElseThrow();
    }

    private static double rounded(double seconds) {
        return Math.round(seconds * 1e4) / 1e4;
    }
}
