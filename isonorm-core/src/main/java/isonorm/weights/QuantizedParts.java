package isonorm.weights;

import isonorm.architecture.Part;
import isonorm.architecture.Role;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Which matrices of a model are in few bits: those that most of its memory goes to, the linear layers of blocks, the head and the table of tokens.
 * What chooses experts, positions, patches, poolers, norms and biases stay what they are.
 *
 * @param layers how layers of blocks are written
 * @param ends how the head and the table of tokens are
 * @param kept paths of roles that stay besides
 */
public record QuantizedParts(Quantization layers, Quantization ends, Set<String> kept) {

    private static final Set<Part> ENDS = EnumSet.of(Part.TOKEN_EMBEDDING, Part.HEAD);

    private static final Set<Part> LINEAR = EnumSet.of(Part.QUERY_KEY_VALUE, Part.QUERY_UP, Part.KEY_VALUE_UP, Part.ATTENTION_OUTPUT, Part.CROSS_QUERY,
            Part.CROSS_KEY_VALUE, Part.CROSS_OUTPUT, Part.MLP_GATE, Part.MLP_UP, Part.MLP_DOWN, Part.SHARED_GATE, Part.SHARED_UP, Part.SHARED_DOWN);

    public QuantizedParts {
        kept = Set.copyOf(kept);
        if (layers.group() != ends.group()) {
            throw new IllegalArgumentException("all matrices have groups of one size, got " + layers.group() + " and " + ends.group());
        }
    }

    /** Layers in so many bits, and 8 at the least for head and table, which errors in show most. */
    public static QuantizedParts of(Quantization layers) {
        return new QuantizedParts(layers, new Quantization(8, layers.group()), Set.of());
    }

    /** How a parameter is written; empty where it stays what it is. */
    public Optional<Quantization> of(Role role) {
        if (!applies(role) || kept.contains(role.path())) {
            return Optional.empty();
        }
        return Optional.of(ENDS.contains(role.part()) ? ends : layers);
    }

    /** Whether a parameter is of a kind that is written in few bits. */
    public static boolean applies(Role role) {
        return role.field() == Role.Field.WEIGHT && (ENDS.contains(role.part()) || LINEAR.contains(role.part()));
    }

    /** Whether a parameter is a layer of a block. */
    public static boolean isLayer(Role role) {
        return applies(role) && !ENDS.contains(role.part());
    }

    /** The model with these matrices rounded to the nearest when they are read; those in few bits already stay. */
    public Model applyTo(Model model) {
        Map<Role, Matrix> weights = new LinkedHashMap<>(model.weights());
        weights.replaceAll((role, matrix) -> matrix instanceof Quantized ? matrix
                : of(role).<Matrix>map(quantization -> Quantized.of(matrix, quantization)).orElse(matrix));
        return new Model(model.architecture(), weights);
    }
}
