package isonorm.layer;

import static isonorm.architecture.Part.CLASS_TOKEN;
import static isonorm.architecture.Part.EMBEDDING_NORM;
import static isonorm.architecture.Part.EMBEDDING_PROJECTION;
import static isonorm.architecture.Part.PATCH_PROJECTION;
import static isonorm.architecture.Part.POSITION_EMBEDDING;
import static isonorm.architecture.Part.SEGMENT_EMBEDDING;
import static isonorm.architecture.Part.TOKEN_EMBEDDING;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Norm;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Stream;
import isonorm.kernel.Type;
import isonorm.model.Batch;
import isonorm.model.Compute;
import java.io.IOException;
import java.util.Optional;

/** What enters the stream: {@code recentre(norm(sum of embeddings))}, norm and recentring where there are any. */
sealed interface EmbeddingLayer {

    /** A row for each token of each row of the batch, as wide as the stream. */
    Tensor forward(Batch batch, Space space) throws IOException;

    static EmbeddingLayer load(Loader from, Architecture architecture) throws IOException {
        Entrance entrance = Entrance.load(from, architecture);
        return switch (architecture.embedding()) {
            case Embedding.Tokens tokens -> Words.load(from, tokens, entrance);
            case Embedding.Patches patches -> Patches.load(from, patches, architecture.streamWidth(), entrance);
        };
    }

    /**
     * Norm and recentring. A compressed stream enters with d - 1 values; if its norm has a gain, that gives d, of which the
     * recentred first d - 1 stand for all. Two streams enter alike and lie side by side.
     */
    record Entrance(Optional<NormLayer> norm, boolean recentre, boolean compressed, boolean dual, Compute compute) {

        static Entrance load(Loader from, Architecture architecture) throws IOException {
            boolean compressed = architecture.stream() == Stream.COMPRESSED;
            Optional<Norm> norm = architecture.embedding().norm();
            boolean recentre = architecture.embedding().recentre();
            if (compressed && norm.isPresent() && norm.get().affine().hasGain() && !recentre) {
                throw new IllegalArgumentException("a compressed stream must sum to zero; recentre behind the embedding's "
                        + norm.get().kind().label() + " with a gain");
            }
            return new Entrance(
                    norm.isPresent()
                            ? Optional.of(from.norm(Role.of(EMBEDDING_NORM, Field.GAIN), norm.get(), architecture.width()))
                            : Optional.empty(),
                    recentre, compressed, architecture.dual(), from.compute());
        }

        Tensor forward(Tensor sum) {
            Tensor h = norm.isPresent() ? norm.get().wide(sum) : sum;
            boolean all = !compressed || norm.isPresent() && norm.get().gain().isPresent();
            if (recentre && all) { // d - 1 values stand for a vector that sums to zero already
                h = h.recentred();
            }
            if (compressed && all) {
                h = h.columns(0, h.width() - 1);
            }
            return (dual ? h.beside(h) : h).to(Type.of(compute));
        }
    }

    /** {@code scale * token[id] + position[i + offset] + segment[0]}, a token passing through its projection first. */
    record Words(
            Embedding.Tokens shape,
            VocabularyMatrix tokens,
            Optional<Linear> projection,
            Optional<VocabularyMatrix> positions,
            Optional<VocabularyMatrix> segments,
            Entrance entrance,
            Compute compute)
            implements EmbeddingLayer {

        static Words load(Loader from, Embedding.Tokens shape, Entrance entrance) throws IOException {
            return new Words(
                    shape,
                    from.table(Role.of(TOKEN_EMBEDDING, Field.WEIGHT)),
                    shape.projected() ? Optional.of(from.linear(Role.of(EMBEDDING_PROJECTION, Field.WEIGHT), false)) : Optional.empty(),
                    shape.positions() > 0 ? Optional.of(from.table(Role.of(POSITION_EMBEDDING, Field.WEIGHT))) : Optional.empty(),
                    shape.segments() > 0 ? Optional.of(from.table(Role.of(SEGMENT_EMBEDDING, Field.WEIGHT))) : Optional.empty(),
                    entrance,
                    from.compute());
        }

        @Override
        public Tensor forward(Batch batch, Space space) throws IOException {
            Batch.Tokens given = (Batch.Tokens) batch;
            Tensor token = tokens.lookUp(flat(given.ids()), space);
            if (projection.isPresent()) {
                token = projection.get().forward(token);
            }
            Tensor sum = token.to(Type.wide(compute));
            if (shape.scale() != 1) {
                sum = sum.times(shape.scale());
            }
            if (positions.isPresent()) {
                sum = sum.plus(positions.get().lookUp(positionsOf(given), space).to(Type.wide(compute)));
            }
            if (segments.isPresent()) {
                sum = sum.plus(segments.get().lookUp(new long[] {0}, space).to(Type.wide(compute)));
            }
            return entrance.forward(sum);
        }

        private static long[] flat(long[][] rows) {
            int T = rows[0].length;
            long[] all = new long[rows.length * T];
            for (int r = 0; r < rows.length; r++) {
                System.arraycopy(rows[r], 0, all, r * T, T);
            }
            return all;
        }

        private long[] positionsOf(Batch.Tokens given) {
            int T = given.length();
            long[] rows = new long[given.count() * T];
            for (int r = 0; r < given.count(); r++) {
                int seen = 0;
                for (int i = 0; i < T; i++) {
                    int position = i;
                    if (shape.maskedPositions()) {
                        position = given.seen(r, i) ? seen++ : -1; // padding takes the row before the first position's
                    }
                    rows[r * T + i] = Math.max(0, position + shape.positionOffset());
                }
            }
            return rows;
        }
    }

    /** A class token, then the patches in row order, each projected; a position is added to every one. */
    record Patches(Embedding.Patches shape, Tensor classToken, Linear projection, Tensor positions, Entrance entrance, Compute compute)
            implements EmbeddingLayer {

        static Patches load(Loader from, Embedding.Patches shape, int streamWidth, Entrance entrance) throws IOException {
            return new Patches(
                    shape,
                    from.vector(Role.of(CLASS_TOKEN, Field.WEIGHT), streamWidth),
                    from.linear(Role.of(PATCH_PROJECTION, Field.WEIGHT), shape.bias()),
                    from.vector(Role.of(POSITION_EMBEDDING, Field.WEIGHT), streamWidth),
                    entrance,
                    from.compute());
        }

        @Override
        public Tensor forward(Batch batch, Space space) {
            Batch.Images images = (Batch.Images) batch;
            Tensor patches = projection.forward(unfolded(images, space)).to(Type.wide(compute));
            int T = shape.tokens();
            Tensor all = space.empty(Type.wide(compute), images.count() * T, patches.width());
            for (int image = 0; image < images.count(); image++) {
                Tensor one = all.slice(image * T, T);
                classToken.copyTo(one.rows().slice(0, 1));
                patches.slice(image * (T - 1), T - 1).copyTo(one.rows().slice(1, T - 1));
            }
            return entrance.forward(all.plus(positions));
        }

        /** A row for each patch of each image: what its channels hold, one after the other, row by row. */
        private Tensor unfolded(Batch.Images images, Space space) {
            int p = shape.patch();
            int across = shape.width() / p;
            int down = shape.height() / p;
            int C = shape.channels();
            Tensor all = space.empty(Type.of(compute), images.count() * down * across, C * p * p);
            double[] row = new double[C * p * p];
            for (int patch = 0; patch < all.count(); patch++) {
                int image = patch / (down * across);
                int top = patch / across % down * p;
                int left = patch % across * p;
                for (int i = 0; i < row.length; i++) {
                    int plane = image * C + i / (p * p);
                    row[i] = images.pixels()[(plane * shape.height() + top + i / p % p) * shape.width() + left + i % p];
                }
                all.rows().write(patch, 0, row.length, row);
            }
            return all;
        }
    }
}
