package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.ProgressBar;
import isonorm.convert.LoadedModel;
import isonorm.weights.Model;
import java.io.IOException;
import java.time.Duration;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm bench generate}: how fast a checkpoint reads a prompt and continues it. */
@Command(
        name = "generate",
        description = {
            "Measure how fast a checkpoint reads a prompt of random tokens and continues it greedily, at batch 1. Prints one line of JSON.",
            "prefill_tokens_per_s: a prompt to be continued, with the logits behind its last token, as a server reads it. "
                    + "prefill_all_logits_tokens_per_s: with the logits behind every token. Each is the best of 4 runs, decode_tokens_per_s "
                    + "the best of 3 continuations of 32 tokens, once the machine's compiler is done with what they run. "
                    + "first_prefill_tokens_per_s: the first prompt of all, before that.",
            "read_bandwidth_gb_per_s: a sum over memory, with as many threads, in the same process. bytes_per_token: the weights "
                    + "that a step of decoding reads. bandwidth_share: which part of the bandwidth decoding uses. machine: what it "
                    + "ran on."
        },
        footer = {
            "  isonorm bench generate gpt2/",
            "  isonorm bench generate gpt2/ --dtype bf16 --prompt 128 --tokens 256"
        })
final class BenchGenerate extends CheckpointCommand {

    @Parameters(paramLabel = "CHECKPOINT", description = "A folder, a file in it, or owner/name[@revision] in the Hugging Face cache.")
    private String checkpoint;

    @Option(names = "--dtype", paramLabel = "TYPE", defaultValue = "f32", converter = Choice.MeasurableAndBits.class,
            description = "The type of weights and activations, f32 or bf16; or the bits of weights, q8 or q4. Default: ${DEFAULT-VALUE}.")
    private String dtype;

    @Option(names = "--prompt", paramLabel = "N", description = "Tokens to read. Default: 512, or what the context leaves.")
    private @Nullable Integer prompt;

    @Option(names = "--tokens", paramLabel = "N", description = "Tokens to generate. Default: 64, or a quarter of a shorter context.")
    private @Nullable Integer tokens;

    @Option(names = "--warm-up", paramLabel = "SECONDS", defaultValue = "5", converter = Choice.WarmUp.class,
            description = "How long it reads, and then continues, before that counts. Default: ${DEFAULT-VALUE}.")
    private Duration warmUp;

    @Option(names = "--threads", paramLabel = "N", defaultValue = "2", description = "Threads. Default: ${DEFAULT-VALUE}.")
    private int threads;

    BenchGenerate(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (prompt != null && prompt < 1 || tokens != null && tokens < 1 || threads < 1) {
            throw wrongUsage("--prompt, --tokens and --threads must be 1 or more");
        }
        LoadedModel model = open(checkpoint);
        int context = Model.of(model.model()).architecture().context();
        int written = tokens != null ? tokens : Math.min(64, Math.max(1, prompt != null ? context - prompt : context / 4));
        int read = prompt != null ? prompt : Math.clamp(context - written, 1, 512);
        announceEngine();
        ObjectNode result;
        try (ProgressBar progress = ProgressBar.on(console, quiet)) {
            result = Speeds.generation(checkpoint, model, dtype, read, written, warmUp, threads, progress);
        }
        console.jsonLine(result);
        return DONE;
    }
}
