package isonorm.cli.commands;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.cli.Run;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Failures;
import isonorm.cli.terminal.ProgressBar;
import isonorm.convert.LoadedModel;
import isonorm.hub.FakeHub;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** {@code isonorm pull} from a hub of ours, and names of models in place of folders. */
class PullTest {

    @TempDir
    private Path home;

    private FakeHub fake;
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();

    @BeforeEach
    void serve() throws IOException {
        fake = new FakeHub();
        Map<String, byte[]> files = new HashMap<>();
        for (String file : List.of("config.json", "model.safetensors")) {
            files.put(file, Files.readAllBytes(Run.fixture("gpt2").resolve(file)));
        }
        files.put("README.md", "no".getBytes(StandardCharsets.UTF_8));
        fake.put("some/gpt2", files);
        fake.rename("old/gpt2", "some/gpt2");
    }

    @AfterEach
    void stop() throws IOException {
        fake.close();
    }

    private Map<String, String> environment(String... more) {
        Map<String, String> environment = new HashMap<>(Map.of("HF_ENDPOINT", fake.endpoint(), "HF_HOME", home.toString()));
        for (int i = 0; i < more.length; i += 2) {
            environment.put(more[i], more[i + 1]);
        }
        return environment;
    }

    private Console console() {
        return new Console(new PrintStream(out, true, StandardCharsets.UTF_8), new PrintStream(err, true, StandardCharsets.UTF_8), false, false);
    }

    private int pull(String... arguments) {
        out.reset();
        err.reset();
        CommandLine line = new CommandLine(new Pull(console(), environment()));
        line.setExecutionExceptionHandler((e, _, _) -> {
            console().error(Failures.describe(e));
            return Subcommand.FAILED;
        });
        return line.execute(arguments);
    }

    private Path find(String argument, boolean download, String... more) throws IOException {
        return Checkpoints.of(environment(more), download, () -> ProgressBar.on(console(), true)).find(argument);
    }

    @Test
    void aModelIsFetchedOnceAndOpensByItsName() throws IOException {
        assertEquals(0, pull("some/gpt2"), err::toString);
        Path folder = Path.of(out.toString(StandardCharsets.UTF_8).strip());
        assertTrue(err.toString(StandardCharsets.UTF_8).startsWith("2 files of "), err::toString);
        assertEquals(folder, find("some/gpt2", false));
        assertEquals(LoadedModel.open(Run.fixture("gpt2")).model().width(), LoadedModel.open(folder).model().width());
        assertEquals(0, pull("some/gpt2", "--json"));
        JsonNode result = new ObjectMapper().readTree(out.toByteArray());
        assertEquals(0, result.path("fetched_bytes").asLong());
        assertEquals(folder.toString(), result.path("folder").asText());
        assertEquals(List.of("config.json", "model.safetensors"), result.path("files").findValuesAsText("name"));
        assertEquals(folder, find("some/gpt2@" + result.path("commit").asText(), false));
    }

    @Test
    void filesAreChosenByGlobs() {
        assertEquals(0, pull("some/gpt2", "--include", "*.md", "-q"), err::toString);
        IOException partly = assertThrows(IOException.class, () -> find("some/gpt2", false));
        assertTrue(partly.getMessage().contains("is not whole in the Hugging Face cache"), partly.getMessage());
        assertEquals(1, pull("some/gpt2", "--include", "*.gguf"));
        assertEquals("isonorm: some/gpt2 has no file that *.gguf matches\n", err.toString(StandardCharsets.UTF_8));
    }

    @Test
    void anotherNameAndAnotherRevisionAreSaid() {
        assertEquals(0, pull("old/gpt2"), err::toString);
        assertTrue(err.toString(StandardCharsets.UTF_8).startsWith("note: the hub calls old/gpt2 some/gpt2 now\n"), err::toString);
        assertEquals(1, pull("some/gpt2", "--revision", "v9"));
        assertEquals("isonorm: some/gpt2 has no revision 'v9'\n", err.toString(StandardCharsets.UTF_8));
    }

    @Test
    void nothingIsFetchedUnlessAskedFor() throws IOException {
        IOException missing = assertThrows(IOException.class, () -> find("some/gpt2", false));
        assertTrue(missing.getMessage().startsWith("some/gpt2 does not exist as a path, and some/gpt2 is not in the Hugging Face cache "), missing.getMessage());
        assertTrue(missing.getMessage().endsWith("; 'isonorm pull some/gpt2' or --download fetches it"), missing.getMessage());
        assertEquals(List.of(), fake.requests);
        Path folder = find("some/gpt2", true);
        assertEquals(folder, find("some/gpt2", false));
        fake.requests.clear();
        assertEquals(folder, find("some/gpt2", true));
        assertEquals(List.of(), fake.requests); // it is there
        find("old/gpt2@main", false, "ISONORM_DOWNLOAD", "1");
        assertThrows(IOException.class, () -> find("some/none", true));
    }

    @Test
    void aPathThatExistsIsNoName() throws IOException {
        assertEquals(Path.of("no-id"), find("no-id", true));
        assertEquals(home, find(home.toString(), true));
        assertEquals(List.of(), fake.requests);
    }
}
