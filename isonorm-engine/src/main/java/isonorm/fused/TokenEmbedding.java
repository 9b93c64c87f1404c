package isonorm.fused;

import static isonorm.architecture.Part.EMBEDDING_NORM;
import static isonorm.architecture.Part.EMBEDDING_PROJECTION;
import static isonorm.architecture.Part.POSITION_EMBEDDING;
import static isonorm.architecture.Part.SEGMENT_EMBEDDING;
import static isonorm.architecture.Part.STREAM_ENTRY;
import static isonorm.architecture.Part.TOKEN_EMBEDDING;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Stream;
import isonorm.fused.Workspace.Use;
import isonorm.kernel.Kernels;
import isonorm.kernel.Normalization;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.tensor.Team;
import java.io.IOException;
import java.util.Arrays;
import java.util.Optional;

/**
 * Tokens entering the stream: {@code recentre(norm(scale * token[id] + position[i + offset] + segment[0]))}; a projection is of the token alone, or
 * stands behind the norm.
 *
 * @param added the bias of a projection behind the norm
 * @param basis what leads all that to the basis of the stream
 * @param carried how many values stand before that
 */
record TokenEmbedding(
        Embedding.Tokens shape,
        LookupTable tokens,
        Optional<Weight> projection,
        Values added,
        Optional<Rows> positions,
        Optional<Rows> segments,
        Optional<Normalization> norm,
        Optional<Weight> basis,
        int carried,
        boolean compressed) {

    private static final Kernels KERNELS = Kernels.provider();

    static TokenEmbedding load(Weights from, Architecture architecture, Embedding.Tokens shape) throws IOException {
        return new TokenEmbedding(
                shape,
                from.table(Role.of(TOKEN_EMBEDDING, Field.WEIGHT), architecture.tied()),
                shape.projected() ? Optional.of(from.linear(Role.of(EMBEDDING_PROJECTION, Field.WEIGHT))) : Optional.empty(),
                from.bias(Role.of(EMBEDDING_PROJECTION, Field.WEIGHT), shape.projection() == Embedding.Projection.SUM),
                shape.positions() > 0 ? Optional.of(from.rows(Role.of(POSITION_EMBEDDING, Field.WEIGHT))) : Optional.empty(),
                shape.segments() > 0 ? Optional.of(from.rows(Role.of(SEGMENT_EMBEDDING, Field.WEIGHT))) : Optional.empty(),
                from.norm(Role.of(EMBEDDING_NORM, Field.GAIN), shape.norm()),
                architecture.bases().entry().isPresent() ? Optional.of(from.linear(Role.of(STREAM_ENTRY, Field.WEIGHT))) : Optional.empty(),
                architecture.entrance().streamWidth(),
                architecture.stream() == Stream.COMPRESSED);
    }

    /** The tokens of one span into its rows of the stream. */
    void enter(int[] ids, int position, Rows stream, Team team, Workspace room) {
        Rows h = basis.isPresent() ? stream : stream.sliceColumns(0, carried);
        boolean plain = projection.isEmpty() && segments.isEmpty() && norm.isEmpty() && basis.isEmpty() && !shape.recentre()
                && shape.special().equals(Embedding.Special.NONE);
        if (!plain) {
            addUp(ids, position, h, team, room);
            return;
        }
        LookupTable.Found found = tokens.find(ids, room, team);
        if (positions.isPresent()) {
            KERNELS.gather(found.rows(), found.ids(), shape.scale(), positions.get(), position + shape.positionOffset(), h);
        } else {
            KERNELS.gather(found.rows(), found.ids(), shape.scale(), h);
        }
    }

    /** The same in float32, rounded once at the end. */
    private void addUp(int[] ids, int position, Rows h, Team team, Workspace room) {
        boolean behind = shape.projection() == Embedding.Projection.SUM;
        Rows sum = room.rows(Use.EMBEDDED, Type.F32, ids.length, behind ? shape.width() : carried);
        LookupTable.Found found = tokens.find(ids, room, team);
        if (shape.projection() == Embedding.Projection.TOKENS) {
            Rows looked = room.rows(Use.READ, Type.F32, ids.length, tokens.columns());
            KERNELS.gather(found.rows(), found.ids(), 1, looked);
            projection.orElseThrow().multiply(looked, 0, sum);
            scale(sum, shape.scale());
        } else {
            KERNELS.gather(found.rows(), found.ids(), shape.scale(), sum);
        }
        shape.special().hidden().ifPresent(hidden -> hide(sum, ids, hidden));
        positions.ifPresent(table -> addRows(sum, table, places(ids, position)));
        segments.ifPresent(table -> addRows(sum, table, new int[ids.length]));
        Rows normalized = sum;
        if (norm.isPresent()) {
            normalized = room.rows(Use.READ, Type.F32, ids.length, norm.get().columnsOut(sum.columns()));
            KERNELS.norm(sum, norm.get(), normalized);
        }
        if (behind) {
            Rows projected = room.rows(Use.INNER, Type.F32, ids.length, carried);
            projection.orElseThrow().multiply(normalized, 0, projected);
            KERNELS.addBias(projected, added);
            normalized = projected;
        }
        if (basis.isPresent()) {
            basis.get().multiply(normalized, 0, h);
            return;
        }
        // d - 1 values stand for a vector that sums to zero already; d of them may have a mean.
        if (shape.recentre() && (normalized.columns() > carried || !compressed)) {
            Residual.recentre(normalized);
        }
        KERNELS.copy(normalized.sliceColumns(0, carried), h);
    }

    private static void scale(Rows x, double factor) {
        for (int r = 0; r < x.rows() && factor != 1; r++) {
            for (int c = 0; c < x.columns(); c++) {
                x.set(r, c, x.get(r, c) * factor);
            }
        }
    }

    /** The vectors of tokens that are to be guessed are zero, and those of the others grow by as much. */
    private void hide(Rows x, int[] ids, int hidden) {
        double factor = shape.special().scale((int) Arrays.stream(ids).filter(id -> id == hidden).count(), ids.length);
        for (int r = 0; r < ids.length; r++) {
            scale(x.slice(r, 1), ids[r] == hidden ? 0 : factor);
        }
    }

    /** The row of the table of positions for each token; padding, which is not counted, has the row before the first one's. */
    private int[] places(int[] ids, int position) {
        int[] places = new int[ids.length];
        int counted = position;
        for (int i = 0; i < ids.length; i++) {
            boolean padding = shape.special().padding().isPresent() && shape.special().padding().getAsInt() == ids[i];
            places[i] = (padding ? -1 : counted++) + shape.positionOffset();
        }
        return places;
    }

    /** Adds to each row one of a table. */
    private static void addRows(Rows x, Rows table, int[] which) {
        for (int r = 0; r < x.rows(); r++) {
            for (int c = 0; c < x.columns(); c++) {
                x.set(r, c, x.get(r, c) + table.get(which[r], c));
            }
        }
    }
}
