package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.hub.Hub;
import isonorm.hub.ModelName;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm pull}: a model of the Hugging Face hub, brought into its cache on this machine. */
@Command(
        name = "pull",
        description = {
            "Fetch a model of the Hugging Face hub into the cache that Python's tools share. Then every command takes its name for a checkpoint.",
            "What a checkpoint is read from is fetched, and nothing that is there already; what was cut off goes on where it ended. Each file's hash is checked."
        },
        footer = {
            "  isonorm pull EleutherAI/pythia-70m",
            "  isonorm pull openai-community/gpt2 --revision main --json",
            "  isonorm pull EleutherAI/pythia-70m --include \"*.json\" --include \"tokenizer*\""
        })
public final class Pull extends Subcommand {

    private final Map<String, String> environment;

    @Parameters(paramLabel = "OWNER/NAME", description = "The model, as owner/name or owner/name@revision.")
    private String model;

    @Option(names = "--include", paramLabel = "GLOB", description = "Fetch files of these names instead, as *.json. May be given several times.")
    private List<String> include = List.of();

    @Option(names = "--revision", paramLabel = "R", description = "A branch, a tag or a commit. Default: main.")
    private @Nullable String revision;

    public Pull(Console console) {
        this(console, System.getenv());
    }

    Pull(Console console, Map<String, String> environment) {
        super(console);
        this.environment = environment;
    }

    @Override
    public Integer call() throws IOException {
        Hub.Fetched fetched;
        ModelName name = name();
        try (ProgressBar bar = progress()) {
            fetched = Hub.of(environment).fetch(name, include, bar);
        }
        if (!quiet) {
            fetched.renamed().ifPresent(id -> console.err().println("note: the hub calls " + name.id() + " " + id + " now"));
        }
        long size = fetched.files().values().stream().mapToLong(Long::longValue).sum();
        if (json) {
            ObjectNode result = Json.object().put("model", name.id()).put("revision", name.revision()).put("commit", fetched.commit());
            fetched.renamed().ifPresent(id -> result.put("renamed", id));
            result.put("folder", fetched.folder().toString()).put("bytes", size).put("fetched_bytes", fetched.fetched());
            ArrayNode files = result.putArray("files");
            fetched.files().forEach((file, bytes) -> files.addObject().put("name", file).put("bytes", bytes.longValue()));
            console.json(result);
        } else {
            console.out().println(fetched.folder());
            console.err().println(Table.count(fetched.files().size(), "file") + " of " + Table.bytes(size) + ", "
                    + (fetched.fetched() == 0 ? "all there already" : Table.bytes(fetched.fetched()) + " fetched"));
        }
        return DONE;
    }

    private ModelName name() {
        ModelName name = ModelName.of(model).orElseThrow(() -> wrongUsage("name a model as owner/name, got '" + model + "'"));
        if (revision == null) {
            return name;
        }
        if (model.contains("@")) {
            throw wrongUsage("give a revision once, behind @ or by --revision");
        }
        try {
            return new ModelName(name.id(), revision);
        } catch (IllegalArgumentException e) {
            throw wrongUsage(String.valueOf(e.getMessage()));
        }
    }
}
