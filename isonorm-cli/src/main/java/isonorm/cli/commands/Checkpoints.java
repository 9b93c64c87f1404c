package isonorm.cli.commands;

import isonorm.convert.LoadedModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Finds the checkpoint that an argument means: a folder, a file in it, or {@code owner/name} for the newest snapshot of a model
 * in the local Hugging Face cache. Nothing is downloaded.
 */
final class Checkpoints {

    /** Opens what an argument means, and says what there is to say of it. */
    @FunctionalInterface
    interface Opener {
        LoadedModel open(String argument) throws IOException;
    }

    private static final Pattern MODEL_ID = Pattern.compile("[\\w.-]+/[\\w.-]+");

    private Checkpoints() {}

    static LoadedModel open(String argument) throws IOException {
        return LoadedModel.open(find(argument, System.getenv()));
    }

    /** The folder or file; a path that exists is never taken for a model of the cache. */
    static Path find(String argument, Map<String, String> environment) throws IOException {
        Path path;
        try {
            path = Path.of(argument);
        } catch (InvalidPathException e) {
            throw new IOException("'" + argument + "' is not a path: " + e.getReason(), e);
        }
        if (Files.exists(path) || !MODEL_ID.matcher(argument).matches()) {
            return path;
        }
        Path model = hub(environment).resolve("models--" + argument.replace("/", "--"));
        if (!Files.isDirectory(model.resolve("snapshots"))) {
            throw new NoSuchFileException(argument, null, "does not exist, neither as a path nor in the Hugging Face cache "
                    + hub(environment) + "; download it first, 'hf download " + argument + "' for instance");
        }
        return snapshot(model).orElseThrow(() -> new NoSuchFileException(argument, null, "has no snapshot in the Hugging Face cache " + model));
    }

    private static Path hub(Map<String, String> environment) {
        if (environment.containsKey("HF_HUB_CACHE")) {
            return Path.of(environment.get("HF_HUB_CACHE"));
        }
        if (environment.containsKey("HF_HOME")) {
            return Path.of(environment.get("HF_HOME"), "hub");
        }
        return Path.of(System.getProperty("user.home"), ".cache", "huggingface", "hub");
    }

    /** What main refers to; else the one that was written last. */
    private static Optional<Path> snapshot(Path model) throws IOException {
        Path main = model.resolve("refs").resolve("main");
        if (Files.isRegularFile(main)) {
            Path referred = model.resolve("snapshots").resolve(Files.readString(main).strip());
            if (Files.isDirectory(referred)) {
                return Optional.of(referred);
            }
        }
        Map<Path, Long> written = new TreeMap<>();
        try (Stream<Path> all = Files.list(model.resolve("snapshots"))) {
            for (Path snapshot : all.filter(Files::isDirectory).toList()) {
                written.put(snapshot, Files.getLastModifiedTime(snapshot).toMillis());
            }
        }
        return written.entrySet().stream().max(Map.Entry.comparingByValue()).map(Map.Entry::getKey);
    }
}
