package isonorm.cli.commands;

import isonorm.convert.LoadedModel;
import isonorm.model.Compute;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.Map;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/**
 * A model in the type that weights are to be kept in.
 *
 * @param label the word for the type
 */
record Precision(LoadedModel model, Compute compute, String label) {

    private static final Map<String, Integer> BITS = Map.of("q8", 8, "q4", 4);

    /** @param type a word of {@link Choice.Weights}; null for what the weights are stored in */
    static Precision of(LoadedModel model, @Nullable String type) throws IOException {
        String label = type != null ? type : stored(model);
        return BITS.containsKey(label)
                ? new Precision(model.quantized(BITS.get(label)), Compute.F32, label)
                : new Precision(model, Compute.named(label), label);
    }

    private static String stored(LoadedModel model) throws IOException {
        OptionalInt bits = model.bits();
        if (bits.isPresent()) {
            return "q" + bits.getAsInt();
        }
        return switch (Model.of(model.model()).coarsest()) {
            case BF16 -> "bf16";
            case F16 -> "f16";
            default -> "f32";
        };
    }
}
