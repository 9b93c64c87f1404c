package isonorm.cli.commands;

import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Logs;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.data.JsonRecords;
import isonorm.data.Manifest;
import isonorm.data.TokenDataBuilder;
import isonorm.data.Vocabulary;
import isonorm.train.Configuration;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm data build}: files of text become a folder of tokens. */
@Command(
        name = "build",
        description = {
            "Make a folder of tokens of files of text, for isonorm train data=OUT.",
            "A .txt file is one document; a file of lines of JSON (.jsonl, .ndjson, .json) or a .parquet file has one a line or row; text and JSON "
                    + "may be packed (.gz, .zst). "
                    + "The end of text stands behind every document. Files may be larger than memory, and nothing of the result depends on "
                    + "the number of threads."
        },
        footer = {
            "  isonorm data build book.txt --tokenizer bytes --out tokens/",
            "  isonorm data build part-*.parquet --key content --tokenizer gpt2/tokenizer.json --out tokens/",
            "  isonorm train data=tokens/"
        })
final class DataBuild extends Subcommand {

    private static final int MOST_MEGABYTES = 2000; // an array has no more

    @Parameters(paramLabel = "FILE", arity = "1..*", description = "Text, lines of JSON or Parquet, by the endings of their names.")
    private List<Path> files;

    @Option(names = "--tokenizer", paramLabel = "FILE", required = true,
            description = "A tokenizer.json, a folder that has one, or bytes: 256 of them, and 256 for the end of text.")
    private String tokenizer;

    @Option(names = "--out", paramLabel = "DIR", required = true, description = "The folder to write.")
    private Path out;

    @Option(names = "--key", paramLabel = "NAME", defaultValue = "text",
            description = "The key of the text in JSON, or its column in CSV or Parquet; meta.text is text within meta, where nothing is called meta.text. "
                    + "Default: ${DEFAULT-VALUE}.")
    private String key;

    @Option(names = "--longest", paramLabel = "MB", defaultValue = "256",
            description = "The longest document, in megabytes of text, of JSON, Parquet and what is packed; longer ones are refused, as are those "
                    + "of more than an eighth of java's memory. Default: ${DEFAULT-VALUE}.")
    private int longest;

    @Option(names = "--end-of-text", paramLabel = "TOKEN",
            description = "The token that ends a text. Default: eos_token of tokenizer_config.json, else what is usual.")
    private @Nullable String endOfText;

    @Option(names = "--validation", paramLabel = "SHARE", defaultValue = "0.01",
            description = "The share of documents that is kept for validation, or of the tokens where there are few documents. "
                    + "Default: ${DEFAULT-VALUE}.")
    private double validation;

    @Option(names = "--seed", paramLabel = "N", defaultValue = "0", description = "Draws them. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(names = "--threads", paramLabel = "N", description = "Default: one a processor.")
    private @Nullable Integer threads;

    @Option(names = "--overwrite", description = "Replace a folder of tokens that is already there.")
    private boolean overwrite;

    DataBuild(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        Logs.hush();
        boolean bytes = tokenizer.equals("bytes");
        if (bytes && endOfText != null) {
            throw wrongUsage("--end-of-text is for a tokenizer.json; of bytes it is 256");
        }
        if (!bytes && !Files.exists(Path.of(tokenizer))) {
            throw wrongUsage("--tokenizer must be bytes, a tokenizer.json or a folder that has one, got " + tokenizer + ", which does not exist");
        }
        if (!(validation >= 0 && validation < 1)) {
            throw wrongUsage("--validation must be 0 or more and below 1, got " + validation);
        }
        if (threads != null && threads < 1) {
            throw wrongUsage("--threads must be 1 or more, got " + threads);
        }
        if (longest < 1 || longest > MOST_MEGABYTES) {
            throw wrongUsage("--longest must be 1 to " + MOST_MEGABYTES + " megabytes, got " + longest);
        }
        putBack(out);
        long start = System.nanoTime();
        Manifest manifest;
        try (Vocabulary vocabulary = bytes ? Vocabulary.bytes() : Vocabulary.open(Path.of(tokenizer), Optional.ofNullable(endOfText));
                ProgressBar progress = progress()) {
            TokenDataBuilder builder = TokenDataBuilder.of(files, vocabulary).key(key).longest(longest * 1_000_000).validation(validation, seed);
            builder = threads == null ? builder : builder.threads(threads);
            manifest = (overwrite ? builder.overwriting() : builder).writeTo(out, progress);
        }
        double seconds = (System.nanoTime() - start) / 1e9;
        long kept = manifest.splits().validation().tokens();
        long tokens = manifest.splits().train().tokens() + kept;
        int sequence = Integer.parseInt(Configuration.of(Map.of()).values().get("sequence"));
        if (kept <= sequence) {
            console.err().println("warning: validation has " + kept + " tokens, and isonorm train evaluates sequences of " + sequence
                    + " unless it is told otherwise, which need one more" + (tokens > 2L * sequence ? "; --validation "
                    + String.format(Locale.ROOT, "%.3g", Math.min(1, 1.01 * (sequence + 1) / tokens)) + " would hold out enough" : ""));
        }
        if (json) {
            console.json(JsonRecords.of(manifest).put("seconds", Math.round(seconds * 1e3) / 1e3)
                    .put("tokens_per_second", Math.round(tokens / seconds)).put("output", out.toString()));
        } else {
            console.out().println(console.bold(out.toString()) + String.format(Locale.ROOT, " (%.1f s, %,.0f tokens/s)", seconds, tokens / seconds));
            console.out().println();
            print(console, manifest);
            console.out().println();
            console.out().println("Train on it: isonorm train data=" + out);
        }
        return DONE;
    }

    /** What a folder's dataset.json says. */
    static void print(Console console, Manifest manifest) {
        Table table = Table.ofFacts()
                .row("documents", Table.count(manifest.documents())
                        + (manifest.emptyDocuments() > 0 ? ", and " + Table.count(manifest.emptyDocuments()) + " without text that were left out" : ""))
                .row("vocabulary", Table.count(manifest.vocabulary()) + " ids, " + manifest.type() + "; " + manifest.endOfText() + " ends a text")
                .row("train", tokens(manifest.splits().train()))
                .row("validation", tokens(manifest.splits().validation()));
        if (manifest.validationBy().equals("end")) {
            table.row("", "validation is the end of the tokens: no document fell to it, or all did");
        }
        table.print(console.out());
    }

    private static String tokens(Manifest.Part part) {
        return Table.count(part.tokens(), "token") + " in " + Table.count(part.shards().size(), "file");
    }
}
