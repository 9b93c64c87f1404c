package isonorm.train;

import isonorm.checkpoint.OutputFolder;
import isonorm.data.RunLock;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** The configuration in a run's folder. */
final class RunFiles {

    private RunFiles() {}

    private static final String TEMPORARY = ".config.yaml.tmp";

    /** See {@link Trainer#isFresh}. */
    static boolean isFresh(Path run) throws IOException {
        if (!Files.isDirectory(run)) {
            return !Files.exists(run);
        }
        try (Stream<Path> files = Files.list(run)) {
            return files.map(file -> file.getFileName().toString()).allMatch(name -> name.equals(RunLock.FILE) || name.equals(TEMPORARY)
                    || RankLog.isName(name));
        }
    }

    static void writeConfiguration(Path run, Configuration configuration) throws IOException {
        List<String> lines = new ArrayList<>();
        configuration.values().forEach((name, value) -> {
            if (!name.equals("out")) {
                lines.add(name + ": '" + value.replace("'", "''") + "'");
            }
        });
        Path temporary = run.resolve(TEMPORARY);
        OutputFolder.write(temporary, (String.join("\n", lines) + "\n").getBytes(StandardCharsets.UTF_8));
        Files.move(temporary, run.resolve("config.yaml"), StandardCopyOption.ATOMIC_MOVE);
    }
}
