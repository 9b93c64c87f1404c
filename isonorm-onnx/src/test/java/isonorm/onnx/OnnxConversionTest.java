package isonorm.onnx;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.model.Progress;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Graphs that torch's two exporters, and ONNX Runtime's optimizer, made of tiny models: make_graphs.py beside them. */
class OnnxConversionTest {

    @TempDir
    private Path folder;

    static Path graph(String name) {
        try {
            return Path.of(OnnxConversionTest.class.getResource("/graphs/make_graphs.py").toURI()).resolveSibling(name + ".onnx");
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "gpt2-dynamo, 5, 5", "opt-dynamo, 5, 5", "opt-script, 5, 5", "bloom-dynamo, 6, 5", "bloom-script, 6, 5", "gpt_neox-dynamo, 5, 5", "phi-dynamo, 3, 3", "falcon-dynamo, 3, 3",
        "falcon-script, 3, 3", "vit-dynamo, 5, 5", "vit-script, 5, 5", "vit-old, 5, 5", "vit-fused, 5, 5", "dinov2-dynamo, 5, 5", "dinov2-script, 5, 5",
        "siglip_vision-dynamo, 5, 5", "siglip_vision-script, 5, 5", "whisper_encoder-dynamo, 5, 5", "whisper_encoder-script, 5, 5"})
    void normsThatCanBeAreRmsNorm(String name, int norms, int changed) throws IOException {
        OnnxConversion.Report report = OnnxConversion.of(graph(name)).verifiedBy(Here.runtime()).writeTo(folder.resolve("out.onnx"), Progress.NONE);
        System.out.println(name + " " + report);
        assertEquals(norms, report.norms());
        assertEquals(changed, report.changed(), report::toString);
        assertTrue(report.error().orElse(1) < 5e-5, report.toString());
    }
}
