package isonorm.layer;

import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.convert.PlainForward;
import isonorm.convert.Strategies;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The layers give what the formulas of every strategy say, which {@link PlainForward} has in plain loops. */
class StrategiesTest {

    static Stream<String> words() {
        return Strategies.all().keySet().stream();
    }

    static Stream<String> images() {
        return Strategies.images().keySet().stream();
    }

    @ParameterizedTest
    @MethodSource("words")
    void wordsAreWhatTheFormulasSay(String name) throws IOException {
        Model model = Strategies.random(Strategies.all().get(name));
        int[] ids = Strategies.ids(13, 5);
        requireEqual(name, model, PlainForward.Input.tokens(ids), Batch.Tokens.of(Arrays.stream(ids).asLongStream().toArray()));
    }

    @ParameterizedTest
    @MethodSource("images")
    void imagesAreWhatTheFormulasSay(String name) throws IOException {
        Model model = Strategies.random(Strategies.images().get(name));
        double[] pixels = new SplittableRandom(3).doubles(3 * 8 * 8, -1, 1).map(value -> (float) value).toArray();
        float[] same = new float[pixels.length];
        for (int i = 0; i < same.length; i++) {
            same[i] = (float) pixels[i];
        }
        requireEqual(name, model, new PlainForward.Input(null, pixels, null), new Batch.Images(same, 1, 3, 8, 8));
    }

    private static void requireEqual(String name, Model model, PlainForward.Input input, Batch batch) throws IOException {
        double[] expected = Arrays.stream(new PlainForward(model).run(input).output()).flatMapToDouble(Arrays::stream).toArray();
        for (Compute compute : new Compute[] {Compute.F64, Compute.F32, Compute.BF16}) {
            double allowed = compute == Compute.F64 ? Tolerance.SAME_FUNCTION_F64 : Tolerance.original(compute);
            try (ForwardPass streamed = ForwardPass.streaming(model, compute);
                    ForwardPass resident = ForwardPass.resident(model, compute);
                    Result one = streamed.run(batch);
                    Result other = resident.run(batch)) {
                for (double[] values : new double[][] {one.outputValues(), other.outputValues()}) {
                    double worst = Fixture.worst(expected, values);
                    assertTrue(worst <= allowed, name + " in " + compute.label() + " is " + worst + " away, allowed are " + allowed);
                }
            }
        }
    }
}
