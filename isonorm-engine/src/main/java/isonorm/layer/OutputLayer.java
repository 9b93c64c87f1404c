package isonorm.layer;

import static isonorm.architecture.Part.FINAL_NORM;
import static isonorm.architecture.Part.HEAD;
import static isonorm.architecture.Part.HEAD_PROJECTION;
import static isonorm.architecture.Part.HEAD_TRANSFORM;
import static isonorm.architecture.Part.HEAD_TRANSFORM_NORM;
import static isonorm.architecture.Part.POOLER;
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
import isonorm.model.Compute;
import isonorm.model.Result;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/** What is made of the stream behind the last block. */
sealed interface OutputLayer {

    /** What the blocks made of a batch: a row for each token, {@code length} of them for each row of the batch. */
    record Sequences(Tensor h, int length) {

        /** The first token of each row of the batch. */
        Sequences first() {
            return new Sequences(h.every(length), 1);
        }

        int count() {
            return h.count() / length;
        }
    }

    /** The output of each of the {@code streams}, in memory of its own. */
    List<Result> forward(List<Sequences> streams, Space space) throws IOException;

    static OutputLayer load(Loader from, Architecture architecture, Optional<VocabularyMatrix> tokens) throws IOException {
        Final last = Final.load(from, architecture);
        return switch (architecture.output()) {
            case Output.Words words -> Words.load(from, architecture, words, last, tokens);
            case Output.Labels(int labels, Pooling pooling, boolean bias) ->
                    new Labels(last, pooling, from.linear(Role.of(HEAD, Field.WEIGHT), bias), from.compute());
            case Output.Hidden(Pooler pooler) -> new Hidden(last, pooler,
                    pooler == Pooler.DENSE_TANH ? Optional.of(from.linear(Role.of(POOLER, Field.WEIGHT), true)) : Optional.empty(),
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

        /** {@code norm(activation(dense(x)))}. */
        private record Transform(Output.Transform shape, Linear dense, NormLayer norm, Compute compute) {
            Tensor wide(Tensor x) {
                return norm.wide(MlpLayer.activate(shape.activation(), dense.forward(x.to(Type.of(compute))).to(Type.wide(compute))));
            }
        }

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
                    shape.transform().isPresent()
                            ? Optional.of(new Transform(
                                    shape.transform().get(),
                                    from.linear(Role.of(HEAD_TRANSFORM, Field.WEIGHT), true),
                                    from.norm(Role.of(HEAD_TRANSFORM_NORM, Field.GAIN), shape.transform().get().norm(),
                                            architecture.width()),
                                    from.compute()))
                            : Optional.empty(),
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

    /** Scores of the class token, or of it and the mean of all other positions, one after the other. */
    record Labels(Final last, Pooling pooling, Linear head, Compute compute) implements OutputLayer {

        @Override
        public List<Result> forward(List<Sequences> streams, Space space) throws IOException {
            return each(streams, space, stream -> RowsResult.of(compute, head.forward(pooled(stream).to(Type.of(compute))), stream.count(), head.weight().count()));
        }

        private Tensor pooled(Sequences stream) {
            return switch (pooling) {
                case FIRST -> last.read(stream.first().h());
                case FIRST_AND_MEAN -> {
                    Sequences y = new Sequences(last.read(stream.h()), stream.length());
                    yield y.first().h().beside(meansBehindFirst(y));
                }
            };
        }

        /** The mean of all tokens of each row of the batch but the first. */
        private static Tensor meansBehindFirst(Sequences y) {
            int d = y.h().width();
            return y.first().h().map((row, x, mean) -> {
                Arrays.fill(mean, 0, d, 0);
                for (int token = 1; token < y.length(); token++) {
                    y.h().rows().read(row * y.length() + token, 0, d, x);
                    for (int c = 0; c < d; c++) {
                        mean[c] += x[c] / (y.length() - 1);
                    }
                }
            });
        }
    }

    /** The hidden states, all d values of them, and the pooled vector. */
    record Hidden(Final last, Pooler pooler, Optional<Linear> dense, Compute compute) implements OutputLayer {

        @Override
        public List<Result> forward(List<Sequences> streams, Space space) throws IOException {
            return each(streams, space, stream -> {
                Tensor h = stream.h();
                Tensor states = (pooler == Pooler.NORMED_FIRST ? last.bare(h) : last.all(h)).to(Type.of(compute));
                RowsResult made = RowsResult.of(compute, states, stream.count(), stream.length(), states.width());
                return pooler == Pooler.NONE ? made : made.withPooled(pooled(stream.first().h()).to(Type.of(compute)));
            });
        }

        private Tensor pooled(Tensor first) {
            return switch (pooler) {
                case NONE -> throw new IllegalStateException("nothing is pooled");
                case FIRST, NORMED_FIRST -> last.all(first);
                case DENSE_TANH -> MlpLayer.activate(Activation.TANH,
                        dense.orElseThrow().forward(last.read(first).to(Type.of(compute))).to(Type.wide(compute)));
            };
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
