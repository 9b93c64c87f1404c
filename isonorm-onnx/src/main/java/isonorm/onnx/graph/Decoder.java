package isonorm.onnx.graph;

import static java.util.Objects.requireNonNull;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeMap;

/** Reads a model's file; tensors stay in it, or in those beside it, until somebody reads their elements. */
public final class Decoder {

    private final Path file;
    private final Map<String, MemorySegment> beside = new HashMap<>();

    private Decoder(Path file) {
        this.file = file;
    }

    /**
     * The model in a file.
     *
     * @throws IOException if it is none, or has parts that nothing here reads
     */
    public static OnnxModel read(Path file) throws IOException {
        try {
            return new Decoder(file).model(new Fields(mapped(file)));
        } catch (IndexOutOfBoundsException | ArithmeticException e) {
            throw new IOException(file + ": is no ONNX model, or damaged", e);
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": is no ONNX model, or damaged: " + e.getMessage(), e);
        } catch (IOException e) {
            throw e.getMessage() != null && e.getMessage().startsWith(file.toString()) ? e : new IOException(file + ": " + e.getMessage(), e);
        }
    }

    private static MemorySegment mapped(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + " does not exist, or is no file");
        }
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto());
        }
    }

    private OnnxModel model(Fields fields) throws IOException {
        long format = 0;
        String producer = "";
        String version = "";
        Map<String, Long> opsets = new TreeMap<>();
        Map<String, String> metadata = new TreeMap<>();
        Optional<Graph> graph = Optional.empty();
        List<byte[]> rest = new ArrayList<>();
        while (fields.next()) {
            switch (fields.field()) {
                case 1 -> format = fields.number();
                case 2 -> producer = fields.text();
                case 3 -> version = fields.text();
                case 7 -> graph = Optional.of(graph(fields.message()));
                case 8 -> {
                    Fields set = fields.message();
                    String domain = "";
                    long number = 0;
                    while (set.next()) {
                        switch (set.field()) {
                            case 1 -> domain = set.text();
                            case 2 -> number = set.number();
                            default -> {}
                        }
                    }
                    opsets.put(domain, number);
                }
                case 14 -> {
                    String[] entry = entry(fields.message());
                    metadata.put(entry[0], entry[1]);
                }
                case 25 -> throw new IOException("has functions of its own, which are not looked into; export it with them inlined");
                default -> rest.add(fields.whole());
            }
        }
        if (graph.isEmpty() || opsets.isEmpty()) {
            throw new IOException("is no ONNX model, or damaged");
        }
        return new OnnxModel(format, producer, version, opsets, metadata, graph.get(), rest);
    }

    private static String[] entry(Fields fields) throws IOException {
        String[] entry = {"", ""};
        while (fields.next()) {
            if (fields.field() == 1 || fields.field() == 2) {
                entry[fields.field() - 1] = fields.text();
            }
        }
        return entry;
    }

    private Graph graph(Fields fields) throws IOException {
        String name = "";
        List<Node> nodes = new ArrayList<>();
        List<Tensor> constants = new ArrayList<>();
        List<Value> inputs = new ArrayList<>();
        List<Value> outputs = new ArrayList<>();
        List<Value> values = new ArrayList<>();
        List<byte[]> rest = new ArrayList<>();
        while (fields.next()) {
            switch (fields.field()) {
                case 1 -> nodes.add(node(fields.message()));
                case 2 -> name = fields.text();
                case 5 -> constants.add(tensor(fields.message()));
                case 11 -> inputs.add(value(fields));
                case 12 -> outputs.add(value(fields));
                case 13 -> values.add(value(fields));
                case 15 -> throw new IOException("has sparse constants, which are not read");
                default -> rest.add(fields.whole());
            }
        }
        return new Graph(name, nodes, constants, inputs, outputs, values, rest);
    }

    private Node node(Fields fields) throws IOException {
        String op = "";
        String domain = "";
        String name = "";
        List<String> inputs = new ArrayList<>();
        List<String> outputs = new ArrayList<>();
        Map<String, Attribute> attributes = new TreeMap<>();
        List<byte[]> rest = new ArrayList<>();
        while (fields.next()) {
            switch (fields.field()) {
                case 1 -> inputs.add(fields.text());
                case 2 -> outputs.add(fields.text());
                case 3 -> name = fields.text();
                case 4 -> op = fields.text();
                case 5 -> attribute(fields, attributes);
                case 7 -> domain = fields.text();
                default -> rest.add(fields.whole());
            }
        }
        if (outputs.isEmpty()) {
            throw new IOException("operator " + name + " (" + op + ") gives nothing");
        }
        return new Node(op, domain, name, inputs, outputs, attributes, rest);
    }

    private void attribute(Fields whole, Map<String, Attribute> into) throws IOException {
        Fields fields = whole.message();
        String key = "";
        long type = 0;
        long integer = 0;
        float real = 0;
        String text = "";
        Optional<Tensor> tensor = Optional.empty();
        List<Long> integers = new ArrayList<>();
        while (fields.next()) {
            switch (fields.field()) {
                case 1 -> key = fields.text();
                case 2 -> real = fields.real();
                case 3 -> integer = fields.number();
                case 4 -> text = fields.text();
                case 5 -> tensor = Optional.of(tensor(fields.message()));
                case 8 -> fields.integers(integers::add);
                case 20 -> type = fields.number();
                default -> {}
            }
        }
        into.put(key, switch ((int) type) {
            case 1 -> new Attribute.Real(real);
            case 2 -> new Attribute.Integer(integer);
            case 3 -> new Attribute.Text(text);
            case 4 -> new Attribute.Constant(tensor.orElseThrow(() -> new IOException("is no ONNX model, or damaged")));
            case 7 -> new Attribute.Integers(integers);
            default -> new Attribute.Other(whole.bytes().toArray(ValueLayout.JAVA_BYTE), type == 5 || type == 10);
        });
    }

    private Tensor tensor(Fields fields) throws IOException {
        String name = "";
        long type = 0;
        long location = 0;
        List<Long> shape = new ArrayList<>();
        List<Long> integers = new ArrayList<>();
        Optional<MemorySegment> raw = Optional.empty();
        Map<String, String> outside = new HashMap<>();
        while (fields.next()) {
            switch (fields.field()) {
                case 1 -> fields.integers(shape::add);
                case 2 -> type = fields.number();
                case 4, 10 -> raw = Optional.of(joined(raw, fields)); // packed numbers are their bytes
                case 5, 7, 11 -> fields.integers(integers::add);
                case 8 -> name = fields.text();
                case 9 -> raw = Optional.of(fields.bytes());
                case 13 -> {
                    String[] entry = entry(fields.message());
                    outside.put(entry[0], entry[1]);
                }
                case 14 -> location = fields.number();
                default -> {}
            }
        }
        ElementType elements = ElementType.of(type);
        MemorySegment bytes = location == 1 ? outside(name, outside) : raw.isPresent() ? raw.get() : packed(integers, elements);
        return new Tensor(name, elements, shape, new Content.Held(bytes));
    }

    /** What a field has behind what was there before: numbers can come one by one. */
    private static MemorySegment joined(Optional<MemorySegment> before, Fields fields) throws IOException {
        MemorySegment now = fields.isDelimited() ? fields.bytes() : one(fields.number());
        if (before.isEmpty()) {
            return now;
        }
        MemorySegment both = Arena.ofAuto().allocate(before.get().byteSize() + now.byteSize());
        MemorySegment.copy(before.get(), 0, both, 0, before.get().byteSize());
        MemorySegment.copy(now, 0, both, before.get().byteSize(), now.byteSize());
        return both;
    }

    private static MemorySegment one(long bits) {
        return MemorySegment.ofArray(ByteBuffer.allocate(Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN).putInt((int) bits).array());
    }

    private static MemorySegment packed(List<Long> integers, ElementType type) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (long value : integers) {
            for (int b = 0; b < type.bytes(); b++) {
                bytes.write((int) (value >>> Byte.SIZE * b));
            }
        }
        return MemorySegment.ofArray(bytes.toByteArray());
    }

    private MemorySegment outside(String name, Map<String, String> where) throws IOException {
        String location = where.getOrDefault("location", "");
        Path folder = file.toAbsolutePath().normalize().resolveSibling("");
        Path other = folder.resolve(location).normalize();
        if (location.isEmpty() || !other.startsWith(folder)) {
            throw new IOException("tensor " + name + " lies in '" + location + "', which is no file beside the model");
        }
        if (!beside.containsKey(location)) {
            beside.put(location, mapped(other));
        }
        MemorySegment all = requireNonNull(beside.get(location));
        try {
            long offset = Long.parseLong(where.getOrDefault("offset", "0"));
            return all.asSlice(offset, where.containsKey("length") ? Long.parseLong(where.get("length")) : all.byteSize() - offset);
        } catch (NumberFormatException | IndexOutOfBoundsException e) {
            throw new IOException("tensor " + name + " does not lie within " + location, e);
        }
    }

    private static Value value(Fields whole) throws IOException {
        Fields fields = whole.message();
        String name = "";
        Optional<Value.Type> type = Optional.empty();
        while (fields.next()) {
            switch (fields.field()) {
                case 1 -> name = fields.text();
                case 2 -> type = type(fields.message());
                default -> {}
            }
        }
        return new Value(name, type, Optional.of(whole.bytes().toArray(ValueLayout.JAVA_BYTE)));
    }

    private static Optional<Value.Type> type(Fields fields) throws IOException {
        while (fields.next()) {
            if (fields.field() == 1) {
                Fields tensor = fields.message();
                long elements = 0;
                Optional<List<Value.Dimension>> shape = Optional.empty();
                while (tensor.next()) {
                    switch (tensor.field()) {
                        case 1 -> elements = tensor.number();
                        case 2 -> shape = Optional.of(dimensions(tensor.message()));
                        default -> {}
                    }
                }
                return elements == 8 ? Optional.empty() : Optional.of(new Value.Type(ElementType.of(elements), shape)); // 8 are texts
            }
        }
        return Optional.empty();
    }

    private static List<Value.Dimension> dimensions(Fields fields) throws IOException {
        List<Value.Dimension> shape = new ArrayList<>();
        while (fields.next()) {
            if (fields.field() != 1) {
                continue;
            }
            Fields one = fields.message();
            OptionalLong size = OptionalLong.empty();
            String name = "";
            while (one.next()) {
                switch (one.field()) {
                    case 1 -> size = OptionalLong.of(one.number());
                    case 2 -> name = one.text();
                    default -> {}
                }
            }
            shape.add(new Value.Dimension(size, name));
        }
        return shape;
    }
}
