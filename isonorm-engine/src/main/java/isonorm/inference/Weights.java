package isonorm.inference;

import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Operation;
import isonorm.kernel.Normalization;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.tensor.Compute;
import isonorm.tensor.Memory;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Stored;
import isonorm.weights.Stored.Region;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Brings a model's weights into memory: matrices whose file has the right type stay where they are, mapped, so that nothing is
 * copied and processes share them; all others are computed and rounded once.
 */
final class Weights {

    /** Of more parts than query, key and value a product would be too many small ones. */
    private static final int PARTS = 3;

    private final Model model;
    private final Compute compute;
    private final Arena arena;
    private final boolean packs;

    /** @param packs whether there will be many rows in every pass, so that a second copy of each matrix, in a better order, pays */
    Weights(Model model, Compute compute, Arena arena, boolean packs) {
        this.packs = packs;
        this.model = model;
        this.compute = compute;
        this.arena = arena;
    }

    /** A linear layer. */
    Weight linear(Role role) throws IOException {
        Matrix matrix = model.weight(role);
        return padded(role, matrix.rows(), matrix.columns());
    }

    /** A linear layer with zeros for outputs and inputs that it lacks. */
    Weight padded(Role role, int outputs, int inputs) throws IOException {
        Weight weight = plain(role, outputs, inputs);
        return packs ? weight.packed(arena) : weight;
    }

    private Weight plain(Role role, int outputs, int inputs) throws IOException {
        Matrix matrix = model.weight(role);
        boolean whole = matrix.rows() == outputs && matrix.columns() == inputs;
        List<Weight.Part> parts = whole ? mapped(matrix) : List.of();
        return parts.isEmpty() ? Weight.of(copied(role, matrix, outputs, inputs)) : new Weight(parts, outputs, inputs);
    }

    /** The same with its outputs multiplied with a vector, such as a LayerScale, and its inputs with another, such as scales of heads. */
    Weight scaled(Role role, Optional<Values> rows, Optional<Values> columns, int outputs, int inputs) throws IOException {
        Matrix matrix = model.weight(role);
        Matrix wide = columns.isPresent() ? Operation.scaleColumns(matrix, vector(columns.get())) : matrix;
        Weight weight = Weight.of(copied(role, rows.isPresent() ? Operation.scaleRows(wide, vector(rows.get())) : wide, outputs, inputs));
        return packs ? weight.packed(arena) : weight;
    }

    private static Matrix vector(Values values) {
        double[] all = new double[values.count()];
        for (int i = 0; i < all.length; i++) {
            all[i] = values.get(i);
        }
        return Dense.of(1, all.length, all);
    }

    /** A table whose rows are looked up, (rows, columns). */
    Rows table(Role role) throws IOException {
        Matrix matrix = model.weight(role);
        Weight weight = plain(role, matrix.rows(), matrix.columns());
        Weight.Part first = weight.parts().getFirst();
        return weight.parts().size() == 1 && !first.transposed()
                ? first.values()
                : copied(role, matrix, matrix.rows(), matrix.columns());
    }

    private List<Weight.Part> mapped(Matrix matrix) throws IOException {
        if (!(matrix instanceof Stored stored) || stored.source().pieces().size() > PARTS) {
            return List.of();
        }
        List<Weight.Part> parts = new ArrayList<>();
        for (Region region : stored.regions(arena)) {
            if (!fits(region)) {
                return List.of();
            }
            int rows = region.transposed() ? matrix.columns() : region.rows();
            int columns = region.transposed() ? region.rows() : matrix.columns();
            Rows values = new Rows(region.values(), type(), region.offset(), rows, columns, region.stride());
            parts.add(new Weight.Part(values, region.transposed(), region.row(), region.rows()));
        }
        return parts;
    }

    private boolean fits(Region region) {
        Dtype dtype = region.dtype();
        return dtype == compute.dtype() && region.values().address() % dtype.bytes() == 0;
    }

    private Rows copied(Role role, Matrix matrix, int rows, int columns) throws IOException {
        Rows copy = Rows.allocate(arena, type(), rows, columns, columns);
        matrix.prepare();
        try {
            Memory.read(matrix, 0, matrix.rows(), compute, copy.data(), columns, role.path());
        } finally {
            matrix.release();
        }
        return copy;
    }

    /** The type of the weights. */
    private Type type() {
        return switch (compute) {
            case F32 -> Type.F32;
            case BF16 -> Type.BF16;
            case F16 -> Type.F16;
            case F64 -> throw new IllegalArgumentException("the kernels compute in f32, bf16 or f16; take ForwardPass for f64");
        };
    }

    Values vector(Role role) throws IOException {
        return Values.of(floats(model.weight(role).vector()));
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
                norm.kind() == NormKind.DYNAMIC_TANH ? number(gain.field(Field.ALPHA)) : 1,
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
