package isonorm.cli.commands;

import isonorm.cli.terminal.Console;
import isonorm.convert.LoadedModel;
import java.io.IOException;
import picocli.CommandLine.Option;

/** What every command has that reads checkpoints: names of models are fetched where that is asked for. */
abstract class CheckpointCommand extends Subcommand {

    @Option(names = "--download", description = "Fetch a model that is named and not in the Hugging Face cache. ISONORM_DOWNLOAD=1 asks for that always.")
    private boolean download;

    CheckpointCommand(Console console) {
        super(console);
    }

    /** The checkpoint that an argument means. What its user should know of how it was read is said. */
    LoadedModel open(String checkpoint) throws IOException {
        LoadedModel model = LoadedModel.open(Checkpoints.of(System.getenv(), download, this::progress).find(checkpoint));
        if (!quiet) {
            model.checkpoint().remarks().forEach(remark -> console.err().println(remark));
        }
        return model;
    }
}
