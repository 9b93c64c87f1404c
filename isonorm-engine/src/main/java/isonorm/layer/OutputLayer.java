package isonorm.layer;

import static isonorm.architecture.Part.DISTILLED_HEAD;
import static isonorm.architecture.Part.FINAL_NORM;
import static isonorm.architecture.Part.HEAD;
import static isonorm.architecture.Part.HEAD_PROJECTION;
import static isonorm.architecture.Part.HEAD_TRANSFORM;
import static isonorm.architecture.Part.HEAD_TRANSFORM_NORM;
import static isonorm.architecture.Part.POOLER;
import static isonorm.architecture.Part.POOLER_PROJECTION;
import static isonorm.architecture.Part.STREAM_EXIT;
import static isonorm.architecture.Part.TOKEN_EMBEDDING;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.architecture.Output.Pooler;
import isonorm.architecture.Output.Pooling;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Stream;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Function;
import java.util.stream.IntStream;

/** What is made of the stream behind the last block. */
sealed interface OutputLayer {

    /**
     * What the blocks made of a batch: a row for each token, {@code length} of them for each row of the batch.
     *
     * @param tokens what was read, unless it was an image
     */
    record Sequences(Tensor h, int length, Optional<Batch.Tokens> tokens) {

        static Sequences of(Tensor h, int length, Batch batch) {
            return new Sequences(h, length, batch instanceof Batch.Tokens tokens ? Optional.of(tokens) : Optional.empty());
        }

        /** The token at a position of each row of the batch. */
        Tensor at(int position) {
            return h.every(length, position);
        }

        /** The token of each row of the batch at a position of its own. */
        Tensor at(int[] positions) {
            int d = h.width();
            return at(0).map((row, _, y) -> h.rows().read(row * length + positions[row], 0, d, y));
        }

        /** The last position of each row of the batch that is no padding; 0 where all are. */
        int[] lastSeen() {
            return IntStream.range(0, count()).map(row -> IntStream.range(0, length).filter(token -> tokens.isEmpty() || tokens.get().seen(row, token)).max().orElse(0)).toArray();
        }

        /** The tokens from {@code first} on of each row of the batch. */
        Sequences from(int first) {
            int kept = length - first;
            int d = h.width();
            Tensor some = h.space().empty(h.type(), count() * kept, d).map((row, _, y) -> h.rows().read(row / kept * length + first + row % kept, 0, d, y));
            return new Sequences(some, kept, tokens);
        }

        /** The same of other values. */
        Sequences with(Tensor other) {
            return new Sequences(other, length, tokens);
        }

        /** The mean of the tokens from {@code first} to {@code to - 1} of each row of the batch that are no padding. */
        Tensor means(int first, int to) {
            int d = h.width();
            return at(0).map((row, x, mean) -> {
                Arrays.fill(mean, 0, d, 0);
                int count = 0;
                for (int token = first; token < to; token++) {
                    if (tokens.isPresent() && !tokens.get().seen(row, token)) {
                        continue;
                    }
                    count++;
                    h.rows().read(row * length + token, 0, d, x);
                    for (int c = 0; c < d; c++) {
                        mean[c] += x[c];
                    }
                }
                for (int c = 0; c < d; c++) {
                    mean[c] /= count;
                }
            });
        }

        int count() {
            return h.count() / length;
        }
    }

    /** The output of each of the {@code streams}, in memory of its own. */
    List<Result> forward(List<Sequences> streams, Space space) throws IOException;

    static OutputLayer load(Loader from, Architecture whole, Optional<VocabularyMatrix> tokens) throws IOException {
        OutputLayer layer = behind(from, whole.ending(), tokens);
        return whole.bases().exit().isEmpty() ? layer : new ChangedBasis(layer, from.linear(Role.of(STREAM_EXIT, Field.WEIGHT), false));
    }

    /** What is made of a stream behind a change of basis. */
    record ChangedBasis(OutputLayer layer, Linear basis) implements OutputLayer {

        @Override
        public List<Result> forward(List<Sequences> streams, Space space) throws IOException {
            return layer.forward(streams.stream().map(each -> each.with(basis.forward(each.h()))).toList(), space);
        }
    }

    private static OutputLayer behind(Loader from, Architecture architecture, Optional<VocabularyMatrix> tokens) throws IOException {
        Final last = Final.load(from, architecture);
        return switch (architecture.output()) {
            case Output.Words words -> Words.load(from, architecture, words, last, tokens);
            case Output.Labels labels -> Labels.load(from, architecture, labels, last);
            case Output.Hidden shape -> new Hidden(last, shape.pooler(), architecture.firstPatch(),
                    architecture.embedding() instanceof Embedding.Tokens table ? table.special().end() : OptionalInt.empty(),
                    shape.pooler() == Pooler.DENSE_TANH ? Optional.of(from.linear(Role.of(POOLER, Field.WEIGHT), true)) : Optional.empty(),
                    shape.probe().isPresent() ? Optional.of(ProbeLayer.load(from, shape.probe().get(), architecture.width())) : Optional.empty(),
                    shape.projection().isPresent()
                            ? Optional.of(from.linear(Role.of(POOLER_PROJECTION, Field.WEIGHT), shape.projection().get().bias()))
                            : Optional.empty(),
                    from.compute());
        };
    }

    /** The final norm, where there is one. */
    record Final(Optional<NormLayer> norm, boolean compressed, boolean dual, Compute compute) {

        static Final load(Loader from, Architecture architecture) throws IOException {
            return new Final(
                    architecture.finalNorm().isPresent()
                            ? Optional.of(from.norm(
                                    Role.of(FINAL_NORM, Field.GAIN), architecture.finalNorm().get(), architecture.width()))
                            : Optional.empty(),
                    architecture.stream() == Stream.COMPRESSED,
                    architecture.dual(),
                    from.compute());
        }

        /**
         * The values a reader gets, in the wide type: d, or d - 1 where nothing made them d. Of two streams x and y
         * it is {@code x + norm(y)}.
         */
        Tensor read(Tensor h) {
            if (dual) {
                return BlockLayer.stream(h, 0).to(Type.wide(compute)).plus(norm.orElseThrow().wide(BlockLayer.stream(h, 1)));
            }
            return norm.isPresent() ? norm.get().wide(h) : h.to(Type.wide(compute));
        }

        /** All d values of {@link #read}. */
        Tensor all(Tensor h) {
            boolean shortened = compressed && (norm.isEmpty() || norm.get().gain().isEmpty());
            return shortened ? read(h).expanded() : read(h);
        }

        /** All d values of the stream itself. */
        Tensor bare(Tensor h) {
            Tensor values = h.to(Type.wide(compute));
            return compressed ? values.expanded() : values;
        }
    }

    /** {@code norm(activation(dense(x)))}, of which one may lack. */
    record Transform(Optional<Activation> activation, Optional<Linear> dense, Optional<NormLayer> norm, Compute compute) {

        static Optional<Transform> load(Loader from, Architecture architecture, Optional<Output.Transform> shape) throws IOException {
            if (shape.isEmpty()) {
                return Optional.empty();
            }
            Optional<Output.Dense> dense = shape.get().dense();
            return Optional.of(new Transform(
                    dense.flatMap(Output.Dense::activation),
                    dense.isPresent() ? Optional.of(from.linear(Role.of(HEAD_TRANSFORM, Field.WEIGHT), dense.get().bias())) : Optional.empty(),
                    shape.get().norm().isPresent()
                            ? Optional.of(from.norm(Role.of(HEAD_TRANSFORM_NORM, Field.GAIN), shape.get().norm().get(), shape.get().width(architecture.width())))
                            : Optional.empty(),
                    from.compute()));
        }

        Tensor wide(Tensor x) {
            Tensor given = dense.isPresent() ? dense.get().forward(x.to(Type.of(compute))).to(Type.wide(compute)) : x;
            Tensor y = activation.isPresent() ? MlpLayer.activate(activation.get(), given) : given;
            return norm.isPresent() ? norm.get().wide(y) : y;
        }
    }

    /**
     * Logits over the vocabulary: {@code softcap(scale * (W y + bias + means * sum(y)))}, y being the normalized stream behind
     * projection and transform.
     *
     * <p>A tied table of a compressed stream lacks its last column t, which is minus the sum of the others c, so
     * {@code W y = sum over columns c of (y_c - y_t)}.
     *
     * @param differences whether the head takes y's values minus the last one
     */
    record Words(
            Output.Words shape,
            Final last,
            boolean allValues,
            Optional<Linear> projection,
            Optional<Transform> transform,
            VocabularyMatrix head,
            boolean differences,
            Optional<Tensor> bias,
            Optional<Tensor> means,
            Compute compute)
            implements OutputLayer {

        static Words load(Loader from, Architecture architecture, Output.Words shape, Final last, Optional<VocabularyMatrix> tokens)
                throws IOException {
            Embedding.Tokens table = (Embedding.Tokens) architecture.embedding();
            boolean differences = shape.tied() && last.compressed() && architecture.tokensEnterStream();
            return new Words(
                    shape,
                    last,
                    differences && shape.projectedWidth() == 0 && shape.transform().isEmpty(),
                    shape.projectedWidth() > 0
                            ? Optional.of(from.linear(Role.of(HEAD_PROJECTION, Field.WEIGHT), false))
                            : Optional.empty(),
                    Transform.load(from, architecture, shape.transform()),
                    shape.tied() ? tokens.orElseThrow() : from.table(Role.of(HEAD, Field.WEIGHT)),
                    differences,
                    shape.bias() ? Optional.of(from.vector(Role.of(HEAD, Field.BIAS), table.vocabulary())) : Optional.empty(),
                    shape.tied() && table.means()
                            ? Optional.of(from.vector(Role.of(TOKEN_EMBEDDING, Field.MEANS), table.vocabulary()))
                            : Optional.empty(),
                    from.compute());
        }

        /** What the head reads: the values its table is multiplied with, (tokens, columns), and the sum of all, (tokens, 1). */
        private record Read(Tensor values, Optional<Tensor> sums) {}

        /** How many values of the table and of the logits are in memory at once. */
        private static final int SLAB_VALUES = 8_000_000;

        /** Fewer tokens would make products slow. */
        private static final int FEWEST = 512;
        private static final int MOST = 4096;

        @Override
        public List<Result> forward(List<Sequences> streams, Space space) throws IOException {
            List<RowsResult> made = new ArrayList<>();
            try {
                for (Sequences stream : streams) {
                    made.add(RowsResult.empty(compute, stream.count(), stream.length(), head.rows()));
                }
                space.scoped(() -> {
                    List<Read> read = streams.stream().map(stream -> read(stream.h(), space)).toList();
                    int widest = read.stream().mapToInt(one -> Math.max(one.values().count(), one.values().width())).max().orElse(1);
                    head.forEach(Math.clamp(SLAB_VALUES / widest, FEWEST, MOST), space, (first, rows) -> {
                        for (int i = 0; i < read.size(); i++) {
                            Read from = read.get(i);
                            Rows into = made.get(i).output().sliceColumns(first, rows.count());
                            space.scoped(() -> logits(from, first, rows, into).copyTo(into));
                        }
                    });
                });
                return List.copyOf(made);
            } catch (IOException | RuntimeException e) {
                made.forEach(Result::close);
                throw e;
            }
        }

        private Read read(Tensor h, Space space) {
            Optional<Tensor> sums = means.isPresent() ? Optional.of(space.kept(() -> behindNorm(h).sum())) : Optional.empty();
            return new Read(space.kept(() -> values(behindNorm(h)).to(Type.of(compute))), sums);
        }

        /** The values the table is multiplied with. */
        private Tensor values(Tensor y) {
            int last = y.width() - 1;
            return differences
                    ? y.map(y.type(), last, (_, row, each) -> {
                        for (int c = 0; c < last; c++) {
                            each[c] = row[c] - row[last];
                        }
                    })
                    : y;
        }

        private Tensor behindNorm(Tensor h) {
            Tensor y = allValues ? last.all(h) : last.read(h);
            if (projection.isPresent()) {
                y = projection.get().forward(y.to(Type.of(compute))).to(Type.wide(compute));
            }
            return transform.isPresent() ? transform.get().wide(y) : y;
        }

        /** The logits of the vocabulary from {@code first} on, (tokens, vocabulary); their products are put where they will stay if nothing follows. */
        private Tensor logits(Read read, int first, Tensor rows, Rows into) {
            Tensor logits = read.values().product(rows, into);
            if (means.isEmpty() && bias.isEmpty() && shape.scale() == 1 && shape.softcap().isEmpty()) {
                return logits;
            }
            logits = logits.to(Type.wide(compute));
            if (means.isPresent()) {
                logits = logits.plus(outer(read.sums().orElseThrow(), means.get().columns(first, rows.count())));
            }
            if (bias.isPresent()) {
                logits = logits.plus(bias.get().columns(first, rows.count()));
            }
            if (shape.scale() != 1) {
                logits = logits.times(shape.scale());
            }
            return shape.softcap().isPresent() ? softcapped(logits, shape.softcap().getAsDouble()) : logits;
        }

        /** {@code sums[token] * means[word]}. */
        private static Tensor outer(Tensor sums, Tensor means) {
            int words = means.width();
            double[] each = new double[words];
            means.rows().read(0, 0, words, each);
            return sums.map(sums.type(), words, (_, sum, y) -> {
                for (int i = 0; i < words; i++) {
                    y[i] = sum[0] * each[i];
                }
            });
        }

        private static Tensor softcapped(Tensor logits, double cap) {
            int n = logits.width();
            return logits.map((_, x, y) -> {
                AttentionLayer.softcap(x, y, n, cap);
                System.arraycopy(x, 0, y, 0, n);
            });
        }
    }

    /**
     * Scores of labels: of what the pooling reads, behind the transform where there is one.
     *
     * @param patches where the patches of an image begin
     * @param second the head of the distillation token
     */
    record Labels(Final last, Pooling pooling, int patches, Optional<Transform> transform, Linear head, Optional<Linear> second, Compute compute)
            implements OutputLayer {

        static Labels load(Loader from, Architecture architecture, Output.Labels shape, Final last) throws IOException {
            return new Labels(last, shape.pooling(), architecture.firstPatch(), Transform.load(from, architecture, shape.transform()),
                    from.linear(Role.of(HEAD, Field.WEIGHT), shape.bias()),
                    shape.pooling() == Pooling.EACH_OF_TWO ? Optional.of(from.linear(Role.of(DISTILLED_HEAD, Field.WEIGHT), shape.bias())) : Optional.empty(),
                    from.compute());
        }

        @Override
        public List<Result> forward(List<Sequences> streams, Space space) throws IOException {
            return each(streams, space, stream -> {
                Tensor scores = pooling == Pooling.EACH_OF_TWO
                        ? head.forward(last.read(stream.at(0)).to(Type.of(compute))).to(Type.wide(compute))
                                .plus(second.orElseThrow().forward(last.read(stream.at(1)).to(Type.of(compute))).to(Type.wide(compute))).times(.5).to(Type.of(compute))
                        : scored(pooled(stream));
                return pooling.ofPositions()
                        ? RowsResult.of(compute, scores, stream.count(), scores.count() / stream.count(), scores.width())
                        : RowsResult.of(compute, scores, stream.count(), scores.width());
            });
        }

        /** A norm reads all d values, a linear layer those that there are. */
        private Tensor read(Tensor h) {
            return transform.filter(before -> before.dense().isEmpty()).isPresent() ? last.all(h) : last.read(h);
        }

        private Tensor scored(Tensor pooled) {
            return head.forward((transform.isPresent() ? transform.get().wide(pooled) : pooled).to(Type.of(compute)));
        }

        private Tensor pooled(Sequences stream) {
            return switch (pooling) {
                case FIRST -> read(stream.at(0));
                case FIRST_AND_MEAN -> {
                    Sequences y = stream.with(read(stream.h()));
                    yield y.at(0).beside(y.means(patches, y.length()));
                }
                case EVERY -> read(stream.h());
                case PATCHES -> read(stream.from(patches).h());
                case LAST -> read(stream.at(stream.lastSeen()));
                case MEAN -> stream.with(read(stream.h())).means(0, stream.length());
                case MEAN_OF_TWO -> stream.with(read(stream.h())).means(0, 2);
                case NORMED_MEAN -> read(stream.with(stream.h().to(Type.wide(compute))).means(patches, stream.length()));
                case EACH_OF_TWO -> throw new IllegalStateException("two are read, each by itself");
            };
        }
    }

    /**
     * The hidden states, all d values of them, and the pooled vector.
     *
     * @param patches where the patches of an image begin
     * @param end the token that ends a text; of {@link Pooler#END} alone
     */
    record Hidden(Final last, Pooler pooler, int patches, OptionalInt end, Optional<Linear> dense, Optional<ProbeLayer> probe, Optional<Linear> projection,
            Compute compute)
            implements OutputLayer {

        @Override
        public List<Result> forward(List<Sequences> streams, Space space) throws IOException {
            return each(streams, space, stream -> {
                Tensor h = stream.h();
                Tensor states = (pooler.bareStream() ? last.bare(h) : last.all(h)).to(Type.of(compute));
                RowsResult made = RowsResult.of(compute, states, stream.count(), stream.length(), states.width());
                return pooler == Pooler.NONE ? made : made.withPooled(projected(pooled(stream)).to(Type.of(compute)));
            });
        }

        private Tensor projected(Tensor pooled) {
            return projection.isPresent() ? projection.get().forward(pooled.to(Type.of(compute))) : pooled;
        }

        private Tensor pooled(Sequences stream) {
            return switch (pooler) {
                case NONE -> throw new IllegalStateException("nothing is pooled");
                case FIRST, NORMED_FIRST -> last.all(stream.at(0));
                case LAST -> last.all(stream.at(stream.length() - 1));
                case END -> last.all(stream.at(Arrays.stream(stream.tokens().orElseThrow().ids()).mapToInt(this::endOf).toArray()));
                case PROBE -> probe.orElseThrow().forward(last.all(stream.h()).to(Type.of(compute)), stream.length());
                case MEAN_OF_TWO -> stream.with(last.all(stream.h())).means(0, 2);
                case NORMED_MEAN -> last.all(stream.with(stream.h().to(Type.wide(compute))).means(patches, stream.length()));
                case DENSE_TANH -> MlpLayer.activate(Activation.TANH,
                        dense.orElseThrow().forward(last.read(stream.at(0)).to(Type.of(compute))).to(Type.wide(compute)));
            };
        }

        /** Where a text ends. */
        private int endOf(long[] ids) {
            int found = 0;
            for (int i = ids.length - 1; i >= 0; i--) {
                if (end.isPresent() ? ids[i] == end.getAsInt() : ids[i] >= ids[found]) {
                    found = i;
                }
            }
            return found;
        }
    }

    /** What is made of each stream. */
    private static List<Result> each(List<Sequences> streams, Space space, Function<Sequences, Result> make) throws IOException {
        List<Result> made = new ArrayList<>();
        try {
            for (Sequences stream : streams) {
                space.scoped(() -> made.add(make.apply(stream)));
            }
            return made;
        } catch (IOException | RuntimeException e) {
            made.forEach(Result::close);
            throw e;
        }
    }
}
