package isonorm.cli.commands;

import isonorm.checkpoint.OutputFolder;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Logs;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Version;
import isonorm.convert.LoadedModel;
import isonorm.tensor.Libraries;
import isonorm.tensor.Slowness;
import isonorm.weights.Model;
import isonorm.weights.Positions;
import isonorm.weights.VectorSupport;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** What every command has: where it writes, and how much of it. */
@Command(
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        sortOptions = false,
        optionListHeading = "%nOptions:%n",
        parameterListHeading = "%nParameters:%n",
        descriptionHeading = "%n",
        footerHeading = "%nExamples:%n")
public abstract class Subcommand implements Callable<Integer> {

    public static final int DONE = 0;
    public static final int FAILED = 1;

    final Console console;

    @Option(names = "--json", description = "Print the result as JSON, for programs.")
    boolean json;

    @Option(names = {"-q", "--quiet"}, description = "Print no progress.")
    boolean quiet;

    @Spec
    private CommandSpec spec;

    Subcommand(Console console) {
        this.console = console;
    }

    @Override
    public abstract Integer call() throws IOException;

    /** Says once why the first command that computes takes so long, and why every one does where something slow has to compute. */
    void announceEngine() {
        announceUnpacking();
        if (!quiet) {
            Slowness.here().ifPresent(this::announceSlowness);
        }
    }

    /** Says why numbers of 16 bits take long where nothing else is computed. */
    void announcePlainNumbers() {
        if (!quiet) {
            VectorSupport.obstacle().ifPresent(why -> announceSlowness("numbers of 16 bits are converted by plain loops: " + why));
        }
    }

    private void announceSlowness(String why) {
        console.err().println("slow here: " + why + " (isonorm doctor has more)");
    }

    /** The engine's jars bring their native code packed; said when it is unpacked. */
    void announceUnpacking() {
        Logs.hush();
        if (!quiet) {
            Libraries.beforeUnpacking(folder -> console.err().println("unpacking native code to " + folder + " (first use, up to 130 MB) ..."));
        }
    }

    /** Puts back what a replacement of the folder to write left under another name because it was killed, and says so. */
    void putBack(Path out) throws IOException {
        OutputFolder.restore(out).ifPresent(left -> console.err().println("note: a replacement of " + out + " was killed; what was there, and lay in "
                + left + ", is there again"));
    }

    /** Warns where windows of a text have positions that the model never learned. */
    void warnOfPositions(String name, LoadedModel model, int length) throws IOException {
        OptionalInt untrained = Positions.untrainedFrom(Model.of(model.model()));
        if (untrained.isPresent() && untrained.getAsInt() < length) {
            console.err().println("warning: " + name + " was never trained on positions " + untrained.getAsInt() + " and on, and what it computes there is no"
                    + " measure of it; " + length + " tokens at once reach there, " + untrained.getAsInt() + " do not");
        }
    }

    /** Says that an option's value makes no sense. */
    ParameterException wrongUsage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }

    /** The words of the command line behind the program's name. */
    List<String> arguments() {
        return spec.root().commandLine().getParseResult().originalArgs();
    }

    ProgressBar progress() {
        return ProgressBar.on(console, json || quiet);
    }
}
