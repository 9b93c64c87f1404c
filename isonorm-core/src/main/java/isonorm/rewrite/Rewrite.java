package isonorm.rewrite;

import static isonorm.architecture.Part.*;
import static isonorm.architecture.Role.Field.*;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Companion;
import isonorm.architecture.CrossAttention;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Parameter;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Role;
import isonorm.architecture.Rotary;
import isonorm.architecture.Stack;
import isonorm.architecture.Stream;
import isonorm.weights.Basis;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Rotation;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;

/**
 * A step from one model to an equal one. Each states an identity that holds in exact arithmetic and the precondition it needs;
 * plan checks the preconditions.
 *
 * @see <a href="https://arxiv.org/abs/2305.14858">Jiang, Gu, Zhu, Pan: Pre-RMSNorm and Pre-CRMSNorm Transformers, 2023</a>
 */
public sealed interface Rewrite {

    /** The equal model. Nothing is read: the new matrices are computed when somebody reads them. Each of several stacks is rewritten by itself. */
    default Model apply(Model model) {
        Model main = applyToMain(model);
        return model.companion().map(beside -> main.withCompanion(ofCompanion().applyToMain(beside))).orElse(main);
    }

    /** What {@link #apply} does to the main stack alone. */
    Model applyToMain(Model model);

    /** What is done to a second stack. */
    default Rewrite ofCompanion() {
        return this;
    }

    /** Applies {@code steps} one after the other. */
    static Model all(Model model, List<Rewrite> steps) {
        for (Rewrite step : steps) {
            model = step.apply(model);
        }
        return model;
    }

    /**
     * Takes the mean out of everything that writes to the residual stream: {@code LN(x + k 1) = LN(x)}, so no reader behind a
     * LayerNorm can tell. A vector that LayerScale multiplies is folded into its writer first, since scaling would bring a mean
     * back. Behind an embedding norm with an affine part the mean is taken out explicitly.
     *
     * <p>Precondition: every reader of the stream is a LayerNorm.
     *
     * @param untie whether a tied head becomes a copy of the table as it was; otherwise the table's row means are kept beside
     *     it where the head needs them: {@code E y = E' y + means sum(y)}
     */
    record Centre(boolean untie) implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Architecture architecture = Rewriting.centreEmbedding(model.architecture(), w, untie);
            List<Block> blocks = new ArrayList<>();
            for (int l = 0; l < architecture.blocks().size(); l++) {
                Rewriting.centreWriters(architecture.blocks().get(l), l, w);
                blocks.add(architecture.blocks().get(l).withScale(BranchScale.NONE));
            }
            return w.model(architecture.withBlocks(blocks).withStream(Stream.CENTRED));
        }
    }

    /**
     * Gives each head a layer of its own for the gates of its distances, which reads all that attention does, in place of one for all heads that reads a head's
     * part: what a norm applies differs from one part to the next, so it could be folded into no layer that they share.
     */
    record OwnGates() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            if (model.architecture().blocks().stream().noneMatch(block -> block.mixer().attention().gates() == RelativeBias.Gates.SHARED)) {
                return model;
            }
            Edit w = Edit.of(model);
            List<Block> blocks = new ArrayList<>();
            for (int l = 0; l < model.architecture().blocks().size(); l++) {
                Block block = model.architecture().blocks().get(l);
                if (block.mixer() instanceof Attention attention && attention.gates() == RelativeBias.Gates.SHARED) {
                    Role gate = Role.of(RELATIVE_GATE, l, WEIGHT);
                    w.change(gate, of -> new HeadGates(of, attention.heads().count(), true));
                    w.change(gate.field(BIAS), of -> new HeadGates(of, attention.heads().count(), false));
                    block = block.withMixer(attention.withRelative(attention.positions().relative().orElseThrow().withGates(RelativeBias.Gates.EACH_HEAD)));
                }
                blocks.add(block);
            }
            return w.model(model.architecture().withBlocks(blocks));
        }
    }

    /**
     * Takes out of a centred stream what rounding its writers to a file's type left of a mean: before that, they wrote none. What is equal is
     * the model that was rounded, not the one that the file holds.
     *
     * <p>Precondition: the stream is centred.
     */
    record Recentre() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Architecture architecture = model.architecture();
            if (architecture.embedding() instanceof Embedding.Tokens tokens && tokens.means()) {
                Matrix table = w.get(Role.of(TOKEN_EMBEDDING, WEIGHT));
                w.change(Role.of(TOKEN_EMBEDDING, MEANS), of -> Operation.plusRowMeans(of, table)); // E y + m sum(y) stays what it is
            }
            Rewriting.mapStream(architecture, w, Operation::centreColumns, Operation::centreRows);
            return w.model(architecture);
        }
    }

    /**
     * Makes those biases that {@link Fold} added, some of which may be of keys alone, and that {@link Restore} has no place for, what the weights beside them give: {@code W bias}.
     * Rounding both to a file's type has made them differ a little. What is equal is, again, the model that was rounded.
     *
     * @param family the architecture that {@link Restore} reaches
     */
    record Refold(Architecture family) implements Rewrite {
        @Override
        public Rewrite ofCompanion() {
            return new Refold(family.companion().orElseThrow().architecture());
        }

        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Rewriting.forEachFolded(model.architecture(), family, (norm, reader) -> {
                if (w.has(norm.field(FOLDED_GAIN))) {
                    Matrix bias = w.get(norm.field(FOLDED_BIAS));
                    Matrix weight = Operation.unscaleColumns(w.get(reader), w.get(norm.field(FOLDED_GAIN)), bias);
                    boolean keysAlone = reader.block() >= 0 && Rewriting.biases(family).contains(reader.field(BIAS));
                    w.put(reader.field(BIAS), keysAlone ? ofKeys(reader, weight, w.get(reader.field(BIAS)), bias)
                            : Operation.biasPlus(weight, Operation.zeros(weight.rows()), bias));
                }
            });
            return w.model(model.architecture());
        }

        private Matrix ofKeys(Role reader, Matrix weight, Matrix total, Matrix bias) {
            Attention.Heads heads = family.blocks().get(reader.block()).mixer().attention().heads();
            return Operation.biasOfSome(weight, total, bias, heads.count() * heads.width(), heads.keyValue() * heads.width());
        }
    }

    /**
     * Calls every norm on a centred stream by its name: {@code LN(x) = RMS(x)} where {@code mean(x) = 0}, with the same
     * epsilon, gain and bias.
     *
     * <p>Precondition: the stream is centred.
     */
    record ToRmsNorm() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            return new Model(Rewriting.withKind(model.architecture(), NormKind.RMS), model.weights());
        }
    }

    /**
     * Moves the gain and bias of each norm into the linear layers that read it:
     * {@code W (gain n + bias) + b = (W diag(gain)) n + (W bias + b)}. A reader without a bias gets one. A final norm is folded
     * only if the head is its one reader and has a weight of its own. Gates of distances get a layer for each head first, {@link OwnGates}.
     *
     * <p>Where a bias appeared that the family's format has no place for, gain and bias are kept in the file for the way back.
     */
    record Fold() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Model own = new OwnGates().applyToMain(model);
            Edit w = Edit.of(own);
            Architecture architecture = own.architecture();
            List<Block> blocks = new ArrayList<>();
            for (int l = 0; l < architecture.blocks().size(); l++) {
                blocks.add(Rewriting.foldBlock(architecture.blocks().get(l), l, w));
            }
            return w.model(Rewriting.foldFinal(architecture.withBlocks(blocks), w));
        }
    }

    /**
     * Moves the gain and bias of the final norm into whatever linear layers read it, where {@link Fold} does so only for a head; those of an encoder's
     * into the layers of the decoder that make keys and values of what it gives.
     *
     * <p>Precondition: a head that reads it is not tied, and linear layers are all that does.
     */
    record FoldOutput() implements Rewrite {
        @Override
        public Model apply(Model model) {
            Model folded = Rewrite.super.apply(model);
            return folded.architecture().companion().orElse(null) instanceof Companion.Encoder encoder ? foldEncoder(folded, encoder) : folded;
        }

        private static Model foldEncoder(Model model, Companion.Encoder beside) {
            Optional<Norm> norm = beside.architecture().finalNorm().filter(each -> each.affine() != Affine.NONE);
            if (norm.isEmpty()) {
                return model;
            }
            Edit w = Edit.of(model);
            Role gain = Role.of(FINAL_NORM, GAIN).in(Stack.ENCODER);
            Matrix gains = w.take(gain).orElseThrow();
            Optional<Matrix> biases = w.take(gain.field(BIAS));
            List<Block> blocks = new ArrayList<>();
            for (int l = 0; l < model.architecture().blocks().size(); l++) {
                Rewriting.foldInto(w, Role.of(CROSS_KEY_VALUE, l, WEIGHT), gains, biases);
                Block block = model.architecture().blocks().get(l);
                CrossAttention cross = block.cross().orElseThrow();
                blocks.add(block.withCross(cross.withBiases(cross.bias(), cross.keyValueBias() || biases.isPresent(), cross.outputBias())));
            }
            Norm bare = norm.get().withAffine(Affine.NONE);
            return w.model(model.architecture().withCompanion(beside.with(beside.architecture().withFinalNorm(Optional.of(bare)))).withBlocks(blocks));
        }

        @Override
        public Model applyToMain(Model model) {
            Architecture architecture = model.architecture();
            List<Role> readers = Rewriting.finalReaders(architecture);
            Optional<Norm> norm = architecture.finalNorm().filter(each -> each.affine() != Affine.NONE);
            if (norm.isEmpty() || readers.isEmpty()) {
                return model;
            }
            Edit w = Edit.of(model);
            Matrix gain = w.take(Role.of(FINAL_NORM, GAIN)).orElseThrow();
            Optional<Matrix> bias = w.take(Role.of(FINAL_NORM, BIAS));
            for (Role reader : readers) {
                if (reader.part() == HEAD_PROJECTION && bias.isPresent()) { // which has no bias, so the head behind it gets what it would give
                    Matrix projection = w.get(reader);
                    Matrix given = Operation.biasPlus(projection, Operation.zeros(projection.rows()), bias.get());
                    Role head = Role.of(HEAD, WEIGHT);
                    Matrix weight = w.find(head).orElseGet(() -> w.get(Role.of(TOKEN_EMBEDDING, WEIGHT)));
                    Matrix old = w.find(head.field(BIAS)).orElseGet(() -> Operation.zeros(weight.rows()));
                    w.put(head.field(BIAS), Operation.biasPlus(weight, old, given));
                    w.put(reader, Operation.scaleColumns(projection, gain));
                } else {
                    Rewriting.foldInto(w, reader, gain, bias);
                }
            }
            Output output = bias.isPresent() ? Rewriting.withFinalReadersBias(architecture.output()) : architecture.output();
            return w.model(architecture.withFinalNorm(Optional.of(norm.get().withAffine(Affine.NONE))).withOutput(output));
        }
    }

    /**
     * Makes the token table what the norm behind it gives of its rows.
     *
     * <p>Precondition: the norm sees the token alone, and the table is not tied.
     */
    record NormTable() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            if (!(model.architecture().embedding() instanceof Embedding.Tokens tokens) || tokens.streamNorm().isEmpty()) {
                return model;
            }
            Edit w = Edit.of(model);
            Optional<Matrix> gain = w.take(Role.of(EMBEDDING_NORM, GAIN));
            Optional<Matrix> bias = w.take(Role.of(EMBEDDING_NORM, BIAS));
            w.change(Role.of(TOKEN_EMBEDDING, WEIGHT), of -> Operation.normRows(of, tokens.norm().orElseThrow(), tokens.scale(), gain, bias));
            return w.model(model.architecture().withEmbedding(tokens.withScale(1).withNorm(Optional.empty(), false)));
        }
    }

    /**
     * Puts a matrix between all that the embedding gives, behind its norm, and the stream, which changes nothing yet, so that what enters the stream can be other values
     * than these. What stands before it is not of the stream then.
     *
     * <p>Precondition: the table is not tied.
     */
    record Enter() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Architecture architecture = model.architecture();
            if (!Rewriting.entersThroughMatrix(architecture)) {
                return model;
            }
            Edit w = Edit.of(model);
            w.put(Role.of(STREAM_ENTRY, WEIGHT), Operation.identity(architecture.width()));
            return w.model(architecture.withBases(architecture.bases().withEntry(architecture.width())));
        }
    }

    /** Puts a matrix between the stream and the final norm, which changes nothing yet, so that this and all behind it stay what they are where the stream becomes another. */
    record Leave() implements Rewrite {
        @Override
        public Model apply(Model model) {
            return applyToMain(model); // What leaves a second stack is read by the main one.
        }

        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Architecture architecture = model.architecture();
            w.put(Role.of(STREAM_EXIT, WEIGHT), Operation.identity(architecture.width()));
            return w.model(architecture.withBases(architecture.bases().withExit(architecture.width())));
        }
    }

    /**
     * Carries the stream in another basis: h becomes {@code h Q}, Q having orthonormal columns, as many as h has dimensions or more. Tables and vectors are
     * multiplied by Q, writers become {@code Q^T W} and readers {@code W Q}. A norm without a gain cannot tell, but that it divides by the root of a mean: of k
     * values for d its epsilon becomes {@code epsilon d / k}, and its readers are multiplied by {@code sqrt(d / k)} (SliceGPT, arXiv 2401.15024).
     *
     * <p>Precondition: the norms that read the stream are RMSNorms that apply nothing, and linear layers are all that read them. What was kept for the way
     * back is let go of, for there is none. With fewer columns than h has dimensions it is another function (a slice).
     *
     * <p>Of several bases each sub-layer reads the stream in its own, {@code h Q}, and writes into the next one, {@code h Q'}, into which {@code Q'^T Q} leads what it
     * adds to.
     *
     * @param given Q, where it isn't what the rotation says it is made of; or one for each sub-layer, in their order, and one for what is behind the last block
     */
    record Rotate(Rotation rotation, List<Basis> given) implements Rewrite {

        public Rotate {
            given = List.copyOf(given);
        }

        @Override
        public Model apply(Model model) {
            Model rotated = Rewrite.super.apply(model);
            if (!(model.architecture().companion().orElse(null) instanceof Companion.Encoder(Architecture encoder, boolean _))) {
                return rotated;
            }
            Edit w = Edit.of(rotated);
            Basis basis = bases(encoder).getLast();
            for (int l = 0; l < rotated.architecture().blocks().size(); l++) {
                w.change(Role.of(CROSS_KEY_VALUE, l, WEIGHT), of -> Rotated.reader(of, basis));
            }
            return w.model(rotated.architecture());
        }

        private List<Basis> bases(Architecture architecture) {
            if (given.size() > 1 && given.size() != 2 * architecture.blocks().size() + 1) {
                throw new IllegalArgumentException("each of two sub-layers of " + architecture.blocks().size() + " blocks has a basis, and what is behind the last, got " + given.size());
            }
            return given.isEmpty() ? List.of(Basis.of(rotation, architecture.width(), architecture.stream() == Stream.CENTRED))
                    : given.stream().map(basis -> basis.as(rotation)).toList();
        }

        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Architecture architecture = model.architecture();
            List<Basis> bases = bases(architecture);
            boolean many = bases.size() > 1;
            double part = (double) bases.getFirst().from() / bases.getFirst().to();
            List<Block> blocks = new ArrayList<>();
            for (int l = 0; l < architecture.blocks().size(); l++) {
                Block block = Rewriting.foldScale(architecture.blocks().get(l), l, w);
                Norm norm = block.norm().withEpsilon(block.norm().epsilon() * part);
                for (Part each : Architecture.norms(block)) {
                    norm = Rewriting.forgotten(w, Role.of(each, l, GAIN), norm);
                    Basis basis = bases.get(many ? read(block, l, each) : 0);
                    Architecture.readers(block, l, each).forEach(reader -> w.change(reader, of -> Rotated.reader(of, basis)));
                }
                blocks.add(block.withNorm(norm));
            }
            Rewriting.mapStream(architecture, w, (role, of) -> Rotated.writer(of, bases.get(many ? written(architecture, role) : 0)),
                    (role, of) -> Rotated.table(of, bases.get(many ? written(architecture, role) : 0)));
            Rewriting.finalReaders(architecture).forEach(reader -> w.change(reader, of -> Rotated.reader(of, bases.getLast())));
            w.change(Role.of(STREAM_EXIT, WEIGHT), of -> Rotated.table(of, bases.getLast()));
            Optional<Norm> finalNorm = architecture.finalNorm();
            if (architecture.bases().exit().isEmpty()) {
                finalNorm = finalNorm.map(norm -> Rewriting.forgotten(w, Role.of(FINAL_NORM, GAIN), norm.withEpsilon(norm.epsilon() * part)));
            }
            Architecture turned = architecture.withWidth(bases.getFirst().to()).withBlocks(blocks).withFinalNorm(finalNorm);
            if (many) {
                turned = turned.withBases(turned.bases().withSkips());
                Matrix identity = Operation.identity(architecture.width());
                for (int l = 0; l < blocks.size(); l++) {
                    for (Part skip : turned.skips(blocks.get(l))) {
                        int to = skip == MLP_SKIP || blocks.get(l).wiring().parallel() ? 2 * l + 2 : 2 * l + 1;
                        w.put(Role.of(skip, l, WEIGHT), Rotated.writer(Rotated.table(identity, bases.get(skip == MLP_SKIP ? 2 * l + 1 : 2 * l)), bases.get(to)));
                    }
                }
            }
            return w.model(turned);
        }

        /** In which basis what a norm gives is read. */
        private static int read(Block block, int l, Part norm) {
            return norm == MLP_NORM && !block.wiring().parallel() ? 2 * l + 1 : 2 * l;
        }

        /** In which basis what a weight gives enters the stream. */
        private static int written(Architecture architecture, Role role) {
            int l = role.block();
            return l < 0 ? 0 : role.part() == ATTENTION_OUTPUT && !architecture.blocks().get(l).wiring().parallel() ? 2 * l + 1 : 2 * l + 2;
        }
    }

    /**
     * Rotates the values of each head of attention: {@code o = O_h v_h} is {@code (O_h R) (R^T v_h)}. Weights over positions do not depend on it, and queries and keys, which positions may turn, stay.
     * Attention to what an encoder gives stays too.
     *
     * <p>Precondition: nothing stands between values and the output projection but sums over positions and a factor of each head.
     */
    record RotateHeads(Rotation rotation) implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Architecture architecture = model.architecture();
            for (int l = 0; l < architecture.blocks().size(); l++) {
                Attention.Heads heads = architecture.blocks().get(l).mixer().attention().heads();
                Basis basis = Basis.of(rotation.ofHeads(heads.width()), heads.width(), false);
                int first = (heads.count() + heads.keyValue()) * heads.width();
                w.change(Role.of(QUERY_KEY_VALUE, l, WEIGHT), of -> new RotatedValues(of, basis, first, true));
                w.change(Role.of(QUERY_KEY_VALUE, l, BIAS), of -> new RotatedValues(of, basis, first, false));
                w.change(Role.of(ATTENTION_OUTPUT, l, WEIGHT), of -> Rotated.heads(of, basis));
            }
            return w.model(architecture);
        }
    }

    /**
     * Swaps a dimension of the stream and the last: nothing that is computed depends on their order. Swapping again undoes it.
     *
     * <p>Precondition: the norms before linear layers have no affine part, and nothing but linear layers reads the final norm.
     */
    record Swap(int dimension) implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Architecture architecture = model.architecture();
            UnaryOperator<Matrix> columns = of -> Operation.swapColumns(of, dimension);
            Rewriting.mapStream(architecture, w, of -> Operation.swapRows(of, dimension), columns);
            for (int l = 0; l < architecture.blocks().size(); l++) {
                Block block = architecture.blocks().get(l);
                for (Part norm : Architecture.norms(block)) {
                    Architecture.readers(block, l, norm).forEach(reader -> w.change(reader, columns));
                }
            }
            w.change(Role.of(FINAL_NORM, GAIN), columns);
            w.change(Role.of(FINAL_NORM, BIAS), columns);
            Rewriting.finalReaders(architecture).forEach(reader -> w.change(reader, columns));
            return w.model(architecture);
        }

        /** Whether a model is one whose order of dimensions nobody sees. */
        public static boolean isHidden(Architecture architecture) {
            boolean tables = architecture.embedding() instanceof Embedding.Tokens tokens ? tokens.projection() == Embedding.Projection.NONE
                    : architecture.embedding() instanceof Embedding.Patches;
            return tables && architecture.companion().isEmpty() && architecture.embedding().streamNorm().isEmpty() && !Rewriting.finalReaders(architecture).isEmpty()
                    && !(architecture.output() instanceof Output.Hidden);
        }

        /**
         * What leaving each dimension out of a compressed stream costs, but for a factor: the sum of the squares of what its readers then hold, {@code A[:, i] - A[:, j]}
         * for all i, which is what rounding takes its share of.
         */
        public static double[] costs(Model model) throws IOException {
            double[] costs = new double[model.architecture().width()];
            List<Matrix> readers = new ArrayList<>();
            Rewriting.forEachReader(model.architecture(), (role, _) -> readers.add(model.weight(role)));
            for (Matrix reader : readers) {
                reader.prepare();
                try {
                    double[] row = new double[reader.columns()];
                    for (int r = 0; r < reader.rows(); r++) {
                        reader.read(r, 1, row);
                        double sum = 0;
                        double squares = 0;
                        for (double value : row) {
                            sum += value;
                            squares += value * value;
                        }
                        for (int j = 0; j < row.length; j++) {
                            costs[j] += squares - 2 * row[j] * sum + row.length * row[j] * row[j];
                        }
                    }
                } finally {
                    reader.release();
                }
            }
            return costs;
        }
    }

    /**
     * Carries a centred stream in d - 1 values, its last value being minus the sum of the others: writers and tables drop it,
     * readers take {@code A[:, :-1] - A[:, -1:]}, RMSNorm becomes CRMSNorm.
     *
     * <p>Precondition: the stream is centred and its norms before linear layers have no affine part.
     */
    record Compress() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Architecture architecture = model.architecture();
            Rewriting.mapStream(architecture, w, Operation::dropLastRow, Operation::dropLastColumn);
            Rewriting.forEachReader(architecture, (role, norm) -> compressReader(w, role, norm));
            return w.model(Rewriting.withKind(architecture, NormKind.CRMS).withStream(Stream.COMPRESSED));
        }

        private static void compressReader(Edit w, Role role, Norm norm) {
            if (norm.folded() != Affine.NONE) {
                w.put(role.field(COLUMN), Operation.lastColumn(w.get(role)));
            }
            w.change(role, Operation::subtractLastColumn);
        }
    }

    /** Undoes {@link Compress}: the stream has all its d values again and is centred. */
    record Expand() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Architecture architecture = model.architecture();
            Rewriting.mapStream(architecture, w, Operation::appendNegativeSumRow, Operation::appendNegativeSum);
            Rewriting.forEachReader(architecture, (role, _) -> expandReader(w, role));
            return w.model(Rewriting.withKind(architecture, NormKind.RMS).withStream(Stream.CENTRED));
        }

        private static void expandReader(Edit w, Role role) {
            Optional<Matrix> column = w.take(role.field(COLUMN));
            w.change(role, of -> column.map(kept -> Operation.restoreLastColumn(of, kept)).orElseGet(() -> Operation.appendZeroColumn(of)));
        }
    }

    /**
     * Turns a centred RMSNorm model back into one of its family's architecture: norms are LayerNorms again, with the gain and
     * bias that were kept or, where none were, with ones and zeros; biases that the family has no place for go back into the
     * norms they came from; a tied table gets its row means back.
     *
     * @param family the architecture to reach, as the family's own config describes it
     */
    record Restore(Architecture family) implements Rewrite {
        @Override
        public Rewrite ofCompanion() {
            return new Restore(family.companion().orElseThrow().architecture());
        }

        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Architecture architecture = Rewriting.withKind(model.architecture(), NormKind.LAYER).withStream(Stream.FREE);
            Set<Role> biases = Rewriting.biases(family);
            List<Block> blocks = new ArrayList<>();
            for (int l = 0; l < architecture.blocks().size(); l++) {
                blocks.add(Rewriting.restoreBlock(architecture.blocks().get(l), family.blocks().get(l), biases, l, architecture.width(), w));
            }
            Embedding embedding = architecture.embedding();
            if (embedding instanceof Embedding.Tokens tokens && tokens.means()) {
                Matrix means = w.take(Role.of(TOKEN_EMBEDDING, MEANS)).orElseThrow();
                w.change(Role.of(TOKEN_EMBEDDING, WEIGHT), of -> Operation.plusMeans(of, means));
                embedding = tokens.withMeans(false);
            }
            architecture = architecture.withBlocks(blocks).withEmbedding(embedding.withNorm(embedding.norm(), false));
            return w.model(Rewriting.restoreFinal(architecture, family, w));
        }
    }

    /**
     * Post-LN with RMSNorm: {@code LN(x + F(x)) = RMS(recentre(x) + F'(x))}, where F' is F with its writer centred (appendix
     * B). The recentring is explicit behind every norm with an affine part, and behind an embedding that is not centred. A sub-layer
     * without norms, as attention in HybridNorm, writes what it wrote, mean included, since the next one reads it; the recentring
     * before the next norm takes that out. A final norm reads the mean too and stays a LayerNorm.
     *
     * <p>Precondition: the norms of every block are LayerNorms behind the sum.
     */
    record PostToRmsNorm() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Architecture architecture = model.architecture();
            boolean normalized = architecture.embedding().streamNorm().isPresent();
            // Without an embedding norm the first attention reads the embedding itself, which must then stay as it is.
            Architecture centred = normalized ? Rewriting.centreEmbedding(architecture, w, false) : architecture;
            Embedding embedding = centred.embedding();
            List<Block> blocks = new ArrayList<>();
            for (int l = 0; l < architecture.blocks().size(); l++) {
                Block block = architecture.blocks().get(l);
                Rewriting.centreWritersBehindNorms(block, l, w);
                boolean recentre = block.norm().affine() != Affine.NONE || block.either(Placement.NONE) || l == 0;
                blocks.add(block.withScale(BranchScale.NONE).withRecentre(recentre));
            }
            // Here the recentring is done by the blocks, so that the first attention reads what it always read.
            return w.model(Rewriting.withKind(centred.withBlocks(blocks).withEmbedding(embedding.withNorm(embedding.norm(), false)), NormKind.RMS)
                    .withFinalNorm(architecture.finalNorm()));
        }
    }

    /** Gives a tied head a weight of its own, a copy of the token table as it is. */
    record Untie() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            if (!(model.architecture().output() instanceof Output.Words words) || !words.tied()) {
                return model;
            }
            Edit w = Edit.of(model);
            w.put(Role.of(HEAD, WEIGHT), w.get(Role.of(TOKEN_EMBEDDING, WEIGHT)));
            return w.model(model.architecture().withOutput(words.withTied(false)));
        }
    }

    /** Gives an encoder that shares its decoder's table one of its own, a copy, for a format in which one that is not tied shares nothing. */
    record Unshare() implements Rewrite {
        @Override
        public Model apply(Model model) {
            if (!(model.architecture().companion().orElse(null) instanceof Companion.Encoder(Architecture encoder, boolean shares)) || !shares) {
                return model;
            }
            Edit w = Edit.of(model);
            Role table = Role.of(TOKEN_EMBEDDING, WEIGHT);
            w.put(table.in(Stack.ENCODER), w.get(table));
            return w.model(model.architecture().withCompanion(new Companion.Encoder(encoder, false)));
        }

        @Override
        public Model applyToMain(Model model) {
            return model;
        }
    }

    /**
     * Gives a model the parameters of an architecture that differs from its own in where biases are: those of norms go into the layers that read them, but for a last norm's that stays,
     * {@code W (gain n + bias) + b = W (gain n) + (W bias + b)}, gains stay where they are, and what has none yet gets ones and zeros. Matrices stay as they are.
     *
     * <p>Precondition: the architecture has a bias wherever the model's is not zero then.
     */
    record Settle(Architecture target) implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            Architecture architecture = model.architecture();
            for (int l = 0; l < architecture.blocks().size(); l++) {
                Block block = architecture.blocks().get(l);
                for (Part norm : Architecture.norms(block)) {
                    List<Role> readers = Architecture.readers(block, l, norm);
                    w.take(Role.of(norm, l, BIAS)).ifPresent(bias -> readers.forEach(reader -> moveBias(w, reader, bias)));
                }
            }
            if (target.finalNorm().filter(norm -> norm.affine().hasBias()).isEmpty()) {
                w.take(Role.of(FINAL_NORM, BIAS)).ifPresent(bias -> moveBias(w, Role.of(HEAD, WEIGHT), bias));
            }
            for (Parameter parameter : target.parameters()) {
                if (!w.has(parameter.role()) && (parameter.role().field() == BIAS || parameter.role().field() == GAIN)) {
                    int length = Math.toIntExact(parameter.elements());
                    w.put(parameter.role(), parameter.role().field() == BIAS ? Operation.zeros(length) : Operation.ones(length));
                }
            }
            return w.model(target);
        }

        private static void moveBias(Edit w, Role reader, Matrix bias) {
            Matrix weight = w.get(reader);
            Matrix old = w.find(reader.field(BIAS)).orElseGet(() -> Operation.zeros(weight.rows()));
            w.put(reader.field(BIAS), Operation.biasPlus(weight, old, bias));
        }
    }

    /**
     * Turns neighbours of whole heads: the rows of queries and keys that are turned together are put beside each other, in both alike, so no product of the
     * two changes. Where a part of a head was turned, r of w values, the others are turned by nothing, and the base is {@code base^(w/r)}, so that
     * {@code base^(-2i/r)} is said as a power with w below.
     *
     * <p>Precondition: no norm stands between these rows and what is turned, and positions that turn a part of a head are not scaled.
     */
    record TurnNeighbours() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            List<Block> blocks = new ArrayList<>();
            for (int l = 0; l < model.architecture().blocks().size(); l++) {
                Block block = model.architecture().blocks().get(l);
                Attention attention = block.mixer().attention();
                Rotary rotary = attention.positions().rotary().orElseThrow();
                int width = attention.heads().width();
                if (rotary.pairing() == Rotary.Pairing.HALVES) {
                    int[] order = order(attention.heads(), rotary.width());
                    w.change(Role.of(QUERY_KEY_VALUE, l, WEIGHT), of -> Operation.reorderRows(of, order));
                    w.change(Role.of(QUERY_KEY_VALUE, l, BIAS), of -> Operation.reorderValues(of, order));
                }
                boolean whole = rotary.width() == width;
                blocks.add(block.withMixer(attention.withRotary(new Rotary(width, width, whole ? rotary.base() : Math.pow(rotary.base(), (double) width / rotary.width()),
                        Rotary.Pairing.NEIGHBOURS, whole ? rotary.scaling() : new Rotary.Scaling.Proportional(rotary.width() / 2, 1)))));
            }
            return w.model(model.architecture().withBlocks(blocks));
        }

        private static int[] order(Attention.Heads heads, int turned) {
            int[] order = IntStream.range(0, (heads.count() + 2 * heads.keyValue()) * heads.width()).toArray();
            for (int head = 0; head < heads.count() + heads.keyValue(); head++) {
                for (int i = 0; i < turned / 2; i++) {
                    order[head * heads.width() + 2 * i] = head * heads.width() + i;
                    order[head * heads.width() + 2 * i + 1] = head * heads.width() + i + turned / 2;
                }
            }
            return order;
        }
    }

    /** Gives an MLP without a gate one: what it had before is the gate, {@code act(gate(x)) * 1}, and what that multiplies has no weight and a bias of 1. */
    record ConstantGate() implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            List<Block> blocks = new ArrayList<>();
            for (int l = 0; l < model.architecture().blocks().size(); l++) {
                Block block = model.architecture().blocks().get(l);
                if (block.feedForward() instanceof Mlp mlp && !mlp.gated()) {
                    Role up = Role.of(MLP_UP, l, WEIGHT);
                    Role gate = Role.of(MLP_GATE, l, WEIGHT);
                    Matrix weight = w.get(up);
                    w.put(gate, weight);
                    w.put(gate.field(BIAS), w.take(up.field(BIAS)).orElseGet(() -> Operation.zeros(weight.rows())));
                    w.put(up, Operation.zerosLike(weight));
                    w.put(up.field(BIAS), Operation.ones(weight.rows()));
                    block = block.withFeedForward(Mlp.gated(mlp.hidden(), mlp.activation()).withBiases(true, mlp.outputBias()));
                }
                blocks.add(block);
            }
            return w.model(model.architecture().withBlocks(blocks));
        }
    }

    /** Writes LayerScale, or SkipInit's number, out again as ones, for a format that always has it. */
    record UnitScale(BranchScale scale) implements Rewrite {
        @Override
        public Model applyToMain(Model model) {
            Edit w = Edit.of(model);
            List<Block> blocks = new ArrayList<>();
            int count = scale == BranchScale.NUMBER ? 1 : model.architecture().width();
            for (int l = 0; l < model.architecture().blocks().size(); l++) {
                w.put(Role.of(ATTENTION_SCALE, l, WEIGHT), Operation.ones(count));
                w.put(Role.of(MLP_SCALE, l, WEIGHT), Operation.ones(count));
                blocks.add(model.architecture().blocks().get(l).withScale(scale));
            }
            return w.model(model.architecture().withBlocks(blocks));
        }
    }
}
