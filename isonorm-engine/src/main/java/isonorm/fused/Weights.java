package isonorm.fused;

import isonorm.architecture.Architecture;
import isonorm.architecture.Norm;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.checkpoint.Dtype;
import isonorm.fused.Weight.Mapped.Part;
import isonorm.kernel.Kernels;
import isonorm.kernel.Normalization;
import isonorm.kernel.Panels;
import isonorm.kernel.QuantizedPanels;
import isonorm.kernel.Rows;
import isonorm.kernel.Summation;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.model.Compute;
import isonorm.rewrite.Operation;
import isonorm.tensor.LargePages;
import isonorm.tensor.MatrixReader;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Matrix.Tile;
import isonorm.weights.Model;
import isonorm.weights.Quantization;
import isonorm.weights.Quantized;
import isonorm.weights.Slabs;
import isonorm.weights.Stored;
import isonorm.weights.Stored.Region;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Brings a model's weights into memory: in panels, the order in which products read them; or, where they are more than that is worth, as they
 * are in their files, mapped, so that nothing is copied and processes share them. What is stored otherwise is computed and rounded once.
 */
final class Weights {

    /**
     * So many bytes are brought into panels: more would keep a user waiting for the first word. Where every pass
     * has many rows, as in a Vision Transformer, it pays for all.
     */
    private static final long MOST = 1L << 30;

    /** Of more parts than query, key and value a product would be too many small ones. */
    private static final int PARTS = 3;

    /** So many outputs a thread brings into panels at once. */
    private static final int TOGETHER = 8 * Panels.WIDTH;

    private static final Kernels KERNELS = Kernels.provider();

    private final Model model;
    private final Compute compute;
    private final Arena arena;
    private final LargePages pages;
    private final boolean packs;
    private final Map<Role, Panels> panels = new HashMap<>();
    private final Map<Role, QuantizedPanels> quantized = new HashMap<>();

    /** @param packs whether weights are brought into panels, a copy that this process has for itself */
    Weights(Model model, Compute compute, Arena arena, boolean packs) {
        this.packs = packs;
        this.model = model;
        this.compute = compute;
        this.arena = arena;
        this.pages = LargePages.of(arena);
    }

    /** Whether a model's weights are worth being brought into panels. */
    static boolean packs(Architecture architecture, Compute compute) {
        boolean manyRows = !architecture.causal();
        return manyRows || architecture.parameterCount() * compute.bytes() <= MOST;
    }

    /** A linear layer. */
    Weight linear(Role role) throws IOException {
        Matrix matrix = model.weight(role);
        return padded(role, matrix.rows(), matrix.columns());
    }

    /** A linear layer with zeros for outputs and inputs that it lacks. */
    Weight padded(Role role, int outputs, int inputs) throws IOException {
        return weight(role, model.weight(role), outputs, inputs);
    }

    /** The same in panels, whatever the others are in: then what is chosen by it is the same however many rows there are. */
    Weight packed(Role role, int outputs, int inputs) throws IOException {
        return new Weight.InPanels(inPanels(role, model.weight(role), outputs, inputs));
    }

    /** A layer as {@link #padded} brings it; its outputs multiplied with a vector, such as a LayerScale, and its inputs with another, such as scales of heads. */
    Weight scaled(Role role, Optional<Values> rows, Optional<Values> columns, int outputs, int inputs) throws IOException {
        Matrix matrix = model.weight(role);
        Matrix wide = columns.isPresent() ? Operation.scaleColumns(matrix, vector(columns.get())) : matrix;
        return weight(role, rows.isPresent() ? Operation.scaleRows(wide, vector(rows.get())) : wide, outputs, inputs);
    }

    private Weight weight(Role role, Matrix matrix, int outputs, int inputs) throws IOException {
        if (inGroups(matrix)) {
            return new Weight.InGroups(quantized(role, (Quantized) matrix, outputs, inputs));
        }
        if (packs) {
            if (!panels.containsKey(role)) {
                panels.put(role, inPanels(role, matrix, outputs, inputs));
            }
            return new Weight.InPanels(panels.get(role));
        }
        List<Part> parts = mapped(matrix, outputs, inputs, PARTS, arena);
        return parts.isEmpty() ? Weight.Mapped.of(copied(role, matrix, outputs, inputs, arena)) : new Weight.Mapped(parts, outputs, inputs);
    }

    /** Activations of 16 bits are multiplied with weights of their type. */
    private boolean inGroups(Matrix matrix) {
        return matrix instanceof Quantized && compute != Compute.BF16;
    }

    private QuantizedPanels quantized(Role role, Quantized matrix, int outputs, int inputs) throws IOException {
        QuantizedPanels before = quantized.get(role);
        if (before != null) {
            return before;
        }
        Quantization quantization = matrix.quantization();
        QuantizedPanels into = new QuantizedPanels(
                pages.allocate(QuantizedPanels.bytes(quantization, inputs, outputs)), quantization, inputs, outputs, Summation.USUAL);
        Tile shape = matrix.shape();
        int together = Math.ceilDiv(shape.rows(), QuantizedPanels.WIDTH) * QuantizedPanels.WIDTH;
        matrix.prepare();
        try {
            Slabs.forEach(matrix.rows(), together, (first, count) -> fill(matrix, first, count, shape.columns(), into));
        } finally {
            matrix.release();
        }
        quantized.put(role, into);
        return into;
    }

    private static void fill(Quantized matrix, int first, int count, int step, QuantizedPanels into) throws IOException {
        int columns = matrix.columns();
        Quantization quantization = matrix.quantization();
        int groups = quantization.groups(into.inputs());
        byte[] codes = new byte[count * into.inputs()];
        short[] scales = new short[count * groups];
        byte[] someCodes = new byte[count * step];
        short[] someScales = new short[count * quantization.groups(step)];
        for (int column = 0; column < columns; column += step) {
            int width = Math.min(step, columns - column);
            matrix.readCodes(new Tile(first, count, column, width), someCodes, someScales);
            int some = quantization.groups(width);
            for (int r = 0; r < count; r++) {
                System.arraycopy(someCodes, r * width, codes, r * into.inputs() + column, width);
                System.arraycopy(someScales, r * some, scales, r * groups + column / quantization.group(), some);
            }
        }
        for (int r = 0; r < count; r++) {
            into.set(first + r, codes, r * into.inputs(), scales, r * groups);
        }
    }

    /** The file's pages are given back: only the copy stays. */
    private Panels inPanels(Role role, Matrix matrix, int outputs, int inputs) throws IOException {
        Panels into = new Panels(pages.allocate(Panels.bytes(type(), inputs, outputs)), type(), inputs, outputs);
        try (Arena reading = Arena.ofShared()) {
            List<Part> parts = mapped(matrix, outputs, inputs, Integer.MAX_VALUE, reading);
            List<Part> all = parts.isEmpty()
                    ? List.of(new Part(copied(role, matrix, outputs, inputs, reading), false, 0, outputs))
                    : parts;
            for (Part part : all) {
                Slabs.forEach(part.count(), TOGETHER, (first, count) -> KERNELS.pack(
                        part.transposed() ? part.values().sliceColumns(first, count) : part.values().slice(first, count),
                        !part.transposed(), part.first() + first, into));
            }
        }
        return into;
    }

    private static Matrix vector(Values values) {
        double[] all = new double[values.count()];
        for (int i = 0; i < all.length; i++) {
            all[i] = values.get(i);
        }
        return Dense.of(1, all.length, all);
    }

    /** A table whose rows are looked up, (rows, columns); a tied head has it too. */
    LookupTable table(Role role, boolean tied) throws IOException {
        Matrix matrix = model.weight(role);
        if (inGroups(matrix)) {
            return new LookupTable.InGroups(quantized(role, (Quantized) matrix, matrix.rows(), matrix.columns()));
        }
        return tied && packs
                ? new LookupTable.OfHead(((Weight.InPanels) weight(role, matrix, matrix.rows(), matrix.columns())).panels())
                : new LookupTable.Stored(rows(role));
    }

    /** A matrix row by row. */
    Rows rows(Role role) throws IOException {
        Matrix matrix = model.weight(role);
        List<Part> parts = mapped(matrix, matrix.rows(), matrix.columns(), 1, arena);
        return !parts.isEmpty() && !parts.getFirst().transposed()
                ? parts.getFirst().values()
                : copied(role, matrix, matrix.rows(), matrix.columns(), arena);
    }

    /** The file's own bytes, where they are the matrix as it is to be, in so many parts at the most; else nothing. */
    private List<Part> mapped(Matrix matrix, int outputs, int inputs, int most, Arena mapping) throws IOException {
        boolean whole = matrix.rows() == outputs && matrix.columns() == inputs;
        if (!whole || !(matrix instanceof Stored stored) || stored.source().pieces().size() > most) {
            return List.of();
        }
        List<Part> parts = new ArrayList<>();
        for (Region region : stored.regions(mapping)) {
            if (!fits(region)) {
                return List.of();
            }
            int rows = region.transposed() ? matrix.columns() : region.rows();
            int columns = region.transposed() ? region.rows() : matrix.columns();
            Rows values = new Rows(region.values(), type(), region.offset(), rows, columns, region.stride());
            parts.add(new Part(values, region.transposed(), region.row(), region.rows()));
        }
        return parts.size() > most ? List.of() : parts;
    }

    private boolean fits(Region region) {
        Dtype dtype = region.dtype();
        return dtype == compute.dtype() && region.values().address() % dtype.bytes() == 0;
    }

    private Rows copied(Role role, Matrix matrix, int rows, int columns, Arena keep) throws IOException {
        Rows copy = Rows.allocate(keep, type(), rows, columns, columns);
        matrix.prepare();
        try {
            MatrixReader.read(matrix, 0, copy.sliceColumns(0, matrix.columns()).slice(0, matrix.rows()), role.path());
        } finally {
            matrix.release();
        }
        return copy;
    }

    /** The type of the weights. */
    private Type type() {
        if (compute == Compute.F64) {
            throw new IllegalArgumentException("the kernels compute in f32, bf16 or f16; take ForwardPass for f64");
        }
        return Type.of(compute);
    }

    /** A vector as it is stored. */
    double[] numbers(Role role) throws IOException {
        return model.weight(role).vector();
    }

    Values vector(Role role) throws IOException {
        return Values.of(floats(model.weight(role).vector()));
    }

    /** All numbers of a small matrix, row after row. */
    double[] table(Role role) throws IOException {
        return model.weight(role).all();
    }

    /** A parameter that is one number. */
    double number(Role role) throws IOException {
        return model.weight(role).vector()[0];
    }

    /** The bias of a linear layer, where there is one. */
    Values bias(Role weight, boolean there) throws IOException {
        return there ? vector(weight.field(Field.BIAS)) : Values.NONE;
    }

    Optional<Normalization> norm(Role gain, boolean there, Norm norm) throws IOException {
        return there ? Optional.of(norm(gain, norm)) : Optional.empty();
    }

    Optional<Normalization> norm(Role gain, Optional<Norm> norm) throws IOException {
        return norm.isPresent() ? Optional.of(norm(gain, norm.get())) : Optional.empty();
    }

    Normalization norm(Role gain, Norm norm) throws IOException {
        return new Normalization(norm.kind(), norm.epsilon(),
                norm.kind().hasAlpha() ? number(gain.field(Field.ALPHA)) : 1,
                norm.affine().hasGain() ? vector(gain) : Values.NONE,
                norm.affine().hasBias() ? vector(gain.field(Field.BIAS)) : Values.NONE);
    }

    static float[] floats(double[] values) {
        float[] floats = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            floats[i] = (float) values[i];
        }
        return floats;
    }
}
