package isonorm.layer;

import static isonorm.architecture.Part.FINAL_NORM;
import static isonorm.architecture.Part.HEAD;
import static isonorm.architecture.Part.HEAD_PROJECTION;
import static isonorm.architecture.Part.HEAD_TRANSFORM;
import static isonorm.architecture.Part.HEAD_TRANSFORM_NORM;
import static isonorm.architecture.Part.POOLER;
import static isonorm.architecture.Part.TOKEN_EMBEDDING;
import static isonorm.tensor.Ops.cast;
import static isonorm.tensor.Ops.concatenate;
import static isonorm.tensor.Ops.expand;
import static isonorm.tensor.Ops.softcap;
import static isonorm.tensor.Ops.sum;
import static isonorm.tensor.Ops.times;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.architecture.Output.Pooler;
import isonorm.architecture.Output.Pooling;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Stream;
import isonorm.tensor.Compute;
import isonorm.tensor.Memory;
import isonorm.tensor.Threads;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/** What is made of the stream behind the last block. */
sealed interface OutputLayer {

    /** An output that lives on, with its pooled vectors where the architecture has any. */
    record Made(Tensor output, Optional<Tensor> pooled) {}

    /** The output of each of the {@code streams}, each (rows, tokens, stream width). */
    List<Made> forward(List<Tensor> streams) throws IOException;

    static OutputLayer load(Loader from, Architecture architecture, Optional<Table> tokens) throws IOException {
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
         * The values a reader gets, in the type of the statistics: d, or d - 1 where nothing made them d. Of two streams x and y
         * it is {@code x + norm(y)}.
         */
        Tensor read(Tensor h) {
            if (dual) {
                return cast(BlockLayer.stream(h, 0), compute.statistics()).add(norm.orElseThrow().wide(BlockLayer.stream(h, 1)));
            }
            return norm.isPresent() ? norm.get().wide(h) : cast(h, compute.statistics());
        }

        /** All d values of {@link #read}. */
        Tensor all(Tensor h) {
            boolean shortened = compressed && (norm.isEmpty() || norm.get().gain().isEmpty());
            return shortened ? expand(read(h)) : read(h);
        }

        /** All d values of the stream itself. */
        Tensor bare(Tensor h) {
            Tensor values = cast(h, compute.statistics());
            return compressed ? expand(values) : values;
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
            Table head,
            boolean differences,
            Optional<Tensor> bias,
            Optional<Tensor> means,
            Compute compute)
            implements OutputLayer {

        /** {@code norm(activation(dense(x)))}. */
        private record Transform(Output.Transform shape, Linear dense, NormLayer norm, Compute compute) {
            Tensor wide(Tensor x) throws IOException {
                Tensor y = MlpLayer.activate(shape.activation(), cast(dense.forward(cast(x, compute)), compute.statistics()));
                return norm.wide(y);
            }
        }

        static Words load(Loader from, Architecture architecture, Output.Words shape, Final last, Optional<Table> tokens)
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
        private record Read(Tensor values, Optional<Tensor> sums) {
            Read narrow(long first, long count) {
                return new Read(values.narrow(0, first, count), sums.map(tensor -> tensor.narrow(0, first, count)));
            }
        }

        /** How many logits are computed at once. */
        private static final long SLICE_VALUES = 4_000_000;

        @Override
        public List<Made> forward(List<Tensor> streams) throws IOException {
            List<Read> read = new ArrayList<>();
            List<Made> made = new ArrayList<>();
            try {
                for (Tensor h : streams) {
                    read.add(read(h));
                    made.add(new Made(
                            Memory.kept(() -> Memory.empty(compute, h.size(0), h.size(1), head.rows())), Optional.empty()));
                }
                head.forEach((first, rows) -> {
                    for (int i = 0; i < read.size(); i++) {
                        Read from = read.get(i);
                        Tensor logits = made.get(i).output();
                        write(from, first, rows, logits.view(-1, head.rows()).narrow(1, first, rows.size(0)));
                    }
                });
                return made;
            } catch (IOException | RuntimeException e) {
                made.forEach(one -> Memory.free(one.output()));
                throw e;
            } finally {
                for (Read one : read) {
                    Memory.free(one.values());
                    one.sums().ifPresent(Memory::free);
                }
            }
        }

        private Read read(Tensor h) throws IOException {
            Tensor y = Memory.kept(() -> behindNorm(h));
            try {
                Tensor values = Memory.kept(() -> {
                    Tensor taken = differences
                            ? y.narrow(-1, 0, y.size(-1) - 1).sub(y.narrow(-1, y.size(-1) - 1, 1))
                            : y;
                    return cast(taken, compute).reshape(-1, taken.size(-1));
                });
                return new Read(values, means.isPresent()
                        ? Optional.of(Memory.kept(() -> sum(y).view(-1, 1)))
                        : Optional.empty());
            } finally {
                Memory.free(y);
            }
        }

        private Tensor behindNorm(Tensor h) throws IOException {
            Tensor y = allValues ? last.all(h) : last.read(h);
            if (projection.isPresent()) {
                y = cast(projection.get().forward(cast(y, compute)), compute.statistics());
            }
            return transform.isPresent() ? transform.get().wide(y) : y;
        }

        /** Writes the logits of the words from {@code first} on, (tokens, words), some tokens at a time. */
        private void write(Read read, int first, Tensor rows, Tensor into) throws IOException {
            long tokens = into.size(0);
            int slices = (int) Math.clamp(tokens * rows.size(0) / SLICE_VALUES, Math.min(tokens, Threads.share()), tokens);
            Threads.parallel(slices, slice -> Memory.scoped(() -> {
                long from = tokens * slice / slices;
                long count = tokens * (slice + 1) / slices - from;
                into.narrow(0, from, count).copy_(logits(read.narrow(from, count), first, rows));
            }));
        }

        /** The logits of the words from {@code first} on, (tokens, words). */
        private Tensor logits(Read read, int first, Tensor rows) {
            Tensor logits = cast(read.values().mm(rows.t()), compute.statistics());
            if (means.isPresent()) {
                logits = logits.add(read.sums().orElseThrow().mul(means.get().narrow(0, first, rows.size(0))));
            }
            if (bias.isPresent()) {
                logits = logits.add(bias.get().narrow(0, first, rows.size(0)));
            }
            if (shape.scale() != 1) {
                logits = times(logits, shape.scale());
            }
            return shape.softcap().isPresent() ? softcap(logits, shape.softcap().getAsDouble()) : logits;
        }
    }

    /** Scores of the class token, or of it and the mean of all other positions, one after the other. */
    record Labels(Final last, Pooling pooling, Linear head, Compute compute) implements OutputLayer {

        @Override
        public List<Made> forward(List<Tensor> streams) throws IOException {
            List<Made> made = new ArrayList<>();
            for (Tensor h : streams) {
                made.add(new Made(Memory.kept(() -> head.forward(cast(pooled(h), compute))), Optional.empty()));
            }
            return made;
        }

        private Tensor pooled(Tensor h) {
            return switch (pooling) {
                case FIRST -> last.read(h.select(1, 0));
                case FIRST_AND_MEAN -> {
                    Tensor y = last.read(h);
                    yield concatenate(-1, y.select(1, 0), y.narrow(1, 1, y.size(1) - 1).mean(1));
                }
            };
        }
    }

    /** The hidden states, all d values of them, and the pooled vector. */
    record Hidden(Final last, Pooler pooler, Optional<Linear> dense, Compute compute) implements OutputLayer {

        @Override
        public List<Made> forward(List<Tensor> streams) throws IOException {
            List<Made> made = new ArrayList<>();
            for (Tensor h : streams) {
                boolean bare = pooler == Pooler.NORMED_FIRST;
                made.add(new Made(
                        Memory.kept(() -> cast(bare ? last.bare(h) : last.all(h), compute)),
                        pooler == Pooler.NONE ? Optional.empty() : Optional.of(Memory.kept(() -> cast(pooled(h), compute)))));
            }
            return made;
        }

        private Tensor pooled(Tensor h) throws IOException {
            Tensor first = h.select(1, 0);
            return switch (pooler) {
                case NONE -> throw new IllegalStateException("nothing is pooled");
                case FIRST, NORMED_FIRST -> last.all(first);
                case DENSE_TANH -> cast(dense.orElseThrow().forward(cast(last.read(first), compute)), compute.statistics()).tanh();
            };
        }
    }
}
