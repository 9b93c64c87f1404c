package isonorm.cli.commands;

import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.data.JsonRecords;
import isonorm.data.Manifest;
import isonorm.data.Split;
import isonorm.data.TokenData;
import isonorm.text.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm data show}: what a folder of tokens holds. */
@Command(
        name = "show",
        description = "Show what a folder of tokens holds, and how its two parts begin.",
        footer = {
            "  isonorm data show tokens/",
            "  isonorm data show tokens/ --check"
        })
final class DataShow extends Subcommand {

    private static final int SHOWN = 64; // tokens

    @Parameters(paramLabel = "DIR", description = "A folder that isonorm data build made.")
    private Path folder;

    @Option(names = "--check", description = "Read all of it, and say whether it is what was written.")
    private boolean check;

    DataShow(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        TokenData data = TokenData.open(folder);
        Manifest manifest = Manifest.of(folder);
        if (check) {
            try (ProgressBar progress = progress()) {
                TokenData.check(folder, progress);
            }
        }
        String train = begin(data.train());
        String validation = begin(data.validation());
        if (json) {
            console.json(JsonRecords.of(manifest).put("train_begins", train).put("validation_begins", validation));
            return DONE;
        }
        console.out().println(console.bold(folder.toString()) + (check ? ", every byte as it was written" : ""));
        console.out().println();
        DataBuild.print(console, manifest);
        console.out().println();
        Table.ofFacts().row("train", train).row("validation", validation).print(console.out());
        return DONE;
    }

    /** The first words, in one line. */
    private String begin(Split split) throws IOException {
        long[] ids = Arrays.stream(split.read(0, (int) Math.min(SHOWN, split.tokens()))).asLongStream().toArray();
        try (Tokenizer tokenizer = Tokenizer.open(folder.resolve("tokenizer.json"))) {
            return tokenizer.decode(ids).strip().replaceAll("\\s+", " ") + (split.tokens() > SHOWN ? " ..." : "");
        }
    }
}
