package isonorm.measure;

import isonorm.architecture.Activation;
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
import isonorm.architecture.Wiring;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/** Shapes that run in no time. */
final class Tiny {

    private static final Norm NORM = Norm.of(NormKind.LAYER, 1e-6, Affine.GAIN_AND_BIAS);
    private static final Attention ATTENTION = Attention.of(2, 6);
    private static final Mlp MLP = Mlp.plain(32, Activation.GELU);

    private Tiny() {}

    static Architecture vit() {
        Embedding.Patches patches = Embedding.Patches.of(8, 8, 4, 3);
        return Architecture.of("tiny", 12, patches.tokens(), patches, blocks(ATTENTION.bidirectional()), Optional.of(NORM),
                Output.Labels.of(7, Output.Pooling.FIRST));
    }

    static Architecture words() {
        return Architecture.of("tiny", 12, 64, Embedding.Tokens.of(31, 12).withPositions(64, 0, false), blocks(ATTENTION), Optional.of(NORM),
                Output.Words.of(true));
    }

    private static List<Block> blocks(Attention attention) {
        return Collections.nCopies(2, Block.of(Placement.PRE, Wiring.SEQUENTIAL, NORM, attention, MLP));
    }
}
