package isonorm.cli.commands;

import isonorm.cli.terminal.ProgressBar;
import isonorm.convert.LoadedModel;
import isonorm.hub.Hub;
import isonorm.hub.HubException;
import isonorm.hub.ModelName;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * Finds the checkpoint that an argument means: a folder, a file in it, or {@code owner/name[@revision]} for a model in the Hugging Face cache, which is
 * fetched into it where that was asked for.
 *
 * @param download whether models that are not in the cache are fetched
 */
record Checkpoints(Map<String, String> environment, boolean download, Supplier<ProgressBar> progress) {

    /** Opens what an argument means, and says what there is to say of it. */
    @FunctionalInterface
    interface Opener {
        LoadedModel open(String argument) throws IOException;
    }

    static Checkpoints of(Map<String, String> environment, boolean asked, Supplier<ProgressBar> progress) {
        return new Checkpoints(environment, asked || "1".equals(environment.get("ISONORM_DOWNLOAD")), progress);
    }

    /** The folder or file; a path that exists is never taken for a model's name. */
    Path find(String argument) throws IOException {
        Path path;
        try {
            path = Path.of(argument);
        } catch (InvalidPathException e) {
            throw new IOException("'" + argument + "' is not a path: " + e.getReason(), e);
        }
        Optional<ModelName> name = ModelName.of(argument);
        if (name.isEmpty() || Files.exists(path)) {
            return path;
        }
        Hub hub = Hub.of(environment);
        try {
            return hub.cached(name.get());
        } catch (HubException e) {
            if (!download) {
                throw new IOException(argument + " does not exist as a path, and " + e.getMessage() + "; 'isonorm pull " + argument + "' or --download fetches it", e);
            }
        }
        try (ProgressBar bar = progress.get()) {
            return hub.fetch(name.get(), List.of(), bar).folder();
        }
    }
}
