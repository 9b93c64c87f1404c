package isonorm.layer;

import isonorm.architecture.Norm;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import isonorm.tensor.LargePages;
import isonorm.tensor.MatrixReader;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/** Loads the weights of some layers and owns their memory. */
final class Loader implements AutoCloseable {

    private final Model model;
    private final Compute compute;
    private final boolean resident;
    private final Space space;
    private final InputListener listener;
    private final Arena arena = Arena.ofShared();
    private final LargePages pages = LargePages.of(arena);
    private final List<VocabularyMatrix> tables = new ArrayList<>();

    /**
     * @param resident whether large tables are loaded whole, or read where they are needed
     * @param space where the layers compute
     * @param listener is shown what linear layers read
     */
    Loader(Model model, Compute compute, boolean resident, Space space, InputListener listener) {
        this.model = model;
        this.compute = compute;
        this.resident = resident;
        this.space = space;
        this.listener = listener;
    }

    Compute compute() {
        return compute;
    }

    /** Whether everything is to stay in memory. */
    boolean resident() {
        return resident;
    }

    /** One for some layers of the same model, which are let go before those of this one. */
    Loader another() {
        return new Loader(model, compute, resident, space, listener);
    }

    /** A vector as it is stored. */
    double[] numbers(Role role) throws IOException {
        return model.weight(role).vector();
    }

    /** The parameter of a role, (rows, columns), or (1, columns) for a vector. */
    Tensor matrix(Role role) throws IOException {
        Matrix matrix = model.weight(role);
        Rows rows = rows(Type.of(compute), matrix.rows(), matrix.columns());
        matrix.prepare();
        try {
            MatrixReader.read(matrix, 0, rows, role.path());
        } finally {
            matrix.release();
        }
        return new Tensor(rows, space);
    }

    private Rows rows(Type type, int rows, int columns) {
        return Rows.of(pages.allocate((long) rows * columns * type.bytes()), type, rows, columns);
    }

    /** A vector that takes part in sums, in the wide type, rounded to the compute type as all weights are; in rows of {@code columns} values. */
    Tensor vector(Role role, int columns) throws IOException {
        Tensor loaded = matrix(role);
        int rows = Math.toIntExact((long) loaded.count() * loaded.width() / columns);
        Tensor shaped = new Tensor(Rows.of(loaded.rows().data(), loaded.type(), rows, columns), space);
        Rows wide = rows(Type.wide(compute), rows, columns);
        shaped.copyTo(wide);
        return new Tensor(wide, space);
    }

    /** A matrix that something is done to before it is rounded to the compute type. */
    Tensor changed(Role role, Consumer<double[]> change) throws IOException {
        Matrix matrix = model.weight(role);
        double[] values = matrix.all();
        change.accept(values);
        Rows rows = rows(Type.of(compute), matrix.rows(), matrix.columns());
        double[] row = new double[matrix.columns()];
        for (int r = 0; r < matrix.rows(); r++) {
            System.arraycopy(values, r * row.length, row, 0, row.length);
            rows.write(r, 0, row.length, row);
        }
        return new Tensor(rows, space);
    }

    /** A parameter that is one number. */
    double number(Role role) throws IOException {
        return model.weight(role).vector()[0];
    }

    /** A table whose rows are looked up, or a head whose rows are multiplied slab by slab. */
    VocabularyMatrix table(Role role) throws IOException {
        VocabularyMatrix table = resident
                ? new VocabularyMatrix.Loaded(matrix(role))
                : VocabularyMatrix.Streamed.open(model.weight(role), compute, role.path());
        tables.add(table);
        return table;
    }

    Linear linear(Role weight, boolean bias) throws IOException {
        Tensor matrix = matrix(weight);
        return new Linear(matrix, bias ? Optional.of(matrix(weight.field(Field.BIAS))) : Optional.empty(),
                x -> listener.reads(weight, x.rows()));
    }

    /** A norm whose gain and bias, where it has them, have {@code columns} values, or as many for each head. */
    NormLayer norm(Role gain, Norm norm, int columns) throws IOException {
        return new NormLayer(norm,
                norm.kind().hasAlpha() ? number(gain.field(Field.ALPHA)) : 1,
                norm.affine().hasGain() ? Optional.of(vector(gain, columns)) : Optional.empty(),
                norm.affine().hasBias() ? Optional.of(vector(gain.field(Field.BIAS), columns)) : Optional.empty(),
                compute);
    }

    @Override
    public void close() {
        arena.close();
        tables.forEach(VocabularyMatrix::close);
        tables.clear();
    }
}
