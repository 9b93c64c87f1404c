package isonorm.onnx.export;

import static java.util.Objects.requireNonNull;

import isonorm.model.Batch;
import isonorm.onnx.OnnxRuntime.Values;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.OnnxModel;
import isonorm.onnx.graph.Value;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.LongStream;

/** What a batch is to a graph that was exported: values for each of its inputs. */
public final class Feeds {

    private Feeds() {}

    /** Those of a batch of which nothing was read before. */
    public static Map<String, Values> of(OnnxModel model, Batch batch) {
        Map<String, Values> feeds = new LinkedHashMap<>();
        for (Value input : model.graph().inputs()) {
            feeds.put(input.name(), of(input, batch));
        }
        return feeds;
    }

    /**
     * Those of tokens behind others.
     *
     * @param ids a row of new tokens for each that there was
     * @param past how many tokens each row had
     * @param before what the graph gave for those
     */
    public static Map<String, Values> next(OnnxModel model, long[][] ids, int past, Map<String, Values> before) {
        int T = ids[0].length;
        Map<String, Values> feeds = new LinkedHashMap<>();
        for (Value input : model.graph().inputs()) {
            String name = input.name();
            feeds.put(name, switch (name) {
                case "input_ids" -> integers(ids);
                case "attention_mask" -> integers(filled(ids.length, past + T, 1));
                case "position_ids" -> integers(positions(ids.length, past, T));
                case "token_type_ids" -> integers(filled(ids.length, T, 0));
                default -> requireNonNull(before.get(name.replace("past_key_values", "present")), name);
            });
        }
        return feeds;
    }

    /**
     * Those of tokens that a decoder written by itself reads.
     *
     * @param before what the encoder gave, as {@code encoder_hidden_states} with {@code encoder_attention_mask}, and what the decoder gave of tokens before these
     */
    public static Map<String, Values> decoder(OnnxModel model, long[][] ids, Map<String, Values> before) {
        Map<String, Values> feeds = new LinkedHashMap<>();
        for (Value input : model.graph().inputs()) {
            feeds.put(input.name(), input.name().equals("input_ids") ? integers(ids) : requireNonNull(before.get(input.name().replace("past_key_values", "present")), input.name()));
        }
        return feeds;
    }

    private static Values of(Value input, Batch batch) {
        Batch first = batch instanceof Batch.Both both && !(both.main() instanceof Batch.Tokens && both.companion() instanceof Batch.Images) ? both.companion() : batch;
        return switch (input.name()) {
            case "input_ids" -> integers(texts(first).ids());
            case "decoder_input_ids" -> integers(((Batch.Tokens) ((Batch.Both) batch).main()).ids());
            case "attention_mask" -> integers(texts(first).mask().orElseGet(() -> filled(texts(first).count(), texts(first).length(), 1)));
            case "token_type_ids" -> integers(filled(texts(first).count(), texts(first).length(), 0));
            case "position_ids" -> integers(positions(texts(first).count(), 0, texts(first).length()));
            case "pixel_values", "input_values", "input_features" -> reals(input, batch);
            default -> none(input, texts(first).count());
        };
    }

    private static Batch.Tokens texts(Batch batch) {
        return (Batch.Tokens) (batch instanceof Batch.Both both ? both.main() : batch);
    }

    private static Values reals(Value input, Batch batch) {
        boolean half = half(input);
        int dimensions = shape(input).size();
        return switch (batch instanceof Batch.Both both ? both.companion() : batch) {
            case Batch.Images images -> new Values.Reals(images.pixels(), dimensions == 3
                    ? new long[] {images.count(), images.height(), images.width()}
                    : new long[] {images.count(), images.channels(), images.height(), images.width()}, half);
            case Batch.Sounds sounds when dimensions == 2 -> new Values.Reals(sounds.values(), new long[] {sounds.count(), sounds.frames()}, half);
            case Batch.Sounds sounds -> {
                boolean lines = shape(input).get(1).size().orElse(-1) == sounds.lines();
                yield new Values.Reals(sounds.values(), lines
                        ? new long[] {sounds.count(), sounds.lines(), sounds.frames()}
                        : new long[] {sounds.count(), sounds.frames(), sounds.lines()}, half);
            }
            case Batch.Tokens _, Batch.Both _ -> throw new IllegalArgumentException(input.name() + " is no input of tokens");
        };
    }

    private static List<Value.Dimension> shape(Value input) {
        return input.type().flatMap(Value.Type::shape).orElse(List.of());
    }

    private static boolean half(Value input) {
        return input.type().map(Value.Type::elements).equals(Optional.of(ElementType.FLOAT16));
    }

    /** Keys or values of nothing. */
    private static Values none(Value input, int count) {
        List<Value.Dimension> shape = shape(input);
        return new Values.Reals(new float[0], new long[] {count, shape.get(1).size().orElseThrow(), 0, shape.get(3).size().orElseThrow()}, half(input));
    }

    private static Values integers(long[][] rows) {
        return new Values.Integers(Arrays.stream(rows).flatMapToLong(Arrays::stream).toArray(), new long[] {rows.length, rows[0].length});
    }

    private static long[][] filled(int count, int length, long value) {
        long[][] rows = new long[count][length];
        for (long[] row : rows) {
            Arrays.fill(row, value);
        }
        return rows;
    }

    private static long[][] positions(int count, int from, int length) {
        long[][] rows = new long[count][];
        Arrays.setAll(rows, _ -> LongStream.range(from, from + length).toArray());
        return rows;
    }
}
