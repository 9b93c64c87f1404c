package isonorm.convert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.OutputFolder;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.checkpoint.TensorInfo;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the package pages show, run. */
class ConversionSnippetsTest {

    private final Path folder = Path.of("..", "examples", "shakespeare-gpt2");

    @TempDir
    private Path temporary;

    @Test
    void checkpoint() throws IOException {
        Path target = temporary.resolve("copy");
        // @start region="checkpoint"
        Checkpoint checkpoint = Checkpoint.open(folder);
        List<TensorInfo> tensors = new ArrayList<>();
        for (String name : checkpoint.names()) {
            tensors.add(checkpoint.info(name));
        }
        try (OutputFolder output = OutputFolder.create(target, false)) {
            Path file = output.path().resolve("model.safetensors");
            try (SafetensorsWriter writer = SafetensorsWriter.create(file, tensors, checkpoint.metadata())) {
                for (String name : checkpoint.names()) {
                    try (Arena arena = Arena.ofConfined()) {
                        writer.write(name, 0, checkpoint.map(name, arena));
                    }
                }
            }
            checkpoint.config().writeTo(output.path().resolve("config.json"));
            output.commit();
        }
        // @end
        assertEquals(checkpoint.names(), Checkpoint.open(target).names());
    }

    @Test
    void model() throws IOException {
        // @start region="model"
        LoadedModel model = LoadedModel.open(folder);
        int blocks = model.model().depth();
        long parameters = model.model().parameterCount();
        // @end
        assertEquals(8, blocks);
        assertEquals(1_750_272, parameters);
    }

    @Test
    void convert() throws IOException {
        Path target = temporary.resolve("small");
        // @start region="convert"
        LoadedModel model = LoadedModel.open(folder);
        Conversion.Report report = Conversion.of(model, Form.PRE_CRMSNORM).writeTo(target);
        long fewer = report.parametersBefore() - report.parametersAfter();
        // @end
        assertTrue(fewer > 0);
        assertEquals(report.parametersAfter(), LoadedModel.open(target).model().parameterCount());
    }
}
