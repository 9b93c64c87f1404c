package isonorm.architecture;

import static isonorm.architecture.Part.*;
import static isonorm.architecture.Role.Field.*;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Everything a forward pass needs to know of a Transformer, as one value.
 *
 * <p>{@link #parameters()} follows from it: which parameters there are, by role, and their shapes. A checkpoint is right
 * when it has exactly those.
 *
 * @param family the model type the checkpoint came from; for people to read, nothing is decided by it
 * @param width the width of the residual stream, d; a compressed stream carries d - 1 values of it
 * @param finalNorm the norm behind the last block, if there is one
 * @param context how many positions the model was made for
 * @param bases where matrices lead the stream from one basis to another
 * @param companion a second stack beside this one; this is then the main one
 */
public record Architecture(
        String family,
        int width,
        int context,
        Embedding embedding,
        List<Block> blocks,
        Optional<Norm> finalNorm,
        Output output,
        Stream stream,
        Bases bases,
        Optional<Companion> companion) {

    public Architecture {
        if (width <= 1) {
            throw new IllegalArgumentException("the width of the stream must be 2 or more, got " + width);
        }
        blocks = List.copyOf(blocks);
        long dual = blocks.stream().filter(block -> block.attentionPlacement().writesSecondStream()).count();
        if (dual > 0 && (dual < blocks.size() || finalNorm.isEmpty())) {
            throw new IllegalArgumentException("a second stream runs through all blocks and ends in a final norm, got " + dual + " of "
                    + blocks.size() + " blocks placed dual and " + (finalNorm.isEmpty() ? "no" : "a") + " final norm");
        }
        if (dual > 0 && (stream != Stream.FREE || blocks.stream().anyMatch(block -> block.norm().kind().readsCompressed()))) {
            throw new IllegalArgumentException("the streams of dual blocks are free and carried whole, got " + stream + " and "
                    + blocks.getFirst().norm().kind());
        }
        if (!bases.equals(Bases.ONE) && dual > 0 || bases.skips() && blocks.stream().anyMatch(block -> !block.both(Placement.PRE) || block.cross().isPresent())) {
            throw new IllegalArgumentException("a stream that goes from basis to basis is one, which norms read before attention and MLP, got " + bases);
        }
        if (embedding.recentre() && bases.entry().isPresent()) {
            throw new IllegalArgumentException("the matrix through which a stream is entered takes its mean out too, got an explicit recentring before " + bases);
        }
        int entered = bases.entry().orElse(width);
        if (embedding instanceof Embedding.Sound sound && sound.projection().isEmpty() && sound.channels() != entered) {
            throw new IllegalArgumentException("the last convolution gives what enters the stream, " + entered + " channels, got " + sound.channels());
        }
        if (embedding instanceof Embedding.Sound sound && sound.places() instanceof Embedding.Sound.Places.Convolved convolved && entered % convolved.groups() != 0) {
            throw new IllegalArgumentException("positions are convolved in equal groups of channels, got " + convolved.groups() + " of " + entered);
        }
        if (!blocks.isEmpty() && relative(blocks.getFirst()).filter(RelativeBias::own).isEmpty()
                && blocks.stream().anyMatch(block -> relative(block).isPresent())) {
            throw new IllegalArgumentException("the first block has the table of distances that others take, got one without");
        }
        if (!blocks.isEmpty() && relative(blocks.getFirst()).map(RelativeBias::buckets).orElse(null) instanceof RelativeBias.Grid grid
                && !(embedding instanceof Embedding.Patches patches && patches.rows() == grid.rows() && patches.columns() == grid.columns()
                        && patches.beside().count() == 1)) {
            throw new IllegalArgumentException("places on a grid are those of patches behind a class token, got " + grid + " and " + embedding);
        }
        boolean encoded = companion.isPresent() && companion.get() instanceof Companion.Encoder;
        if (blocks.stream().anyMatch(block -> block.cross().isPresent() != encoded)) {
            throw new IllegalArgumentException("every block reads what the encoder beside it gives, and none where there is no encoder");
        }
        if (companion.isPresent() && companion.get() instanceof Companion.ImageTower tower
                && (pooledWidth(output, width) == 0 || pooledWidth(output, width) != pooledWidth(tower.architecture().output(), tower.architecture().width()))) {
            throw new IllegalArgumentException("two towers pool vectors of one width, got " + output + " and " + tower.architecture().output());
        }
        if (companion.isPresent() && companion.get().architecture().companion().isPresent()) {
            throw new IllegalArgumentException("a model has at most two stacks");
        }
        if (dual > 0 && readsBareStream(output)) {
            throw new IllegalArgumentException("two streams end as one behind the final norm and have no bare stream to give, got " + output);
        }
        if (readsBareStream(output) && finalNorm.isEmpty()) {
            throw new IllegalArgumentException("what is pooled of the bare stream passes the final norm, got no final norm and " + output);
        }
        if (stream == Stream.COMPRESSED && streamNorms(embedding, blocks, finalNorm).anyMatch(norm -> norm.kind() == NormKind.DYNAMIC_TANH)) {
            throw new IllegalArgumentException("a compressed stream is read by norms that know its last value, got "
                    + NormKind.DYNAMIC_TANH);
        }
    }

    /** How wide the pooled vector is; 0 where there is none. */
    private static int pooledWidth(Output output, int width) {
        return output instanceof Output.Hidden hidden && hidden.pooler() != Output.Pooler.NONE ? hidden.pooledWidth(width) : 0;
    }

    private static Optional<RelativeBias> relative(Block block) {
        return block.mixer().attention().positions().relative();
    }

    /** Whether the final norm reads what is pooled of the stream, and not every position of it. */
    private static boolean readsBareStream(Output output) {
        return switch (output) {
            case Output.Words _ -> false;
            case Output.Labels labels -> labels.pooling() == Output.Pooling.NORMED_MEAN;
            case Output.Hidden hidden -> hidden.pooler().bareStream();
        };
    }

    private static java.util.stream.Stream<Norm> streamNorms(Embedding embedding, List<Block> blocks, Optional<Norm> finalNorm) {
        return java.util.stream.Stream.of(embedding.streamNorm().stream(), blocks.stream().map(Block::norm), finalNorm.stream())
                .flatMap(norms -> norms);
    }

    /** An ordinary architecture, about whose stream nothing is known. */
    public static Architecture of(
            String family, int width, int context, Embedding embedding, List<Block> blocks, Optional<Norm> finalNorm, Output output) {
        return new Architecture(family, width, context, embedding, blocks, finalNorm, output, Stream.FREE, Bases.ONE, Optional.empty());
    }

    /** How many tokens a sequence can have: its context, or the rows of its table of positions. */
    public int longestSequence() {
        return switch (embedding) {
            case Embedding.Tokens tokens when tokens.positions() > 0 -> Math.min(context, tokens.positions() - tokens.positionOffset());
            case Embedding.Tokens _, Embedding.Patches _, Embedding.Sound _ -> context;
        };
    }

    /** How many tokens a sequence can have that grows, or is learned from: its {@link Rotary#steadyLength positions} must stay as they are. */
    public int steadySequence() {
        int steady = longestSequence();
        for (Block block : blocks) {
            steady = Math.min(steady, block.mixer().attention().positions().rotary().map(Rotary::steadyLength).orElse(OptionalInt.empty()).orElse(steady));
        }
        return steady;
    }

    /** Where the patches of an image begin, or what stands behind the first token of a text. */
    public int firstPatch() {
        return embedding instanceof Embedding.Patches patches ? patches.beside().count() : 1;
    }

    public Architecture withFamily(String other) {
        return new Architecture(other, width, context, embedding, blocks, finalNorm, output, stream, bases, companion);
    }

    /** The same with a free stream of another width. */
    public Architecture withWidth(int other) {
        Embedding tables = tokensEnterStream() ? ((Embedding.Tokens) embedding).withWidth(other) : embedding;
        return new Architecture(family, other, context, tables, blocks, finalNorm, output, Stream.FREE, bases, companion);
    }

    public Architecture withEmbedding(Embedding other) {
        return new Architecture(family, width, context, other, blocks, finalNorm, output, stream, bases, companion);
    }

    public Architecture withBlocks(List<Block> other) {
        return new Architecture(family, width, context, embedding, other, finalNorm, output, stream, bases, companion);
    }

    public Architecture withFinalNorm(Optional<Norm> other) {
        return new Architecture(family, width, context, embedding, blocks, other, output, stream, bases, companion);
    }

    public Architecture withOutput(Output other) {
        return new Architecture(family, width, context, embedding, blocks, finalNorm, other, stream, bases, companion);
    }

    public Architecture withStream(Stream other) {
        return new Architecture(family, width, context, embedding, blocks, finalNorm, output, other, bases, companion);
    }

    public Architecture withBases(Bases other) {
        return new Architecture(family, width, context, embedding, blocks, finalNorm, output, stream, other, companion);
    }

    /** What stands before the matrix through which the stream is entered, as if that were the whole model: the embedding, with its norm, as wide as it is. */
    public Architecture entrance() {
        return bases.entry().isEmpty() ? this
                : new Architecture(family, bases.entry().getAsInt(), context, embedding, blocks, finalNorm, output, Stream.FREE, Bases.ONE, companion.filter(Companion.Encoder.class::isInstance));
    }

    /** What stands behind the matrix through which the stream is left, in the same way: final norm and output. */
    public Architecture ending() {
        return bases.exit().isEmpty() ? this
                : new Architecture(family, bases.exit().getAsInt(), context, embedding, blocks, finalNorm, output, Stream.FREE, Bases.ONE, companion.filter(Companion.Encoder.class::isInstance));
    }

    public Architecture withCompanion(Companion beside) {
        return new Architecture(family, width, context, embedding, blocks, finalNorm, output, stream, bases, Optional.of(beside));
    }

    /** The main stack alone, where no block of it reads what the other one gives: the tower of texts of two. */
    public Architecture withoutCompanion() {
        return new Architecture(family, width, context, embedding, blocks, finalNorm, output, stream, bases, Optional.empty());
    }

    /** Whether there is a second stream, {@link Placement#DUAL}. */
    public boolean dual() {
        return !blocks.isEmpty() && blocks.getFirst().attentionPlacement().writesSecondStream();
    }

    /** How many values of the stream are carried: width, or width - 1 when it is compressed. */
    public int streamWidth() {
        return stream == Stream.COMPRESSED ? width - 1 : width;
    }

    /** Whether the token table is the head's weight. */
    public boolean tied() {
        return output instanceof Output.Words words && words.tied();
    }

    /** Whether the token table writes to the stream itself, not through a projection. */
    public boolean tokensEnterStream() {
        return embedding instanceof Embedding.Tokens tokens && !tokens.projected() && bases.entry().isEmpty();
    }

    /** Whether tables are added up and normalized before a projection leads from there to the stream. */
    private boolean sumIsProjected() {
        return embedding instanceof Embedding.Tokens tokens && tokens.projection() == Embedding.Projection.SUM;
    }

    /** Whether what enters the stream comes out of an activation: all {@code width} values of it are there, and none of its writers can be centred. */
    public boolean entersWhole() {
        return embedding instanceof Embedding.Sound && bases.entry().isEmpty();
    }

    /**
     * What a part is to the stream. A token table behind a projection does not enter it, nor does what stands before the mean is taken out
     * explicitly, and of the layers behind the last block only the first reads it. Of gates those that heads share read a part of what attention does.
     */
    public Part.Use use(Part part) {
        if (bases.entry().isPresent() && part.before() || bases.exit().isPresent() && part.behind()) {
            return Part.Use.NONE;
        }
        boolean between = switch (part) {
            case TOKEN_EMBEDDING -> !tokensEnterStream();
            case POSITION_EMBEDDING -> entersWhole() || sumIsProjected();
            case SEGMENT_EMBEDDING -> sumIsProjected();
            case EMBEDDING_PROJECTION, MASK_TOKEN -> entersWhole();
            case RELATIVE_GATE -> blocks.stream().anyMatch(block -> block.mixer().attention().gates() == RelativeBias.Gates.SHARED);
            case HEAD_TRANSFORM -> output instanceof Output.Words words && words.projectedWidth() > 0;
            case HEAD -> switch (output) {
                case Output.Words words -> words.projectedWidth() > 0 || words.transform().isPresent();
                case Output.Labels labels -> labels.transform().isPresent();
                case Output.Hidden _ -> false;
            };
            default -> false;
        };
        return between ? Part.Use.NONE : part.use();
    }

    /**
     * How many values the final norm gives. A norm of a compressed stream that applies a gain gives all {@code width}
     * values, the last one being minus the sum of the others before gain and bias.
     */
    public int finalWidth() {
        return bases.exit().orElse(finalNorm.isPresent() && finalNorm.get().affine().hasGain() ? width : streamWidth());
    }

    /** The norm of each sub-layer, {@link Placement#norm}. */
    public static List<Part> norms(Block block) {
        List<Part> norms = new ArrayList<>();
        if (block.attentionPlacement().norm() != Placement.Place.NOWHERE) {
            norms.add(ATTENTION_NORM);
            if (block.cross().isPresent()) {
                norms.add(CROSS_NORM);
            }
        }
        if (!block.wiring().sharesNorm() && block.mlpPlacement().norm() != Placement.Place.NOWHERE) {
            norms.add(MLP_NORM);
        }
        return norms;
    }

    /** The output norm of each sub-layer, {@link Placement#outputNorm}. */
    public static List<Part> outputNorms(Block block) {
        List<Part> norms = new ArrayList<>();
        if (block.attentionPlacement().outputNorm() != Placement.Place.NOWHERE) {
            norms.add(ATTENTION_OUTPUT_NORM);
        }
        if (block.mlpPlacement().outputNorm() != Placement.Place.NOWHERE) {
            norms.add(MLP_OUTPUT_NORM);
        }
        return norms;
    }

    /** The matrices that lead the stream of a block to the basis of what comes next. */
    public List<Part> skips(Block block) {
        return !bases.skips() ? List.of() : block.wiring().parallel() ? List.of(ATTENTION_SKIP) : List.of(ATTENTION_SKIP, MLP_SKIP);
    }

    /** The weights of block {@code l} that read what {@code norm}, one of {@link #norms}, gives. */
    public static List<Role> readers(Block block, int l, Part norm) {
        List<Role> readers = new ArrayList<>();
        if (norm == ATTENTION_NORM) {
            readers.addAll(switch (block.mixer()) {
                case Attention attention when attention.gates() == RelativeBias.Gates.EACH_HEAD ->
                    List.of(Role.of(QUERY_KEY_VALUE, l, WEIGHT), Role.of(RELATIVE_GATE, l, WEIGHT));
                case Attention _, LatentAttention _ -> List.of(Role.of(QUERY_KEY_VALUE, l, WEIGHT));
            });
        }
        if (norm == CROSS_NORM) {
            readers.add(Role.of(CROSS_QUERY, l, WEIGHT));
        }
        if (norm == MLP_NORM || block.wiring().sharesNorm()) {
            switch (block.feedForward()) {
                case Mlp mlp -> readers.addAll(mlpReaders(mlp, Role.of(MLP_GATE, l, WEIGHT), Role.of(MLP_UP, l, WEIGHT)));
                case Experts experts -> {
                    readers.add(Role.of(ROUTER, l, WEIGHT));
                    for (int e = 0; e < experts.count(); e++) {
                        readers.addAll(mlpReaders(experts.expert(), Role.of(MLP_GATE, l, WEIGHT).ofExpert(e), Role.of(MLP_UP, l, WEIGHT).ofExpert(e)));
                    }
                    experts.shared().ifPresent(shared -> {
                        readers.addAll(mlpReaders(shared.mlp(), Role.of(SHARED_GATE, l, WEIGHT), Role.of(SHARED_UP, l, WEIGHT)));
                        if (shared.gated()) {
                            readers.add(Role.of(SHARED_WEIGHT, l, WEIGHT));
                        }
                    });
                }
            }
        }
        return readers;
    }

    private static List<Role> mlpReaders(Mlp mlp, Role gate, Role up) {
        return mlp.gated() ? List.of(gate, up) : List.of(up);
    }

    /** The weights of block {@code l} through which its feed-forward layer writes to the stream. */
    public static List<Role> feedForwardWriters(Block block, int l) {
        return switch (block.feedForward()) {
            case Mlp _ -> List.of(Role.of(MLP_DOWN, l, WEIGHT));
            case Experts experts -> {
                List<Role> writers = new ArrayList<>();
                for (int e = 0; e < experts.count(); e++) {
                    writers.add(Role.of(MLP_DOWN, l, WEIGHT).ofExpert(e));
                }
                experts.shared().ifPresent(_ -> writers.add(Role.of(SHARED_DOWN, l, WEIGHT)));
                yield writers;
            }
        };
    }

    /**
     * The head, if it is the only reader of the final norm and has a weight of its own, so that the norm's affine part can be
     * folded into it.
     */
    public Optional<Part> finalReader() {
        if (dual() || bases.exit().isPresent()) {
            return Optional.empty(); // It reads the sum of a stream and the norm of another, or no stream.
        }
        return switch (output) {
            case Output.Words words when !words.tied() && words.projectedWidth() == 0 && words.transform().isEmpty() -> Optional.of(HEAD);
            case Output.Labels(_, Output.Pooling pooling, Optional<Output.Transform> transform, _)
                    when transform.isEmpty() && foldable(pooling) -> Optional.of(HEAD);
            case Output.Words _, Output.Labels _, Output.Hidden _ -> Optional.empty();
        };
    }

    /** Whether no block's attention sees a position behind its own. */
    public boolean causal() {
        return blocks.stream().allMatch(block -> block.mixer().causal());
    }

    /** Whether a classifier reads what the norm gives for one position, or the mean of what it gives for several, and nothing else does. */
    private static boolean foldable(Output.Pooling pooling) {
        return switch (pooling) {
            case FIRST, EVERY, PATCHES, LAST, MEAN, MEAN_OF_TWO, NORMED_MEAN -> true;
            case FIRST_AND_MEAN, EACH_OF_TWO -> false;
        };
    }

    /** Every parameter of this architecture, in the order of a forward pass; the second stack's come first. */
    public List<Parameter> parameters() {
        List<Parameter> all = new ArrayList<>();
        companion.ifPresent(beside -> all.addAll(parametersOf(beside)));
        entrance().embeddingParameters(all);
        bases.entry().ifPresent(before -> all.add(Parameter.matrix(Role.of(STREAM_ENTRY, WEIGHT), streamWidth(), before)));
        for (int l = 0; l < blocks.size(); l++) {
            blockParameters(all, l);
        }
        bases.exit().ifPresent(behind -> all.add(Parameter.matrix(Role.of(STREAM_EXIT, WEIGHT), behind, streamWidth())));
        ending().finalParameters(all);
        if (companion.isPresent() && companion.get() instanceof Companion.ImageTower(Architecture _, boolean bias)) {
            all.add(Parameter.vector(Role.of(SIMILARITY_SCALE, WEIGHT), 1));
            if (bias) {
                all.add(Parameter.vector(Role.of(SIMILARITY_BIAS, WEIGHT), 1));
            }
        }
        return all;
    }

    private void finalParameters(List<Parameter> all) {
        finalNorm.ifPresent(norm -> normParameters(all, Role.of(FINAL_NORM, GAIN), norm, width));
        outputParameters(all);
    }

    /** Whether it gives how near images and texts are. */
    public boolean comparesTowers() {
        return companion.isPresent() && companion.get() instanceof Companion.ImageTower;
    }

    /** A second stack's own parameters, under its name. */
    private static List<Parameter> parametersOf(Companion beside) {
        boolean shares = beside instanceof Companion.Encoder encoder && encoder.sharesTable();
        return beside.architecture().parameters().stream()
                .filter(parameter -> !shares || parameter.role().part() != TOKEN_EMBEDDING)
                .map(parameter -> parameter.in(beside.stack())).toList();
    }

    /** How many values all parameters have together. */
    public long parameterCount() {
        return parameters().stream().mapToLong(Parameter::elements).sum();
    }

    /** How many of them one token uses: of experts those it chooses, of all else everything. */
    public long parametersForToken() {
        return parameters().stream().filter(parameter -> usedForToken(parameter.role())).mapToLong(Parameter::elements).sum();
    }

    /** Whether a token that chooses each block's first experts uses this parameter; all experts of a block are of one size. */
    public boolean usedForToken(Role role) {
        return role.number().isEmpty() || role.part().numbered() || switch (blocks.get(role.block()).feedForward()) {
            case Experts experts -> role.number().getAsInt() < experts.routing().chosen();
            case Mlp _ -> true;
        };
    }

    private void embeddingParameters(List<Parameter> all) {
        switch (embedding) {
            case Embedding.Tokens tokens -> {
                all.add(Parameter.matrix(Role.of(TOKEN_EMBEDDING, WEIGHT), tokens.vocabulary(),
                        tokens.projected() ? tokens.width() : streamWidth()));
                if (tokens.means()) {
                    all.add(Parameter.vector(Role.of(TOKEN_EMBEDDING, MEANS), tokens.vocabulary()));
                }
                boolean sum = tokens.projection() == Embedding.Projection.SUM;
                if (tokens.projected()) {
                    linearParameters(all, Role.of(EMBEDDING_PROJECTION, WEIGHT), streamWidth(), tokens.width(), sum);
                }
                if (tokens.positions() > 0) {
                    all.add(Parameter.matrix(Role.of(POSITION_EMBEDDING, WEIGHT), tokens.positions(), sum ? tokens.width() : streamWidth()));
                }
                if (tokens.segments() > 0) {
                    all.add(Parameter.matrix(Role.of(SEGMENT_EMBEDDING, WEIGHT), tokens.segments(), sum ? tokens.width() : streamWidth()));
                }
            }
            case Embedding.Patches patches -> {
                if (patches.beside().classTokens() > 0) {
                    all.add(Parameter.vector(Role.of(CLASS_TOKEN, WEIGHT), streamWidth()));
                }
                if (patches.beside().classTokens() > 1) {
                    all.add(Parameter.vector(Role.of(DISTILLATION_TOKEN, WEIGHT), streamWidth()));
                }
                if (patches.beside().registers() > 0) {
                    all.add(Parameter.matrix(Role.of(REGISTERS, WEIGHT), patches.beside().registers(), streamWidth()));
                }
                if (patches.maskToken()) {
                    all.add(Parameter.vector(Role.of(MASK_TOKEN, WEIGHT), streamWidth()));
                }
                linearParameters(all, Role.of(PATCH_PROJECTION, WEIGHT), streamWidth(), patches.values(), patches.bias());
                if (patches.positions()) {
                    all.add(Parameter.matrix(Role.of(POSITION_EMBEDDING, WEIGHT), patches.places(), streamWidth()));
                }
            }
            case Embedding.Sound sound -> {
                for (int c = 0; c < sound.convolutions().size(); c++) {
                    Embedding.Sound.Convolution convolution = sound.convolutions().get(c);
                    linearParameters(all, Role.numbered(CONVOLUTION, c, WEIGHT), convolution.rows(), sound.channels(c) * convolution.kernel(), convolution.bias());
                    if (convolution.norm().isPresent()) {
                        normParameters(all, Role.numbered(CONVOLUTION_NORM, c, GAIN), convolution.norm().get().norm(), convolution.channels());
                    }
                }
                if (sound.projection().isPresent()) {
                    sound.projection().get().norm().ifPresent(norm -> normParameters(all, Role.of(FRAME_NORM, GAIN), norm, sound.channels()));
                    linearParameters(all, Role.of(EMBEDDING_PROJECTION, WEIGHT), width, sound.channels(), true);
                }
                if (sound.maskToken()) {
                    all.add(Parameter.vector(Role.of(MASK_TOKEN, WEIGHT), width));
                }
                switch (sound.places()) {
                    case Embedding.Sound.Places.Table(int rows, int _) -> all.add(Parameter.matrix(Role.of(POSITION_EMBEDDING, WEIGHT), rows, width));
                    case Embedding.Sound.Places.Convolved convolved -> {
                        for (int c = 0; c < convolved.count(); c++) {
                            Role role = Role.numbered(POSITION_CONVOLUTION, c, WEIGHT);
                            linearParameters(all, role, width, width / convolved.groups() * convolved.kernel(), true);
                            if (convolved.magnitudes()) {
                                all.add(Parameter.vector(role.field(GAIN), convolved.kernel()));
                            }
                        }
                    }
                }
            }
        }
        embedding.norm().ifPresent(norm -> normParameters(all, Role.of(EMBEDDING_NORM, GAIN), norm, embedding.normWidth(width)));
    }

    private void blockParameters(List<Parameter> all, int l) {
        Block block = blocks.get(l);
        boolean columns = stream == Stream.COMPRESSED && block.norm().folded() != Affine.NONE;
        if (norms(block).contains(ATTENTION_NORM)) {
            normParameters(all, Role.of(ATTENTION_NORM, l, GAIN), block.norm(), width);
        }
        switch (block.mixer()) {
            case Attention attention -> attentionParameters(all, attention, l, columns);
            case LatentAttention latent -> latentParameters(all, latent, l, columns);
        }
        if (outputNorms(block).contains(ATTENTION_OUTPUT_NORM)) {
            normParameters(all, Role.of(ATTENTION_OUTPUT_NORM, l, GAIN), block.norm(), width);
        }
        scaleParameter(all, Role.of(ATTENTION_SCALE, l, WEIGHT), block.scale());
        if (block.gates()) {
            all.add(Parameter.vector(Role.of(ATTENTION_STREAM_GATE, l, WEIGHT), 1));
        }
        skipParameter(all, block, ATTENTION_SKIP, l);
        block.cross().ifPresent(cross -> {
            if (norms(block).contains(CROSS_NORM)) {
                normParameters(all, Role.of(CROSS_NORM, l, GAIN), block.norm(), width);
            }
            readerParameters(all, Role.of(CROSS_QUERY, l, WEIGHT), cross.queryWidth(), cross.bias(), columns);
            linearParameters(all, Role.of(CROSS_KEY_VALUE, l, WEIGHT), cross.keyValueWidth(), companion.orElseThrow().architecture().finalWidth(),
                    cross.keyValueBias());
            linearParameters(all, Role.of(CROSS_OUTPUT, l, WEIGHT), streamWidth(), cross.queryWidth(), cross.outputBias());
        });
        if (norms(block).contains(MLP_NORM)) {
            normParameters(all, Role.of(MLP_NORM, l, GAIN), block.norm(), width);
        }
        switch (block.feedForward()) {
            case Mlp mlp -> mlpParameters(all, mlp, Role.of(MLP_GATE, l, WEIGHT), Role.of(MLP_UP, l, WEIGHT), Role.of(MLP_DOWN, l, WEIGHT), columns);
            case Experts experts -> expertParameters(all, experts, l, columns);
        }
        if (outputNorms(block).contains(MLP_OUTPUT_NORM)) {
            normParameters(all, Role.of(MLP_OUTPUT_NORM, l, GAIN), block.norm(), width);
        }
        scaleParameter(all, Role.of(MLP_SCALE, l, WEIGHT), block.scale());
        if (block.gates()) {
            all.add(Parameter.vector(Role.of(MLP_STREAM_GATE, l, WEIGHT), 1));
        }
        skipParameter(all, block, MLP_SKIP, l);
    }

    private void attentionParameters(List<Parameter> all, Attention attention, int l, boolean columns) {
        Attention.Norms norms = attention.norms();
        int queries = spanLength(attention, attention.heads().count());
        int keys = spanLength(attention, attention.heads().keyValue());
        readerParameters(all, Role.of(QUERY_KEY_VALUE, l, WEIGHT), attention.projectionWidth(), attention.bias(), columns);
        norms.queryKey().ifPresent(norm -> {
            normParameters(all, Role.of(QUERY_NORM, l, GAIN), norm.norm(), queries);
            normParameters(all, Role.of(KEY_NORM, l, GAIN), norm.norm(), keys);
        });
        norms.value().ifPresent(norm -> normParameters(all, Role.of(VALUE_NORM, l, GAIN), norm, keys));
        norms.inner().ifPresent(norm -> normParameters(all, Role.of(ATTENTION_INNER_NORM, l, GAIN), norm, attention.outputColumns()));
        if (attention.positions().relative().filter(RelativeBias::own).isPresent()) {
            all.add(Parameter.matrix(Role.of(RELATIVE_BIAS, l, WEIGHT), attention.positions().relative().get().buckets().count(), attention.heads().count()));
        }
        switch (attention.gates()) {
            case NONE -> {}
            case SHARED -> linearParameters(all, Role.of(RELATIVE_GATE, l, WEIGHT), 2 * RelativeBias.Gates.SUMMED, attention.heads().width(), true);
            case EACH_HEAD -> readerParameters(all, Role.of(RELATIVE_GATE, l, WEIGHT), 2 * attention.heads().count(), true, columns);
        }
        if (attention.gates() != RelativeBias.Gates.NONE) {
            all.add(Parameter.vector(Role.of(RELATIVE_GATE_SCALE, l, WEIGHT), attention.heads().count()));
        }
        if (attention.scores().sinks()) {
            all.add(Parameter.vector(Role.of(ATTENTION_SINK, l, WEIGHT), attention.heads().count()));
        }
        if (norms.headScales()) {
            all.add(Parameter.vector(Role.of(ATTENTION_HEAD_SCALE, l, WEIGHT), attention.heads().count()));
        }
        linearParameters(all, Role.of(ATTENTION_OUTPUT, l, WEIGHT), streamWidth(), attention.outputColumns(), attention.outputBias());
    }

    private void latentParameters(List<Parameter> all, LatentAttention latent, int l, boolean columns) {
        readerParameters(all, Role.of(QUERY_KEY_VALUE, l, WEIGHT), latent.projectionWidth(), latent.bias(), columns);
        if (latent.queryRank().isPresent()) {
            normParameters(all, Role.of(QUERY_NORM, l, GAIN), latent.norm(), latent.queryRank().getAsInt());
            all.add(Parameter.matrix(Role.of(QUERY_UP, l, WEIGHT), latent.heads() * latent.queryWidth(), latent.queryRank().getAsInt()));
        }
        normParameters(all, Role.of(KEY_NORM, l, GAIN), latent.norm(), latent.keyValueRank());
        all.add(Parameter.matrix(Role.of(KEY_VALUE_UP, l, WEIGHT), latent.heads() * (latent.plainWidth() + latent.valueWidth()), latent.keyValueRank()));
        linearParameters(all, Role.of(ATTENTION_OUTPUT, l, WEIGHT), streamWidth(), latent.outputColumns(), latent.outputBias());
    }

    private void mlpParameters(List<Parameter> all, Mlp mlp, Role gate, Role up, Role down, boolean columns) {
        if (mlp.gated()) {
            readerParameters(all, gate, mlp.hidden(), mlp.bias(), columns);
        }
        readerParameters(all, up, mlp.hidden(), mlp.bias(), columns);
        mlp.innerNorm().ifPresent(norm -> normParameters(all, Role.of(MLP_INNER_NORM, up.block(), GAIN), norm, mlp.hidden()));
        linearParameters(all, down, streamWidth(), mlp.hidden(), mlp.outputBias());
    }

    private void expertParameters(List<Parameter> all, Experts experts, int l, boolean columns) {
        readerParameters(all, Role.of(ROUTER, l, WEIGHT), experts.count(), experts.routing().bias(), columns);
        if (experts.routing().correction()) {
            all.add(Parameter.vector(Role.of(ROUTER_CORRECTION, l, WEIGHT), experts.count()));
        }
        for (int e = 0; e < experts.count(); e++) {
            mlpParameters(all, experts.expert(), Role.of(MLP_GATE, l, WEIGHT).ofExpert(e), Role.of(MLP_UP, l, WEIGHT).ofExpert(e),
                    Role.of(MLP_DOWN, l, WEIGHT).ofExpert(e), columns);
        }
        experts.shared().ifPresent(shared -> {
            mlpParameters(all, shared.mlp(), Role.of(SHARED_GATE, l, WEIGHT), Role.of(SHARED_UP, l, WEIGHT), Role.of(SHARED_DOWN, l, WEIGHT), columns);
            if (shared.gated()) {
                // Where biases were added to all that read, to hold what a norm's bias adds, this has one too.
                readerParameters(all, Role.of(SHARED_WEIGHT, l, WEIGHT), 1, experts.routing().bias(), columns);
            }
        });
    }

    private void scaleParameter(List<Parameter> all, Role role, BranchScale scale) {
        int length = switch (scale) {
            case NONE -> 0;
            case VECTOR -> width;
            case NUMBER -> 1;
        };
        if (length > 0) {
            all.add(Parameter.vector(role, length));
        }
    }

    private void skipParameter(List<Parameter> all, Block block, Part skip, int l) {
        if (skips(block).contains(skip)) {
            all.add(Parameter.matrix(Role.of(skip, l, WEIGHT), streamWidth(), streamWidth()));
        }
    }

    /** How many gains a norm of so many heads has. */
    private static int spanLength(Attention attention, int heads) {
        return attention.norms().span() == QueryKeyNorm.Span.HEAD ? attention.heads().width() : heads * attention.heads().width();
    }

    private void outputParameters(List<Parameter> all) {
        boolean columns = stream == Stream.COMPRESSED && finalNorm.isPresent() && finalNorm.get().folded() != Affine.NONE;
        switch (output) {
            case Output.Words words -> {
                int reads = finalWidth();
                if (words.projectedWidth() > 0) {
                    all.add(Parameter.matrix(Role.of(HEAD_PROJECTION, WEIGHT), words.projectedWidth(), reads));
                    reads = words.projectedWidth();
                }
                if (words.transform().isPresent()) {
                    reads = transformParameters(all, words.transform().get(), reads);
                }
                if (!words.tied()) {
                    all.add(Parameter.matrix(Role.of(HEAD, WEIGHT), vocabulary(), reads));
                    if (columns) {
                        all.add(Parameter.vector(Role.of(HEAD, COLUMN), vocabulary()));
                    }
                }
                if (words.bias()) {
                    all.add(Parameter.vector(Role.of(HEAD, BIAS), vocabulary()));
                }
            }
            case Output.Labels labels -> {
                int reads = labels.pooling() == Output.Pooling.FIRST_AND_MEAN ? 2 * finalWidth() : finalWidth();
                if (labels.transform().isPresent()) {
                    reads = transformParameters(all, labels.transform().get(), reads);
                }
                linearParameters(all, Role.of(HEAD, WEIGHT), labels.labels(), reads, labels.bias());
                if (labels.pooling() == Output.Pooling.EACH_OF_TWO) {
                    linearParameters(all, Role.of(DISTILLED_HEAD, WEIGHT), labels.labels(), reads, labels.bias());
                }
                if (columns) {
                    all.add(Parameter.vector(Role.of(HEAD, COLUMN), labels.labels()));
                }
            }
            case Output.Hidden hidden -> {
                if (hidden.pooler() == Output.Pooler.DENSE_TANH) {
                    linearParameters(all, Role.of(POOLER, WEIGHT), width, finalWidth(), true);
                }
                hidden.probe().ifPresent(probe -> probeParameters(all, probe));
                hidden.projection().ifPresent(projection -> linearParameters(all, Role.of(POOLER_PROJECTION, WEIGHT), projection.width(), width, projection.bias()));
            }
        }
    }

    private void probeParameters(List<Parameter> all, Output.Probe probe) {
        all.add(Parameter.vector(Role.of(POOLER_PROBE, WEIGHT), width));
        linearParameters(all, Role.of(POOLER_QUERY, WEIGHT), width, width, true);
        linearParameters(all, Role.of(POOLER_KEY, WEIGHT), width, width, true);
        linearParameters(all, Role.of(POOLER_VALUE, WEIGHT), width, width, true);
        linearParameters(all, Role.of(POOLER_OUTPUT, WEIGHT), width, width, true);
        normParameters(all, Role.of(POOLER_NORM, GAIN), probe.norm(), width);
        linearParameters(all, Role.of(POOLER_UP, WEIGHT), probe.mlp().hidden(), width, true);
        linearParameters(all, Role.of(POOLER_DOWN, WEIGHT), width, probe.mlp().hidden(), true);
    }

    /** Gives the width of what it makes. */
    private int transformParameters(List<Parameter> all, Output.Transform transform, int reads) {
        transform.dense().ifPresent(dense -> linearParameters(all, Role.of(HEAD_TRANSFORM, WEIGHT), dense.width(), reads, dense.bias()));
        transform.norm().ifPresent(norm -> normParameters(all, Role.of(HEAD_TRANSFORM_NORM, GAIN), norm, transform.width(width)));
        return transform.width(width);
    }

    private int vocabulary() {
        if (embedding instanceof Embedding.Tokens tokens) {
            return tokens.vocabulary();
        }
        throw new IllegalArgumentException("a head over tokens needs an embedding of tokens");
    }

    private void readerParameters(List<Parameter> all, Role weight, int rows, boolean bias, boolean column) {
        linearParameters(all, weight, rows, streamWidth(), bias);
        if (column) {
            all.add(Parameter.vector(weight.field(COLUMN), rows));
        }
    }

    private static void linearParameters(List<Parameter> all, Role weight, int rows, int columns, boolean bias) {
        all.add(Parameter.matrix(weight, rows, columns));
        if (bias) {
            all.add(Parameter.vector(weight.field(BIAS), rows));
        }
    }

    private static void normParameters(List<Parameter> all, Role gain, Norm norm, int length) {
        if (norm.affine().hasGain()) {
            all.add(Parameter.vector(gain, length));
        }
        if (norm.affine().hasBias()) {
            all.add(Parameter.vector(gain.field(BIAS), length));
        }
        if (norm.folded().hasGain()) {
            all.add(Parameter.vector(gain.field(FOLDED_GAIN), length));
        }
        if (norm.folded().hasBias()) {
            all.add(Parameter.vector(gain.field(FOLDED_BIAS), length));
        }
        if (norm.kind().hasAlpha()) {
            all.add(Parameter.vector(gain.field(ALPHA), 1));
        }
    }
}
