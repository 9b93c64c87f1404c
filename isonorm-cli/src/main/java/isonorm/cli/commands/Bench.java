package isonorm.cli.commands;

import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Version;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code isonorm bench}: the commands that measure speed. */
@Command(
        name = "bench",
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        synopsisHeading = "Usage: ",
        descriptionHeading = "%n",
        description = "Measure speed: what norms cost, how fast a checkpoint reads and writes, how long a step of training takes.",
        optionListHeading = "%nOptions:%n",
        commandListHeading = "%nCommands:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  isonorm bench norms --model vit-ti,vit-s --plot norms.svg",
            "  isonorm bench generate gpt2/ --dtype bf16"
        })
public final class Bench implements Runnable {

    @Spec
    private CommandSpec spec;

    private Bench() {}

    /** The command with those below it. */
    public static CommandLine line(Console console) {
        return new CommandLine(new Bench())
                .addSubcommand("norms", new BenchNorms(console))
                .addSubcommand("generate", new BenchGenerate(console))
                .addSubcommand("train", new BenchTrain(console));
    }

    /** Without a command there is nothing to measure. */
    @Override
    public void run() {
        throw new ParameterException(spec.commandLine(), "name what to measure: " + String.join(", ", spec.subcommands().keySet()));
    }
}
