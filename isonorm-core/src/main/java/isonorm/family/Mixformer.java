package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Phi 1, 1.5 and 2 as Microsoft's own code wrote them before they were transformers' {@link Phi}: {@code mixformer-sequential}, where tables, blocks and
 * head are one list of layers, and {@code phi-msft} after it.
 */
final class Mixformer implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("", "model_type");
        config.requireFlag(false, "tie_word_embeddings");
        config.require("embd_layer", "default");
        Config parts = config.object("architecture");
        parts.require("block_cls", "parallel");
        parts.object("mlp").require("mlp_cls", "mlp");
        if (!parts.object("mixer").isEmpty()) {
            throw Config.unsupported("architecture.mixer", "settings of its own", "none");
        }
        int width = config.integer("n_embd");
        int heads = config.integer("n_head");
        int headWidth = Reading.widthOfHead(width, heads);
        int layers = config.integer("n_layer");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_epsilon"));
        Attention attention = Attention.of(heads, headWidth).withKeyValueHeads(config.integerOr(heads, "n_head_kv"))
                .withRotary(Rotary.of(Math.min(config.integerOr(32, "rotary_dim"), headWidth), 10000, Pairing.HALVES));
        Mlp mlp = Mlp.plain(config.integerOr(4 * width, "n_inner"), Reading.activation(config.textOr("gelu_new", "activation_function")));
        Architecture architecture = Architecture.of(type, width, config.integerOr(2048, "n_positions"), Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(layers, Block.of(Placement.PRE, Wiring.PARALLEL_ONE_NORM, norm, attention, mlp)), Optional.of(norm),
                Output.Words.of(false).withBias(true));
        boolean one = tensors.isEmpty() ? type.equals("mixformer-sequential") : tensors.contains("layers.0.wte.weight");
        String head = one ? "layers." + (layers + 1) : "lm_head";
        String block = one ? "layers.*." : "transformer.h.*.";
        return new Description(architecture, Naming.within("").blocksFrom(one ? 1 : 0)
                .whole(TOKEN_EMBEDDING, one ? "layers.0.wte" : "transformer.embd.wte")
                .whole(ATTENTION_NORM, block + "ln")
                .whole(QUERY_KEY_VALUE, block + "mixer.Wqkv")
                .whole(ATTENTION_OUTPUT, block + "mixer.out_proj")
                .whole(MLP_UP, block + "mlp.fc1")
                .whole(MLP_DOWN, block + "mlp.fc2")
                .whole(FINAL_NORM, head + ".ln")
                .whole(HEAD, head + ".linear")
                .passingOverBuffers());
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.keeping(config, kept, "n_layer");
    }
}
