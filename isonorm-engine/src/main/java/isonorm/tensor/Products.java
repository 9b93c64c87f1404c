package isonorm.tensor;

import isonorm.kernel.Gradients;
import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.lang.foreign.Arena;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.openblas.global.openblas_nolapack;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Matrix products of rows in native memory, each on the caller's thread: oneDNN for float32 and bfloat16, OpenBLAS for float64. Where
 * there is no oneDNN by itself, float32 is OpenBLAS's too and bfloat16 libtorch's. Products of float16 are taken in float32, piece by piece, and
 * rounded once: few processors multiply it faster; so are those of bfloat16 that libtorch cannot give.
 */
public final class Products {

    private static final int ROW_MAJOR = 101;
    private static final int AS_IT_IS = 111;
    private static final int TRANSPOSED = 112;

    /** How many views a thread keeps, some hundred bytes each. */
    private static final int MOST_VIEWS = 4096;

    /** How many values of a matrix of 16 bits are widened at once, and how many rows or columns at most. */
    private static final int WIDENED = 1 << 20;
    private static final int ACROSS = 1 << 10;

    private static final ThreadLocal<Map<Wide, Rows>> WIDE = ThreadLocal.withInitial(() -> new EnumMap<>(Wide.class));

    private enum Wide { X, W, Y }

    private static final ThreadLocal<Map<View, Tensor>> VIEWS = ThreadLocal.withInitial(HashMap::new);

    private Products() {}

    /**
     * Matrices of one shape, {@code count} of them, each {@code step} values behind the one before; to be read as they are, or
     * transposed.
     */
    public record Stack(Rows first, int count, long step, boolean transposed) {

        /** Matrices as they lie in memory. */
        public static Stack of(Rows first, int count, long step) {
            return new Stack(first, count, step, false);
        }

        /** One matrix. */
        public static Stack of(Rows rows) {
            return new Stack(rows, 1, 0, false);
        }

        /** The same memory read the other way. */
        public Stack transpose() {
            return new Stack(first, count, step, !transposed);
        }

        /** One of them. */
        private Stack one(int index) {
            return new Stack(get(index), 1, 0, transposed);
        }

        private Rows get(int index) {
            return new Rows(first.data(), first.type(), first.offset() + index * step, first.rows(), first.columns(), first.stride());
        }

        private int order() {
            return transposed ? TRANSPOSED : AS_IT_IS;
        }

        private int inner() {
            return transposed ? first.rows() : first.columns();
        }
    }

    /** {@code y = x w}, or {@code y = x w^T}, of one type. */
    public static void product(Rows x, Rows w, boolean transposed, Rows y) {
        product(x, w, transposed, y, Finish.NOTHING);
    }

    /** The same, finished before it is rounded where oneDNN multiplies, and behind that where it does not. */
    public static void product(Rows x, Rows w, boolean transposed, Rows y, Finish finish) {
        product(x, w, transposed, y, finish, OneDnn.here());
    }

    static void product(Rows x, Rows w, boolean transposed, Rows y, Finish finish, Optional<OneDnn> oneDnn) {
        Stack read = transposed ? Stack.of(w).transpose() : Stack.of(w);
        if (oneDnn.isPresent() && x.type() == w.type() && x.type() == y.type() && OneDnn.multiplies(x.type()) && OneDnn.finishes(finish)) {
            oneDnn.get().product(x, read, y, finish);
        } else {
            products(Stack.of(x), read, Stack.of(y), false, oneDnn);
            finish.apply(y);
        }
    }

    /** {@code y = finish(x w)} with a matrix that was packed, of the type of both. */
    public static void product(Rows x, Packed w, Rows y, Finish finish) {
        if (x.columns() != w.inputs() || y.columns() != w.outputs() || x.rows() != y.rows() || x.type() != w.type()) {
            throw new IllegalArgumentException("a packed matrix of " + w.type() + " is (" + w.inputs() + ", " + w.outputs()
                    + ") and so must x and y be, got x " + x + " and y " + y);
        }
        OneDnn oneDnn = OneDnn.here().orElseThrow();
        if (OneDnn.finishes(finish)) {
            oneDnn.product(x, w, y, finish);
        } else {
            oneDnn.product(x, w, y, Finish.NOTHING);
            finish.apply(y);
        }
    }

    /** {@code y = x w}, as many products as there are matrices in each stack; x and w of one type, y of theirs or, for 16 bits, of float32. */
    public static void products(Stack x, Stack w, Stack y) {
        products(x, w, y, false, OneDnn.here());
    }

    /** {@code y += x w}, rounded once. */
    public static void addProducts(Stack x, Stack w, Stack y) {
        products(x, w, y, true, OneDnn.here());
    }

    static void products(Stack x, Stack w, Stack y, boolean add, Optional<OneDnn> oneDnn) {
        Type type = x.first.type();
        if (type != w.first.type() || type != y.first.type() && (type.bytes() != 2 || y.first.type() != Type.F32)) {
            throw new IllegalArgumentException("products are of one type, and to the same type or of BF16 or F16 to F32, got " + type + " times "
                    + w.first.type() + " to " + y.first.type());
        }
        if (OneDnn.multiplies(type) && oneDnn.isPresent()) {
            oneDnn.get().products(x, w, y, add);
            return;
        }
        Threads.share(); // loads libtorch and settles this thread's settings
        if (type == Type.F64 || type == Type.F32) {
            each(x, w, y, add ? 1 : 0);
        } else if (type == Type.BF16 && libtorchCan(y, add)) {
            bfloat16(x, w, y);
        } else {
            inFloat32(x, w, y, add, oneDnn);
        }
    }

    /** It gives no float32, adds nothing without rounding the product first, and takes the values of a vector for neighbours where they are not. */
    private static boolean libtorchCan(Stack y, boolean add) {
        return y.first.type() == Type.BF16 && !add && y.first.rows() > 1 && y.first.columns() > 1;
    }

    /** Widened piece by piece. */
    private static void inFloat32(Stack x, Stack w, Stack y, boolean add, Optional<OneDnn> oneDnn) {
        int inner = x.inner();
        int most = Math.clamp(WIDENED / inner, 1, ACROSS);
        for (int i = 0; i < x.count; i++) {
            Rows c = y.get(i);
            for (int column = 0; column < c.columns(); column += most) {
                int columns = Math.min(most, c.columns() - column);
                Rows b = wide(Wide.W, w.transposed ? w.get(i).slice(column, columns) : w.get(i).sliceColumns(column, columns));
                for (int row = 0; row < c.rows(); row += most) {
                    int rows = Math.min(most, c.rows() - row);
                    Rows a = wide(Wide.X, x.transposed ? x.get(i).sliceColumns(row, rows) : x.get(i).slice(row, rows));
                    Rows product = room(Wide.Y, rows, columns);
                    products(new Stack(a, 1, 0, x.transposed), new Stack(b, 1, 0, w.transposed), Stack.of(product), false, oneDnn);
                    Rows into = c.slice(row, rows).sliceColumns(column, columns);
                    if (add) {
                        Gradients.of(c.type()).add(product, 1, into);
                    } else {
                        Kernels.of(c.type()).copy(product, into);
                    }
                }
            }
        }
    }

    private static Rows wide(Wide use, Rows rows) {
        Rows wide = room(use, rows.rows(), rows.columns());
        Kernels.provider().copy(rows, wide);
        return wide;
    }

    /** A thread's own room. */
    private static Rows room(Wide use, int rows, int columns) {
        Rows room = WIDE.get().get(use);
        if (room == null || room.columns() < rows * columns) {
            room = Rows.allocate(Arena.ofAuto(), Type.F32, 1, rows * columns, rows * columns);
            WIDE.get().put(use, room);
        }
        return Rows.of(room.data(), Type.F32, rows, columns);
    }

    private static void each(Stack x, Stack w, Stack y, int beta) {
        for (int i = 0; i < x.count; i++) {
            Rows a = x.get(i);
            Rows b = w.get(i);
            Rows c = y.get(i);
            if (a.type() == Type.F64) {
                openblas_nolapack.cblas_dgemm(ROW_MAJOR, x.order(), w.order(), c.rows(), c.columns(), x.inner(),
                        1, new Doubles(a), a.stride(), new Doubles(b), b.stride(), beta, new Doubles(c), c.stride());
            } else {
                openblas_nolapack.cblas_sgemm(ROW_MAJOR, x.order(), w.order(), c.rows(), c.columns(), x.inner(),
                        1, new Floats(a), a.stride(), new Floats(b), b.stride(), beta, new Floats(c), c.stride());
            }
        }
    }

    private static void bfloat16(Stack x, Stack w, Stack y) {
        if (VIEWS.get().size() > MOST_VIEWS) {
            VIEWS.get().values().forEach(Tensor::releaseReference);
            VIEWS.get().clear();
        }
        if (x.count == 1) {
            torch.mm_out(tensor(y), tensor(x), tensor(w));
        } else {
            torch.bmm_out(tensor(y), tensor(x), tensor(w));
        }
    }

    /** A stack of matrices in memory as libtorch knows it. */
    private record View(long address, int count, long step, int rows, int columns, int stride, boolean transposed) {}

    /** Making such a tensor takes as long as a small product, and most are asked for again in the next pass. */
    private static Tensor tensor(Stack stack) {
        Rows rows = stack.first;
        View view = new View(rows.address(0), stack.count, stack.step, rows.rows(), rows.columns(), rows.stride(), stack.transposed);
        return VIEWS.get().computeIfAbsent(view, Products::made);
    }

    private static Tensor made(View view) {
        long[] shape = view.transposed ? new long[] {view.columns, view.rows} : new long[] {view.rows, view.columns};
        long[] strides = view.transposed ? new long[] {1, view.stride} : new long[] {view.stride, 1};
        if (view.count > 1) {
            shape = new long[] {view.count, shape[0], shape[1]};
            strides = new long[] {view.step, strides[0], strides[1]};
        }
        try (PointerScope _ = new PointerScope()) {
            Tensor tensor = torch.from_blob(new Address(view.address), shape, strides, new TensorOptions(ScalarType.BFloat16));
            tensor.retainReference();
            return tensor;
        }
    }

    /** Memory that someone else frees. */
    private static final class Address extends Pointer {
        Address(long address) {
            this.address = address;
        }
    }

    /** Memory that someone else frees. */
    private static final class Floats extends FloatPointer {
        Floats(Rows rows) {
            super((Pointer) null);
            this.address = rows.address(0);
        }
    }

    /** Memory that someone else frees. */
    private static final class Doubles extends DoublePointer {
        Doubles(Rows rows) {
            super((Pointer) null);
            this.address = rows.address(0);
        }
    }
}
