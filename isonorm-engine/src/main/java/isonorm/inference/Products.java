package isonorm.inference;

import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.util.HashMap;
import java.util.Map;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.openblas.global.openblas_nolapack;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Matrix products of rows in native memory: our kernels for few rows, OpenBLAS for float32, oneDNN through libtorch for bfloat16.
 * Each runs on the caller's thread.
 */
final class Products {

    /** For so few rows reading the weights is all that counts. */
    static final int FEW = 4;

    private static final int ROW_MAJOR = 101;
    private static final int AS_IT_IS = 111;
    private static final int TRANSPOSED = 112;

    private static final Kernels KERNELS = Kernels.provider();

    /** How many views a thread keeps, some hundred bytes each. */
    private static final int MOST_VIEWS = 4096;

    private static final ThreadLocal<Map<View, Tensor>> VIEWS = ThreadLocal.withInitial(HashMap::new);

    private Products() {}

    /** {@code y = x w^T} for w (out, in). */
    static void timesTransposed(Rows x, Rows w, Rows y) {
        if (x.rows() <= FEW) {
            KERNELS.matrixVectors(w, x, y);
        } else {
            product(x, w, true, y);
        }
    }

    /** {@code y = x w} for w (in, out). */
    static void times(Rows x, Rows w, Rows y) {
        if (x.rows() <= FEW) {
            KERNELS.vectorMatrices(x, w, y);
        } else {
            product(x, w, false, y);
        }
    }

    /** The same for any number of rows, of one type. */
    static void product(Rows x, Rows w, boolean transposed, Rows y) {
        if (x.type() == Type.F32) {
            float32(x, w, transposed, y);
        } else {
            bfloat16(x, w, transposed, y);
        }
    }

    private static void float32(Rows x, Rows w, boolean transposed, Rows y) {
        openblas_nolapack.cblas_sgemm(ROW_MAJOR, AS_IT_IS, transposed ? TRANSPOSED : AS_IT_IS, y.rows(), y.columns(), x.columns(),
                1, new Floats(x), x.stride(), new Floats(w), w.stride(), 0, new Floats(y), y.stride());
    }

    private static void bfloat16(Rows x, Rows w, boolean transposed, Rows y) {
        if (VIEWS.get().size() > MOST_VIEWS) {
            VIEWS.get().values().forEach(Tensor::releaseReference);
            VIEWS.get().clear();
        }
        try (PointerScope _ = new PointerScope()) {
            torch.mm_out(tensor(y), tensor(x), transposed ? tensor(w).t() : tensor(w));
        }
    }

    /** A matrix in memory as libtorch knows it. */
    private record View(long address, int rows, int columns, int stride) {}

    /** Making such a tensor takes as long as a small product, and most are asked for again in the next pass. */
    private static Tensor tensor(Rows rows) {
        Map<View, Tensor> known = VIEWS.get();
        View view = new View(rows.address(0), rows.rows(), rows.columns(), rows.stride());
        Tensor tensor = known.get(view);
        if (tensor == null) {
            long[] shape = {rows.rows(), rows.columns()};
            long[] strides = {rows.stride(), 1};
            tensor = torch.from_blob(new Address(view.address), shape, strides, new TensorOptions(ScalarType.BFloat16));
            tensor.retainReference();
            known.put(view, tensor);
        }
        return tensor;
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
