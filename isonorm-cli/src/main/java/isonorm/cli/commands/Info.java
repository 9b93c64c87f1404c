package isonorm.cli.commands;

import isonorm.cli.report.Facts;
import isonorm.cli.terminal.Console;
import java.io.IOException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code isonorm info}: what a checkpoint is, and what it can become or why not. Only headers are read. */
@Command(
        name = "info",
        description = "Show what a checkpoint is, what it can become, and every reason why not.",
        footer = {"  isonorm info gpt2/", "  isonorm info EleutherAI/pythia-70m --json"})
public final class Info extends CheckpointCommand {

    @Parameters(paramLabel = "CHECKPOINT", description = "A folder, a file in it, or owner/name[@revision] in the Hugging Face cache.")
    private String checkpoint;

    public Info(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        Facts facts = Facts.of(open(checkpoint));
        if (json) {
            console.json(facts.json());
        } else {
            facts.print(console);
        }
        return DONE;
    }
}
