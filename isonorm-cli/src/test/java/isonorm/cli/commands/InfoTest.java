package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import isonorm.cli.Run;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What {@code isonorm info} says of checkpoints, and how it finds them. */
class InfoTest {

    static Stream<String> fixtures() throws IOException {
        return Run.names(Run.fixture(".")).stream().filter(name -> Files.isDirectory(Run.fixture(name)));
    }

    @ParameterizedTest
    @MethodSource("fixtures")
    void everyFamilyIsShown(String name) throws IOException {
        Run run = Run.of("info", Run.fixture(name), "--json");
        if (run.code() == 1) { // a variant nobody supports
            assertEquals(1, run.errors().size(), run.err());
            assertTrue(run.err().contains("supported is"), run.err());
            return;
        }
        JsonNode facts = run.ended(0).json();
        assertTrue(facts.path("parameters").asLong() > 0);
        assertEquals(5, facts.path("forms").size());
        String shown = Run.of("info", Run.fixture(name)).ended(0).out();
        assertFalse(shown.contains("null"), shown);
        for (Map.Entry<String, JsonNode> form : facts.path("forms").properties()) {
            assertTrue(shown.contains("\n  " + form.getKey()), shown);
            assertEquals(form.getValue().path("possible").asBoolean(), form.getValue().path("reasons").isMissingNode());
        }
    }

    @Test
    void whyAFormHasMoreParametersIsSaid() {
        String shown = Run.of("info", Run.fixture("gpt2")).ended(0).out().replaceAll("\\s+", " ");
        assertTrue(shown.contains("so every other tool loads it; its head is a matrix of its own"), shown);
        assertEquals(1, shown.split("matrix of its own", -1).length - 1, shown);
        assertFalse(Run.of("info", Run.fixture("gpt2-untied")).ended(0).out().contains("matrix of its"));
    }

    @ParameterizedTest
    @CsvSource({
        "gpt2, layernorm, pre, true, centred pre-rmsnorm pre-crmsnorm",
        "bert, layernorm, post, true, rmsnorm",
        "llama, rmsnorm, pre, false, ''",
        "olmo2, rmsnorm, output, false, ''",
        "vit, layernorm, pre, false, centred pre-rmsnorm pre-crmsnorm",
        "bloom, layernorm, pre, true, pre-rmsnorm pre-crmsnorm"
    })
    void theFactsAreRight(String name, String kind, String placement, boolean tied, String forms) throws IOException {
        JsonNode facts = Run.of("info", Run.fixture(name), "--json").ended(0).json();
        assertEquals(kind, facts.path("norms").path("kind").asText());
        assertEquals(placement, facts.path("norms").path("placement").asText());
        assertEquals(tied, facts.path("tied").asBoolean());
        List<String> possible = facts.path("forms").properties().stream()
                .filter(form -> form.getValue().path("possible").asBoolean()).map(Map.Entry::getKey).toList();
        assertEquals(forms, String.join(" ", possible));
    }

    @Test
    void everyReasonIsGiven() {
        String shown = Run.of("info", Run.fixture("olmo2")).ended(0).out().replaceAll("\\s+", " ");
        assertTrue(shown.contains("its norms are rmsnorm already"), shown);
        assertTrue(shown.contains("its sub-layers read the stream without a norm"), shown);
    }

    @Test
    void aFileOfTheFolderMeansTheFolder() {
        Path folder = Run.fixture("gpt2").toAbsolutePath();
        assertEquals(Run.of("info", folder, "--json").out(), Run.of("info", folder.resolve("config.json"), "--json").out());
    }

    @Test
    void whetherTextsCanBeReadIsSaidBeforehand(@TempDir Path folder) throws IOException {
        Path example = Run.HOME.resolve("examples/shakespeare-gpt2");
        assertTrue(Run.of("info", example).ended(0).out().contains("read with its tokenizer.json"));
        assertTrue(Run.of("info", example, "--json").ended(0).json().at("/texts/possible").asBoolean());
        for (String file : List.of("config.json", "model.safetensors")) {
            Files.copy(Run.fixture("gpt2").resolve(file), folder.resolve(file));
        }
        String none = Run.of("info", folder, "--json").ended(0).json().at("/texts/reason").asText();
        assertTrue(none.endsWith("tokenizer.json does not exist; a text needs the model's tokenizer.json"), none);
        Files.writeString(folder.resolve("vocab.json"), "{}");
        Files.writeString(folder.resolve("merges.txt"), "");
        String others = Run.of("info", folder, "--json").ended(0).json().at("/texts/reason").asText();
        assertTrue(others.contains("transformers makes of vocab.json and merges.txt: python -c") && others.contains("save_pretrained('" + folder + "')"), others);
        Run run = Run.of("generate", folder, "--prompt", "a").ended(1);
        assertTrue(run.err().contains("merges.txt: python -c"), run.err());
        Files.writeString(folder.resolve("tokenizer.json"), "{");
        assertTrue(Run.of("info", folder, "--json").ended(0).json().at("/texts/reason").asText().contains("not JSON"));
        assertTrue(Run.of("info", Run.fixture("vit"), "--json").ended(0).json().path("texts").isMissingNode());
    }

    @Test
    void aKeyThatComesTwiceIsSaid(@TempDir Path folder) throws IOException {
        Files.copy(Run.fixture("gpt2/model.safetensors"), folder.resolve("model.safetensors"));
        Files.writeString(folder.resolve("config.json"), Files.readString(Run.fixture("gpt2/config.json")).replaceFirst("\\{", "{\"n_head\": 2,"));
        Run run = Run.of("info", folder).ended(0);
        assertTrue(run.err().contains("config.json has the key n_head more than once; the last counts, as in Python"), run.err());
        assertTrue(run.out().contains("4 heads of 12"), run.out());
        assertEquals("", Run.of("info", folder, "--quiet").ended(0).err());
    }

    @Test
    void aTruncatedFileIsOneLine(@TempDir Path folder) throws IOException {
        Files.copy(Run.fixture("gpt2/config.json"), folder.resolve("config.json"));
        byte[] weights = Files.readAllBytes(Run.fixture("gpt2/model.safetensors"));
        Files.write(folder.resolve("model.safetensors"), Arrays.copyOf(weights, weights.length / 2));
        Run run = Run.of("info", folder).ended(1);
        assertEquals(1, run.errors().size());
        assertTrue(run.err().contains("model.safetensors"), run.err());
    }

    @Test
    void anIdMeansTheNewestSnapshotInTheCache(@TempDir Path cache) throws IOException {
        Map<String, String> environment = Map.of("HF_HOME", cache.toString());
        Path model = cache.resolve("hub/models--some--gpt2");
        Path older = Files.createDirectories(model.resolve("snapshots/aaa"));
        Path newer = Files.createDirectories(model.resolve("snapshots/bbb"));
        Files.createFile(older.resolve("config.json"));
        Files.createFile(newer.resolve("config.json"));
        Files.setLastModifiedTime(older, FileTime.fromMillis(1_000_000));
        assertEquals(newer, find("some/gpt2", environment));
        Files.writeString(Files.createDirectories(model.resolve("refs")).resolve("main"), "aaa\n");
        assertEquals(older, find("some/gpt2", environment));
        assertEquals(older, find("some/gpt2", Map.of("HF_HUB_CACHE", cache.resolve("hub").toString())));
    }

    private static Path find(String name, Map<String, String> environment) throws IOException {
        return Checkpoints.of(environment, false, () -> {
            throw new AssertionError("nothing is fetched");
        }).find(name);
    }
}
