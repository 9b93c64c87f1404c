package isonorm.layer;

import static isonorm.architecture.Part.CLASS_TOKEN;
import static isonorm.architecture.Part.DISTILLATION_TOKEN;
import static isonorm.architecture.Part.EMBEDDING_NORM;
import static isonorm.architecture.Part.EMBEDDING_PROJECTION;
import static isonorm.architecture.Part.FRAME_NORM;
import static isonorm.architecture.Part.PATCH_PROJECTION;
import static isonorm.architecture.Part.POSITION_EMBEDDING;
import static isonorm.architecture.Part.REGISTERS;
import static isonorm.architecture.Part.SEGMENT_EMBEDDING;
import static isonorm.architecture.Part.STREAM_ENTRY;
import static isonorm.architecture.Part.TOKEN_EMBEDDING;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Norm;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Stream;
import isonorm.kernel.Type;
import isonorm.model.Batch;
import isonorm.model.Compute;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/** What enters the stream: {@code recentre(norm(sum of embeddings))}, norm and recentring where there are any. */
sealed interface EmbeddingLayer {

    /** A row for each token of each row of the batch, as wide as the stream. */
    Tensor forward(Batch batch, Space space) throws IOException;

    /** The table of tokens, where there is one. */
    default Optional<VocabularyMatrix> tokens() {
        return Optional.empty();
    }

    static EmbeddingLayer load(Loader from, Architecture architecture) throws IOException {
        Architecture before = architecture.entrance();
        Entrance entrance = Entrance.load(from, before);
        EmbeddingLayer layer = switch (before.embedding()) {
            case Embedding.Tokens tokens -> Words.load(from, tokens, entrance);
            case Embedding.Patches patches -> Patches.load(from, patches, before.streamWidth(), entrance);
            case Embedding.Sound sound -> Sound.load(from, sound, before.width(), entrance);
        };
        return architecture.bases().entry().isEmpty() ? layer : new ChangedBasis(layer, from.linear(Role.of(STREAM_ENTRY, Field.WEIGHT), false));
    }

    /** What enters through a matrix, which changes the basis. */
    record ChangedBasis(EmbeddingLayer layer, Linear basis) implements EmbeddingLayer {

        @Override
        public Optional<VocabularyMatrix> tokens() {
            return layer.tokens();
        }

        @Override
        public Tensor forward(Batch batch, Space space) throws IOException {
            return basis.forward(layer.forward(batch, space));
        }
    }

    /**
     * Norm and recentring. A compressed stream enters with d - 1 values; if its norm has a gain, that gives d, of which the
     * recentred first d - 1 stand for all; so it is where all d values come out of an activation. Two streams enter alike and lie side by side.
     */
    record Entrance(Optional<NormLayer> norm, boolean recentre, boolean whole, boolean compressed, boolean dual, Compute compute) {

        static Entrance load(Loader from, Architecture architecture) throws IOException {
            boolean compressed = architecture.stream() == Stream.COMPRESSED;
            Optional<Norm> norm = architecture.embedding().streamNorm();
            boolean recentre = architecture.embedding().recentre();
            if (compressed && norm.isPresent() && norm.get().affine().hasGain() && !recentre) {
                throw new IllegalArgumentException("a compressed stream must sum to zero; recentre behind the embedding's "
                        + norm.get().kind().label() + " with a gain");
            }
            return new Entrance(
                    norm.isPresent()
                            ? Optional.of(from.norm(Role.of(EMBEDDING_NORM, Field.GAIN), norm.get(), architecture.width()))
                            : Optional.empty(),
                    recentre, architecture.entersWhole(), compressed, architecture.dual(), from.compute());
        }

        Tensor forward(Tensor sum) {
            Tensor h = norm.isPresent() ? norm.get().wide(sum) : sum;
            boolean all = !compressed || whole || norm.isPresent() && norm.get().gain().isPresent();
            if (recentre && all) { // d - 1 values stand for a vector that sums to zero already
                h = h.recentred();
            }
            if (compressed && all) {
                h = h.columns(0, h.width() - 1);
            }
            return (dual ? h.beside(h) : h).to(Type.of(compute));
        }
    }

    /** {@code scale * token[id] + position[i + offset] + segment[0]}, a token passing through its projection first, or all of that behind its norm. */
    record Words(
            Embedding.Tokens shape,
            VocabularyMatrix table,
            Optional<Linear> projection,
            Optional<VocabularyMatrix> positions,
            Optional<VocabularyMatrix> segments,
            Optional<NormLayer> norm,
            Entrance entrance,
            Compute compute)
            implements EmbeddingLayer {

        static Words load(Loader from, Embedding.Tokens shape, Entrance entrance) throws IOException {
            boolean sum = shape.projection() == Embedding.Projection.SUM;
            return new Words(
                    shape,
                    from.table(Role.of(TOKEN_EMBEDDING, Field.WEIGHT)),
                    shape.projected() ? Optional.of(from.linear(Role.of(EMBEDDING_PROJECTION, Field.WEIGHT), sum)) : Optional.empty(),
                    shape.positions() > 0 ? Optional.of(from.table(Role.of(POSITION_EMBEDDING, Field.WEIGHT))) : Optional.empty(),
                    shape.segments() > 0 ? Optional.of(from.table(Role.of(SEGMENT_EMBEDDING, Field.WEIGHT))) : Optional.empty(),
                    sum && shape.norm().isPresent()
                            ? Optional.of(from.norm(Role.of(EMBEDDING_NORM, Field.GAIN), shape.norm().get(), shape.width()))
                            : Optional.empty(),
                    entrance,
                    from.compute());
        }

        @Override
        public Optional<VocabularyMatrix> tokens() {
            return Optional.of(table);
        }

        @Override
        public Tensor forward(Batch batch, Space space) throws IOException {
            Batch.Tokens given = (Batch.Tokens) batch;
            Tensor token = table.lookUp(flat(given.ids()), space);
            if (shape.projection() == Embedding.Projection.TOKENS) {
                token = projection.orElseThrow().forward(token);
            }
            Tensor sum = token.to(Type.wide(compute));
            if (shape.scale() != 1) {
                sum = sum.times(shape.scale());
            }
            if (shape.special().hidden().isPresent()) {
                sum = withoutHidden(sum, given, shape.special());
            }
            if (positions.isPresent()) {
                sum = sum.plus(positions.get().lookUp(positionsOf(given), space).to(Type.wide(compute)));
            }
            if (segments.isPresent()) {
                sum = sum.plus(segments.get().lookUp(new long[] {0}, space).to(Type.wide(compute)));
            }
            if (shape.projection() == Embedding.Projection.SUM) {
                Tensor read = norm.isPresent() ? norm.get().forward(sum) : sum.to(Type.of(compute));
                sum = projection.orElseThrow().forward(read).to(Type.wide(compute));
            }
            return entrance.forward(sum);
        }

        /** The vectors of tokens that are to be guessed are zero, and those of the others grow by as much. */
        private static Tensor withoutHidden(Tensor x, Batch.Tokens given, Embedding.Special special) {
            int T = given.length();
            int hidden = special.hidden().orElseThrow();
            double[] scales = new double[given.count()];
            for (int r = 0; r < scales.length; r++) {
                int row = r;
                scales[r] = special.scale((int) Arrays.stream(given.ids()[r]).filter(id -> id == hidden).count(),
                        (int) IntStream.range(0, T).filter(i -> given.seen(row, i)).count());
            }
            return x.map((token, values, y) -> {
                double scale = given.ids()[token / T][token % T] == hidden ? 0 : scales[token / T];
                for (int c = 0; c < x.width(); c++) {
                    y[c] = values[c] * scale;
                }
            });
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
                    if (shape.maskedPositions() || shape.special().padding().isPresent()) {
                        position = counts(given, r, i) ? seen++ : -1; // padding takes the row before the first position's
                    }
                    rows[r * T + i] = Math.max(0, position + shape.positionOffset());
                }
            }
            return rows;
        }

        /** Whether a position is counted for a token: not for padding, which the mask says or the token itself. */
        private boolean counts(Batch.Tokens given, int row, int i) {
            return shape.special().padding().isPresent()
                    ? given.ids()[row][i] != shape.special().padding().getAsInt()
                    : given.seen(row, i);
        }
    }

    /** Class tokens, registers, then the patches in row order, each projected; a position is added to all but registers. */
    record Patches(
            Embedding.Patches shape, List<Tensor> classTokens, Optional<Tensor> registers, Linear projection, Optional<Tensor> positions, Entrance entrance,
            Compute compute)
            implements EmbeddingLayer {

        static Patches load(Loader from, Embedding.Patches shape, int streamWidth, Entrance entrance) throws IOException {
            List<Tensor> classTokens = new ArrayList<>();
            for (Part part : List.of(CLASS_TOKEN, DISTILLATION_TOKEN).subList(0, shape.beside().classTokens())) {
                classTokens.add(from.vector(Role.of(part, Field.WEIGHT), streamWidth));
            }
            return new Patches(
                    shape,
                    classTokens,
                    shape.beside().registers() > 0 ? Optional.of(from.vector(Role.of(REGISTERS, Field.WEIGHT), streamWidth)) : Optional.empty(),
                    from.linear(Role.of(PATCH_PROJECTION, Field.WEIGHT), shape.bias()),
                    shape.positions() ? Optional.of(from.vector(Role.of(POSITION_EMBEDDING, Field.WEIGHT), streamWidth)) : Optional.empty(),
                    entrance,
                    from.compute());
        }

        @Override
        public Tensor forward(Batch batch, Space space) {
            Batch.Images images = (Batch.Images) batch;
            Tensor patches = projection.forward(unfolded(images, space)).to(Type.wide(compute));
            int T = shape.tokens();
            int first = shape.beside().count();
            int each = T - first;
            Tensor all = space.empty(Type.wide(compute), images.count() * T, patches.width());
            for (int image = 0; image < images.count(); image++) {
                Tensor one = all.slice(image * T, T);
                for (int i = 0; i < classTokens.size(); i++) {
                    positioned(classTokens.get(i), i).copyTo(one.rows().slice(i, 1));
                }
                if (registers.isPresent()) {
                    registers.get().copyTo(one.rows().slice(classTokens.size(), shape.beside().registers()));
                }
                positioned(patches.slice(image * each, each), classTokens.size()).copyTo(one.rows().slice(first, each));
            }
            return entrance.forward(all);
        }

        /** With the positions from {@code place} on. */
        private Tensor positioned(Tensor x, int place) {
            return positions.isPresent() ? x.to(Type.wide(compute)).plus(positions.get().slice(place, x.count())) : x;
        }

        /** A row for each patch of each image: what its channels hold, one after the other, row by row. */
        private Tensor unfolded(Batch.Images images, Space space) {
            int across = shape.columns();
            int each = shape.rows() * across;
            int size = shape.channels() * shape.height() * shape.width();
            Tensor all = space.empty(Type.of(compute), images.count() * each, shape.values());
            double[] row = new double[shape.values()];
            for (int patch = 0; patch < all.count(); patch++) {
                for (int i = 0; i < row.length; i++) {
                    row[i] = images.pixels()[patch / each * size + shape.pixel(patch % each / across, patch % each % across, i)];
                }
                all.rows().write(patch, 0, row.length, row);
            }
            return all;
        }
    }

    /** {@code scale * x + place} for each frame x that the convolutions and the projection leave. */
    record Sound(
            Embedding.Sound shape, List<ConvolutionLayer> convolutions, Optional<NormLayer> frameNorm, Optional<Linear> projection, PlacesLayer places, int width,
            Entrance entrance, Compute compute)
            implements EmbeddingLayer {

        static Sound load(Loader from, Embedding.Sound shape, int width, Entrance entrance) throws IOException {
            List<ConvolutionLayer> convolutions = new ArrayList<>();
            for (int c = 0; c < shape.convolutions().size(); c++) {
                convolutions.add(ConvolutionLayer.load(from, shape.convolutions().get(c), c));
            }
            Optional<Norm> norm = shape.projection().flatMap(Embedding.Sound.FrameProjection::norm);
            return new Sound(shape, convolutions,
                    norm.isPresent() ? Optional.of(from.norm(Role.of(FRAME_NORM, Field.GAIN), norm.get(), shape.channels())) : Optional.empty(),
                    shape.projection().isPresent() ? Optional.of(from.linear(Role.of(EMBEDDING_PROJECTION, Field.WEIGHT), true)) : Optional.empty(),
                    PlacesLayer.load(from, shape.places(), width), width, entrance, from.compute());
        }

        @Override
        public Tensor forward(Batch batch, Space space) throws IOException {
            Batch.Sounds sounds = (Batch.Sounds) batch;
            int T = shape.steps(sounds.frames());
            Tensor all = space.empty(Type.wide(compute), sounds.count() * T, width);
            for (int sound = 0; sound < sounds.count(); sound++) {
                int one = sound;
                space.scoped(() -> {
                    Tensor x = frames(sounds, one, space);
                    for (ConvolutionLayer each : convolutions) {
                        Tensor read = x;
                        x = each.forward(read);
                    }
                    x = frameNorm.isPresent() ? frameNorm.get().forward(x) : x;
                    x = projection.isPresent() ? projection.get().forward(x) : x;
                    x.to(Type.wide(compute)).timesPlus(shape.scale(), places.of(x)).copyTo(all.rows().slice(one * T, T));
                });
            }
            return entrance.forward(all);
        }

        /** A row for each frame of one sound. */
        private Tensor frames(Batch.Sounds sounds, int sound, Space space) {
            int lines = sounds.lines();
            int frames = sounds.frames();
            Tensor x = space.empty(Type.of(compute), frames, lines);
            double[] row = new double[lines];
            for (int frame = 0; frame < frames; frame++) {
                for (int line = 0; line < lines; line++) {
                    row[line] = sounds.values()[sound * lines * frames + (shape.turned() ? frame * lines + line : line * frames + frame)];
                }
                x.rows().write(frame, 0, lines, row);
            }
            return x;
        }
    }
}
