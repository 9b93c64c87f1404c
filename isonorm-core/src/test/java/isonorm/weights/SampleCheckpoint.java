package isonorm.weights;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;

/** A checkpoint in memory, made by hand or read from a folder, to be changed and written. It uses nothing of the code under test. */
public final class SampleCheckpoint {

    /** One tensor's bytes as a file holds them. */
    public record Tensor(Dtype dtype, List<Long> shape, byte[] bytes) {

        /** A tensor of these values, which should be exact in the type. */
        public static Tensor of(Dtype dtype, List<Long> shape, double... values) {
            ByteBuffer bytes = ByteBuffer.allocate(values.length * dtype.bytes()).order(ByteOrder.LITTLE_ENDIAN);
            for (double value : values) {
                switch (dtype) {
                    case F64 -> bytes.putDouble(value);
                    case F32 -> bytes.putFloat((float) value);
                    case F16 -> bytes.putShort(Float.floatToFloat16((float) value));
                    case BF16 -> bytes.putShort((short) (Float.floatToRawIntBits((float) value) >>> 16));
                    case I64 -> bytes.putLong((long) value);
                    case I32 -> bytes.putInt((int) value);
                    case U8, I8, BOOL, F8_E4M3 -> bytes.put((byte) value);
                    default -> throw new IllegalStateException("no values of " + dtype);
                }
            }
            return new Tensor(dtype, shape, bytes.array());
        }

        public double[] values() {
            ByteBuffer from = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
            double[] values = new double[bytes.length / dtype.bytes()];
            for (int i = 0; i < values.length; i++) {
                values[i] = switch (dtype) {
                    case F64 -> from.getDouble();
                    case F32 -> from.getFloat();
                    case F16 -> Float.float16ToFloat(from.getShort());
                    case BF16 -> Float.intBitsToFloat(from.getShort() << 16);
                    case I64 -> from.getLong();
                    default -> throw new IllegalStateException("no values of " + dtype);
                };
            }
            return values;
        }

        /** The same tensor with value {@code i} replaced. */
        public Tensor with(int i, double value) {
            double[] values = values();
            values[i] = value;
            return of(dtype, shape, values);
        }
    }

    private static final ObjectMapper JSON = new ObjectMapper();

    public final Map<String, Tensor> tensors = new LinkedHashMap<>();
    public final ObjectNode config;

    public SampleCheckpoint(Config config) throws IOException {
        this((ObjectNode) JSON.readTree(config.toString()));
    }

    public SampleCheckpoint(ObjectNode config) {
        this.config = config;
    }

    /** A checkpoint without tensors. */
    public static SampleCheckpoint empty() {
        return new SampleCheckpoint(JsonNodeFactory.instance.objectNode().put("model_type", "sample"));
    }

    /** Everything in a folder, shards together. */
    public static SampleCheckpoint of(Path folder) throws IOException {
        SampleCheckpoint sample = new SampleCheckpoint((ObjectNode) JSON.readTree(folder.resolve("config.json").toFile()));
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.filter(f -> f.getFileName().toString().matches("model.*\\.safetensors")).sorted().toList()) {
                sample.tensors.putAll(read(file));
            }
        }
        return sample;
    }

    /** The tensors of one file. */
    public static Map<String, Tensor> read(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        int length = (int) ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong();
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> entry : JSON.readTree(bytes, 8, length).properties()) {
            if (!entry.getKey().equals("__metadata__")) {
                List<Long> shape = entry.getValue().get("shape").valueStream().map(JsonNode::asLong).toList();
                int begin = entry.getValue().get("data_offsets").get(0).asInt() + 8 + length;
                int end = entry.getValue().get("data_offsets").get(1).asInt() + 8 + length;
                Dtype dtype = Dtype.valueOf(entry.getValue().get("dtype").asText());
                tensors.put(entry.getKey(), new Tensor(dtype, shape, Arrays.copyOfRange(bytes, begin, end)));
            }
        }
        return tensors;
    }

    public SampleCheckpoint put(String name, Dtype dtype, List<Long> shape, double... values) {
        tensors.put(name, Tensor.of(dtype, shape, values));
        return this;
    }

    /** Renames every tensor. */
    public SampleCheckpoint rename(UnaryOperator<String> change) {
        Map<String, Tensor> renamed = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> renamed.put(change.apply(name), tensor));
        tensors.clear();
        tensors.putAll(renamed);
        return this;
    }

    /** Changes one value of one tensor. */
    public SampleCheckpoint set(String name, int index, double value) {
        tensors.put(name, tensors.get(name).with(index, value));
        return this;
    }

    /** Writes config.json and one model.safetensors. */
    public Path save(Path folder) throws IOException {
        Files.createDirectories(folder);
        JSON.writeValue(folder.resolve("config.json").toFile(), config);
        ObjectNode header = JSON.createObjectNode();
        long at = 0;
        for (String name : new TreeSet<>(tensors.keySet())) {
            Tensor tensor = tensors.get(name);
            ObjectNode entry = header.putObject(name);
            entry.put("dtype", tensor.dtype().name());
            ArrayNode shape = entry.putArray("shape");
            tensor.shape().forEach(shape::add);
            entry.putArray("data_offsets").add(at).add(at += tensor.bytes().length);
        }
        byte[] text = JSON.writeValueAsBytes(header);
        try (OutputStream out = Files.newOutputStream(folder.resolve("model.safetensors"))) {
            out.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(text.length).array());
            out.write(text);
            for (String name : new TreeSet<>(tensors.keySet())) {
                out.write(tensors.get(name).bytes());
            }
        }
        return folder;
    }
}
