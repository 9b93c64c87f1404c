package isonorm.onnx.graph;

import isonorm.model.ConversionRefused;
import isonorm.mutation.Mutations;
import isonorm.mutation.Mutator;
import isonorm.onnx.rewrite.GraphRewrite;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Graphs that were changed at random are rewritten or refused in a line. */
class GraphMutationTest {

    private static final int FEW = 300;

    @TempDir
    private Path folder;

    @Test
    void whateverComesIsReadOrRefused() throws IOException, URISyntaxException {
        Path graphs = Path.of(GraphMutationTest.class.getResource("/graphs/make_graphs.py").toURI()).getParent();
        List<byte[]> valid = new ArrayList<>();
        for (String name : List.of("vit-dynamo", "opt-script", "whisper_encoder-script")) {
            valid.add(Files.readAllBytes(graphs.resolve(name + ".onnx")));
        }
        Path file = folder.resolve("m.onnx");
        Mutations.run("ONNX graphs", FEW, valid, Mutator::bytes, input -> {
            Files.write(file, input);
            OnnxModel model = Decoder.read(file);
            try {
                GraphRewrite.of(model, false);
            } catch (ConversionRefused refused) {
                return; // with reasons, which name parts of what was changed
            }
        });
    }
}
