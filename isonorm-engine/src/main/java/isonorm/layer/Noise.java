package isonorm.layer;

import isonorm.architecture.Embedding;
import isonorm.model.Batch;
import java.util.random.RandomGenerator;

/** Images and sounds of normal numbers, for a model to read where nobody gives any. */
public final class Noise {

    private Noise() {}

    /** So many images. */
    public static Batch.Images images(Embedding.Patches shape, int count, RandomGenerator random) {
        return new Batch.Images(values(count * shape.channels() * shape.height() * shape.width(), random), count, shape.channels(), shape.height(),
                shape.width());
    }

    /** So many sounds, as long as {@code steps} vectors in the stream need, or as they must be. */
    public static Batch.Sounds sounds(Embedding.Sound shape, int count, int steps, RandomGenerator random) {
        int frames = shape.framesOf(steps);
        return new Batch.Sounds(values(count * shape.lines() * frames, random), count, shape.lines(), frames);
    }

    private static float[] values(int count, RandomGenerator random) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }
}
