package isonorm.fused;

import static isonorm.architecture.Part.CLASS_TOKEN;
import static isonorm.architecture.Part.PATCH_PROJECTION;
import static isonorm.architecture.Part.POSITION_EMBEDDING;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.fused.Workspace.Use;
import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.model.Batch;
import isonorm.tensor.Team;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.stream.IntStream;

/**
 * Images entering the stream: a class token, then the patches in row order, each projected; a position is added to every one.
 *
 * @param places what is added at each place: the position, with the projection's bias or, at the first place, the class token
 */
record PatchEmbedding(Embedding.Patches shape, Weight projection, Rows places) {

    private static final Kernels KERNELS = Kernels.provider();

    /** Whether these are all there is; a norm behind them is left to the layers. */
    static boolean fit(Embedding.Patches shape) {
        return shape.norm().isEmpty() && !shape.recentre();
    }

    static PatchEmbedding load(Weights from, Architecture architecture, Embedding.Patches shape, Arena arena) throws IOException {
        Role projection = Role.of(PATCH_PROJECTION, Field.WEIGHT);
        Values bias = from.bias(projection, shape.bias());
        Values first = from.vector(Role.of(CLASS_TOKEN, Field.WEIGHT));
        Rows positions = from.rows(Role.of(POSITION_EMBEDDING, Field.WEIGHT));
        Rows places = Rows.allocate(arena, Type.F32, positions.rows(), positions.columns(), positions.columns());
        for (int place = 0; place < places.rows(); place++) {
            for (int c = 0; c < places.columns(); c++) {
                double added = place == 0 ? first.get(c) : bias.present() ? bias.get(c) : 0;
                places.set(place, c, positions.get(place, c) + added);
            }
        }
        int values = shape.channels() * shape.patch() * shape.patch();
        return new PatchEmbedding(shape, from.padded(projection, architecture.width(), values), places);
    }

    /** Images {@code first} to {@code first + count - 1} into the rows of the stream, some rows of patches at a time. */
    void enter(Batch.Images images, int first, int count, Rows stream, Team team, Workspace room) {
        int down = shape.height() / shape.patch();
        int across = shape.width() / shape.patch();
        int values = shape.channels() * shape.patch() * shape.patch();
        Rows pixels = room.rows(Use.EMBEDDED, Type.F32, count * down * across, values);
        Rows unfolded = room.type() == Type.F32 ? pixels : room.rows(Use.INNER, count * down * across, values);
        Rows projected = room.rows(Use.MLP_BRANCH, count * down * across, projection.outputs());
        int parts = Math.min(down, Math.ceilDiv(team.size(), count));
        team.each(count * parts, number -> {
            int image = number / parts;
            int from = down * (number % parts) / parts;
            int rows = down * (number % parts + 1) / parts - from;
            int patch = (image * down + from) * across;
            Rows some = pixels.slice(patch, rows * across);
            unfold(images, first + image, from, rows, some);
            if (unfolded != pixels) {
                KERNELS.copy(some, unfolded.slice(patch, rows * across));
            }
            Rows product = projected.slice(patch, rows * across);
            projection.multiply(unfolded.slice(patch, rows * across), 0, product);
            Rows h = stream.slice(image * shape.tokens(), shape.tokens()).sliceColumns(0, places.columns());
            int place = 1 + from * across;
            int[] all = IntStream.range(0, rows * across).toArray();
            KERNELS.gather(product.sliceColumns(0, places.columns()), all, 1, places, place, h.slice(place, rows * across));
            if (from == 0) {
                KERNELS.gather(places, new int[] {0}, 1, h.slice(0, 1));
            }
        });
    }

    /** The pixels of each patch of some rows, channel after channel. */
    private void unfold(Batch.Images images, int image, int from, int rows, Rows into) {
        int p = shape.patch();
        int across = shape.width() / p;
        for (int i = 0; i < rows; i++) {
            for (int channel = 0; channel < shape.channels(); channel++) {
                for (int y = 0; y < p; y++) {
                    int line = ((image * shape.channels() + channel) * shape.height() + (from + i) * p + y) * shape.width();
                    for (int j = 0; j < across; j++) {
                        long to = into.offset() + (long) (i * across + j) * into.stride() + (channel * p + y) * p;
                        MemorySegment.copy(images.pixels(), line + j * p, into.data(), ValueLayout.JAVA_FLOAT_UNALIGNED,
                                to * Float.BYTES, p);
                    }
                }
            }
        }
    }
}
