package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
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
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/** ESM, of proteins: BERT's layers as Pre-LN, rotary or learned positions, and hidden tokens whose vectors are left out. */
final class Esm implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        config.requireFlag(false, "is_decoder");
        config.requireFlag(false, "add_cross_attention");
        config.requireFlag(false, "is_folding_model");
        String positions = config.textOr("absolute", "position_embedding_type");
        boolean rotary = positions.equals("rotary");
        if (!rotary && !positions.equals("absolute")) {
            throw Config.unsupported("position_embedding_type", positions, "absolute or rotary");
        }
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int headWidth = Reading.widthOfHead(width, heads);
        config.require("head_dim", headWidth);
        Norm norm = Reading.layerNorm(config.numberOr(1e-12, "layer_norm_eps"));
        int rows = config.integerOr(1026, "max_position_embeddings");
        int padding = Bert.padding(config, OptionalInt.empty());
        boolean hides = config.flagOr(false, "token_dropout");
        int hidden = config.integerOr(-1, "mask_token_id");
        if (hides && hidden < 0) {
            throw Config.unsupported("mask_token_id", config.find("mask_token_id").map(Object::toString).orElse("missing"), "a token, which token_dropout needs");
        }
        boolean before = config.flagOr(false, "emb_layer_norm_before");
        Task task = Task.of(config);
        boolean tied = task == Task.WORDS && Reading.tied(config, true);
        boolean pooler = tensors.isEmpty() || tensors.stream().anyMatch(name -> name.endsWith("pooler.dense.weight"));
        Embedding.Tokens embedding = Embedding.Tokens.of(config.integer("vocab_size"), width)
                .withSpecial(new Embedding.Special(rotary ? OptionalInt.empty() : OptionalInt.of(padding), hides ? OptionalInt.of(hidden) : OptionalInt.empty()))
                .withNorm(before ? Optional.of(norm) : Optional.empty(), false);
        Attention plain = Attention.of(heads, headWidth).bidirectional();
        Attention attention = rotary ? plain.withRotary(Rotary.of(headWidth, config.numberOr(10000, "rope_theta"), Pairing.HALVES)) : plain;
        Architecture architecture = Architecture.of("esm", width, rotary ? rows : rows - padding - 1,
                rotary ? embedding : embedding.withPositions(rows, padding + 1, false),
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        attention,
                        Mlp.plain(config.integer("intermediate_size"), Activation.GELU))),
                Optional.of(norm),
                switch (task) {
                    case BARE -> new Output.Hidden(pooler ? Output.Pooler.DENSE_TANH : Output.Pooler.NONE);
                    case WORDS -> Output.Words.of(tied).withBias(true).withTransform(Output.Transform.of(width, Activation.GELU, norm));
                    case SEQUENCE, NEXT_SENTENCE, TOKEN, QUESTION -> task.labels(config, Optional.of(Output.Transform.of(width, Activation.TANH)));
                });
        Naming naming = Bert.blocks(Naming.of(config, tensors, "esm."))
                .whole(TOKEN_EMBEDDING, "embeddings.word_embeddings")
                .whole(POSITION_EMBEDDING, "embeddings.position_embeddings")
                .whole(EMBEDDING_NORM, "embeddings.layer_norm")
                .whole(ATTENTION_NORM, "encoder.layer.*.attention.LayerNorm")
                .whole(MLP_NORM, "encoder.layer.*.LayerNorm")
                .whole(FINAL_NORM, "encoder.emb_layer_norm_after")
                .whole(POOLER, "pooler.dense")
                .passingOver(Repetition.POSITIONS, ".*position_ids")
                .passingOver(Repetition.FREQUENCIES, ".*rotary_embeddings\\.inv_freq")
                .passingOver(Repetition.OTHER_OUTPUT, "(esm\\.)?contact_head\\..*");
        if (tensors.stream().noneMatch(name -> name.endsWith("inv_freq"))) {
            attention.positions().rotary().ifPresent(turns -> naming.made("rotary_embeddings.inv_freq", turns.frequencies(), (long) turns.frequencies().length));
        }
        if (rotary) { // of a table that other versions had, which transformers leaves out too
            naming.passingOver(Repetition.OTHER_OUTPUT, "(esm\\.)?embeddings\\.position_embeddings\\.weight");
        }
        Bert.lmHead(naming, task, tied, "esm.");
        if (task == Task.WORDS) { // the head has no bias of its own, but one is added to what it gives
            naming.biasAt(HEAD, "/lm_head.bias");
        }
        boolean old = tensors.stream().anyMatch(name -> name.endsWith(".gamma"));
        return new Description(architecture, old ? naming.normEndings(".gamma", ".beta", ATTENTION_NORM, MLP_NORM) : naming);
    }
}
