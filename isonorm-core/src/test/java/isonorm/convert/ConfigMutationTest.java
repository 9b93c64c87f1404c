package isonorm.convert;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.family.Families;
import isonorm.family.Isonorm;
import isonorm.mutation.Mutations;
import isonorm.mutation.Mutator;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whatever the JSON of a checkpoint says, it is opened or refused. */
class ConfigMutationTest {

    private static final int MANY = 1_000_000;

    @TempDir
    Path folder;

    /** The folders of the fixtures, by one way of placing their tensors. */
    private static List<Path> fixtures() throws IOException {
        try (Stream<Path> folders = Files.list(Path.of("..", "isonorm-core", "src", "test", "resources", "fixtures"))) {
            return folders.filter(each -> Files.isRegularFile(each.resolve("model.safetensors"))
                    && !each.endsWith("bloom-postln-residual")).sorted().toList(); // refused, as its test says
        }
    }

    @Test
    void theConfigOfEveryFamily() throws IOException {
        List<byte[]> valid = new ArrayList<>();
        for (Path fixture : fixtures()) {
            valid.add(Files.readAllBytes(fixture.resolve("config.json")));
        }
        Mutations.run("config.json of all families", 3000, valid, Mutator::json,
                ConfigMutationTest::describe);
    }

    /** A model's files beside it, so that what it says is held to them. */
    @Test
    void aConfigWithTheFilesOfItsModel() throws IOException {
        for (String name : List.of("gpt2", "llama", "bert", "vit")) {
            Path fixture = Path.of("..", "isonorm-core", "src", "test", "resources", "fixtures", name);
            Path model = Files.createDirectories(folder.resolve(name));
            Files.copy(fixture.resolve("model.safetensors"), model.resolve("model.safetensors"));
            Mutations.run("config.json beside " + name, 100, List.of(Files.readAllBytes(fixture.resolve("config.json"))), Mutator::json, input -> {
                Files.write(model.resolve("config.json"), input);
                LoadedModel.open(model);
            });
        }
    }

    @Test
    void theConfigOfIsonormsOwnFormat() throws IOException {
        List<byte[]> valid = new ArrayList<>();
        for (Path fixture : fixtures()) {
            Config config = Isonorm.config(Model.of(LoadedModel.open(fixture).model()).architecture(), Isonorm.VERSION);
            valid.add(config.toString().getBytes(StandardCharsets.UTF_8));
        }
        Mutations.run("config.json with isonorm_ keys", 3000, valid, Mutator::json,
                ConfigMutationTest::describe);
    }

    @Test
    void theIndexOfShards() throws IOException {
        Path fixture = Path.of("..", "isonorm-core", "src", "test", "resources", "fixtures", "gpt_neox-sharded");
        Path model = Files.createDirectories(folder.resolve("shards"));
        try (Stream<Path> files = Files.list(fixture)) {
            for (Path file : files.filter(each -> !each.toString().contains("expected")).toList()) {
                if (Files.isRegularFile(file)) {
                    Files.copy(file, model.resolve(file.getFileName().toString()));
                }
            }
        }
        Path index = model.resolve("model.safetensors.index.json");
        Mutations.run("model.safetensors.index.json", 200, List.of(Files.readAllBytes(index)), Mutator::json, input -> {
            Files.write(index, input);
            LoadedModel.open(model);
        });
    }

    /** Without a file beside it nothing says that a million blocks are too many. */
    private static void describe(byte[] json) throws CheckpointException {
        Config config = parsed(json);
        if (!hasMany(config.values())) {
            Families.describe(config, Set.of()).architecture().parameterCount();
        }
    }

    private static boolean hasMany(@Nullable Object value) {
        return switch (value) {
            case Number number -> number.doubleValue() > MANY;
            case Map<?, ?> map -> map.values().stream().anyMatch(ConfigMutationTest::hasMany);
            case List<?> list -> list.stream().anyMatch(ConfigMutationTest::hasMany);
            case null, default -> false;
        };
    }

    private static Config parsed(byte[] json) throws CheckpointException {
        return Config.parse(new String(json, StandardCharsets.UTF_8));
    }
}
