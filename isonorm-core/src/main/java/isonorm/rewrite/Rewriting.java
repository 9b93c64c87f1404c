package isonorm.rewrite;

import static isonorm.architecture.Part.*;
import static isonorm.architecture.Role.Field.*;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.CrossAttention;
import isonorm.architecture.Embedding;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Parameter;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Role;
import isonorm.architecture.Stack;
import isonorm.weights.Matrix;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.BiFunction;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;

/** What several rewrites do to a part of a model. */
final class Rewriting {

    private Rewriting() {}

    static Architecture centreEmbedding(Architecture architecture, Edit w, boolean untie) {
        Embedding embedding = architecture.embedding();
        Output output = architecture.output();
        Optional<Matrix> whole = w.find(Role.of(TOKEN_EMBEDDING, WEIGHT));
        mapStream(architecture, w, part -> !part.perBlock(), Operation::centreColumns, Operation::centreRows);
        if (embedding instanceof Embedding.Tokens tokens && architecture.tokensEnterStream()) {
            if (output instanceof Output.Words words && words.tied()) {
                if (untie) {
                    w.put(Role.of(HEAD, WEIGHT), whole.orElseThrow());
                    output = words.withTied(false);
                } else if (headSeesMeans(architecture, words)) {
                    w.put(Role.of(TOKEN_EMBEDDING, MEANS), Operation.rowMeans(whole.orElseThrow()));
                    embedding = tokens.withMeans(true);
                }
            }
        }
        boolean recentre = architecture.bases().entry().isEmpty()
                && (architecture.entersWhole() || embedding.streamNorm().map(norm -> norm.affine() != Affine.NONE).orElse(false));
        return architecture.withEmbedding(embedding.withNorm(embedding.norm(), recentre)).withOutput(output);
    }

    /**
     * Whether a tied head can tell a table from one without row means: not if what it reads is the bare output of a norm, which
     * sums to zero.
     */
    static boolean headSeesMeans(Architecture architecture, Output.Words words) {
        boolean bareNorm = architecture.finalNorm().map(norm -> norm.affine() == Affine.NONE).orElse(false);
        return !bareNorm || words.transform().isPresent() || words.projectedWidth() > 0;
    }

    static void centreWriters(Block block, int l, Edit w) {
        centreWriter(w, Role.of(ATTENTION_OUTPUT, l, WEIGHT), w.take(Role.of(ATTENTION_SCALE, l, WEIGHT)));
        centreWriter(w, Role.of(CROSS_OUTPUT, l, WEIGHT), Optional.empty());
        Optional<Matrix> scale = w.take(Role.of(MLP_SCALE, l, WEIGHT));
        Architecture.feedForwardWriters(block, l).forEach(writer -> centreWriter(w, writer, scale));
    }

    /** The same where a norm stands behind the sum; where none does only a scale is folded. */
    static void centreWritersBehindNorms(Block block, int l, Edit w) {
        centreWritersBehindNorm(w, block.attentionPlacement(), List.of(Role.of(ATTENTION_OUTPUT, l, WEIGHT), Role.of(CROSS_OUTPUT, l, WEIGHT)),
                Role.of(ATTENTION_SCALE, l, WEIGHT));
        centreWritersBehindNorm(w, block.mlpPlacement(), Architecture.feedForwardWriters(block, l), Role.of(MLP_SCALE, l, WEIGHT));
    }

    private static void centreWritersBehindNorm(Edit w, Placement placement, List<Role> writers, Role scale) {
        Optional<Matrix> factor = w.take(scale);
        writers.forEach(writer -> centreWriterBehindNorm(w, placement, writer, factor));
    }

    private static void centreWriterBehindNorm(Edit w, Placement placement, Role writer, Optional<Matrix> factor) {
        if (placement == Placement.POST) {
            centreWriter(w, writer, factor);
        } else {
            scaleWriter(w, writer, factor);
        }
    }

    private static void centreWriter(Edit w, Role role, Optional<Matrix> factor) {
        scaleWriter(w, role, factor);
        w.change(role, Operation::centreColumns);
        w.change(role.field(BIAS), Operation::centreRows);
    }

    private static void scaleWriter(Edit w, Role role, Optional<Matrix> factor) {
        if (factor.isPresent()) {
            w.change(role, of -> Operation.scaleRows(of, factor.get()));
            w.change(role.field(BIAS), of -> Operation.scaleValues(of, factor.get()));
        }
    }

    static Architecture withKind(Architecture architecture, NormKind kind) {
        Embedding embedding = architecture.embedding();
        return architecture
                .withEmbedding(architecture.entersWhole() || architecture.bases().entry().isPresent() ? embedding // whose norm reads what was never centred
                        : embedding.withNorm(embedding.streamNorm().map(norm -> norm.withKind(kind)).or(embedding::norm), embedding.recentre()))
                .withBlocks(architecture.blocks().stream().map(block -> block.withNorm(block.norm().withKind(kind))).toList())
                .withFinalNorm(architecture.finalNorm().map(norm -> norm.withKind(kind)));
    }

    static Block foldBlock(Block block, int l, Edit w) {
        Norm norm = block.norm();
        if (norm.affine() == Affine.NONE) {
            return block;
        }
        boolean appears = false;
        for (Part part : Architecture.norms(block)) {
            for (Role reader : Architecture.readers(block, l, part)) {
                appears |= norm.affine().hasBias() && (!w.has(reader.field(BIAS)) || !biasesKeys(block, reader));
            }
        }
        for (Part part : Architecture.norms(block)) {
            foldNorm(w, Role.of(part, l, GAIN), Architecture.readers(block, l, part), norm.affine(), appears);
        }
        Block folded = block.withNorm(norm.withAffine(Affine.NONE).withFolded(appears ? norm.affine() : Affine.NONE));
        if (norm.affine().hasBias() && block.cross().isPresent()) {
            CrossAttention cross = block.cross().get();
            folded = folded.withCross(cross.withBiases(true, cross.keyValueBias(), cross.outputBias()));
        }
        return norm.affine().hasBias()
                ? folded.withMixer(block.mixer().withReadingBias())
                        .withFeedForward(block.feedForward().withReadingBias())
                : folded;
    }

    /** Whether a weight is none of those whose bias leaves keys as they are. */
    static boolean biasesKeys(Block block, Role reader) {
        return !(reader.part() == QUERY_KEY_VALUE && block.mixer() instanceof Attention attention) || attention.keyBias();
    }

    static void foldNorm(Edit w, Role gainRole, List<Role> readers, Affine affine, boolean keep) {
        Matrix gain = w.take(gainRole).orElseThrow();
        Optional<Matrix> bias = w.take(gainRole.field(BIAS));
        for (Role reader : readers) {
            Matrix weight = w.get(reader);
            if (affine.hasBias()) {
                Matrix old = w.find(reader.field(BIAS)).orElseGet(() -> Operation.zeros(weight.rows()));
                w.put(reader.field(BIAS), Operation.biasPlus(weight, old, bias.orElseThrow()));
            }
            w.put(reader, Operation.scaleColumns(weight, gain));
        }
        if (keep) {
            w.put(gainRole.field(FOLDED_GAIN), gain);
            w.put(gainRole.field(FOLDED_BIAS), bias.orElseThrow());
        }
    }

    static Architecture foldFinal(Architecture architecture, Edit w) {
        if (architecture.finalNorm().isEmpty() || architecture.finalReader().isEmpty()) {
            return architecture;
        }
        Norm norm = architecture.finalNorm().get();
        if (norm.affine() == Affine.NONE) {
            return architecture;
        }
        Role head = Role.of(HEAD, WEIGHT);
        boolean appears = norm.affine().hasBias() && !w.has(head.field(BIAS));
        foldNorm(w, Role.of(FINAL_NORM, GAIN), List.of(head), norm.affine(), appears);
        return architecture
                .withFinalNorm(Optional.of(norm.withAffine(Affine.NONE).withFolded(appears ? norm.affine() : Affine.NONE)))
                .withOutput(withHeadBias(architecture.output(), norm.affine().hasBias()));
    }

    static Output withHeadBias(Output output, boolean added) {
        return switch (output) {
            case Output.Words words -> words.withBias(words.bias() || added);
            case Output.Labels labels -> labels.withBias(labels.bias() || added);
            case Output.Hidden hidden -> hidden;
        };
    }

    /**
     * The weights that read what the final norm gives and are all that do; empty where something else is made of it, as where it is the output itself, or
     * an encoder's.
     */
    static List<Role> finalReaders(Architecture architecture) {
        if (architecture.bases().exit().isPresent()) {
            return List.of(); // The final norm is of no stream.
        }
        return switch (architecture.output()) {
            case Output.Words words -> List.of(Role.of(words.projectedWidth() > 0 ? HEAD_PROJECTION : words.transform().isPresent() ? HEAD_TRANSFORM : HEAD, WEIGHT));
            case Output.Labels labels when labels.transform().isPresent() ->
                labels.transform().get().dense().isPresent() ? List.of(Role.of(HEAD_TRANSFORM, WEIGHT)) : List.of();
            case Output.Labels labels -> labels.pooling() == Output.Pooling.EACH_OF_TWO ? List.of(Role.of(HEAD, WEIGHT), Role.of(DISTILLED_HEAD, WEIGHT))
                    : List.of(Role.of(HEAD, WEIGHT));
            case Output.Hidden hidden when hidden.probe().isPresent() -> List.of(Role.of(POOLER_KEY, WEIGHT), Role.of(POOLER_VALUE, WEIGHT));
            case Output.Hidden hidden when hidden.projection().isPresent() -> List.of(Role.of(POOLER_PROJECTION, WEIGHT));
            case Output.Hidden _ -> List.of();
        };
    }

    /** The same output where {@link #finalReaders} have biases. */
    static Output withFinalReadersBias(Output output) {
        return switch (output) {
            case Output.Words words when words.projectedWidth() == 0 && words.transform().isPresent() -> words.withTransform(withBias(words.transform().get()));
            case Output.Labels labels when labels.transform().isPresent() -> labels.withTransform(withBias(labels.transform().get()));
            case Output.Words _, Output.Labels _ -> withHeadBias(output, true);
            case Output.Hidden hidden when hidden.probe().isEmpty() && hidden.projection().isPresent() ->
                hidden.withProjection(hidden.projection().get().width(), true);
            case Output.Hidden hidden -> hidden;
        };
    }

    private static Output.Transform withBias(Output.Transform transform) {
        return new Output.Transform(transform.dense().map(dense -> new Output.Dense(dense.width(), dense.activation(), true)), transform.norm());
    }

    /** Moves what a norm applies into a weight that reads it, or vectors of several positions one behind the other. */
    static void foldInto(Edit w, Role reader, Matrix gain, Optional<Matrix> bias) {
        Matrix weight = w.get(reader);
        int times = weight.columns() / gain.columns();
        if (bias.isPresent()) {
            Matrix old = w.find(reader.field(BIAS)).orElseGet(() -> Operation.zeros(weight.rows()));
            w.put(reader.field(BIAS), Operation.biasPlus(weight, old, Operation.repeated(bias.get(), times)));
        }
        w.put(reader, Operation.scaleColumns(weight, Operation.repeated(gain, times)));
    }

    /** Folds what is learned to multiply a branch into the layers that write it. */
    static Block foldScale(Block block, int l, Edit w) {
        Optional<Matrix> attention = w.take(Role.of(ATTENTION_SCALE, l, WEIGHT));
        scaleWriter(w, Role.of(ATTENTION_OUTPUT, l, WEIGHT), attention);
        Optional<Matrix> mlp = w.take(Role.of(MLP_SCALE, l, WEIGHT));
        Architecture.feedForwardWriters(block, l).forEach(writer -> scaleWriter(w, writer, mlp));
        return block.withScale(BranchScale.NONE);
    }

    /** Lets go of what is kept in the file for the way back, and gives the norm without. */
    static Norm forgotten(Edit w, Role gain, Norm norm) {
        w.take(gain.field(FOLDED_GAIN));
        w.take(gain.field(FOLDED_BIAS));
        return norm.withFolded(Affine.NONE);
    }

    /** Whether what its embedding gives, behind an activation or a norm with a gain, cannot be other values than it is, so that a matrix stands between that and another stream. */
    static boolean entersThroughMatrix(Architecture architecture) {
        return architecture.embedding() instanceof Embedding.Sound || architecture.embedding().streamNorm().isPresent();
    }

    /** Applies one operation to every layer that writes to the stream and another to every vector or table in it. */
    static void mapStream(Architecture architecture, Edit w, UnaryOperator<Matrix> writers, UnaryOperator<Matrix> vectors) {
        mapStream(architecture, w, _ -> true, writers, vectors);
    }

    private static void mapStream(
            Architecture architecture, Edit w, Predicate<Part> parts, UnaryOperator<Matrix> writers, UnaryOperator<Matrix> vectors) {
        mapStream(architecture, w, parts, (_, of) -> writers.apply(of), (_, of) -> vectors.apply(of));
    }

    /** The same where what is done depends on the role. */
    static void mapStream(Architecture architecture, Edit w, BiFunction<Role, Matrix, Matrix> writers, BiFunction<Role, Matrix, Matrix> vectors) {
        mapStream(architecture, w, _ -> true, writers, vectors);
    }

    private static void mapStream(
            Architecture architecture, Edit w, Predicate<Part> parts, BiFunction<Role, Matrix, Matrix> writers, BiFunction<Role, Matrix, Matrix> vectors) {
        for (Parameter parameter : architecture.parameters()) {
            Role role = parameter.role();
            if (role.stack() != Stack.MAIN || !parts.test(role.part()) || role.field() != WEIGHT && role.field() != BIAS) {
                continue;
            }
            switch (architecture.use(role.part())) {
                case TABLE, VECTOR -> w.change(role, of -> vectors.apply(role, of));
                case WRITER -> w.change(role, of -> (role.field() == WEIGHT ? writers : vectors).apply(role, of));
                case READER, NONE -> {}
            }
        }
    }

    /** Runs {@code action} on every weight that reads the stream, with the norm it reads it through. */
    static void forEachReader(Architecture architecture, BiConsumer<Role, Norm> action) {
        for (int l = 0; l < architecture.blocks().size(); l++) {
            Block block = architecture.blocks().get(l);
            for (Part norm : Architecture.norms(block)) {
                for (Role reader : Architecture.readers(block, l, norm)) {
                    action.accept(reader, block.norm());
                }
            }
        }
        bareFinalReader(architecture).ifPresent(reader -> action.accept(Role.of(reader, WEIGHT), architecture.finalNorm().orElseThrow()));
    }

    /** The layer that reads the stream through a final norm that applies nothing, and so reads d - 1 values when compressed. */
    private static Optional<Part> bareFinalReader(Architecture architecture) {
        if (architecture.finalNorm().isEmpty() || architecture.finalNorm().get().affine() != Affine.NONE) {
            return Optional.empty();
        }
        boolean projected = architecture.output() instanceof Output.Words words && words.projectedWidth() > 0;
        return projected ? Optional.of(HEAD_PROJECTION) : architecture.finalReader();
    }

    /** Runs {@code action} on the gain of each norm and each weight that reads through it and that a family gives no bias, or none of keys. */
    static void forEachFolded(Architecture architecture, Architecture family, BiConsumer<Role, Role> action) {
        Set<Role> biases = biases(family);
        for (int l = 0; l < architecture.blocks().size(); l++) {
            Block block = architecture.blocks().get(l);
            for (Part norm : Architecture.norms(block)) {
                for (Role reader : Architecture.readers(block, l, norm)) {
                    if (!biases.contains(reader.field(BIAS)) || !biasesKeys(family.blocks().get(l), reader)) {
                        action.accept(Role.of(norm, l, GAIN), reader);
                    }
                }
            }
        }
        if (architecture.finalReader().isPresent() && !hasBias(family.output())) {
            action.accept(Role.of(FINAL_NORM, GAIN), Role.of(HEAD, WEIGHT));
        }
    }

    /** Every bias of an architecture. */
    static Set<Role> biases(Architecture family) {
        return family.parameters().stream().map(Parameter::role).filter(role -> role.field() == BIAS).collect(Collectors.toSet());
    }

    private static boolean hasBias(Output family) {
        return switch (family) {
            case Output.Words words -> words.bias();
            case Output.Labels labels -> labels.bias();
            case Output.Hidden _ -> false;
        };
    }

    /** @param biases of the family, {@link #biases} */
    static Block restoreBlock(Block block, Block family, Set<Role> biases, int l, int width, Edit w) {
        for (Part part : Architecture.norms(block)) {
            restoreNorm(w, Role.of(part, l, GAIN), Architecture.readers(block, l, part), block.norm(), family.norm(), width,
                    role -> biases.contains(role.field(BIAS)));
        }
        return block.both(Placement.PRE) ? family : block;
    }

    static void restoreNorm(
            Edit w, Role gainRole, List<Role> readers, Norm norm, Norm family, int width, Predicate<Role> hasBias) {
        if (norm.affine() != Affine.NONE) {
            return; // It was never folded.
        }
        Optional<Matrix> folded = w.take(gainRole.field(FOLDED_GAIN));
        if (folded.isEmpty()) {
            if (family.affine().hasGain()) {
                w.put(gainRole, Operation.ones(width));
            }
            if (family.affine().hasBias()) {
                w.put(gainRole.field(BIAS), Operation.zeros(width));
            }
            return;
        }
        Matrix gain = folded.get();
        Matrix bias = w.take(gainRole.field(FOLDED_BIAS)).orElseThrow();
        for (Role reader : readers) {
            // A reader with a bias keeps in it what the norm's bias adds, where the gain is 0 too.
            Matrix lost = hasBias.test(reader) ? Operation.zeros(bias.columns()) : bias;
            Matrix weight = Operation.unscaleColumns(w.get(reader), gain, lost);
            Optional<Matrix> total = w.take(reader.field(BIAS));
            w.put(reader, weight);
            if (hasBias.test(reader)) {
                w.put(reader.field(BIAS), Operation.biasMinus(weight, total.orElseThrow(), bias));
            }
        }
        w.put(gainRole, gain);
        w.put(gainRole.field(BIAS), bias);
    }

    static Architecture restoreFinal(Architecture architecture, Architecture family, Edit w) {
        if (architecture.finalNorm().isEmpty()) {
            return architecture;
        }
        Norm norm = architecture.finalNorm().get();
        boolean familyBias = hasBias(family.output());
        restoreNorm(w, Role.of(FINAL_NORM, GAIN), architecture.finalReader().isPresent() ? List.of(Role.of(HEAD, WEIGHT)) : List.of(),
                norm, family.finalNorm().orElseThrow(() -> new IllegalArgumentException("a final norm has no place in the family's architecture")), architecture.width(), _ -> familyBias);
        Output output = switch (architecture.output()) {
            case Output.Words words -> words.withBias(familyBias);
            case Output.Labels labels -> labels.withBias(familyBias);
            case Output.Hidden hidden -> hidden;
        };
        return architecture.withFinalNorm(family.finalNorm()).withOutput(output);
    }
}
