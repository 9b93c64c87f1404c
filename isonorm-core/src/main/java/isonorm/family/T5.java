package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Bases;
import isonorm.architecture.Block;
import isonorm.architecture.Companion;
import isonorm.architecture.CrossAttention;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Stream;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * T5 (arXiv 1910.10683), mT5 and UMT5: an encoder and a decoder of Pre-LN blocks with RMSNorm and one token table, whose scores are not scaled and know
 * distances by a learned table, that of the first block in T5 and mT5 and one for each in UMT5; and the encoder alone.
 */
final class T5 implements Family {

    /** How long the texts were of which these learned; there is no last position. */
    private static final int CONTEXT = 512;

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("", "model_type");
        boolean alone = config.modelClass().endsWith("EncoderModel");
        if (!alone) { // An encoder that was saved alone says of the whole model what it was.
            config.requireFlag(true, "is_encoder_decoder");
        }
        config.requireFlag(false, "is_decoder");
        int width = config.integer("d_model", "hidden_size");
        Norm norm = Reading.rmsNorm(config.numberOr(1e-6, "layer_norm_epsilon"));
        Embedding.Tokens tokens = Embedding.Tokens.of(config.integer("vocab_size"), width);
        int layers = config.integer("num_layers", "num_hidden_layers");
        Architecture encoder = Architecture.of(type, width, CONTEXT, tokens, blocks(config, norm, layers, true), Optional.of(norm),
                new Output.Hidden(Output.Pooler.NONE));
        Naming names = naming(config, tensors, type, "encoder", 1);
        if (alone) {
            return new Description(encoder, names.repeating("encoder.embed_tokens.weight", "shared.weight"));
        }
        boolean head = tensors.contains("lm_head.weight");
        boolean said = type.equals("mt5") || config.flagOr(true, "tie_word_embeddings");
        if (type.equals("umt5") && !config.isBareModel() && !said) {
            throw Config.unsupported("tie_word_embeddings", false, "true: with false versions of transformers differ in whether they scale what the head reads");
        }
        // The flags say whether what the head reads is scaled; whether it has a weight of its own, the file does.
        boolean scaled = type.equals("t5") ? config.flagOr(said, "scale_decoder_outputs") : type.equals("umt5");
        boolean tied = tensors.isEmpty() ? said : !head;
        Output.Words words = Output.Words.of(tied).withScale(scaled ? 1 / Math.sqrt(width) : 1);
        Architecture decoder = new Architecture(type, width, CONTEXT, tokens,
                blocks(config, norm, config.integerOr(layers, "num_decoder_layers"), false), Optional.of(norm), words, Stream.FREE, Bases.ONE,
                Optional.of(new Companion.Encoder(encoder, true)));
        return new Description(decoder, naming(config, tensors, type, "decoder", 2)
                .whole(CROSS_NORM, "decoder.block.*.layer.1.layer_norm")
                .whole(CROSS_QUERY, "decoder.block.*.layer.1.EncDecAttention.q")
                .keyValue("decoder.block.*.layer.1.EncDecAttention.k", "decoder.block.*.layer.1.EncDecAttention.v")
                .whole(CROSS_OUTPUT, "decoder.block.*.layer.1.EncDecAttention.o")
                .whole(HEAD, "lm_head")
                .beside(names)
                .repeating("encoder.embed_tokens.weight", "shared.weight")
                .repeating("decoder.embed_tokens.weight", "shared.weight")
                .passingOver(Repetition.OTHER_OUTPUT, "decoder\\.block\\.0\\.layer\\.1\\.EncDecAttention\\.relative_attention_bias\\.weight"));
    }

    private static List<Block> blocks(Config config, Norm norm, int count, boolean encoder) throws CheckpointException {
        int heads = config.integer("num_heads", "num_attention_heads");
        int headWidth = config.integerOr(64, "d_kv", "head_dim");
        RelativeBias bias = RelativeBias.ofDistances(config.integerOr(32, "relative_attention_num_buckets"),
                config.integerOr(128, "relative_attention_max_distance"), encoder);
        boolean shared = !config.textOr("", "model_type").equals("umt5");
        Attention attention = Attention.of(heads, headWidth).withScale(1).withBiases(false, false);
        Attention seeing = encoder ? attention.bidirectional() : attention;
        Mlp mlp = mlp(config);
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < count; l++) {
            Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, seeing.withRelative(shared && l > 0 ? bias.shared() : bias), mlp);
            blocks.add(encoder ? block : block.withCross(CrossAttention.of(heads, headWidth).withScale(1).withBiases(false, false, false)));
        }
        return blocks;
    }

    private static Mlp mlp(Config config) throws CheckpointException {
        String said = config.textOr(config.textOr("", "model_type").equals("t5") ? "relu" : "gated-gelu", "feed_forward_proj");
        String[] words = said.split("-");
        boolean gated = words[0].equals("gated");
        if (words.length > 2 || words.length == 2 && !gated) {
            throw Config.unsupported("feed_forward_proj", said, "an activation, or gated- and an activation");
        }
        Activation activation = said.equals("gated-gelu") ? Activation.GELU_TANH : Reading.activation(words[words.length - 1]);
        int hidden = config.integer("d_ff");
        return gated ? Mlp.gated(hidden, activation) : Mlp.plain(hidden, activation).withBiases(false, false);
    }

    /** The names of one of the two stacks, whose MLP is the sub-layer of this number. */
    private static Naming naming(Config config, Set<String> tensors, String type, String stack, int mlp) {
        String block = stack + ".block.*.layer.";
        String attention = block + "0.SelfAttention.";
        String dense = block + mlp + ".DenseReluDense.";
        boolean gated = config.textOr(type.equals("t5") ? "relu" : "gated-gelu", "feed_forward_proj").startsWith("gated");
        return Naming.of(config, tensors, "")
                .whole(TOKEN_EMBEDDING, "shared")
                .whole(ATTENTION_NORM, block + "0.layer_norm")
                .separate(attention + "q", attention + "k", attention + "v")
                .whole(ATTENTION_OUTPUT, attention + "o")
                .whole(RELATIVE_BIAS, attention + "relative_attention_bias")
                .whole(MLP_NORM, block + mlp + ".layer_norm")
                .whole(MLP_GATE, dense + "wi_0")
                .whole(MLP_UP, gated ? dense + "wi_1" : dense + "wi")
                .whole(MLP_DOWN, dense + "wo")
                .whole(FINAL_NORM, stack + ".final_layer_norm");
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return left.companion().isPresent() ? Reading.keeping(config, kept, "num_decoder_layers") : Reading.keeping(config, kept, "num_layers", "num_hidden_layers");
    }
}
