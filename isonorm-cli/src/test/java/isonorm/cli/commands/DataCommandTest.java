package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import isonorm.cli.Run;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code isonorm data build} and {@code show}. */
class DataCommandTest {

    private static final Path TEXT = Run.HOME.resolve("examples/tinyshakespeare-heldout.txt");
    private static final Path GPT2 = Run.HOME.resolve("examples/shakespeare-gpt2");

    @TempDir
    Path folder;

    @Test
    void tokensAreBuiltAndShown() throws IOException {
        Path out = folder.resolve("tokens");
        JsonNode built = Run.of("data", "build", TEXT, "--tokenizer", GPT2, "--out", out, "--validation", "0.1", "--json").ended(0).json();
        assertEquals(49_423, built.at("/splits/train/tokens").asInt() + built.at("/splits/validation/tokens").asInt());
        assertEquals(4942, built.at("/splits/validation/tokens").asInt());
        assertEquals(1024, built.path("vocabulary").asInt());
        String shown = Run.of("data", "show", out, "--check").ended(0).out();
        assertTrue(shown.contains("every byte as it was written"), shown);
        assertTrue(shown.contains("44,481 tokens in 1 file"), shown);
        assertTrue(shown.contains("GREMIO: Good morrow, neighbour Baptista."), shown);
        assertEquals(built.path("tokenizer_sha256"), Run.of("data", "show", out, "--json").ended(0).json().path("tokenizer_sha256"));
    }

    @Test
    void aFolderIsReplacedOnlyWhenAskedTo() {
        Path out = folder.resolve("tokens");
        build("--tokenizer", "bytes", "--out", out).ended(0);
        assertEquals(List.of("isonorm: " + out + " exists already; replace it with --overwrite"), build("--tokenizer", "bytes", "--out", out).ended(1).errors());
        Run again = build("--tokenizer", "bytes", "--out", out, "--overwrite").ended(0);
        assertTrue(again.out().contains("Train on it: isonorm train data=" + out), again.out());
    }

    @Test
    void whatItCannotDoIsOneLine() throws IOException {
        Path out = folder.resolve("none/tokens");
        refused(2, "Missing required option: '--tokenizer=FILE'", TEXT, "--out", out);
        refused(2, "--tokenizer must be bytes, a tokenizer.json or a folder that has one, got gpt5, which does not exist", TEXT, "--out", out,
                "--tokenizer", "gpt5");
        refused(2, "--validation must be 0 or more and below 1, got 1.0", TEXT, "--out", out, "--tokenizer", "bytes", "--validation", "1");
        refused(2, "--threads must be 1 or more, got 0", TEXT, "--out", out, "--tokenizer", "bytes", "--threads", "0");
        refused(2, "--end-of-text is for a tokenizer.json", TEXT, "--out", out, "--tokenizer", "bytes", "--end-of-text", "x");
        refused(1, "tokenizer.json does not exist", TEXT, "--out", out, "--tokenizer", folder);
        Path broken = Files.writeString(folder.resolve("a.json"), "{}");
        refused(1, "a.json is no tokenizer that can be read", TEXT, "--out", out, "--tokenizer", broken);
        refused(1, "none.txt does not exist", folder.resolve("none.txt"), "--out", out, "--tokenizer", "bytes");
        Path lines = Files.writeString(folder.resolve("a.jsonl"), "{\"text\": \"a\"}\n{\"txt\": \"b\"}\n");
        refused(1, "a.jsonl line 2 has no key text; its keys are txt", lines, "--out", out, "--tokenizer", "bytes");
        assertFalse(Files.exists(folder.resolve("none")), "nothing is left");
        assertTrue(Run.of("data", "show", folder).ended(1).err().contains("has no dataset.json; isonorm data build makes such a folder"));
        assertTrue(Run.of("data").ended(2).err().contains("name what to do: build, show"));
    }

    private static Run build(Object... arguments) {
        List<Object> all = new ArrayList<>(List.of("data", "build", TEXT));
        all.addAll(List.of(arguments));
        return Run.of(all.toArray());
    }

    private static void refused(int code, String message, Object... arguments) {
        List<Object> all = new ArrayList<>(List.of("data", "build"));
        all.addAll(List.of(arguments));
        Run run = Run.of(all.toArray()).ended(code);
        assertEquals(code == 1 ? 1 : 2, run.errors().size(), run.err());
        assertEquals("", run.out());
        assertTrue(run.err().contains(message), run.err());
    }
}
