package isonorm.cli.commands;

import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Version;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code isonorm data}: the commands around what is trained on. */
@Command(
        name = "data",
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        synopsisHeading = "Usage: ",
        descriptionHeading = "%n",
        description = "Make tokens of texts to train on, and look at them.",
        optionListHeading = "%nOptions:%n",
        commandListHeading = "%nCommands:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  isonorm data build *.parquet --tokenizer gpt2/ --out tokens/",
            "  isonorm data show tokens/"
        })
public final class Data implements Runnable {

    @Spec
    private CommandSpec spec;

    private Data() {}

    /** The command with those below it. */
    public static CommandLine line(Console console) {
        return new CommandLine(new Data())
                .addSubcommand("build", new DataBuild(console))
                .addSubcommand("show", new DataShow(console));
    }

    /** Without a command there is nothing to do. */
    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "name what to do: " + String.join(", ", spec.subcommands().keySet()));
    }
}
