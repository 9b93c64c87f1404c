package isonorm.weights;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Role;
import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Dtype;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A quantized matrix in a checkpoint: {@code NAME.codes}, of 8 bits I8 (out, in), of 4 bits U8 (out, in / 2) with the code plus 8 of the even
 * input in the lower half of a byte, and {@code NAME.scales}, F16 (out, groups).
 */
public final class StoredCodes implements Quantized {

    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;

    private final Checkpoint checkpoint;
    private final String name;
    private final Quantization quantization;
    private final int rows;
    private final int columns;
    private int uses;
    private @Nullable Arena arena;
    private @Nullable MemorySegment codes;
    private @Nullable MemorySegment scales;

    private StoredCodes(Checkpoint checkpoint, String name, Quantization quantization, int rows, int columns) {
        this.checkpoint = checkpoint;
        this.name = name;
        this.quantization = quantization;
        this.rows = rows;
        this.columns = columns;
    }

    /** The name of a parameter's matrix: its path without the field. */
    public static String name(Role role) {
        String path = role.path();
        return path.substring(0, path.lastIndexOf('.'));
    }

    /** The tensor of the codes of a matrix of this name. */
    public static String codes(String name) {
        return name + ".codes";
    }

    /** The tensor of its scales. */
    public static String scales(String name) {
        return name + ".scales";
    }

    /**
     * The matrix (rows, columns) of this name.
     *
     * @throws CheckpointException if one of the two tensors is missing, or of another type or shape
     */
    public static StoredCodes open(Checkpoint checkpoint, String name, Quantization quantization, int rows, int columns) throws CheckpointException {
        require(checkpoint, codes(name), quantization.bits() == 8 ? Dtype.I8 : Dtype.U8, List.of((long) rows, (long) quantization.codeBytes(columns)));
        require(checkpoint, scales(name), Dtype.F16, List.of((long) rows, (long) quantization.groups(columns)));
        return new StoredCodes(checkpoint, name, quantization, rows, columns);
    }

    private static void require(Checkpoint checkpoint, String tensor, Dtype dtype, List<Long> shape) throws CheckpointException {
        if (!checkpoint.names().contains(tensor)) {
            throw new CheckpointException(Reason.MISSING_TENSOR, checkpoint.folder() + ": tensor " + tensor + " is missing");
        }
        if (checkpoint.info(tensor).dtype() != dtype || !checkpoint.info(tensor).shape().equals(shape)) {
            throw new CheckpointException(Reason.CONFIG_DISAGREES, checkpoint.folder() + ": tensor " + tensor + " is " + checkpoint.info(tensor).dtype() + " "
                    + checkpoint.info(tensor).shape() + " where config.json needs " + dtype + " " + shape);
        }
    }

    @Override
    public Quantization quantization() {
        return quantization;
    }

    @Override
    public int rows() {
        return rows;
    }

    @Override
    public int columns() {
        return columns;
    }

    @Override
    public synchronized void prepare() throws IOException {
        if (uses == 0) {
            Arena opened = Arena.ofShared();
            try {
                codes = checkpoint.map(codes(name), opened);
                scales = checkpoint.map(scales(name), opened);
            } catch (IOException | RuntimeException e) {
                opened.close();
                throw e;
            }
            arena = opened;
        }
        uses++;
    }

    @Override
    public synchronized void release() {
        if (--uses == 0) {
            requireNonNull(arena).close();
            arena = null;
            codes = null;
            scales = null;
        }
    }

    @Override
    public void readCodes(Tile tile, byte[] into, short[] scalesInto) throws IOException {
        MemorySegment bytes = requireNonNull(codes, "read before it was prepared");
        int stride = quantization.codeBytes(columns);
        for (int r = 0; r < tile.rows(); r++) {
            long from = (long) (tile.row() + r) * stride;
            int at = r * tile.columns();
            if (quantization.bits() == 8) {
                MemorySegment.copy(bytes, ValueLayout.JAVA_BYTE, from + tile.column(), into, at, tile.columns());
            } else {
                for (int c = 0; c < tile.columns(); c++) {
                    int both = bytes.get(ValueLayout.JAVA_BYTE, from + (tile.column() + c) / 2);
                    into[at + c] = (byte) ((both >> 4 * (c % 2) & 15) - 8);
                }
            }
        }
        readScales(tile, scalesInto);
    }

    private void readScales(Tile tile, short[] into) throws CheckpointException {
        MemorySegment values = requireNonNull(scales);
        int groups = quantization.groups(tile.columns());
        int stride = quantization.groups(columns);
        for (int r = 0; r < tile.rows(); r++) {
            long from = (long) (tile.row() + r) * stride + tile.column() / quantization.group();
            for (int g = 0; g < groups; g++) {
                short scale = values.get(SHORT, Short.BYTES * (from + g));
                if (!Float.isFinite(Float.float16ToFloat(scale))) {
                    throw new CheckpointException(Reason.NOT_FINITE,
                            checkpoint.folder() + ": tensor " + scales(name) + " holds a value that is NaN or infinite");
                }
                into[r * groups + g] = scale;
            }
        }
    }

    @Override
    public void describe(List<String> steps) {
        steps.add("read from " + codes(name) + " and " + scales(name));
    }
}
