package isonorm.convert;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Scaling;
import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.TensorInfo;
import isonorm.family.Repetition;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.DoublePredicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * Tensors that say once more what config.json or another tensor says: what they hold must be that. One that holds something else was used by
 * the code it was made with, so to pass it over would be another model.
 */
final class Repetitions {

    /** Of a mask, which has as many as the context, these are looked at: the first ones and some others. */
    private static final int ROWS = 16;

    /** More positions than any model has. */
    private static final long LONGEST = 1 << 20;

    /** A unit in the last place of bfloat16, which frequencies are stored in at the worst, rounded or cut off. */
    private static final double FREQUENCY_ERROR = 0x1p-7;

    /** The smallest numbers of float16, which is what is left there of the lowest frequencies. */
    private static final double SMALLEST_FREQUENCY = 0x1p-24;

    /** No score of a model comes near it. */
    private static final double MASKED = -1000;

    private static final Pattern NUMBER = Pattern.compile("\\.(\\d{1,9})\\.");

    private final Checkpoint checkpoint;
    private final Architecture architecture;

    private Repetitions(Checkpoint checkpoint, Architecture architecture) {
        this.checkpoint = checkpoint;
        this.architecture = architecture;
    }

    static Repetitions of(Checkpoint checkpoint, Architecture architecture) {
        return new Repetitions(checkpoint, architecture);
    }

    /** Refuses a tensor that is not what it should repeat. */
    void require(String tensor, Repetition repetition) throws IOException {
        Optional<String> wrong = switch (repetition) {
            case OTHER_OUTPUT, OTHER_PART -> Optional.empty();
            case MASK -> mask(tensor);
            case MASKED_SCORE -> all(tensor, value -> value <= MASKED, "scores of hidden positions that can be seen");
            case FREQUENCIES -> frequencies(tensor);
            case POSITIONS -> positions(tensor);
            case BUCKETS -> buckets(tensor);
        };
        if (wrong.isPresent()) {
            throw new CheckpointException(Reason.CONFIG_DISAGREES, checkpoint.folder() + ": tensor " + tensor + " holds " + wrong.get()
                    + "; a model that uses it is not read. If yours does not, take the tensor out of the file");
        }
    }

    /** Refuses a tensor that differs from the one it is a second name of. */
    void require(String tensor, String original, String remedy) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            if (!checkpoint.info(tensor).dtype().equals(checkpoint.info(original).dtype())
                    || checkpoint.map(tensor, arena).mismatch(checkpoint.map(original, arena)) >= 0) {
                throw new CheckpointException(Reason.CONFIG_DISAGREES, checkpoint.folder() + ": config.json says that " + tensor + " is " + original
                        + ", and it holds other values; " + remedy);
            }
        }
    }

    private Optional<Attention> attention(String tensor) {
        Matcher number = NUMBER.matcher(tensor);
        int block = number.find() ? Integer.parseInt(number.group(1)) : 0;
        return block >= architecture.blocks().size() ? Optional.empty() : Optional.of(architecture.blocks().get(block).mixer().attention());
    }

    private Optional<String> mask(String tensor) throws IOException {
        TensorInfo info = checkpoint.info(tensor);
        long size = info.shape().isEmpty() ? 0 : info.shape().getLast();
        if (size == 0 || info.shape().size() < 2 || size > LONGEST || info.elements() != size * size) {
            return Optional.empty(); // nobody could use it as a mask
        }
        Optional<Attention> attention = attention(tensor);
        if (attention.isEmpty() || !attention.get().causal()) {
            return Optional.of("a mask, and the attention that config.json describes has none");
        }
        OptionalInt window = attention.get().scores().window();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment values = checkpoint.map(tensor, arena);
            for (int i = 0; i < ROWS; i++) {
                long row = i < ROWS / 2 ? Math.min(i, size - 1) : (size - 1) * (i - ROWS / 2 + 1) / (ROWS / 2);
                double[] seen = values(values, info.dtype(), row * size, (int) size);
                for (int column = 0; column < size; column++) {
                    boolean within = column <= row && (window.isEmpty() || row - column < window.getAsInt());
                    if (within != (seen[column] != 0)) {
                        return Optional.of("another mask than the one of config.json: position " + row + (within ? " does not see " : " sees ") + column);
                    }
                }
            }
        }
        return Optional.empty();
    }

    private Optional<String> frequencies(String tensor) throws IOException {
        Optional<Rotary> rotary = attention(tensor).flatMap(attention -> attention.positions().rotary());
        if (rotary.isEmpty()) {
            return Optional.of("frequencies of rotary positions that config.json does not have");
        }
        double[] stored = values(tensor);
        // Where frequencies are divided, some versions kept them as they were and divided positions.
        boolean same = near(stored, rotary.get().frequencies()) || near(stored, rotary.get().withScaling(new Scaling.None()).frequencies());
        return same ? Optional.empty() : Optional.of("other frequencies of rotary positions than config.json gives");
    }

    private static boolean near(double[] stored, double[] wanted) {
        if (stored.length != wanted.length) {
            return false;
        }
        for (int i = 0; i < wanted.length; i++) {
            if (!(Math.abs(stored[i] - wanted[i]) <= FREQUENCY_ERROR * wanted[i] + SMALLEST_FREQUENCY)) {
                return false;
            }
        }
        return true;
    }

    private Optional<String> positions(String tensor) throws IOException {
        double[] stored = values(tensor);
        for (int i = 0; i < stored.length; i++) {
            if (stored[i] != i) {
                return Optional.of("the position " + stored[i] + " where " + i + " belongs");
            }
        }
        return Optional.empty();
    }

    private Optional<String> buckets(String tensor) throws IOException {
        Optional<RelativeBias> bias = attention(".0.").flatMap(attention -> attention.positions().relative());
        double[] stored = values(tensor);
        int positions = (int) Math.sqrt(stored.length);
        boolean same = bias.isPresent() && positions * positions == stored.length
                && IntStream.range(0, stored.length).allMatch(i -> stored[i] == bias.get().buckets().of(i / positions, i % positions));
        return same ? Optional.empty() : Optional.of("other places of positions to each other than config.json gives");
    }

    private Optional<String> all(String tensor, DoublePredicate holds, String otherwise) throws IOException {
        for (double value : values(tensor)) {
            if (!holds.test(value)) {
                return Optional.of(otherwise);
            }
        }
        return Optional.empty();
    }

    private double[] values(String tensor) throws IOException {
        TensorInfo info = checkpoint.info(tensor);
        try (Arena arena = Arena.ofConfined()) {
            return values(checkpoint.map(tensor, arena), info.dtype(), 0, (int) Math.min(LONGEST, info.elements()));
        }
    }

    private static double[] values(MemorySegment from, Dtype dtype, long first, int count) {
        double[] values = new double[count];
        if (Numbers.readable(dtype)) {
            Numbers.decode(from, dtype, first, count, values, 0);
            return values;
        }
        for (int i = 0; i < count; i++) {
            values[i] = switch (dtype) {
                case I64, U64 -> from.getAtIndex(ValueLayout.JAVA_LONG_UNALIGNED, first + i);
                case I32, U32 -> from.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, first + i);
                case I16, U16 -> from.getAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, first + i);
                default -> from.get(ValueLayout.JAVA_BYTE, first + i);
            };
        }
        return values;
    }
}
