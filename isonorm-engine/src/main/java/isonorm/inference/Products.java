package isonorm.inference;

import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Threads;
import java.util.HashMap;
import java.util.Map;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.openblas.global.openblas_nolapack;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.bytedeco.pytorch.global.torch;

/**
 * Matrix products of rows in native memory: OpenBLAS for float32, oneDNN through libtorch for bfloat16. Each runs on the caller's
 * thread.
 */
final class Products {

    private static final int ROW_MAJOR = 101;
    private static final int AS_IT_IS = 111;
    private static final int TRANSPOSED = 112;

    /** How many views a thread keeps, some hundred bytes each. */
    private static final int MOST_VIEWS = 4096;

    private static final ThreadLocal<Map<View, Tensor>> VIEWS = ThreadLocal.withInitial(HashMap::new);

    private Products() {}

    /** {@code y = x w}, or {@code y = x w^T}, of one type. */
    static void product(Rows x, Rows w, boolean transposed, Rows y) {
        products(new Stack(x, 1, 0), new Stack(w, 1, 0), transposed, new Stack(y, 1, 0));
    }

    /** Matrices of one shape, {@code count} of them, each {@code step} values behind the one before. */
    record Stack(Rows first, int count, long step) {

        private Rows get(int index) {
            return new Rows(first.data(), first.type(), first.offset() + index * step, first.rows(), first.columns(), first.stride());
        }
    }

    /** As many products as there are matrices in each stack. */
    static void products(Stack x, Stack w, boolean transposed, Stack y) {
        Threads.share(); // loads libtorch, which few rows never need, and settles this thread's settings
        if (x.first.type() == Type.F32) {
            for (int i = 0; i < x.count; i++) {
                float32(x.get(i), w.get(i), transposed, y.get(i));
            }
        } else {
            bfloat16(x, w, transposed, y);
        }
    }

    private static void float32(Rows x, Rows w, boolean transposed, Rows y) {
        openblas_nolapack.cblas_sgemm(ROW_MAJOR, AS_IT_IS, transposed ? TRANSPOSED : AS_IT_IS, y.rows(), y.columns(), x.columns(),
                1, new Floats(x), x.stride(), new Floats(w), w.stride(), 0, new Floats(y), y.stride());
    }

    private static void bfloat16(Stack x, Stack w, boolean transposed, Stack y) {
        if (VIEWS.get().size() > MOST_VIEWS) {
            VIEWS.get().values().forEach(Tensor::releaseReference);
            VIEWS.get().clear();
        }
        if (x.count == 1) {
            torch.mm_out(tensor(y, false), tensor(x, false), tensor(w, transposed));
        } else {
            torch.bmm_out(tensor(y, false), tensor(x, false), tensor(w, transposed));
        }
    }

    /** A stack of matrices in memory as libtorch knows it. */
    private record View(long address, int count, long step, int rows, int columns, int stride, boolean transposed) {}

    /** Making such a tensor takes as long as a small product, and most are asked for again in the next pass. */
    private static Tensor tensor(Stack stack, boolean transposed) {
        Rows rows = stack.first;
        View view = new View(rows.address(0), stack.count, stack.step, rows.rows(), rows.columns(), rows.stride(), transposed);
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
}
