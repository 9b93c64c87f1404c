package isonorm.cli.commands;

import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.watch.WatchServer;
import isonorm.cli.watch.WatchedRuns;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm watch}: a page that follows runs as they train. */
@Command(
        name = "watch",
        description = {
            "Follow runs as they train, on a page for this machine's browser: loss, gradient norm, learning rate, tokens a second, "
                    + "variance by depth over time; spikes and runs that diverged are marked.",
            "The page is on the loopback address, so other machines do not get to it; ssh -L 8765:127.0.0.1:8765 MACHINE brings it from a "
                    + "machine far away. Runs that appear later in a folder come into the page by themselves. Ctrl-C ends it."
        },
        footer = {
            "  isonorm watch isonorm-run",
            "  isonorm watch runs/ other-run --port 9000"
        })
public final class Watch extends Subcommand {

    @Parameters(paramLabel = "RUN_OR_DIR", arity = "1..*", description = "Folders of runs, or folders that runs lie in.")
    private List<Path> folders;

    @Option(names = "--port", paramLabel = "P", defaultValue = "8765", description = "0 takes a free one. Default: ${DEFAULT-VALUE}.")
    private int port;

    public Watch(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (port < 0 || port > 0xffff) {
            throw wrongUsage("--port must be 0 to 65535, got " + port);
        }
        WatchedRuns runs = WatchedRuns.of(folders);
        try (WatchServer server = WatchServer.start(runs, port)) {
            if (json) {
                console.jsonLine(Json.object().put("address", server.url()).put("runs", runs.count()));
            } else {
                console.out().println("watching " + runs.count() + (runs.count() == 1 ? " run" : " runs") + " on " + console.bold(server.url())
                        + ", until Ctrl-C");
            }
            console.out().flush();
            new CountDownLatch(1).await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return DONE;
    }
}
