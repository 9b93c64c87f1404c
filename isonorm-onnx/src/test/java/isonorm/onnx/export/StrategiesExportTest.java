package isonorm.onnx.export;

import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.convert.Strategies;
import isonorm.layer.Fixture;
import isonorm.layer.ForwardPass;
import isonorm.layer.Noise;
import isonorm.layer.Tolerance;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.onnx.Here;
import isonorm.onnx.OnnxRuntime;
import isonorm.onnx.OnnxRuntime.Values;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Encoder;
import isonorm.onnx.graph.OnnxModel;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Placements, norms, gates and factors that no fixture has are exported as the layers compute them. */
class StrategiesExportTest {

    @TempDir
    private Path folder;

    @Test
    void everyStrategyGivesWhatTheLayersGive() throws IOException {
        List<String> wrong = new ArrayList<>();
        long[] ids = Arrays.stream(Strategies.ids(13, 5)).asLongStream().toArray();
        for (String name : Strategies.all().keySet()) {
            try {
                compare(name, Strategies.all().get(name), Batch.Tokens.of(ids), wrong);
            } catch (IOException | RuntimeException e) {
                wrong.add(name + ": " + e.getMessage());
            }
        }
        for (String name : Strategies.images().keySet()) {
            Architecture shape = Strategies.images().get(name);
            Batch images = Noise.images((Embedding.Patches) shape.embedding(), 2, new SplittableRandom(3));
            try {
                compare(name, shape, images, wrong);
            } catch (IOException | RuntimeException e) {
                wrong.add(name + ": " + e.getMessage());
            }
        }
        assertTrue(wrong.isEmpty(), String.join("\n", wrong));
    }

    private void compare(String name, Architecture shape, Batch batch, List<String> wrong) throws IOException {
        Model model = Strategies.random(shape);
        double[] expected;
        try (ForwardPass pass = ForwardPass.resident(model, Compute.F64); Result result = pass.run(batch)) {
            expected = result.outputValues();
        }
        OnnxModel graph = Exporter.graph(model, new Exporter.Options(23, ElementType.FLOAT, true));
        Path file = folder.resolve(name.replaceAll("\\W", "_") + ".onnx");
        Encoder.write(graph, file, false);
        try (OnnxRuntime.Session session = Here.runtime().open(file, 1)) {
            Values.Reals given = (Values.Reals) session.run(Feeds.of(graph, batch)).values().iterator().next();
            double[] values = new double[given.values().length];
            Arrays.setAll(values, i -> given.values()[i]);
            double worst = Fixture.worst(expected, values);
            if (!(worst <= Tolerance.ORIGINAL_F32)) {
                wrong.add(name + " is " + worst + " away");
            }
        }
    }
}
