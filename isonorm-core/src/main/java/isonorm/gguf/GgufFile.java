package isonorm.gguf;

import static java.nio.charset.StandardCharsets.UTF_8;

import isonorm.model.Progress;
import isonorm.weights.Matrix;
import isonorm.weights.Matrix.Tile;
import isonorm.weights.Quantized;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * Writes a GGUF file, version 3: a header with metadata by key and tensors by name, then the tensors' values, each from a multiple of {@value #ALIGNMENT}
 * bytes on, little-endian.
 */
final class GgufFile {

    private static final int ALIGNMENT = 32;

    /** How many values are in memory at once. */
    private static final int BAND = 1 << 20;

    private static final int UINT32 = 4;
    private static final int INT32 = 5;
    private static final int FLOAT32 = 6;
    private static final int BOOL = 7;
    private static final int STRING = 8;
    private static final int ARRAY = 9;

    private GgufFile() {}

    /**
     * Rows of a matrix, or a part of a vector.
     *
     * @param first the first row, or of a vector the first value
     * @param count how many
     * @param turned how many rows belong to a head whose first and second half are to lie in turn, as neighbours; 0 to keep their order
     */
    record Tensor(String name, GgufType type, Matrix matrix, int first, int count, int turned) {

        private boolean vector() {
            return matrix.rows() == 1;
        }

        private long values() {
            return vector() ? count : (long) count * matrix.columns();
        }

        private long bytes() {
            return type.bytes(values());
        }

        /** Which row of a head stands at a place. */
        private int source(int place) {
            return turned == 0 ? place : place / turned * turned + place % turned / 2 + place % 2 * (turned / 2);
        }
    }

    /** Writes a file that was not there. Metadata are texts, whole numbers of 32 bits without a sign, floats, flags, and lists of texts or ints. */
    static void write(Path file, Map<String, Object> metadata, List<Tensor> tensors, Progress progress) throws IOException {
        Bytes header = new Bytes();
        header.put("GGUF".getBytes(UTF_8));
        header.integer(3);
        header.whole(tensors.size());
        header.whole(metadata.size());
        metadata.forEach((key, value) -> {
            header.text(key);
            header.value(value);
        });
        long offset = 0;
        for (Tensor tensor : tensors) {
            header.text(tensor.name);
            header.integer(tensor.vector() ? 1 : 2);
            header.whole(tensor.vector() ? tensor.count : tensor.matrix.columns());
            if (!tensor.vector()) {
                header.whole(tensor.count);
            }
            header.integer(tensor.type.code());
            header.whole(offset);
            offset = aligned(offset + tensor.bytes());
        }
        header.put(new byte[(int) (aligned(header.size()) - header.size())]);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            write(channel, header.toByteArray());
            long done = 0;
            for (Tensor tensor : tensors) {
                progress.step("writing", done, offset);
                write(channel, tensor);
                write(channel, new byte[(int) (aligned(tensor.bytes()) - tensor.bytes())]);
                done += aligned(tensor.bytes());
            }
            progress.step("writing", done, offset);
            channel.force(true);
        }
    }

    private static long aligned(long bytes) {
        return Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT;
    }

    private static void write(FileChannel channel, Tensor tensor) throws IOException {
        if (tensor.vector()) {
            double[] all = tensor.matrix.vector();
            double[] values = new double[tensor.count];
            Arrays.setAll(values, i -> all[tensor.first + tensor.source(i)]);
            write(channel, tensor, values, values.length);
            return;
        }
        if (tensor.type.block() > 1) {
            writeCodes(channel, tensor, (Quantized) tensor.matrix);
            return;
        }
        int columns = tensor.matrix.columns();
        int step = tensor.turned > 0 ? tensor.turned : Math.max(1, BAND / columns);
        double[] read = new double[Math.multiplyExact(Math.min(step, tensor.count), columns)];
        double[] laid = new double[read.length];
        tensor.matrix.prepare();
        try {
            for (int from = 0; from < tensor.count; from += step) {
                int rows = Math.min(step, tensor.count - from);
                tensor.matrix.read(tensor.first + from, rows, read);
                for (int row = 0; row < rows; row++) {
                    System.arraycopy(read, tensor.source(row) * columns, laid, row * columns, columns);
                }
                write(channel, tensor, laid, rows * columns);
            }
        } finally {
            tensor.matrix.release();
        }
    }

    /** The codes and scales that a matrix has, which would not all come back from its values. */
    private static void writeCodes(FileChannel channel, Tensor tensor, Quantized matrix) throws IOException {
        int columns = matrix.columns();
        byte[] codes = new byte[columns];
        short[] scales = new short[matrix.quantization().groups(columns)];
        matrix.prepare();
        try {
            int step = Math.max(1, BAND / columns);
            for (int from = 0; from < tensor.count; from += step) {
                int rows = Math.min(step, tensor.count - from);
                ByteBuffer bytes = ByteBuffer.allocate(Math.toIntExact(tensor.type.bytes((long) rows * columns))).order(ByteOrder.LITTLE_ENDIAN);
                for (int row = from; row < from + rows; row++) {
                    matrix.readCodes(new Tile(tensor.first + tensor.source(row), 1, 0, columns), codes, scales);
                    tensor.type.encode(codes, scales, columns, bytes);
                }
                write(channel, bytes.array());
            }
        } finally {
            matrix.release();
        }
    }

    private static void write(FileChannel channel, Tensor tensor, double[] values, int count) throws IOException {
        byte[] bytes = new byte[Math.toIntExact(tensor.type.bytes(count))];
        double largest = tensor.type.encoding().encode(values, count, MemorySegment.ofArray(bytes));
        if (!(largest < Double.POSITIVE_INFINITY)) { // also NaN
            throw new IOException(tensor.name + " has a value that does not fit " + tensor.type.label() + "; export it in f32");
        }
        write(channel, bytes);
    }

    private static void write(FileChannel channel, byte[] bytes) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        while (buffer.hasRemaining()) {
            channel.write(buffer);
        }
    }

    /** What a header is made of. */
    private static final class Bytes extends ByteArrayOutputStream {

        void put(byte[] bytes) {
            write(bytes, 0, bytes.length);
        }

        void integer(int value) {
            put(ByteBuffer.allocate(Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array());
        }

        void whole(long value) {
            put(ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array());
        }

        void text(String value) {
            byte[] bytes = value.getBytes(UTF_8);
            whole(bytes.length);
            put(bytes);
        }

        void value(Object value) {
            integer(typeOf(value));
            bare(value);
        }

        private static int typeOf(Object value) {
            return switch (value) {
                case Integer _ -> UINT32;
                case Float _ -> FLOAT32;
                case Boolean _ -> BOOL;
                case String _ -> STRING;
                default -> ARRAY;
            };
        }

        private void bare(Object value) {
            switch (value) {
                case Integer number -> integer(number);
                case Float number -> integer(Float.floatToRawIntBits(number));
                case Boolean flag -> write(flag ? 1 : 0);
                case String text -> text(text);
                case int[] numbers -> {
                    list(INT32, numbers.length);
                    Arrays.stream(numbers).forEach(this::integer);
                }
                case List<?> texts -> {
                    list(STRING, texts.size());
                    texts.forEach(text -> text((String) text));
                }
                default -> throw new IllegalArgumentException("GGUF has no place for a " + value.getClass());
            }
        }

        private void list(int type, int count) {
            integer(type);
            whole(count);
        }
    }
}
