package isonorm.kernel;

import isonorm.architecture.NormKind;
import java.util.List;

/** What both implementations require of their arguments. */
final class Shapes {

    private Shapes() {}

    static void norm(Rows x, Normalization norm, Rows out) {
        sameRows("x", x, "out", out);
        int columns = norm.columnsOut(x.columns());
        if (out.columns() != columns) {
            throw new IllegalArgumentException(norm.kind() + (norm.affine() ? " with" : " without") + " gain or bias makes " + columns
                    + " columns of " + x.columns() + ", got out " + out);
        }
        perColumn("gain", norm.gain(), columns);
        perColumn("bias", norm.bias(), columns);
        if (columns == x.columns()) {
            spare(norm.kind(), out);
        }
    }

    /** A stride above the columns promises a slot behind each row of a {@link NormKind#CRMS}. */
    static void spare(NormKind kind, Rows x) {
        if (kind.readsCompressed() && x.rows() > 0 && x.stride() > x.columns() && !x.spare()) {
            throw new IllegalArgumentException("a CRMS stream with a stride above its columns needs the slot behind the last row, got " + x
                    + "; allocate whole strides");
        }
    }

    static void add(Rows stream, Rows branch, Values bias) {
        sameSize("stream", stream, "branch", branch);
        perColumn("branch bias", bias, stream.columns());
    }

    static void squares(Rows x, NormKind kind, double epsilon, Values scales) {
        if (!kind.scalesRows()) {
            throw new IllegalArgumentException("only RMS and CRMS are scales of rows, got " + kind + "; use norm or addNorm");
        }
        if (!(epsilon >= 0)) {
            throw new IllegalArgumentException("epsilon must be zero or more, got " + epsilon);
        }
        if (scales.count() != x.rows()) {
            throw new IllegalArgumentException("scales must be one a row, got " + scales.count() + " for " + x);
        }
    }

    static void activate(Rows x, Values scales, Values bias, Rows y) {
        sameSize("x", x, "y", y);
        activate(x, scales, bias);
    }

    static void activate(Rows y, Values scales, Values bias) {
        perRow(scales, y.rows());
        perColumn("bias", bias, y.columns());
    }

    static void gate(Rows gate, Rows up, Values scales, Values gateBias, Values upBias, Rows out) {
        sameSize("gate", gate, "up", up);
        sameSize("gate", gate, "out", out);
        perRow(scales, gate.rows());
        perColumn("gate bias", gateBias, gate.columns());
        perColumn("up bias", upBias, gate.columns());
    }

    static void profile(Rows x, Values scales, Values bias, Profile into) {
        perRow(scales, x.rows());
        perColumn("bias", bias, x.columns());
        if (into.rows() < x.rows()) {
            throw new IllegalArgumentException("a profile must have room for the rows it is of, got one for " + into.rows() + " of " + x);
        }
    }

    static void sumsOfSquares(Rows x, double[] sums) {
        if (sums.length < x.rows()) {
            throw new IllegalArgumentException("there must be room for a sum of each row, got room for " + sums.length + " of " + x);
        }
    }

    static void angles(List<Rows> x, int first, double[] cosines, double[] angles) {
        if (x.isEmpty()) {
            throw new IllegalArgumentException("angles are between rows, got none");
        }
        for (Rows each : x) {
            sameSize("x", x.getFirst(), "x", each);
        }
        int end = (first + x.getFirst().rows()) * Kernels.pair(x.size(), 0);
        if (first < 0 || cosines.length < end || angles.length < end) {
            throw new IllegalArgumentException(x.getFirst().rows() + " rows behind " + first + " of " + x.size() + " matrices need room for "
                    + end + " pairs, got " + cosines.length + " cosines and " + angles.length + " angles");
        }
    }

    static void gram(Rows x, double[] products) {
        if (products.length != x.rows() * x.rows()) {
            throw new IllegalArgumentException(x.rows() + " rows have " + x.rows() * x.rows() + " products, got room for " + products.length);
        }
    }

    static void softmax(Rows scores, Values keyBias, Rows out) {
        sameSize("scores", scores, "out", out);
        perColumn("key bias", keyBias, scores.columns());
    }

    static void rotary(Rows x, int heads, Turns turns, int first) {
        if (heads < 1 || x.columns() % heads != 0 || x.columns() / heads < turns.width()) {
            throw new IllegalArgumentException("columns must be heads of " + turns.width() + " values or more, got " + heads + " heads in " + x);
        }
        if (turns.cosine().type() == Type.F64 && x.type() != Type.F64) {
            throw new IllegalArgumentException("tables of float64 turn rows of float64, got " + x);
        }
        if (first < 0 || x.rows() > turns.cosine().rows() - first) {
            throw new IllegalArgumentException("positions must lie in the tables, got " + x.rows() + " from " + first + " on, of "
                    + turns.cosine().rows());
        }
    }

    static void copy(Rows x, Rows out) {
        sameSize("x", x, "out", out);
    }

    static void gather(Rows table, int[] ids, Rows out) {
        if (out.rows() != ids.length || out.columns() != table.columns()) {
            throw new IllegalArgumentException("out must have a row an id, as wide as the table, got " + ids.length + " ids, table " + table
                    + ", out " + out);
        }
        for (int id : ids) {
            if (id < 0 || id >= table.rows()) {
                throw new IllegalArgumentException("ids must be rows of the table, 0 to " + (table.rows() - 1) + ", got " + id);
            }
        }
    }

    static void positions(Rows positions, int first, Rows out) {
        if (positions.columns() != out.columns() || first < 0 || out.rows() > positions.rows() - first) {
            throw new IllegalArgumentException("positions must have the rows from " + first + " on and the columns of out, got " + positions
                    + " for " + out);
        }
    }

    static void product(Rows weights, Rows x, Rows y) {
        sameRows("x", x, "y", y);
        if (weights.columns() != x.columns() || weights.rows() != y.columns()) {
            throw new IllegalArgumentException("weights must be (columns of y) x (columns of x), got weights " + weights + ", x " + x + ", y " + y);
        }
    }

    static void vectorMatrices(Rows x, Rows weights, Rows y) {
        sameRows("x", x, "y", y);
        if (weights.rows() != x.columns() || weights.columns() != y.columns()) {
            throw new IllegalArgumentException("weights must be (columns of x) x (columns of y), got x " + x + ", weights " + weights + ", y " + y);
        }
    }

    static void product(Rows x, Panels weights, Rows y) {
        sameRows("x", x, "y", y);
        if (weights.inputs() != x.columns() || weights.outputs() != y.columns()) {
            throw new IllegalArgumentException("weights must be (columns of x) x (columns of y), got x " + x + ", weights " + weights + ", y " + y);
        }
        if ((weights.type() == Type.F64) != (x.type() == Type.F64) || (x.type() == Type.F64) != (y.type() == Type.F64)) {
            throw new IllegalArgumentException("float64 is multiplied by float64, got x " + x + ", weights " + weights + ", y " + y);
        }
    }

    static void product(Rows x, QuantizedPanels weights, Rows y) {
        sameRows("x", x, "y", y);
        if (weights.inputs() != x.columns() || weights.outputs() != y.columns() || x.type() == Type.F64 || y.type() == Type.F64) {
            throw new IllegalArgumentException("weights must be (columns of x) x (columns of y), and neither of float64, got x " + x + ", weights "
                    + weights + ", y " + y);
        }
    }

    static void pack(Rows w, boolean transposed, int firstOutput, Panels into) {
        int inputs = transposed ? w.columns() : w.rows();
        int outputs = transposed ? w.rows() : w.columns();
        if (inputs != into.inputs() || firstOutput < 0 || outputs > into.outputs() - firstOutput) {
            throw new IllegalArgumentException("what is packed must have the inputs of the panels and outputs inside them, got "
                    + (transposed ? "(out, in) " : "(in, out) ") + w + " from output " + firstOutput + " on, of " + into);
        }
    }

    static void widen(Panels from, Panels into) {
        if (from.type().bytes() != 2 || into.type() != Type.F32 || from.inputs() != into.inputs() || from.outputs() != into.outputs()) {
            throw new IllegalArgumentException("16-bit panels are widened to float32 ones of their size, got " + from + " and " + into);
        }
    }

    static void widen(QuantizedPanels from, Panels into) {
        if (into.type() != Type.F32 || from.inputs() != into.inputs() || from.outputs() != into.outputs()) {
            throw new IllegalArgumentException("panels of few bits are widened to float32 ones of their size, got " + from + " and " + into);
        }
    }

    static void row(Rows x, int row) {
        if (row < 0 || row >= x.rows() || x.columns() == 0) {
            throw new IllegalArgumentException("the row must be there and have columns, got row " + row + " of " + x);
        }
    }

    private static void sameRows(String a, Rows x, String b, Rows y) {
        if (x.rows() != y.rows()) {
            throw new IllegalArgumentException(a + " and " + b + " must have the same rows, got " + x + " and " + y);
        }
    }

    private static void sameSize(String a, Rows x, String b, Rows y) {
        if (x.rows() != y.rows() || x.columns() != y.columns()) {
            throw new IllegalArgumentException(a + " and " + b + " must be of one size, got " + x + " and " + y);
        }
    }

    private static void perRow(Values scales, int rows) {
        if (scales.present() && scales.count() != rows) {
            throw new IllegalArgumentException("scales must be one a row or none, got " + scales.count() + " for " + rows + " rows");
        }
    }

    private static void perColumn(String what, Values values, int columns) {
        if (values.present() && values.count() != columns) {
            throw new IllegalArgumentException(what + " must be one a column or none, got " + values.count() + " for " + columns + " columns");
        }
    }
}
