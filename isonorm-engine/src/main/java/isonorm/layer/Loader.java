package isonorm.layer;

import isonorm.architecture.Norm;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.tensor.Compute;
import isonorm.tensor.Memory;
import isonorm.tensor.Ops;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/** Loads the weights of some layers and owns their memory. */
final class Loader implements AutoCloseable {

    private final Model model;
    private final Compute compute;
    private final boolean resident;
    private final List<Tensor> owned = new ArrayList<>();
    private final List<Table> tables = new ArrayList<>();

    /** @param resident whether large tables are loaded whole, or read where they are needed */
    Loader(Model model, Compute compute, boolean resident) {
        this.model = model;
        this.compute = compute;
        this.resident = resident;
    }

    Compute compute() {
        return compute;
    }

    /** The parameter of a role, (rows, columns), or (1, columns) for a vector. */
    Tensor matrix(Role role) throws IOException {
        Matrix matrix = model.weight(role);
        matrix.prepare();
        try {
            return own(Memory.kept(() -> Memory.rows(matrix, 0, matrix.rows(), compute, role.path())));
        } finally {
            matrix.release();
        }
    }

    /** A vector that takes part in sums, rounded to the compute type as all weights are. */
    Tensor vector(Role role, long... shape) throws IOException {
        Tensor loaded = matrix(role);
        return own(Memory.kept(() -> Ops.cast(loaded.view(shape), compute.statistics())));
    }

    /** A parameter that is one number. */
    double number(Role role) throws IOException {
        return model.weight(role).vector()[0];
    }

    /** A table whose rows are looked up, or a head whose rows are multiplied slab by slab. */
    Table table(Role role) throws IOException {
        Table table = resident
                ? new Table.Loaded(matrix(role))
                : Table.Streamed.open(model.weight(role), compute, role.path());
        tables.add(table);
        return table;
    }

    Linear linear(Role weight, boolean bias) throws IOException {
        Tensor matrix = matrix(weight);
        return new Linear(matrix, bias ? Optional.of(matrix(weight.field(Field.BIAS))) : Optional.empty());
    }

    /** A norm; {@code shape} is that of its gain and bias, where it has them. */
    NormLayer norm(Role gain, Norm norm, long... shape) throws IOException {
        return new NormLayer(norm,
                norm.kind().hasAlpha() ? number(gain.field(Field.ALPHA)) : 1,
                norm.affine().hasGain() ? Optional.of(vector(gain, shape)) : Optional.empty(),
                norm.affine().hasBias() ? Optional.of(vector(gain.field(Field.BIAS), shape)) : Optional.empty(),
                compute);
    }

    private Tensor own(Tensor tensor) {
        owned.add(tensor);
        return tensor;
    }

    @Override
    public void close() {
        owned.forEach(Memory::free);
        owned.clear();
        tables.forEach(Table::close);
        tables.clear();
    }
}
