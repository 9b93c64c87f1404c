package isonorm.cli;

import isonorm.cli.commands.Bench;
import isonorm.cli.commands.Choice;
import isonorm.cli.commands.CompareCommand;
import isonorm.cli.commands.Completion;
import isonorm.cli.commands.Convert;
import isonorm.cli.commands.Data;
import isonorm.cli.commands.DepthCommand;
import isonorm.cli.commands.Doctor;
import isonorm.cli.commands.Embed;
import isonorm.cli.commands.Eval;
import isonorm.cli.commands.Export;
import isonorm.cli.commands.Forward;
import isonorm.cli.commands.Generate;
import isonorm.cli.commands.Info;
import isonorm.cli.commands.Prune;
import isonorm.cli.commands.Pull;
import isonorm.cli.commands.Quantize;
import isonorm.cli.commands.Score;
import isonorm.cli.commands.Serve;
import isonorm.cli.commands.Subcommand;
import isonorm.cli.commands.Tour;
import isonorm.cli.commands.Train;
import isonorm.cli.commands.Verify;
import isonorm.cli.commands.Watch;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Failures;
import isonorm.cli.terminal.Stderr;
import isonorm.cli.terminal.Version;
import isonorm.cli.terminal.Width;
import java.io.PrintWriter;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.TypeConversionException;
import picocli.CommandLine.UnmatchedArgumentException;

/** The root of the command line: its commands, its exit codes (0 done, 1 failed or refused, 2 wrong usage) and its errors. */
@Command(
        name = "isonorm",
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        synopsisHeading = "Usage: ",
        descriptionHeading = "%n",
        description = "The normalization of Transformers: converts checkpoints with LayerNorm into exactly equal ones with RMSNorm or "
                + "CRMSNorm, runs them, trains with any strategy, and shows how a model uses its depth.",
        optionListHeading = "%nOptions:%n",
        commandListHeading = "%nCommands:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  isonorm tour                                       all of it, on a GPT-2",
            "  isonorm pull EleutherAI/pythia-70m                 fetch from the hub",
            "  isonorm info gpt2/                                 what it is, can become",
            "  isonorm convert gpt2/ out/ --to pre-crmsnorm       convert and verify",
            "  isonorm generate gpt2/ --prompt \"Once upon\"        continue a text",
            "  isonorm train strategy=peri-ln                     train a small model",
            "  isonorm compare                                    see who wins",
            "  isonorm depth gpt2/ --out report                   plots of its blocks",
            "  isonorm doctor                                     what is wrong or slow",
            "",
            "A checkpoint is a folder with config.json and safetensors, a file in it, or owner/name[@revision] "
                    + "for a model in the Hugging Face cache, to which 'isonorm pull' fetches it, and --download with any "
                    + "command. 'isonorm help COMMAND' says more of each. Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 130 and 143 ended by Ctrl-C and SIGTERM. "
                    + "Environment: ISONORM_JAVA_OPTS (JVM options, -Xmx8g for instance), ISONORM_ONNXRUNTIME (its jar), ISONORM_DOWNLOAD=1 (names are "
                    + "fetched), ISONORM_DEBUG=1 (stack traces), COLUMNS, NO_COLOR; the hub's HF_HOME, HF_TOKEN, HF_ENDPOINT, ..."
        })
public final class Main implements Runnable {

    private static final int WRONG_USAGE = 2;

    /** What picocli takes for a command: an object with its annotations, or a line of them. */
    static final Map<String, Function<Console, Object>> COMMANDS = new LinkedHashMap<>();

    static {
        COMMANDS.put("tour", Tour::new);
        COMMANDS.put("info", Info::new);
        COMMANDS.put("pull", Pull::new);
        COMMANDS.put("convert", Convert::new);
        COMMANDS.put("export", Export::new);
        COMMANDS.put("verify", Verify::new);
        COMMANDS.put("eval", Eval::new);
        COMMANDS.put("score", Score::new);
        COMMANDS.put("generate", Generate::new);
        COMMANDS.put("serve", Serve::new);
        COMMANDS.put("forward", Forward::new);
        COMMANDS.put("embed", Embed::new);
        COMMANDS.put("train", Train::new);
        COMMANDS.put("watch", Watch::new);
        COMMANDS.put("data", Data::line);
        COMMANDS.put("compare", CompareCommand::new);
        COMMANDS.put("depth", DepthCommand::new);
        COMMANDS.put("prune", Prune::new);
        COMMANDS.put("quantize", Quantize::new);
        COMMANDS.put("bench", Bench::line);
        COMMANDS.put("doctor", Doctor::new);
        COMMANDS.put("completion", Completion::new);
    }

    /** Set when the JVM was told to end: what fails from then on fails because of that. */
    private static volatile boolean interrupted;

    private Main() {}

    /** Runs one command and ends the JVM with its exit code. */
    public static void main(String[] args) {
        Stderr.takeBack();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> interrupted = true));
        System.exit(run(Console.system(), args));
    }

    /** Runs one command and returns its exit code; nothing is thrown. */
    public static int run(Console console, String... given) {
        String[] args = asOptions(given);
        CommandLine line = new CommandLine(new Main());
        // Only the one that is asked for, if it is: reading the annotations of all takes a third of a start.
        Map<String, Function<Console, Object>> commands = args.length > 0 && COMMANDS.containsKey(args[0]) && !args[0].equals("completion")
                ? Map.of(args[0], COMMANDS.get(args[0]))
                : COMMANDS;
        commands.forEach((name, command) -> line.addSubcommand(name, command.apply(console)));
        line.setExpandAtFiles(false); // a prompt may begin with @
        ITypeConverter<Integer> whole = word -> (int) whole(word, Integer.MIN_VALUE, Integer.MAX_VALUE);
        ITypeConverter<Long> whole64 = word -> whole(word, Long.MIN_VALUE, Long.MAX_VALUE);
        line.registerConverter(int.class, whole).registerConverter(Integer.class, whole);
        line.registerConverter(long.class, whole64).registerConverter(Long.class, whole64);
        line.setUsageHelpWidth(Width.ofHelp());
        line.setColorScheme(Help.defaultColorScheme(console.colour() ? Help.Ansi.ON : Help.Ansi.OFF));
        line.setOut(new PrintWriter(console.rawOut(), true, StandardCharsets.UTF_8));
        line.setErr(new PrintWriter(console.err(), true, StandardCharsets.UTF_8));
        line.setParameterExceptionHandler((e, _) -> usageError(console, e));
        line.setExecutionExceptionHandler((e, _, _) -> failure(console, e));
        int code;
        try {
            code = line.execute(args);
        } catch (Throwable e) { // errors pass picocli's handler; out of memory is the usual one
            code = failure(console, e);
        }
        Optional<String> unprinted = code == Subcommand.DONE ? console.unprinted() : Optional.empty();
        if (unprinted.isPresent()) {
            console.error("standard output cannot be written: " + unprinted.get());
            return Subcommand.FAILED;
        }
        console.out().flush();
        return code;
    }

    /** What people write for help and the version: nothing, help X, and version. */
    private static String[] asOptions(String... given) {
        if (given.length == 0 || given.length == 1 && given[0].equals("help")) {
            return new String[] {"--help"};
        }
        return switch (given[0]) {
            case "help" -> COMMANDS.containsKey(given[1]) ? Stream.concat(Arrays.stream(given).skip(1), Stream.of("--help")).toArray(String[]::new)
                    : new String[] {given[1]}; // which says that there is none
            case "version" -> Stream.concat(Stream.of("--version"), Arrays.stream(given).skip(1)).toArray(String[]::new);
            default -> given;
        };
    }

    /** The whole number that a word is: 1000, 1_000 or 1e3. */
    private static long whole(String word, long least, long most) {
        try {
            long number = new BigDecimal(word.replace("_", "")).longValueExact();
            if (number >= least && number <= most) {
                return number;
            }
        } catch (ArithmeticException | NumberFormatException e) {
            // said below
        }
        throw new TypeConversionException("'" + word + "' is no whole number" + (word.matches("[+-]?[0-9_]+") ? " from " + least + " to " + most : ""));
    }

    private static int failure(Console console, Throwable e) {
        if (interrupted) {
            return Subcommand.FAILED;
        }
        if ("1".equals(System.getenv("ISONORM_DEBUG"))) {
            e.printStackTrace(console.err());
        }
        console.error(Failures.describe(e));
        return Subcommand.FAILED;
    }

    private static int usageError(Console console, ParameterException e) {
        CommandSpec spec = e.getCommandLine().getCommandSpec();
        String message = e instanceof UnmatchedArgumentException unmatched && !unmatched.getUnmatched().isEmpty()
                ? unmatched(spec, unmatched.getUnmatched().getFirst())
                : String.valueOf(e.getMessage()).replace(" is not a double", " is no number"); // Java's type
        console.error(message);
        console.err().println("Try '" + spec.qualifiedName() + " --help'.");
        return WRONG_USAGE;
    }

    private static String unmatched(CommandSpec spec, String argument) {
        String word = argument.contains("=") ? argument.substring(0, argument.indexOf('=')) : argument;
        if (word.startsWith("-")) {
            return "unknown option '" + word + "'" + Choice.didYouMean(word, spec.optionsMap().keySet());
        }
        return spec.subcommands().isEmpty()
                ? "unexpected argument '" + argument + "'"
                : "unknown command '" + word + "'" + Choice.didYouMean(word, spec.subcommands().keySet());
    }

    /** Never without a command: help is given in its place. */
    @Override
    public void run() {
        throw new ParameterException(new CommandLine(this), "name a command: " + String.join(", ", COMMANDS.keySet()));
    }
}
