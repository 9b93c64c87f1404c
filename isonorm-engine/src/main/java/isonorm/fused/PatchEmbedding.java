package isonorm.fused;

import static isonorm.architecture.Part.CLASS_TOKEN;
import static isonorm.architecture.Part.DISTILLATION_TOKEN;
import static isonorm.architecture.Part.PATCH_PROJECTION;
import static isonorm.architecture.Part.POSITION_EMBEDDING;
import static isonorm.architecture.Part.REGISTERS;

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
 * Images entering the stream: class tokens, registers, then the patches in row order, each projected; a position is added to all but registers.
 *
 * @param places what is added at each place: the position, with the projection's bias or the class token, or a register
 */
record PatchEmbedding(Embedding.Patches shape, Weight projection, Rows places) {

    private static final Kernels KERNELS = Kernels.provider();

    /** Whether these are all there is; a norm behind them is left to the layers. */
    static boolean fit(Embedding.Patches shape) {
        return shape.norm().isEmpty() && !shape.recentre();
    }

    static PatchEmbedding load(Weights from, Architecture architecture, Embedding.Patches shape, Arena arena) throws IOException {
        Role projection = Role.of(PATCH_PROJECTION, Field.WEIGHT);
        int d = architecture.streamWidth();
        int tokens = shape.beside().classTokens();
        int registers = shape.beside().registers();
        Rows places = Rows.allocate(arena, Type.F32, shape.tokens(), d, d);
        for (int i = 0; i < tokens; i++) {
            put(from.vector(Role.of(i == 0 ? CLASS_TOKEN : DISTILLATION_TOKEN, Field.WEIGHT)), places.slice(i, 1));
        }
        if (registers > 0) {
            KERNELS.copy(from.rows(Role.of(REGISTERS, Field.WEIGHT)), places.slice(tokens, registers));
        }
        put(from.bias(projection, shape.bias()), places.slice(tokens + registers, places.rows() - tokens - registers));
        if (shape.positions()) {
            Rows positions = from.rows(Role.of(POSITION_EMBEDDING, Field.WEIGHT));
            for (int i = 0; i < positions.rows(); i++) {
                int place = i < tokens ? i : i + registers;
                for (int c = 0; c < d; c++) {
                    places.set(place, c, positions.get(i, c) + places.get(place, c));
                }
            }
        }
        return new PatchEmbedding(shape, from.padded(projection, architecture.width(), shape.values()), places);
    }

    private static void put(Values values, Rows rows) {
        for (int r = 0; r < rows.rows() && values.present(); r++) {
            for (int c = 0; c < rows.columns(); c++) {
                rows.set(r, c, values.get(c));
            }
        }
    }

    /** Images {@code first} to {@code first + count - 1} into the rows of the stream, some rows of patches at a time. */
    void enter(Batch.Images images, int first, int count, Rows stream, Team team, Workspace room) {
        int down = shape.rows();
        int across = shape.columns();
        int before = shape.beside().count();
        int values = shape.values();
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
            int place = before + from * across;
            int[] all = IntStream.range(0, rows * across).toArray();
            KERNELS.gather(product.sliceColumns(0, places.columns()), all, 1, places, place, h.slice(place, rows * across));
            if (from == 0 && before > 0) {
                KERNELS.gather(places, IntStream.range(0, before).toArray(), 1, h.slice(0, before));
            }
        });
    }

    /** The pixels of each patch of some rows, channel after channel. */
    private void unfold(Batch.Images images, int image, int from, int rows, Rows into) {
        int p = shape.patch();
        int across = shape.columns();
        if (shape.cut().turned()) {
            int size = shape.channels() * shape.height() * shape.width();
            for (int patch = 0; patch < rows * across; patch++) {
                for (int value = 0; value < shape.values(); value++) {
                    into.set(patch, value, images.pixels()[image * size + shape.pixel(from + patch / across, patch % across, value)]);
                }
            }
            return;
        }
        for (int i = 0; i < rows; i++) {
            for (int channel = 0; channel < shape.channels(); channel++) {
                for (int y = 0; y < p; y++) {
                    int line = ((image * shape.channels() + channel) * shape.height() + (from + i) * shape.cut().down() + y) * shape.width();
                    for (int j = 0; j < across; j++) {
                        long to = into.offset() + (long) (i * across + j) * into.stride() + (channel * p + y) * p;
                        MemorySegment.copy(images.pixels(), line + j * shape.cut().across(), into.data(), ValueLayout.JAVA_FLOAT_UNALIGNED,
                                to * Float.BYTES, p);
                    }
                }
            }
        }
    }
}
