package isonorm.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Failures;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The command line as a whole: help, versions, usage errors and failures. */
class MainTest {

    @ParameterizedTest
    @ValueSource(strings = {"tour", "info", "pull", "convert", "export", "verify", "eval", "score", "generate", "serve", "forward", "embed", "doctor", "completion"})
    void everyCommandHasHelpWithAnExample(String command) {
        assertTrue(Run.of("--help").ended(0).out().contains("\n  " + command + " "));
        String help = Run.of(command, "--help").ended(0).out();
        assertTrue(help.contains("Usage: isonorm " + command), help);
        assertTrue(help.contains("Examples:"), help);
        assertTrue(help.contains("  isonorm " + command), help);
        assertTrue(help.contains("--json"), help);
    }

    @Test
    void outputThatDoesNotArriveIsAFailure() {
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        PrintStream full = new PrintStream(new OutputStream() {
            @Override
            public void write(int b) throws IOException {
                throw new IOException("No space left on device");
            }
        });
        assertEquals(1, Main.run(new Console(full, new PrintStream(err, true), false, false), "info", Run.fixture("gpt2").toString()));
        assertTrue(err.toString().startsWith("isonorm: standard output cannot be written: "), err.toString());
    }

    @Test
    void versionNamesTheVersion() {
        assertTrue(Run.of("--version").ended(0).out().startsWith("isonorm "));
        assertTrue(Run.of("info", "--version").ended(0).out().startsWith("isonorm "));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '"', textBlock = """
            inof                                 | unknown command 'inof'; did you mean info?
            info --jsn x                         | unknown option '--jsn'; did you mean --json?
            info                                 | Missing required parameter: 'CHECKPOINT'
            info a b                             | unexpected argument 'b'
            pull a                               | name a model as owner/name, got 'a'
            pull a/b@c --revision d              | give a revision once, behind @ or by --revision
            pull a/b --revision ..               | a revision is a branch, a tag or a commit, got '..'
            convert a b                          | say what to write: --to FORM or --as FAMILY
            convert a b --to centred --as llama  | --to and --as exclude each other
            convert a b --as lama                | expected one of llama, cohere2_moe, ernie4_5_moe, internvl_vision, auto, got 'lama'; did you mean llama?
            convert a b --to centred --keep-layernorm | --keep-layernorm is of ONNX graphs
            convert a.onnx b --to centred        | --to, --as, --rotate, --untie, --no-code and --dtype are of checkpoints
            convert a b --to pre-rms             | did you mean pre-rmsnorm?
            convert a b --to centred --dtype f8  | expected one of keep, f32, bf16, f16, got 'f8'
            export a                             | Missing required parameter: 'OUT'
            export a b.onnx --dtype bf16         | --dtype bf16 is of GGUF; graphs are f32 or f16
            export a b.gguf --external-data      | --opset, --part, --external-data and --no-verify are of ONNX graphs
            export a b --part head               | expected one of whole, encoder, decoder, decoder-with-past, got 'head'
            eval a --text x --compute fp16       | , got 'fp16'
            verify a b --compute f65             | did you mean f64?
            verify a b --tolerance -1            | --tolerance must be zero or more
            verify a b --tolerance x             | 'x' is no number
            eval a                               | Missing required option: '--text=FILE'
            eval a --text x --window 1           | --window and --tokens must be 2 or more
            eval a --text x --stride 0           | --stride must be 1 to the window
            eval a --text x --window 8 --stride 9 | --stride must be 1 to the window, or tokens are left out, got 9
            eval a --text x --compute f16        | expected one of f64, f32, bf16, q8, q4, got 'f16'
            score a                              | Missing required option: '--data=FILE'
            score a --data x --limit 0           | --limit must be 1 or more, got 0
            score a --data x --shots 2           | --shots N goes with --examples FILE
            score a --data x --data y --data z --shots 2 --examples x --examples y | one for all of --data or one for each
            score a --data x --examples y        | --shots N goes with --examples FILE
            bench                                | name what to measure: norms, generate
            bench norm                           | unknown command 'norm'; did you mean norms?
            bench norms --model vit-x            | expected one of vit-ti, vit-s, vit-b, vit-l, gpt2-small, gpt2-medium, gpt2-xl, llama-134m, got 'vit-x'
            bench norms --dtype f32,f8           | expected one of f32, bf16, got 'f8'
            bench norms --runtime torch          | expected one of isonorm, onnx, got 'torch'
            bench norms --runtime onnx --dtype bf16 | --runtime onnx runs f32, got --dtype bf16
            bench norms --format xml             | expected one of table, md, csv, json, got 'xml'
            bench norms --batch 1,0              | --batch must be 1 or more, got 0
            bench norms --batch x                | 'x' is no whole number
            bench norms --runs -1                | --runs, --tokens and --threads must be 1 or more
            bench norms --threads 0              | --runs, --tokens and --threads must be 1 or more
            bench norms --warm-up -1             | option '--warm-up': must be 0 to 3600 seconds, got '-1'
            bench generate                       | Missing required parameter: 'CHECKPOINT'
            bench generate a --dtype f64         | expected one of f32, bf16, q8, q4, got 'f64'
            bench generate a --tokens 0          | --prompt, --tokens and --threads must be 1 or more
            generate a                           | give a text to continue: --prompt TEXT or --prompt-file FILE
            generate a --prompt x --prompt-file y | --prompt, --prompt-file, --input-text and --input-tokens exclude each other
            generate a --prompt x --max-tokens 0 | --max-tokens and --threads must be 1 or more
            generate a --prompt x --threads 0    | --max-tokens and --threads must be 1 or more
            generate a --prompt x --temperature -1 | a temperature must be a number of 0 (the likeliest token) or more, got -1.0
            generate a --prompt x --top-k 5      | --top-k says what is drawn from, and without --temperature the likeliest token is taken
            generate a --prompt x --top-p 0.5    | --top-p says what is drawn from
            generate a --prompt x --min-p 0.1    | --min-p says what is drawn from
            generate a --prompt x --max-tokens 1e99 | Invalid value for option '--max-tokens'
            generate a --prompt x --temperature 1 --top-p 0 | top-p must be above 0 and at most 1
            generate a --prompt x --temperature 1 --top-k -1 | top-k must be 0 (all tokens) or more, got -1
            generate a --prompt x --temperature 1 --min-p NaN | min-p must be from 0 (all tokens) to 1 (the likeliest), got NaN
            generate a --prompt x --repetition-penalty 0 | a repetition penalty must be a number above 0
            generate a --prompt x --compute f64  | expected one of f32, bf16, f16, q8, q4, got 'f64'
            serve a --port 70000                 | --port must be 0 to 65535, got 70000
            serve a --max-sequences 0            | --max-sequences, --max-waiting and --context must be 1 or more
            serve a --host 0.0.0.0               | on 0.0.0.0 others may reach it; give keys with --api-key-file, or say --insecure
            doctor a                             | unexpected argument 'a'
            forward a --inputs x                 | Missing required option: '--output=OUT'
            embed a --text x                     | --output says where embeddings go
            embed a --text x --json --pooling max | expected one of mean, cls, got 'max'
            """)
    void wrongUsageIsOneLineAndAHint(String arguments, String message) {
        Run run = Run.of((Object[]) arguments.split(" ")).ended(2);
        assertEquals("", run.out());
        assertEquals(2, run.errors().size(), run.err());
        assertTrue(run.errors().getFirst().startsWith("isonorm: "), run.err());
        assertTrue(run.errors().getFirst().contains(message), run.err());
        assertTrue(run.errors().getLast().startsWith("Try 'isonorm"), run.err());
    }

    @Test
    void helpAndVersionsAreWordsToo() {
        String help = Run.of("--help").ended(0).out();
        assertEquals(help, Run.of().ended(0).out());
        assertEquals(help, Run.of("help").ended(0).out());
        assertEquals(Run.of("bench", "norms", "--help").ended(0).out(), Run.of("help", "bench", "norms").ended(0).out());
        assertEquals(Run.of("--version").ended(0).out(), Run.of("version").ended(0).out());
        assertTrue(Run.of("help", "inof").ended(2).err().contains("unknown command 'inof'; did you mean info?"));
        for (String command : List.of("tour", "info", "pull", "convert", "export", "verify", "eval", "score", "generate", "serve", "forward", "embed", "train", "watch", "data",
                "compare", "depth", "prune", "quantize", "bench", "doctor", "completion")) {
            assertTrue(help.contains("\n  " + command + " "), command);
        }
    }

    @Test
    void shellsCompleteEveryCommandAndItsOptions() {
        String script = Run.of("completion").ended(0).out();
        assertTrue(script.contains("complete -F _complete_isonorm") && script.contains("--max-tokens") && script.contains("norms"), script.substring(0, 500));
    }

    /** Eighty columns where nobody says how many there are. */
    @Test
    void helpIsNoWiderThanATerminal() {
        Stream<String[]> commands = Stream.concat(Stream.of("tour", "info", "pull", "convert", "export", "verify", "eval", "score", "generate", "serve", "forward", "embed", "train",
                "watch", "data", "compare", "depth", "prune", "quantize", "bench", "doctor", "completion").map(name -> new String[] {name, "--help"}),
                Stream.of(new String[] {"--help"}, new String[] {"bench", "norms", "--help"}, new String[] {"bench", "train", "--help"},
                        new String[] {"bench", "generate", "--help"}, new String[] {"data", "build", "--help"}, new String[] {"data", "show", "--help"}));
        commands.forEach(command -> Run.of((Object[]) command).ended(0).out().lines().forEach(line ->
                assertTrue(line.length() <= 80, String.join(" ", command) + ": " + line)));
    }

    @Test
    void numbersAndTypesAreTakenAsHandsWriteThem() {
        assertTrue(Run.of("eval", "nowhere", "--text", "x", "--tokens", "1e3", "--compute", "bfloat16").ended(1).err().contains("nowhere"));
        assertTrue(Run.of("generate", "nowhere", "-p", "x", "-n", "1_0", "--compute", "fp16").ended(1).err().contains("nowhere"));
    }

    /** And not as a file of options. */
    @Test
    void aPromptMayBeginWithAnAt(@TempDir Path folder) throws IOException {
        Path options = Files.writeString(folder.resolve("options"), "--version");
        assertTrue(Run.of("generate", "nowhere", "--prompt", "@" + options).ended(1).err().contains("nowhere"));
        assertTrue(Run.of("generate", "nowhere", "--prompt", "@user hello").ended(1).err().contains("nowhere"));
    }

    @Test
    void failuresAreOneLine(@TempDir Path folder) throws IOException {
        Path missing = folder.resolve("missing");
        for (Run run : new Run[] {
            Run.of("info", missing),
            Run.of("info", folder),
            Run.of("convert", missing, folder.resolve("out"), "--to", "centred"),
            Run.of("verify", missing, missing),
            Run.of("eval", missing, "--text", missing),
            Run.of("score", missing, "--data", missing),
            Run.of("bench", "generate", missing),
            Run.of("generate", missing, "--prompt", "a"),
            Run.of("forward", missing, "--inputs", missing, "--output", folder.resolve("out")),
            Run.of("embed", missing, "--text", missing, "--json")
        }) {
            run.ended(1);
            assertEquals(1, run.errors().size(), run.err());
            assertTrue(run.err().startsWith("isonorm: " + folder), run.err());
        }
        assertEquals(0, Run.names(folder).size());
    }

    @Test
    void anUnexpectedErrorShowsNoTrace() {
        assertEquals("internal error, NullPointerException: gone (ISONORM_DEBUG=1 shows where; please report it, with what isonorm doctor prints)",
                Failures.describe(new NullPointerException("gone\nat a.b.C")));
        assertTrue(Failures.describe(new OutOfMemoryError("Java heap space")).startsWith("out of memory: "));
        assertEquals("out of memory: the system has no 5 bytes of memory left to map; computing in f32 or bf16 takes less",
                Failures.describe(new OutOfMemoryError("the system has no 5 bytes of memory left to map")));
        assertEquals("x: No space left on device", Failures.describe(new FileSystemException("x", null, "No space left on device")));
        assertEquals("x: permission denied", Failures.describe(new AccessDeniedException("x")));
        assertEquals("x does not exist", Failures.describe(new UncheckedIOException(new NoSuchFileException("x"))));
    }
}
