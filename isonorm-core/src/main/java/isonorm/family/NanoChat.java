package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;

/**
 * nanochat: RMSNorm without a gain everywhere, behind the embedding too. Queries and keys are normalized behind their turn, which is the same before it, and
 * turned the other way round, which is what turning does where the halves of each head change places.
 */
final class NanoChat implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        Norm norm = Norm.of(NormKind.RMS, config.numberOr(1e-6, "rms_norm_eps"), Affine.NONE);
        Reading.requireWholeHead(config);
        boolean bias = config.flagOr(false, "attention_bias");
        Attention plain = Reading.attention(config, 0, 0).withBiases(bias, bias);
        Attention attention = plain.withRotary(Reading.rotary(config, plain.heads().width(), 10_000, Pairing.HALVES))
                .withQueryKeyNorm(new QueryKeyNorm(norm, QueryKeyNorm.Span.HEAD));
        Mlp mlp = Mlp.plain(config.integerOr(8192, "intermediate_size"), Reading.activation(config.textOr("relu2", "hidden_act"))).withBiases(false, false);
        OptionalDouble cap = Reading.softcap(config, 15, "final_logit_softcapping");
        Output.Words words = Output.Words.of(Reading.tied(config, false));
        Architecture architecture = Reading.decoder(config, 2048, norm,
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention, mlp)),
                cap.isPresent() ? words.withSoftcap(cap.getAsDouble()) : words);
        Embedding behindNorm = architecture.embedding().withNorm(Optional.of(norm), false);
        return new Description(architecture.withEmbedding(behindNorm), LlamaNames.of(config, tensors)
                .halvesSwapped()
                .whole(MLP_UP, "layers.*.mlp.fc1")
                .whole(MLP_DOWN, "layers.*.mlp.fc2"));
    }
}
