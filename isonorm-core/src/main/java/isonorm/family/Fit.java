package isonorm.family;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.FeedForward;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mixer;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Stream;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;

/**
 * What holds of every architecture that an adapter makes or a rewrite gives, and that a config.json of Isonorm's own format could say otherwise: that parts
 * which meet are of one width and read what there is.
 */
final class Fit {

    private Fit() {}

    /** @throws IllegalArgumentException saying which parts do not fit together */
    static void require(Architecture architecture) {
        requireNorms(architecture);
        requireOutput(architecture);
        if (architecture.companion().isPresent()) {
            Companion beside = architecture.companion().get();
            require(beside.architecture());
            if (beside instanceof Companion.Encoder(Architecture encoder, boolean sharesTable)) {
                requireEncoder(architecture, encoder, sharesTable);
            }
        }
    }

    /** A compressed stream is read by CRMSNorm, and nothing else is. */
    private static void requireNorms(Architecture architecture) {
        boolean compressed = architecture.stream() == Stream.COMPRESSED;
        architecture.embedding().streamNorm().ifPresent(norm -> requireOf("the embedding's norm", norm, compressed));
        architecture.finalNorm().ifPresent(norm -> requireOf("the final norm", norm, compressed));
        for (Block block : new HashSet<>(architecture.blocks())) {
            if (block.attentionPlacement().normalizes() || block.mlpPlacement().normalizes()) {
                requireOf("a block's norm", block.norm(), compressed);
            }
            inside(block.mixer()).forEach(norm -> requireOf("a norm inside attention", norm, false));
            inside(block.feedForward()).forEach(norm -> requireOf("a norm inside an MLP", norm, false));
        }
        switch (architecture.embedding()) {
            case Embedding.Tokens tokens -> {
                if (tokens.streamNorm().isEmpty()) {
                    tokens.norm().ifPresent(norm -> requireOf("the norm before a projection", norm, false));
                }
            }
            case Embedding.Patches _ -> {}
            case Embedding.Sound sound -> {
                sound.convolutions().forEach(each -> each.norm().ifPresent(norm -> requireOf("a norm of channels", norm.norm(), false)));
                sound.projection().flatMap(Embedding.Sound.FrameProjection::norm).ifPresent(norm -> requireOf("a norm of frames", norm, false));
                if (sound.places() instanceof Embedding.Sound.Places.Convolved convolved) {
                    convolved.norm().ifPresent(norm -> requireOf("a norm of positions", norm, false));
                }
            }
        }
        Optional<Output.Transform> transform = switch (architecture.output()) {
            case Output.Words words -> words.transform();
            case Output.Labels labels -> labels.transform();
            case Output.Hidden hidden -> {
                hidden.probe().ifPresent(probe -> requireOf("a probe's norm", probe.norm(), false));
                yield Optional.empty();
            }
        };
        transform.flatMap(Output.Transform::norm).ifPresent(norm -> requireOf("the norm before the head", norm, false));
    }

    private static List<Norm> inside(Mixer mixer) {
        return switch (mixer) {
            case Attention attention -> List.of(attention.norms().queryKey().map(QueryKeyNorm::norm), attention.norms().value(), attention.norms().inner()).stream()
                    .flatMap(Optional::stream).toList();
            case LatentAttention latent -> List.of(latent.norm());
        };
    }

    private static List<Norm> inside(FeedForward feedForward) {
        return switch (feedForward) {
            case Mlp mlp -> mlp.innerNorm().stream().toList();
            case Experts _ -> List.of();
        };
    }

    private static void requireOf(String what, Norm norm, boolean compressed) {
        if (norm.kind().readsCompressed() != compressed) {
            throw new IllegalArgumentException(what + " reads " + (compressed ? "a compressed stream, as " : "all values there are, as all but ")
                    + NormKind.CRMS.label() + " does, got " + norm.kind().label());
        }
    }

    private static void requireOutput(Architecture architecture) {
        int positions = architecture.embedding() instanceof Embedding.Patches patches ? patches.beside().classTokens() : 0;
        switch (architecture.output()) {
            case Output.Words words -> {
                if (!(architecture.embedding() instanceof Embedding.Tokens tokens)) {
                    throw new IllegalArgumentException("a head over words stands above an embedding of tokens, got " + words);
                }
                if (words.tied()) {
                    requireTable(architecture, tokens, words);
                }
            }
            case Output.Labels labels -> {
                boolean two = labels.pooling() == Output.Pooling.MEAN_OF_TWO || labels.pooling() == Output.Pooling.EACH_OF_TWO;
                boolean patches = labels.pooling() == Output.Pooling.FIRST_AND_MEAN || labels.pooling() == Output.Pooling.NORMED_MEAN;
                if (two && positions < 2 || patches && !(architecture.embedding() instanceof Embedding.Patches)) {
                    throw new IllegalArgumentException("what is pooled must be there, two class tokens or patches, got " + labels.pooling().label());
                }
            }
            case Output.Hidden hidden -> {
                if (hidden.pooler() == Output.Pooler.END && !(architecture.embedding() instanceof Embedding.Tokens)
                        || hidden.pooler() == Output.Pooler.MEAN_OF_TWO && positions < 2
                        || hidden.pooler() == Output.Pooler.NORMED_MEAN && !(architecture.embedding() instanceof Embedding.Patches)) {
                    throw new IllegalArgumentException("what is pooled must be there, the end of a text, two class tokens or patches, got " + hidden.pooler().label());
                }
                if (hidden.probe().filter(probe -> architecture.ending().width() % probe.heads() != 0).isPresent()) {
                    throw new IllegalArgumentException("a probe's heads divide the width of the stream, got " + hidden.probe().get().heads() + " and "
                            + architecture.ending().width());
                }
            }
        }
    }

    /** A table that is the head has as many columns as the head reads. */
    private static void requireTable(Architecture architecture, Embedding.Tokens tokens, Output.Words words) {
        long columns = table(architecture, tokens).getLast();
        boolean ofStream = words.projectedWidth() == 0 && words.transform().isEmpty();
        int reads = words.transform().map(transform -> transform.width(architecture.ending().width()))
                .orElse(words.projectedWidth() > 0 ? words.projectedWidth() : architecture.finalWidth());
        // Of a compressed stream the table has a column less, the difference to the last of which the head reads.
        if (columns != reads && !(architecture.stream() == Stream.COMPRESSED && columns == architecture.streamWidth()
                && (ofStream || reads == architecture.width()))) {
            throw new IllegalArgumentException("a head that is the token table reads as many values as that has columns, got " + reads + " and " + columns);
        }
    }

    private static void requireEncoder(Architecture decoder, Architecture encoder, boolean sharesTable) {
        if (!(encoder.output() instanceof Output.Hidden hidden) || hidden.pooler() != Output.Pooler.NONE) {
            throw new IllegalArgumentException("an encoder gives its stream behind the final norm, got " + encoder.output());
        }
        if (sharesTable && !(decoder.embedding() instanceof Embedding.Tokens one && encoder.embedding() instanceof Embedding.Tokens other
                && table(decoder, one).equals(table(encoder, other)))) {
            throw new IllegalArgumentException("two stacks share a table of tokens that has one shape, got " + decoder.embedding() + " and " + encoder.embedding());
        }
    }

    private static List<Long> table(Architecture architecture, Embedding.Tokens tokens) {
        return List.of((long) tokens.vocabulary(), (long) (tokens.projected() ? tokens.width() : architecture.entrance().streamWidth()));
    }
}
