package isonorm.onnx.graph;

import isonorm.checkpoint.Dtype;
import isonorm.weights.Numbers;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.util.List;

/** A constant: its name, its shape and its elements. */
public record Tensor(String name, ElementType type, List<Long> shape, Content content) {

    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    public Tensor {
        shape = List.copyOf(shape);
        long bytes = Math.multiplyExact(elements(shape), type.bytes());
        if (content.length() != bytes) {
            throw new IllegalArgumentException("tensor " + name + " of shape " + shape + " has " + bytes + " bytes, got " + content.length());
        }
    }

    /** How many elements a shape has. */
    public static long elements(List<Long> shape) {
        long elements = 1;
        for (long dimension : shape) {
            if (dimension < 0) {
                throw new IllegalArgumentException("a tensor's dimensions are 0 or more, got " + shape);
            }
            elements = Math.multiplyExact(elements, dimension);
        }
        return elements;
    }

    public long elements() {
        return elements(shape);
    }

    /** Whole numbers. */
    public static Tensor of(String name, List<Long> shape, long... values) {
        ByteBuffer bytes = ByteBuffer.allocate(Long.BYTES * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asLongBuffer().put(values);
        return new Tensor(name, ElementType.INT64, shape, Content.Held.of(bytes.array()));
    }

    /** Real numbers, rounded once to a type that weights can be of. */
    public static Tensor of(String name, ElementType type, List<Long> shape, double... values) {
        byte[] bytes = new byte[values.length * type.bytes()];
        Numbers.encode(values, 0, values.length, MemorySegment.ofArray(bytes), type.dtype().orElseThrow(), 0);
        return new Tensor(name, type, shape, Content.Held.of(bytes));
    }

    /** The same under another name. */
    public Tensor named(String other) {
        return new Tensor(other, type, shape, content);
    }

    /** All elements of one that weights can be of, as float64. */
    public double[] reals() throws IOException {
        Dtype dtype = type.dtype().orElseThrow(() -> new IOException("tensor " + name + " holds no real numbers, but " + type));
        double[] values = new double[Math.toIntExact(elements())];
        Numbers.decode(bytes(), dtype, 0, values.length, values, 0);
        return values;
    }

    /** All elements of whole numbers. */
    public long[] integers() throws IOException {
        MemorySegment bytes = bytes();
        long[] values = new long[Math.toIntExact(elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = switch (type) {
                case INT64 -> bytes.getAtIndex(LONG, i);
                case INT32 -> bytes.getAtIndex(INT, i);
                default -> throw new IOException("tensor " + name + " holds no whole numbers, but " + type);
            };
        }
        return values;
    }

    private MemorySegment bytes() throws IOException {
        if (content instanceof Content.Held(MemorySegment held)) {
            return held;
        }
        ByteArrayOutputStream computed = new ByteArrayOutputStream();
        content.writeTo(Channels.newChannel(computed));
        return MemorySegment.ofArray(computed.toByteArray());
    }
}
