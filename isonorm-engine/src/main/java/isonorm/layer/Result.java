package isonorm.layer;

import isonorm.tensor.Compute;
import isonorm.tensor.Memory;
import isonorm.tensor.Ops;
import isonorm.weights.Numbers;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/**
 * What a forward pass made of one batch, in its compute type and in libtorch's memory, which is freed when this is closed.
 *
 * <p>The output is (rows, tokens, vocabulary) logits, (rows, labels) scores, or (rows, tokens, width) hidden states; the pooled
 * vectors are (rows, width).
 */
public final class Result implements AutoCloseable {

    private final Compute compute;
    private final Tensor output;
    private final Optional<Tensor> pooled;
    private boolean closed;

    Result(Compute compute, OutputLayer.Made made) {
        this.compute = compute;
        this.output = made.output();
        this.pooled = made.pooled();
    }

    /** A result of which {@code output} is all, whose memory it then owns. */
    public static Result of(Compute compute, Tensor output) {
        return new Result(compute, new OutputLayer.Made(output, Optional.empty()));
    }

    /** The type of the values. */
    public Compute compute() {
        return compute;
    }

    /** The output; valid until this is closed. */
    public Tensor output() {
        return open(output);
    }

    /** The pooled vectors, where the architecture has any; valid until this is closed. */
    public Optional<Tensor> pooled() {
        return pooled.map(this::open);
    }

    public long[] outputShape() {
        return Ops.shape(output());
    }

    public Optional<long[]> pooledShape() {
        return pooled().map(Ops::shape);
    }

    /** All output values as float64. */
    public double[] outputValues() {
        return values(output());
    }

    /** All pooled values as float64. */
    public Optional<double[]> pooledValues() {
        return pooled().map(this::values);
    }

    /** Reads {@code count} output values from {@code first} on to the start of {@code into}. */
    public void readOutput(long first, int count, double[] into) {
        read(output(), first, count, into);
    }

    /** Reads {@code count} pooled values from {@code first} on to the start of {@code into}. */
    public void readPooled(long first, int count, double[] into) {
        read(pooled().orElseThrow(() -> new IllegalStateException("this model pools nothing")), first, count, into);
    }

    private double[] values(Tensor tensor) {
        double[] values = new double[Math.toIntExact(tensor.numel())];
        read(tensor, 0, values.length, values);
        return values;
    }

    private void read(Tensor tensor, long first, int count, double[] into) {
        Numbers.decode(Memory.bytes(tensor), compute.dtype(), first, count, into, 0);
    }

    private Tensor open(Tensor tensor) {
        if (closed) {
            throw new IllegalStateException("this result was closed, and its memory freed");
        }
        return tensor;
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            Memory.free(output);
            pooled.ifPresent(Memory::free);
        }
    }
}
