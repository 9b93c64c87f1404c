package isonorm.onnx.graph;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Writes a model's file, and beside it that of its tensors, where they are not in it. */
public final class Encoder {

    /** What a message may not be longer than: readers of protobuf count in 31 bits. */
    public static final long LARGEST = Integer.MAX_VALUE - (1L << 20);

    /** Where tensors of the second file begin: at pages, so that a reader can map them. */
    private static final int PAGE = 4096;

    /** Shorter ones stay in the model, where whoever infers shapes looks for them. */
    private static final int SMALL = 1024;

    private Encoder() {}

    /** Whether a model's tensors are too many bytes for its own file. */
    public static boolean tooLarge(OnnxModel model) {
        return model.graph().constants().stream().mapToLong(tensor -> tensor.content().length()).sum() > LARGEST;
    }

    /** The name of the file of tensors beside a model's. */
    public static String dataName(Path model) {
        return model.getFileName() + ".data";
    }

    /** Writes and syncs new files: the model, and the tensors beside it where {@code external} says so. */
    public static void write(OnnxModel model, Path file, boolean external) throws IOException {
        List<Content> outside = new ArrayList<>();
        Message message = message(model, external ? dataName(file) : "", outside);
        if (external) {
            try (FileChannel out = FileChannel.open(file.resolveSibling(dataName(file)), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                for (Content content : outside) {
                    Content.write(out, ByteBuffer.allocate((int) (padded(out.position()) - out.position())));
                    content.writeTo(out);
                }
                out.force(true);
            }
        }
        try (FileChannel out = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            message.writeTo(out);
            out.force(true);
        }
    }

    private static long padded(long position) {
        return (position + PAGE - 1) / PAGE * PAGE;
    }

    private static Message message(OnnxModel model, String data, List<Content> outside) {
        Message message = new Message().number(1, model.format());
        if (!model.producer().isEmpty()) {
            message.text(2, model.producer());
        }
        if (!model.producerVersion().isEmpty()) {
            message.text(3, model.producerVersion());
        }
        message.message(7, graph(model.graph(), data, outside));
        model.opsets().forEach((domain, version) -> message.message(8, new Message().text(1, domain).number(2, version)));
        model.metadata().forEach((key, value) -> message.message(14, entry(key, value)));
        model.rest().forEach(message::field);
        return message;
    }

    private static Message entry(String key, String value) {
        return new Message().text(1, key).text(2, value);
    }

    private static Message graph(Graph graph, String data, List<Content> outside) {
        Message message = new Message();
        graph.nodes().forEach(node -> message.message(1, node(node)));
        message.text(2, graph.name());
        long[] end = {0};
        for (Tensor tensor : graph.constants()) {
            message.message(5, data.isEmpty() || tensor.content().length() < SMALL ? tensor(tensor) : external(tensor, data, end, outside));
        }
        graph.inputs().forEach(value -> message.message(11, value(value)));
        graph.outputs().forEach(value -> message.message(12, value(value)));
        graph.values().forEach(value -> message.message(13, value(value)));
        graph.rest().forEach(message::field);
        return message;
    }

    private static Message external(Tensor tensor, String data, long[] end, List<Content> outside) {
        long from = padded(end[0]);
        end[0] = from + tensor.content().length();
        outside.add(tensor.content());
        return head(tensor)
                .message(13, entry("location", data)).message(13, entry("offset", String.valueOf(from)))
                .message(13, entry("length", String.valueOf(tensor.content().length()))).number(14, 1);
    }

    private static Message head(Tensor tensor) {
        Message message = new Message();
        tensor.shape().forEach(dimension -> message.number(1, dimension));
        return message.number(2, tensor.type().number()).text(8, tensor.name());
    }

    static Message tensor(Tensor tensor) {
        return head(tensor).content(9, tensor.content());
    }

    private static Message node(Node node) {
        Message message = new Message();
        node.inputs().forEach(input -> message.text(1, input));
        node.outputs().forEach(output -> message.text(2, output));
        message.text(3, node.name()).text(4, node.op());
        for (Map.Entry<String, Attribute> attribute : node.attributes().entrySet()) {
            switch (attribute.getValue()) {
                case Attribute.Other(byte[] whole, boolean _) -> message.bytes(5, whole);
                default -> message.message(5, attribute(attribute.getKey(), attribute.getValue()));
            }
        }
        if (!node.domain().isEmpty()) {
            message.text(7, node.domain());
        }
        node.rest().forEach(message::field);
        return message;
    }

    private static Message attribute(String key, Attribute attribute) {
        Message message = new Message().text(1, key);
        return switch (attribute) {
            case Attribute.Real(float value) -> message.real(2, value).number(20, 1);
            case Attribute.Integer(long value) -> message.number(3, value).number(20, 2);
            case Attribute.Text(String value) -> message.text(4, value).number(20, 3);
            case Attribute.Constant(Tensor value) -> message.message(5, tensor(value)).number(20, 4);
            case Attribute.Integers(List<Long> values) -> {
                values.forEach(value -> message.number(8, value));
                yield message.number(20, 7);
            }
            case Attribute.Other _ -> throw new IllegalArgumentException("this attribute is a message already");
        };
    }

    private static Message value(Value value) {
        Message message = new Message();
        if (value.message().isPresent()) {
            return message.field(value.message().get());
        }
        message.text(1, value.name());
        value.type().ifPresent(type -> message.message(2, new Message().message(1, type(type))));
        return message;
    }

    private static Message type(Value.Type type) {
        Message message = new Message().number(1, type.elements().number());
        type.shape().ifPresent(shape -> {
            Message dimensions = new Message();
            for (Value.Dimension dimension : shape) {
                Message one = new Message();
                dimension.size().ifPresent(size -> one.number(1, size));
                if (!dimension.name().isEmpty()) {
                    one.text(2, dimension.name());
                }
                dimensions.message(1, one);
            }
            message.message(2, dimensions);
        });
        return message;
    }
}
