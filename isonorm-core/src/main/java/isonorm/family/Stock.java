package isonorm.family;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.checkpoint.Config;
import java.util.List;
import java.util.Optional;

/**
 * What a family with RMSNorms has a place for: a centred model of another family that needs no more is one of this family, and runs where this runs, without
 * code of ours. Norms keep their gains, and their biases go to the layers that read them.
 */
public sealed interface Stock permits StockDecoder, StockTower {

    /** The model_type. */
    String type();

    /** Every reason why this family has no place for a model whose stream can be centred; empty where it has. */
    List<String> refusals(Architecture architecture);

    /** Why this family has no place for a stream of so many values; empty where it has. */
    Optional<String> refusal(Architecture architecture, int width);

    /** What a centred model with RMSNorms is in this family, which has no {@link #refusals} for it. */
    Architecture of(Architecture centred);

    /** The config.json of such a model. */
    Config config(Architecture of, Config source);

    /** What configs of all of them call an activation. */
    static String word(Activation activation) {
        return switch (activation) {
            case GELU -> "gelu";
            case GELU_TANH -> "gelu_pytorch_tanh";
            case QUICK_GELU -> "quick_gelu";
            case RELU -> "relu";
            case RELU_SQUARED -> "relu2";
            case SILU -> "silu";
            case TANH -> "tanh";
        };
    }
}
