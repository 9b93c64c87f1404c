package isonorm.model;

import java.util.Optional;

/**
 * What a forward pass made of one batch, in its compute type and in native memory, which is freed when this is closed.
 *
 * <p>The output is (rows, tokens, vocabulary) logits, (rows, labels) scores, or (rows, tokens, width) hidden states; the pooled
 * vectors are (rows, width).
 */
public interface Result extends AutoCloseable {

    /** The type of the values. */
    Compute compute();

    /** The output's dimensions. */
    long[] outputShape();

    /** Those of the pooled vectors, where the architecture has any. */
    Optional<long[]> pooledShape();

    /** All output values as float64. */
    double[] outputValues();

    /** All pooled values as float64. */
    Optional<double[]> pooledValues();

    /** Reads {@code count} output values from {@code first} on to the start of {@code into}. */
    void readOutput(long first, int count, double[] into);

    /** Reads {@code count} pooled values from {@code first} on to the start of {@code into}. */
    void readPooled(long first, int count, double[] into);

    /** What the second stack gave, of models that have two: the encoder's output, or the vectors of images; closed with this. */
    default Optional<Result> companion() {
        return Optional.empty();
    }

    @Override
    void close();
}
