package isonorm.convert;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Activation;
import isonorm.architecture.Experts;
import isonorm.architecture.Mlp;
import isonorm.architecture.Role;
import isonorm.architecture.Routing;
import isonorm.family.Fixtures;
import isonorm.model.Progress;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.SampleCheckpoint;
import isonorm.weights.SampleCheckpoint.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.DoubleStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Experts: how files hold them, and which of their parameters a token uses. */
class ExpertsTest {

    private static final int EXPERTS = 4;

    private static double[] all(Matrix matrix) throws IOException {
        double[] values = new double[matrix.rows() * matrix.columns()];
        matrix.prepare();
        matrix.read(0, matrix.rows(), values);
        matrix.release();
        return values;
    }

    private static void requireSame(Model expected, Model model) throws IOException {
        assertEquals(expected.architecture(), model.architecture());
        for (Map.Entry<Role, Matrix> entry : expected.weights().entrySet()) {
            assertArrayEquals(all(entry.getValue()), all(model.weight(entry.getKey())), 0, entry.getKey().path());
        }
    }

    /** As transformers has them in memory: gate and up of all experts in one tensor, down in another. */
    private static SampleCheckpoint stacked() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("mixtral");
        for (int l = 0; l < 3; l++) {
            String from = "model.layers." + l + ".block_sparse_moe.";
            String to = "model.layers." + l + ".mlp.";
            List<double[]> both = new ArrayList<>();
            List<double[]> down = new ArrayList<>();
            for (int e = 0; e < EXPERTS; e++) {
                both.add(sample.tensors.remove(from + "experts." + e + ".w1.weight").values());
                both.add(sample.tensors.remove(from + "experts." + e + ".w3.weight").values());
                down.add(sample.tensors.remove(from + "experts." + e + ".w2.weight").values());
            }
            Tensor router = sample.tensors.remove(from + "gate.weight");
            sample.tensors.put(to + "gate.weight", router);
            sample.put(to + "experts.gate_up_proj", router.dtype(), List.of(4L, 256L, 48L), joined(both));
            sample.put(to + "experts.down_proj", router.dtype(), List.of(4L, 48L, 128L), joined(down));
        }
        return sample;
    }

    private static double[] joined(List<double[]> parts) {
        return parts.stream().flatMapToDouble(DoubleStream::of).toArray();
    }

    @Test
    void oneTensorForAllExpertsIsReadAsOneEachAndWrittenSo(@TempDir Path folder) throws IOException {
        Model each = Model.of(Fixtures.open("mixtral").model());
        Path stacked = folder.resolve("stacked");
        stacked().save(stacked);
        LoadedModel opened = LoadedModel.open(stacked);
        requireSame(each, Model.of(opened.model()));
        Pruning.of(opened, List.of(1)).writeTo(folder.resolve("pruned"), Progress.NONE);
        LoadedModel pruned = LoadedModel.open(folder.resolve("pruned"));
        assertTrue(pruned.checkpoint().has("model.layers.1.mlp.experts.gate_up_proj"));
        requireSame(Model.of(Pruning.of(Fixtures.open("mixtral"), List.of(1)).result()), Model.of(pruned.model()));
    }

    @Test
    void everyOrderInWhichFilesHoldExpertsIsWrittenAsItIsRead(@TempDir Path folder) throws IOException {
        for (String fixture : List.of("dbrx", "gpt_oss", "deepseek_v3", "phimoe", "qwen2_moe", "qwen3_moe", "olmoe")) {
            LoadedModel source = Fixtures.open(fixture);
            Pruning pruning = Pruning.of(source, List.of(2)); // the first is DeepSeek's without experts
            pruning.writeTo(folder.resolve(fixture), Progress.NONE);
            requireSame(Model.of(pruning.result()), Model.of(LoadedModel.open(folder.resolve(fixture)).model()));
        }
    }

    @Test
    void aTokenUsesThoseItChooses() throws IOException {
        for (String fixture : List.of("mixtral", "qwen2_moe", "dbrx")) {
            Model model = Model.of(Fixtures.open(fixture).model());
            long unused = model.architecture().blocks().stream().mapToLong(block -> block.feedForward() instanceof Experts experts
                    ? 3L * 48 * experts.expert().hidden() * (experts.count() - experts.routing().chosen()) : 0).sum();
            assertEquals(model.architecture().parameterCount() - unused, model.architecture().parametersForToken(), fixture);
            assertTrue(unused > 0);
        }
    }

    @Test
    void expertsThatCannotBeChosenAreRefused() {
        Mlp mlp = Mlp.gated(8, Activation.SILU);
        assertThrows(IllegalArgumentException.class, () -> Experts.of(mlp, 2, Routing.softmax(3, true)));
        Routing two = Routing.softmax(3, true);
        assertThrows(IllegalArgumentException.class, () -> Experts.of(mlp, 8, two.withGroups(new Routing.Groups(4, 1, 2))));
        assertThrows(IllegalArgumentException.class, () -> Experts.of(mlp, 8, two.withGroups(new Routing.Groups(3, 2, 2))));
        assertThrows(IllegalArgumentException.class, () -> new Routing.Groups(2, 3, 1));
        assertThrows(IllegalArgumentException.class, () -> Routing.softmax(0, true));
        assertThrows(IllegalArgumentException.class, () -> Routing.softmax(3, false).withScores(new Routing.Scores.SparseMixer(0.1)));
        assertThrows(IllegalArgumentException.class, () -> Mlp.plain(8, Activation.SILU).withReadingBias().withClamp(7, 1));
    }
}
