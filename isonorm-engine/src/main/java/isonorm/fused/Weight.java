package isonorm.fused;

import isonorm.kernel.Kernels;
import isonorm.kernel.Panels;
import isonorm.kernel.QuantizedPanels;
import isonorm.kernel.Rows;
import isonorm.tensor.Finish;
import isonorm.tensor.Products;
import java.util.List;

/** A linear layer's matrix, (out, in). */
sealed interface Weight {

    Kernels KERNELS = Kernels.provider();

    /** For so few rows reading the weights is all that counts, and our kernels do nothing else. */
    int FEW = 4;

    /** The same for weights that would have to be widened, which costs as much as reading them a few times. */
    int FEW_WIDENED = 16;

    int outputs();

    int inputs();

    /** A part of the outputs begins at a multiple of this. */
    int step();

    /** {@code y = finish(x W^T)} for outputs {@code first} to {@code first + y.columns() - 1}. */
    void multiply(Rows x, int first, Rows y, Finish finish);

    /** The same as it is. */
    default void multiply(Rows x, int first, Rows y) {
        multiply(x, first, y, Finish.NOTHING);
    }

    /** A copy in the order in which products read it. */
    record InPanels(Panels panels) implements Weight {

        @Override
        public int outputs() {
            return panels.outputs();
        }

        @Override
        public int inputs() {
            return panels.inputs();
        }

        @Override
        public int step() {
            return Panels.WIDTH;
        }

        @Override
        public void multiply(Rows x, int first, Rows y, Finish finish) {
            Products.product(x, panels.outputs(first, y.columns()), y, finish);
        }
    }

    /** Of few bits. */
    record InGroups(QuantizedPanels panels) implements Weight {

        @Override
        public int outputs() {
            return panels.outputs();
        }

        @Override
        public int inputs() {
            return panels.inputs();
        }

        /** Two panels, which are one when they are widened. */
        @Override
        public int step() {
            return Panels.WIDTH;
        }

        @Override
        public void multiply(Rows x, int first, Rows y, Finish finish) {
            Products.product(x, panels.outputs(first, y.columns()), y, finish);
        }
    }

    /**
     * The bytes of the checkpoint's own files, in one part or more, each a run of rows as (out, in) or (in, out): some families have one tensor
     * for queries, keys and values, some have three, and GPT-2 stores them the other way round.
     */
    record Mapped(List<Part> parts, int outputs, int inputs) implements Weight {

        /** Outputs {@code first} to {@code first + count - 1}. */
        record Part(Rows values, boolean transposed, int first, int count) {

            /** Some of its outputs. */
            private Rows outputs(int from, int number) {
                return transposed ? values.sliceColumns(from, number) : values.slice(from, number);
            }
        }

        static Mapped of(Rows values) {
            return new Mapped(List.of(new Part(values, false, 0, values.rows())), values.rows(), values.columns());
        }

        /** So that its rows begin on cache lines. */
        @Override
        public int step() {
            return 32;
        }

        @Override
        public void multiply(Rows x, int first, Rows y, Finish finish) {
            int end = first + y.columns();
            for (Part part : parts) {
                int from = Math.max(first, part.first());
                int to = Math.min(end, part.first() + part.count());
                if (from < to) {
                    multiply(x, part.outputs(from - part.first(), to - from), part.transposed(), y.sliceColumns(from - first, to - from),
                            finish.columns(from - first, to - from));
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
            if (x.rows() <= FEW || x.rows() <= FEW_WIDENED && !same) {
                few(x, w, transposed, y);
                finish.apply(y);
            } else {
                Products.product(x, w, !transposed, y, finish);
            }
        }

        private static void few(Rows x, Rows w, boolean transposed, Rows y) {
            if (transposed) {
                KERNELS.vectorMatrices(x, w, y);
            } else {
                KERNELS.matrixVectors(w, x, y);
            }
        }
    }
}
