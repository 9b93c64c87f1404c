package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.FeedForward;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Routing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Set;

/** Granite, with experts or without, and HyperCLOVA X: Llama with factors of the embedding, the scores, what sub-layers write, and the logits. */
final class Granite implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        boolean clova = config.textOr("", "model_type").equals("hyperclovax");
        Reading.requireWholeHead(config);
        boolean bias = config.flagOr(false, "attention_bias");
        Norm norm = Reading.rmsNorm(config.numberOr(1e-6, "rms_norm_eps"));
        Attention plain = Reading.attention(config, 0, 0);
        int headWidth = plain.heads().width();
        Attention attention = plain
                .withRotary(Reading.rotary(config, headWidth, 10000, Pairing.HALVES))
                .withScale(factor(config, clova ? 1 / Math.sqrt(headWidth) : 1, "attention_multiplier"))
                .withBiases(bias, bias);
        boolean peri = clova && config.flagOr(true, "use_post_norm");
        Block block = Block.of(peri ? Placement.PERI : Placement.PRE, Wiring.SEQUENTIAL, norm, attention, feedForward(config))
                .withBranch(factor(config, 1, "residual_multiplier"));
        double logits = factor(config, 1, "logits_scaling"); // one multiplies, one divides
        Architecture architecture = Reading.decoder(config, 2048, norm, Reading.repeated(config.integer("num_hidden_layers"), block),
                Output.Words.of(Reading.tied(config, false)).withScale(clova ? logits : 1 / logits));
        Embedding.Tokens tokens = Embedding.Tokens.of(config.integer("vocab_size"), architecture.width())
                .withScale(factor(config, 1, "embedding_multiplier"));
        return new Description(architecture.withEmbedding(tokens), LlamaNames.of(config, tensors)
                .whole(ROUTER, "layers.*.block_sparse_moe.router.layer")
                .experts(MLP_GATE, "layers.*.block_sparse_moe.input_linear.weight", Naming.Stacking.ROWS, 0, 2)
                .experts(MLP_UP, "layers.*.block_sparse_moe.input_linear.weight", Naming.Stacking.ROWS, 1, 2)
                .experts(MLP_DOWN, "layers.*.block_sparse_moe.output_linear.weight", Naming.Stacking.ROWS, 0, 1)
                .part(SHARED_GATE, "layers.*.shared_mlp.input_linear", 0, 2)
                .part(SHARED_UP, "layers.*.shared_mlp.input_linear", 1, 2)
                .whole(SHARED_DOWN, "layers.*.shared_mlp.output_linear")
                .whole(ATTENTION_OUTPUT_NORM, "layers.*.post_norm1")
                .whole(MLP_OUTPUT_NORM, "layers.*.post_norm2"));
    }

    private static FeedForward feedForward(Config config) throws CheckpointException {
        Mlp mlp = Mlp.gated(config.integer("intermediate_size"), Reading.activation(config.textOr("silu", "hidden_act")));
        if (!config.textOr("", "model_type").startsWith("granitemoe")) {
            boolean bias = config.flagOr(false, "mlp_bias");
            return mlp.withBiases(bias, bias);
        }
        Experts experts = Experts.of(mlp, config.integerOr(8, "num_local_experts"), Routing.softmax(config.integerOr(2, "num_experts_per_tok"), true));
        int shared = config.textOr("", "model_type").equals("granitemoeshared") ? config.integerOr(0, "shared_intermediate_size") : 0;
        return shared > 0 ? experts.withShared(Mlp.gated(shared, mlp.activation()), false) : experts;
    }

    private static double factor(Config config, double otherwise, String name) throws CheckpointException {
        double factor = config.numberOr(otherwise, name);
        if (!(factor > 0)) {
            throw Config.unsupported(name, factor, "above 0");
        }
        return factor;
    }
}
