package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsFile;
import isonorm.cli.Run;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code isonorm embed}: what it writes and prints, and what it refuses. */
class EmbedTest {

    @TempDir
    Path folder;

    private Path checkpoint;
    private Path text;

    @BeforeEach
    void files() throws IOException {
        checkpoint = Files.createDirectories(folder.resolve("bert"));
        for (String name : List.of("config.json", "model.safetensors")) {
            Files.copy(Run.fixture("bert-base").resolve(name), checkpoint.resolve(name));
        }
        Files.writeString(checkpoint.resolve("tokenizer.json"), """
                {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"},
                 "model": {"type": "WordLevel", "vocab": {"a": 3, "b": 4, "?": 5}, "unk_token": "?"}}""");
        text = Files.writeString(folder.resolve("text"), "a b\nb a a\nb\n");
    }

    @Test
    void whatIsWrittenIsWhatIsPrinted() throws IOException {
        Path out = folder.resolve("out.safetensors");
        Run written = Run.of("embed", checkpoint, "--text", text, "--output", out, "--compute", "f64").ended(0);
        assertTrue(written.out().startsWith("embeddings 3 x 48 in " + out + ", computed in f64"), written.out());
        JsonNode printed = Run.of("embed", checkpoint, "--text", text, "--json", "--compute", "f64").ended(0).json();
        SafetensorsFile file = SafetensorsFile.open(out);
        assertEquals(Dtype.F64, file.tensors().get("embeddings").dtype());
        assertEquals(List.of(3L, 48L), file.tensors().get("embeddings").shape());
        double[] values = new double[3 * 48];
        try (Arena arena = Arena.ofConfined()) {
            Numbers.decode(file.map("embeddings", arena), Dtype.F64, 0, values.length, values, 0);
        }
        for (int i = 0; i < values.length; i++) {
            assertEquals(printed.path("embeddings").path(i / 48).path(i % 48).asDouble(), values[i]);
        }
        assertEquals("mean", printed.path("pooling").asText());
        assertEquals(6, printed.path("tokens").asInt());
        JsonNode first = Run.of("embed", checkpoint, "--text", text, "--json", "--pooling", "cls", "--normalize", "-q").ended(0).json();
        double squares = 0;
        for (JsonNode value : first.path("embeddings").path(1)) {
            squares += value.asDouble() * value.asDouble();
        }
        assertEquals(1, squares, 1e-6);
        assertEquals("cls", first.path("pooling").asText());
        assertTrue(first.path("normalized").asBoolean());
    }

    @Test
    void nothingIsReplacedUnasked() throws IOException {
        Path out = Files.writeString(folder.resolve("out"), "mine");
        assertTrue(Run.of("embed", checkpoint, "--text", text, "--output", out).ended(1).err().contains("--overwrite"));
        assertEquals("mine", Files.readString(out));
        Run.of("embed", checkpoint, "--text", text, "--output", out, "--overwrite").ended(0);
    }

    @Test
    void whatCannotBeEmbeddedIsOneLine() throws IOException {
        assertEquals(1, Run.of("embed", Run.fixture("gpt2"), "--text", text, "--json").ended(1).errors().size());
        Files.delete(checkpoint.resolve("tokenizer.json"));
        assertTrue(Run.of("embed", checkpoint, "--text", text, "--json").ended(1).err().contains("tokenizer.json does not exist"));
    }
}
