package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
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
        ObjectNode result = TokenData.manifest(folder).deepCopy();
        if (check) {
            try (ProgressBar progress = progress()) {
                TokenData.check(folder, progress);
            }
        }
        result.put("train_begins", begin(data.train()));
        result.put("validation_begins", begin(data.validation()));
        if (json) {
            console.json(result);
            return DONE;
        }
        console.out().println(console.bold(folder.toString()) + (check ? ", every byte as it was written" : ""));
        console.out().println();
        DataBuild.print(console, result);
        console.out().println();
        Table.ofFacts().row("train", result.path("train_begins").asText()).row("validation", result.path("validation_begins").asText())
                .print(console.out());
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
