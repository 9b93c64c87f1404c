package isonorm.inference;

import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.tensor.Finish;
import isonorm.tensor.Packed;
import isonorm.tensor.Products;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;

/**
 * A linear layer's matrix, (out, in), in one part or more, each a run of rows as (out, in) or (in, out).
 *
 * <p>Parts are what lets a checkpoint's own bytes be used: some families have one tensor for queries, keys and values, some have
 * three, and GPT-2 stores them the other way round.
 */
record Weight(List<Part> parts, int outputs, int inputs) {

    /** Outputs {@code first} to {@code first + count - 1}; {@code packed} is a copy for products of many rows. */
    record Part(Rows values, boolean transposed, int first, int count, Optional<Packed> packed) {

        Part(Rows values, boolean transposed, int first, int count) {
            this(values, transposed, first, count, Optional.empty());
        }

        private Part packed(Arena arena) {
            return new Part(values, transposed, first, count, Packed.of(values, !transposed, arena));
        }

        /** Some of its outputs. */
        private Rows outputs(int from, int number) {
            return transposed ? values.sliceColumns(from, number) : values.slice(from, number);
        }
    }

    private static final Kernels KERNELS = Kernels.provider();

    /** For so few rows reading the weights is all that counts, and our kernels do nothing else. */
    static final int FEW = 4;

    /** Widening weights costs as much as reading them a few times. */
    private static final int FEW_OF_ANOTHER_TYPE = 16;

    /** So many values are widened at once: half a megabyte. */
    private static final int WIDENED = 128 * 1024;

    static Weight of(Rows values) {
        return new Weight(List.of(new Part(values, false, 0, values.rows())), values.rows(), values.columns());
    }

    /** The same with copies of its parts in the order in which products read them. */
    Weight packed(Arena arena) {
        return new Weight(parts.stream().map(part -> part.packed(arena)).toList(), outputs, inputs);
    }

    /** {@code y = x W^T} for outputs {@code first} to {@code first + y.columns() - 1}. */
    void multiply(Rows x, int first, Rows y) {
        multiply(x, first, y, Finish.NOTHING);
    }

    /** The same, finished as these outputs are to be. */
    void multiply(Rows x, int first, Rows y, Finish finish) {
        int end = first + y.columns();
        for (Part part : parts) {
            int from = Math.max(first, part.first());
            int to = Math.min(end, part.first() + part.count());
            if (from >= to) {
                continue;
            }
            Rows some = y.sliceColumns(from - first, to - from);
            Finish its = finish.columns(from - first, to - from);
            if (to - from == part.count() && part.packed().isPresent() && x.rows() > FEW && x.type() == part.values().type()) {
                Products.product(x, part.packed().get(), some, its);
            } else {
                multiply(x, part.outputs(from - part.first(), to - from), part.transposed(), some, its);
            }
        }
    }

    /** Whether every part is stored as (in, out). */
    boolean transposed() {
        return parts.stream().allMatch(Part::transposed);
    }

    /**
     * {@code y = x W^T} for inputs {@code first} to {@code first + x.columns() - 1} alone, of a {@link #transposed} matrix: its
     * memory in one run.
     */
    void multiplyInputs(Rows x, int first, Rows y) {
        for (Part part : parts) {
            KERNELS.vectorMatrices(x, part.values().slice(first, x.columns()), y.sliceColumns(part.first(), part.count()));
        }
    }

    private static void multiply(Rows x, Rows w, boolean transposed, Rows y, Finish finish) {
        boolean same = w.type() == x.type();
        if (x.rows() <= (same ? FEW : FEW_OF_ANOTHER_TYPE)) {
            few(x, w, transposed, y);
            finish.apply(y);
        } else if (same) {
            Products.product(x, w, !transposed, y, finish);
        } else {
            widened(x, w, transposed, y, finish);
        }
    }

    private static void few(Rows x, Rows w, boolean transposed, Rows y) {
        if (transposed) {
            KERNELS.vectorMatrices(x, w, y);
        } else {
            KERNELS.matrixVectors(w, x, y);
        }
    }

    /** Weights of another type than x are copied into its type, some outputs at a time. */
    private static void widened(Rows x, Rows w, boolean transposed, Rows y, Finish finish) {
        int outputs = y.columns();
        int step = Math.clamp(WIDENED / x.columns(), 16, Math.max(16, outputs));
        try (Arena arena = Arena.ofConfined()) {
            int width = transposed ? Math.min(step, outputs) : x.columns();
            Rows room = Rows.allocate(arena, x.type(), transposed ? x.columns() : Math.min(step, outputs), width, width);
            for (int first = 0; first < outputs; first += step) {
                int count = Math.min(step, outputs - first);
                Rows some = transposed ? room.sliceColumns(0, count) : room.slice(0, count);
                KERNELS.copy(transposed ? w.sliceColumns(first, count) : w.slice(first, count), some);
                Products.product(x, some, !transposed, y.sliceColumns(first, count), finish.columns(first, count));
            }
        }
    }
}
