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
import isonorm.architecture.Parameter;
import isonorm.architecture.Placement;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.weights.Sinusoids;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/**
 * BART and what was made of it, an encoder and a decoder that share a token table: Post-LN in BART, PLBart and Marian, Pre-LN in mBART,
 * M2M100 (NLLB), Pegasus and Blenderbot; positions that are learned, from row 2 on or the first, or sines and cosines.
 */
final class Bart implements Family {

    /** What one type of these is. */
    private record Kind(Placement placement, boolean embeddingNorm, Positions positions, boolean headBias, boolean scaled, String activation) {

        static Kind of(Config config) {
            return switch (config.textOr("", "model_type")) {
                case "mbart" -> new Kind(Placement.PRE, true, Positions.LEARNED_FROM_2, true, false, "gelu");
                case "m2m_100" -> new Kind(Placement.PRE, false, Positions.COMPUTED_WITHOUT_PADDING, false, true, "relu");
                case "pegasus" -> new Kind(Placement.PRE, false, Positions.LEARNED, true, false, "gelu");
                case "blenderbot" -> new Kind(Placement.PRE, false, Positions.LEARNED, true, false, "gelu");
                case "marian" -> new Kind(Placement.POST, false, Positions.COMPUTED, true, false, "gelu");
                case "plbart" -> new Kind(Placement.POST, true, Positions.LEARNED_FROM_2, true, true, "gelu");
                default -> new Kind(Placement.POST, true, Positions.LEARNED_FROM_2, true, false, "gelu");
            };
        }
    }

    private enum Positions {
        LEARNED, LEARNED_FROM_2, COMPUTED, COMPUTED_WITHOUT_PADDING
    }

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("", "model_type");
        Kind kind = Kind.of(config);
        config.requireFlag(true, "is_encoder_decoder");
        config.requireFlag(false, "is_decoder");
        int width = config.integer("d_model", "hidden_size");
        int vocabulary = config.integer("vocab_size");
        if (type.equals("marian")) {
            config.requireFlag(true, "share_encoder_decoder_embeddings");
            config.require("decoder_vocab_size", vocabulary);
        }
        int context = config.integer("max_position_embeddings");
        Norm norm = Reading.layerNorm(1e-5);
        Activation activation = Reading.activation(config.textOr(kind.activation, "activation_function"));
        Embedding.Tokens embedding = embedding(config, kind, vocabulary, width, context);
        if (kind.embeddingNorm) {
            embedding = embedding.withNorm(norm);
        }
        Optional<Norm> finalNorm = kind.placement == Placement.PRE ? Optional.of(norm) : Optional.empty();
        boolean tied = Reading.tied(config, true);
        Architecture encoder = Architecture.of(type, width, context, embedding, Reading.repeated(config.integer("encoder_layers", "num_hidden_layers"),
                block(kind, norm, activation, width, config.integer("encoder_attention_heads", "num_attention_heads"), config.integer("encoder_ffn_dim"), true)),
                finalNorm, new Output.Hidden(Output.Pooler.NONE));
        Architecture decoder = new Architecture(type, width, context, embedding, Reading.repeated(config.integer("decoder_layers"),
                block(kind, norm, activation, width, config.integer("decoder_attention_heads"), config.integer("decoder_ffn_dim"), false)),
                finalNorm, Output.Words.of(tied).withBias(kind.headBias), isonorm.architecture.Stream.FREE, Bases.ONE,
                Optional.of(new Companion.Encoder(encoder, tied)));
        Naming names = naming(config, tensors, kind, "decoder", tied)
                .whole(CROSS_NORM, "decoder.layers.*.encoder_attn_layer_norm")
                .whole(CROSS_QUERY, "decoder.layers.*.encoder_attn.q_proj")
                .keyValue("decoder.layers.*.encoder_attn.k_proj", "decoder.layers.*.encoder_attn.v_proj")
                .whole(CROSS_OUTPUT, "decoder.layers.*.encoder_attn.out_proj")
                .whole(HEAD, "/lm_head")
                .beside(naming(config, tensors, kind, "encoder", tied));
        if (kind.headBias) {
            names = names.biasRowAt(HEAD, "/final_logits_bias");
        }
        return new Description(decoder, tied
                ? names.repeating("encoder.embed_tokens.weight", "shared.weight").repeating("decoder.embed_tokens.weight", "shared.weight")
                : names.passingOver(Repetition.OTHER_OUTPUT, "(model\\.)?shared\\.weight").copied("shared.weight", "decoder.embed_tokens.weight")); // nothing reads it then
    }

    private static Embedding.Tokens embedding(Config config, Kind kind, int vocabulary, int width, int context) throws CheckpointException {
        Embedding.Tokens tokens = Embedding.Tokens.of(vocabulary, width)
                .withScale(config.flagOr(kind.scaled, "scale_embedding") ? Math.sqrt(width) : 1);
        return switch (kind.positions) {
            case LEARNED, COMPUTED -> tokens.withPositions(context, 0, false);
            case LEARNED_FROM_2 -> tokens.withPositions(context + 2, 2, false);
            case COMPUTED_WITHOUT_PADDING -> tokens.withPositions(context + padding(config) + 1, padding(config) + 1, false)
                    .withSpecial(new Embedding.Special(OptionalInt.of(padding(config)), OptionalInt.empty()));
        };
    }

    private static int padding(Config config) throws CheckpointException {
        return config.integerOr(1, "pad_token_id");
    }

    private static Block block(Kind kind, Norm norm, Activation activation, int width, int heads, int hidden, boolean encoder) throws CheckpointException {
        int headWidth = Reading.widthOfHead(width, heads);
        Attention attention = Attention.of(heads, headWidth);
        Block block = Block.of(kind.placement, Wiring.SEQUENTIAL, norm, encoder ? attention.bidirectional() : attention, Mlp.plain(hidden, activation));
        return encoder ? block : block.withCross(CrossAttention.of(heads, headWidth));
    }

    /** The names of one of the two stacks. */
    private static Naming naming(Config config, Set<String> tensors, Kind kind, String stack, boolean tied) throws CheckpointException {
        String block = stack + ".layers.*.";
        Naming naming = Naming.of(config, tensors, "model.")
                .whole(TOKEN_EMBEDDING, tied ? "shared" : stack + ".embed_tokens")
                .whole(EMBEDDING_NORM, stack + ".layernorm_embedding")
                .whole(POSITION_EMBEDDING, stack + ".embed_positions")
                .whole(ATTENTION_NORM, block + "self_attn_layer_norm")
                .separate(block + "self_attn.q_proj", block + "self_attn.k_proj", block + "self_attn.v_proj")
                .whole(ATTENTION_OUTPUT, block + "self_attn.out_proj")
                .whole(MLP_NORM, block + "final_layer_norm")
                .whole(MLP_UP, block + "fc1")
                .whole(MLP_DOWN, block + "fc2")
                .whole(FINAL_NORM, stack + ".layer_norm");
        boolean stored = tensors.stream().anyMatch(name -> name.endsWith(stack + ".embed_positions.weight"));
        return switch (kind.positions) {
            case LEARNED_FROM_2 -> naming;
            case LEARNED -> stored || tensors.isEmpty() || !config.textOr("", "model_type").equals("pegasus") ? naming : computed(naming);
            case COMPUTED -> stored ? naming : computed(naming);
            case COMPUTED_WITHOUT_PADDING -> {
                OptionalInt padding = OptionalInt.of(padding(config));
                yield naming.computed(POSITION_EMBEDDING, parameter -> Sinusoids.toTheLast(parameter.rows(), parameter.columns(), padding));
            }
        };
    }

    private static Naming computed(Naming naming) {
        return naming.computed(POSITION_EMBEDDING, (Parameter parameter) -> Sinusoids.of(parameter.rows(), parameter.columns()));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.keeping(config, kept, "decoder_layers");
    }
}
