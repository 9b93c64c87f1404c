package isonorm.generate;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.CheckpointException;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.model.Progress;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EndOfTextTest {

    @TempDir
    private Path folder;

    @BeforeEach
    void copy() throws IOException {
        for (String file : new String[] {"config.json", "model.safetensors"}) {
            Files.copy(Path.of("..", "isonorm-core", "src", "test", "resources", "fixtures", "gpt2", file), folder.resolve(file));
        }
        config("3");
    }

    @Test
    void theGenerationConfigComesFirst() throws IOException {
        assertEquals(Set.of(3L), ends());
        generation("{}");
        assertEquals(Set.of(3L), ends());
        generation("{\"eos_token_id\": null}");
        assertEquals(Set.of(3L), ends());
        generation("{\"eos_token_id\": [5, 6]}");
        assertEquals(Set.of(5L, 6L), ends());
        config("null");
        generation("{\"eos_token_id\": 0}");
        assertEquals(Set.of(0L), ends());
        generation("{}");
        assertEquals(Set.of(), ends());
    }

    /** What is written in Isonorm's own format keeps the config that it came from. */
    @Test
    void aConvertedCheckpointEndsAsItsSource() throws IOException {
        Path converted = folder.resolve("converted");
        Conversion.of(LoadedModel.open(folder), Form.PRE_CRMSNORM).writeTo(converted, Progress.NONE);
        assertEquals(Set.of(3L), EndOfText.of(LoadedModel.open(converted)));
    }

    @Test
    void whatIsNoIdIsRefused() throws IOException {
        for (String wrong : new String[] {"\"</s>\"", "1.5", "-1", "[1, null]", "{\"a\": 1}", "99999999999"}) {
            generation("{\"eos_token_id\": " + wrong + "}");
            String said = assertThrows(CheckpointException.class, this::ends).getMessage();
            assertTrue(said.contains("eos_token_id must be a token's id or a list of them, got "), said);
        }
        generation("[1]");
        assertTrue(assertThrows(CheckpointException.class, this::ends).getMessage().endsWith("generation_config.json must be a JSON object, got array"));
    }

    private Set<Long> ends() throws IOException {
        return EndOfText.of(LoadedModel.open(folder));
    }

    private void generation(String json) throws IOException {
        Files.writeString(folder.resolve("generation_config.json"), json);
    }

    private void config(String ends) throws IOException {
        ObjectMapper mapper = new ObjectMapper();
        ObjectNode config = (ObjectNode) mapper.readTree(folder.resolve("config.json").toFile());
        config.set("eos_token_id", mapper.readTree(ends));
        mapper.writeValue(folder.resolve("config.json").toFile(), config);
    }
}
