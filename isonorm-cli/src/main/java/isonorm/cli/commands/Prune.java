package isonorm.cli.commands;

import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Interruption;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.model.ConversionRefused;
import isonorm.train.Healing;
import isonorm.words.BlockNumbers;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm prune}: writes a checkpoint without some of its blocks. */
@Command(
        name = "prune",
        description = {
            "Write a checkpoint without some of its blocks, in the format it came in. The blocks that stay keep every value and are numbered anew. "
                    + "Before the result appears it is run and compared with the source without these blocks.",
            "Blocks are counted from 0, as their tensors are; 9-11 is 9, 10 and 11. With --count they are chosen on a text: angular, the ones that "
                    + "follow each other with the least angular distance between the first's input and the last's output; influence, those with the least Block Influence (ShortGPT); sensitivity, the ones "
                    + "that follow each other without which the perplexity is lowest."
        },
        footer = {
            "  isonorm prune gpt2/ gpt2-9/ --blocks 9-11",
            "  isonorm prune llama/ small/ --count 4 --by influence --text wiki.txt",
            "  isonorm prune llama/ small/ --count 4 --text wiki.txt --heal 500"
        })
public final class Prune extends CheckpointCommand {

    @Parameters(index = "0", paramLabel = "CHECKPOINT", description = "The checkpoint to prune; it is only read.")
    private String checkpoint;

    @Parameters(index = "1", paramLabel = "OUT", description = "The folder to write.")
    private Path out;

    @Option(names = "--blocks", paramLabel = "BLOCKS", description = "The blocks that go: 9-11, or 3,5,9-11.")
    private @Nullable String blocks;

    @Option(names = "--count", paramLabel = "N", description = "How many blocks go; which, is chosen.")
    private @Nullable Integer count;

    @Option(names = "--by", paramLabel = "MEASURE", description = "How --count chooses: angular, influence or sensitivity. Default: angular.")
    private @Nullable String by;

    @Option(names = "--text", paramLabel = "FILE",
            description = "The UTF-8 text, or folder of tokens, to measure on, and to heal on. Default: an embedded sample of Shakespeare.")
    private @Nullable Path text;

    @Option(names = "--tokens", paramLabel = "N", defaultValue = "16384", description = "How much of it to measure on. Default: ${DEFAULT-VALUE}.")
    private long tokens;

    @Option(names = "--window", paramLabel = "N", description = "Tokens in a window of the text. Default: the context, 1024 at most.")
    private @Nullable Integer window;

    @Option(names = "--heal", paramLabel = "STEPS", description = "Go on training the result on --text for so many steps. A tenth of a file, or what a folder of tokens has for validation, "
                    + "is not learned from, and perplexities are of that.")
    private @Nullable Integer heal;

    private @Nullable Interruption interruption;

    public Prune(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if ((blocks == null) == (count == null)) {
            throw wrongUsage("name the blocks with --blocks, or have them chosen with --count" + (blocks == null ? "" : ", not both"));
        }
        if (by != null && blocks != null) {
            throw wrongUsage("--by says how --count chooses; --blocks names the blocks itself");
        }
        if (by != null && !Pruner.MEASURES.contains(by)) {
            throw wrongUsage("--by must be one of " + String.join(", ", Pruner.MEASURES) + ", got '" + by + "'" + Choice.didYouMean(by, Pruner.MEASURES));
        }
        if (count != null && count < 1 || heal != null && heal < 1 || tokens < 2) {
            throw wrongUsage("--count and --heal must be 1 or more, --tokens 2 or more");
        }
        if (window != null && (window < 2 || window > tokens)) {
            throw wrongUsage("--window must be 2 to --tokens, or there is no whole one, got " + window + " and " + tokens);
        }
        if (heal != null && text == null) {
            throw wrongUsage("--heal learns from a text; give one with --text");
        }
        Optional<Set<Integer>> named = blocks == null ? Optional.empty() : Optional.of(parsed());
        putBack(out);
        if (Files.exists(out)) {
            throw new IOException(out + " exists already; write to another folder");
        }
        ObjectNode result;
        AtomicReference<ObjectNode> measured = new AtomicReference<>();
        try (ProgressBar progress = progress()) {
            result = new Pruner(Optional.ofNullable(text), tokens, Optional.ofNullable(window), Optional.ofNullable(heal), () -> listening(progress))
                    .prune(checkpoint, this::open, out, named, count == null ? 0 : count, by == null ? "angular" : by, this::warnOfPositions,
                            this::announceEngine, measured::set, progress);
        } catch (ConversionRefused refused) {
            throw new IOException("cannot prune " + checkpoint + ": " + refused.getMessage(), refused);
        } catch (IOException e) {
            if (measured.get() != null) {
                printUnwritten(measured.get());
            }
            throw e;
        }
        if (json) {
            console.json(result);
        } else {
            print(result);
        }
        return interrupted(result) ? requireNonNull(interruption).code() : DONE;
    }

    /** Whether it healed fewer steps than it was told. */
    private boolean interrupted(JsonNode result) {
        return heal != null && result.path("healed_steps").asLong() < heal;
    }

    private Interruption listening(ProgressBar progress) {
        interruption = Interruption.listen(() -> {
            progress.close();
            console.err().println("ending with the next step of healing, then writing what it has until then; once more ends at once and leaves nothing");
        });
        return interruption;
    }

    private Set<Integer> parsed() {
        try {
            return BlockNumbers.parse("--blocks", requireNonNull(blocks));
        } catch (IllegalArgumentException e) {
            throw wrongUsage(String.valueOf(e.getMessage()));
        }
    }

    private void print(JsonNode result) {
        console.say(console.bold(checkpoint) + " -> " + console.bold(out.toString()) + " (" + result.path("family").asText() + ")");
        console.out().println();
        Table table = Table.ofFacts()
                .row("removed", removed(result))
                .row("blocks", result.path("blocks_before").asText() + " before, " + result.path("blocks_after").asText() + " after")
                .row("parameters", Table.count(result.path("parameters_before").asLong()) + " before, "
                        + Table.count(result.path("parameters_after").asLong()) + " after");
        perplexities(table, result);
        table.print(console.out());
        if (result.has("perplexity_before")) {
            console.out().println();
            // Perplexity has each token predicted from a text that somebody else wrote.
            console.say("Perplexity does not show what generation loses: each token is predicted from a text that is right until there, and a model that goes on with its own words"
                    + " meets its own errors. Read what it writes (isonorm generate " + out + "), and take tasks (isonorm score), before it is used.");
        }
        if (interrupted(result)) {
            console.out().println();
            console.say("Interrupted: " + result.path("healed_steps") + " of " + heal + " steps. More of them: isonorm train --from " + out + " data=" + text
                    + " steps=" + (requireNonNull(heal) - result.path("healed_steps").asLong()) + " lr=" + BigDecimal.valueOf(Healing.RATE).stripTrailingZeros().toPlainString());
        }
        if (result.has("not_measured")) {
            console.out().println();
            console.say("Note: no perplexity: " + result.path("not_measured").asText());
        }
    }

    /** What was chosen and measured, where the result cannot be written: it took the longest. */
    private void printUnwritten(JsonNode measured) {
        if (json) {
            console.json(measured);
            return;
        }
        Table table = Table.ofFacts().row("to be removed", removed(measured));
        perplexities(table, measured);
        table.print(console.out());
        console.out().flush();
    }

    private static String removed(JsonNode result) {
        List<String> gone = new ArrayList<>();
        result.path("removed_blocks").forEach(block -> gone.add(block.asText()));
        return (gone.size() == 1 ? "block " : "blocks ") + String.join(", ", gone)
                + (result.has("chosen_by") ? ", chosen by " + result.path("chosen_by").asText() : "");
    }

    private static void perplexities(Table table, JsonNode result) {
        if (result.has("perplexity_before")) {
            table.row("perplexity", perplexity(result, "perplexity_before") + " before, " + perplexity(result, "perplexity_after") + " after"
                    + (result.has("perplexity_healed") ? ", " + perplexity(result, "perplexity_healed") + " healed in "
                            + Table.count(result.path("healed_steps").asLong(), "step") : ""));
            table.row("measured on", Table.count(result.path("predicted_tokens").asLong(), "token") + " of " + result.path("text").asText()
                    + " in windows of " + Table.count(result.path("window").asLong())
                    + (result.has("perplexity_healed") ? ", which it never learned from" : ""));
        }
    }

    private static String perplexity(JsonNode result, String name) {
        return result.path(name).isNumber() ? String.format(Locale.ROOT, "%.3f", result.path(name).asDouble()) : "no finite number";
    }
}
