package isonorm.fused;

import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.family.Families;
import isonorm.family.Isonorm;
import isonorm.layer.Fixture;
import isonorm.layer.ForwardPass;
import isonorm.layer.Runner;
import isonorm.measure.RandomWeights;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.mutation.Mutations;
import isonorm.mutation.Mutator;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** An architecture that a config.json of Isonorm's own format can say runs, by the layers and fused, to the same result, or is refused in words. */
class ArchitectureMutationTest {

    /** Values of a model that is run; one of more needs a file of more beside it, which no test has time for. */
    private static final long LARGEST = 1 << 18;

    /** Values of an input. */
    private static final int INPUT = 1 << 14;

    private static final int ROWS = 2;

    private static final int LENGTH = 9;

    /** Of models that are built differently. */
    private static final List<String> SOME = List.of("gpt2", "cohere", "dbrx", "vit", "whisper", "wav2vec2", "electra-generator", "clip", "t5", "deepseek_v2");

    @Test
    void whatIsAcceptedRuns() throws IOException {
        Mutations.run("architectures, run by the layers and fused", 200, valid(), Mutator::json, Runs::run);
    }

    private static List<byte[]> valid() throws IOException {
        List<byte[]> valid = new ArrayList<>();
        for (String name : SOME) {
            LoadedModel loaded = LoadedModel.open(Fixture.named(name).folder());
            List<Architecture> all = new ArrayList<>(List.of(Model.of(loaded.model()).architecture()));
            for (Form form : Form.values()) {
                if (Conversion.refusals(loaded, form).isEmpty()) {
                    all.add(Model.of(Conversion.of(loaded, form).result()).architecture());
                }
            }
            for (Architecture each : all) {
                valid.add(Isonorm.config(each, Isonorm.VERSION).toString().getBytes(StandardCharsets.UTF_8));
            }
        }
        return valid;
    }

    /** Apart from the test's class, which JUnit looks through for methods. */
    private static final class Runs {

        private Runs() {}

        static void run(byte[] json) throws IOException {
            Architecture architecture = described(json);
            if (architecture.parameterCount() > LARGEST) {
                return;
            }
            Model model = RandomWeights.model(architecture, 17);
            SplittableRandom random = new SplittableRandom(17);
            Optional<Batch> main = batch(architecture, random);
            Optional<Batch> beside = architecture.companion().flatMap(other -> batch(other.architecture(), random));
            if (main.isEmpty() || architecture.companion().isPresent() && beside.isEmpty()) {
                return;
            }
            Batch batch = beside.<Batch>map(each -> new Batch.Both(each, main.get())).orElse(main.get());
            double[] plain;
            try (ForwardPass pass = ForwardPass.resident(model, Compute.F32); Result result = pass.run(batch)) {
                plain = result.outputValues();
            }
            try (Runner fused = FusedModel.orLayers(model, Compute.F32, 1); Result result = fused.run(batch)) {
                requireSame(plain, result.outputValues());
            }
        }

        private static Architecture described(byte[] json) throws CheckpointException {
            Config config = Config.parse(new String(json, StandardCharsets.UTF_8));
            if (!config.textOr("", "model_type").equals("isonorm")) {
                throw new IllegalArgumentException("another family's");
            }
            return Families.describe(config, Set.of()).architecture();
        }

        private static Optional<Batch> batch(Architecture architecture, SplittableRandom random) {
            return switch (architecture.embedding()) {
                case Embedding.Tokens tokens -> {
                    int room = tokens.positions() > 0 ? tokens.positions() - tokens.positionOffset() : LENGTH;
                    long[][] ids = new long[ROWS][Math.clamp(room, 1, LENGTH)];
                    for (long[] row : ids) {
                        Arrays.setAll(row, _ -> random.nextInt(tokens.vocabulary()));
                    }
                    yield Optional.of(Batch.Tokens.of(ids));
                }
                case Embedding.Patches shape -> values((long) shape.channels() * shape.height() * shape.width(), random)
                        .map(pixels -> new Batch.Images(pixels, ROWS, shape.channels(), shape.height(), shape.width()));
                case Embedding.Sound sound -> {
                    int frames = sound.framesOf(LENGTH);
                    yield values((long) sound.lines() * frames, random).map(heard -> new Batch.Sounds(heard, ROWS, sound.lines(), frames));
                }
            };
        }

        private static Optional<float[]> values(long each, SplittableRandom random) {
            if (each > INPUT) {
                return Optional.empty();
            }
            float[] values = new float[ROWS * (int) each];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) random.nextGaussian();
            }
            return Optional.of(values);
        }

        /** What is beyond float32 in one is so in the other, or near it. */
        private static void requireSame(double[] plain, double[] fused) {
            OptionalDouble largest = Arrays.stream(plain).map(Math::abs).filter(Double::isFinite).max();
            if (Arrays.stream(plain).allMatch(Double::isFinite) && largest.orElse(0) < 1e30) {
                double worst = Fixture.worst(plain, fused);
                assertTrue(!(worst > 1e-2), () -> "fused, the worst value is " + worst + " of the deviation away");
            }
        }
    }
}
