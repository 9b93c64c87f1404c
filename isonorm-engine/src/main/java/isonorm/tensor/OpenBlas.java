package isonorm.tensor;

import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Products.Stack;
import java.lang.ref.Reference;
import java.util.Optional;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.openblas.global.openblas_nolapack;

/**
 * Matrix products of float64 and float32 by OpenBLAS.
 *
 * <p>It is told, once and for the whole process, to use no threads of its own: each of ours multiplies its own rows, and two sets of threads
 * would starve each other. It has no setting for one caller alone.
 */
final class OpenBlas implements Multiplier {

    private static final int ROW_MAJOR = 101;
    private static final int AS_IT_IS = 111;
    private static final int TRANSPOSED = 112;

    private OpenBlas() {}

    /** Whether the jar with this platform's native code is there. */
    static boolean isOnClassPath() {
        String file = Loader.getPlatform() + "/" + System.mapLibraryName("jniopenblas_nolapack");
        return Libraries.resource("org/bytedeco/openblas/" + file) != null;
    }

    /** The library, or nothing where this platform has none. */
    static Optional<OpenBlas> open() {
        if (!isOnClassPath()) {
            return Optional.empty();
        }
        try {
            Loader.load(org.bytedeco.openblas.presets.openblas_nolapack.class);
            Loader.load(openblas_nolapack.class);
        } catch (UnsatisfiedLinkError | NoClassDefFoundError e) {
            return Optional.empty();
        }
        org.bytedeco.openblas.presets.openblas_nolapack.blas_set_num_threads(1);
        return Optional.of(new OpenBlas());
    }

    @Override
    public String name(Type type) {
        return "OpenBLAS";
    }

    @Override
    public void products(Stack x, Stack w, Stack y, boolean add) {
        for (int i = 0; i < y.count(); i++) {
            Rows c = y.get(i);
            multiply(x.one(i), w.get(i), w.transposed(), c, c.columns(), x.inner(), add ? 1 : 0);
        }
    }

    /** A panel is a matrix of its own, (inputs, 64), without gaps. */
    @Override
    public void product(Stack x, Panels w, Rows y, Finish finish) {
        for (int panel = 0; panel < w.count(); panel++) {
            int first = panel * Panels.WIDTH;
            int columns = Math.min(Panels.WIDTH, w.outputs() - first);
            Rows each = new Rows(w.data(), w.type(), (long) panel * w.depth() * Panels.WIDTH, w.inputs(), columns, Panels.WIDTH);
            multiply(x, each, false, y.sliceColumns(first, columns), columns, w.inputs(), 0);
        }
    }

    private static void multiply(Stack x, Rows b, boolean transposed, Rows c, int columns, int inner, int beta) {
        Rows a = x.first();
        int left = x.transposed() ? TRANSPOSED : AS_IT_IS;
        int right = transposed ? TRANSPOSED : AS_IT_IS;
        if (a.type() == Type.F64) {
            openblas_nolapack.cblas_dgemm(ROW_MAJOR, left, right, c.rows(), columns, inner,
                    1, new Doubles(a), a.stride(), new Doubles(b), b.stride(), beta, new Doubles(c), c.stride());
        } else {
            openblas_nolapack.cblas_sgemm(ROW_MAJOR, left, right, c.rows(), columns, inner,
                    1, new Floats(a), a.stride(), new Floats(b), b.stride(), beta, new Floats(c), c.stride());
        }
        Reference.reachabilityFence(a.data());
        Reference.reachabilityFence(b.data());
        Reference.reachabilityFence(c.data());
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
