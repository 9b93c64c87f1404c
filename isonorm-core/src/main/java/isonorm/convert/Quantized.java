package isonorm.convert;

import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Config;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/** Checkpoints whose weights were quantized: what is stored is no weight but codes and scales. */
final class Quantized {

    /** The keys under which configs say how. */
    private static final List<String> KEYS = List.of("quantization_config", "compression_config", "quantization");

    private static final Pattern TENSOR = Pattern.compile(".*(\\.(qweight|qzeros|g_idx|scales|SCB|weight_format|weight_packed|weight_shape)"
            + "|\\.weight_scale(_inv|_2)?|\\.weight\\.(absmax|quant_map|nested_absmax|quant_state.*)|\\._(data|scale)|\\.(input|output)_scale)");

    private Quantized() {}

    /** Refuses a checkpoint that says that it is quantized. */
    static void require(Checkpoint checkpoint) throws CheckpointException {
        for (String key : KEYS) {
            Config how = checkpoint.config().object(key);
            if (!how.isEmpty()) {
                throw refusal(checkpoint, "config.json has " + key + ", by " + method(how));
            }
        }
    }

    /** What to say where tensors are not those of the model: that some are codes and scales, if some are. */
    static Optional<CheckpointException> found(Checkpoint checkpoint) {
        return checkpoint.names().stream().filter(name -> TENSOR.matcher(name).matches()).findFirst()
                .map(name -> refusal(checkpoint, "tensor " + name + " belongs to codes and scales"));
    }

    private static CheckpointException refusal(Checkpoint checkpoint, String evidence) {
        return new CheckpointException(Reason.CONFIG_UNSUPPORTED, checkpoint.folder() + " is quantized (" + evidence
                + "), and only weights of F64, F32, F16 or BF16 are read; take the checkpoint that it was made from");
    }

    private static String method(Config how) {
        if (Boolean.TRUE.equals(how.find("load_in_8bit").orElse(false)) || Boolean.TRUE.equals(how.find("load_in_4bit").orElse(false))) {
            return "bitsandbytes";
        }
        return how.textOr("a method it does not name", "quant_method", "quant_algo", "mode")
                + how.find("bits", "w_bit").filter(Number.class::isInstance).map(bits -> " of " + bits + " bits").orElse("");
    }
}
