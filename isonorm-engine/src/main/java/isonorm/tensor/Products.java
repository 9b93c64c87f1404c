package isonorm.tensor;

import isonorm.kernel.Panels;
import isonorm.kernel.QuantizedPanels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.lang.ref.Reference;
import java.util.List;

/**
 * Matrix products of rows in native memory, each on the caller's thread, by the fastest that this processor and platform have for a type:
 * oneDNN, OpenBLAS or our own kernels. Where nobody multiplies a type of 16 bits, its products are taken in float32, some columns at a
 * time, and rounded once: then only their memory is that of 16 bits.
 */
public final class Products {

    private Products() {}

    /**
     * What multiplies matrices of a type.
     *
     * @param provider its name
     * @param reason why it is nothing better; empty where it is the best there is
     */
    public record Choice(Type type, String provider, String reason) {}

    /** What multiplies matrices of each type in this process. */
    public static List<Choice> choices() {
        return Multipliers.here().choices();
    }

    /** Whether a native library multiplies float32, and with it what is widened; our own kernels take about twice as long. */
    public static boolean byLibrary() {
        return Multipliers.here().byLibrary();
    }

    /** Whether a row of a product with panels has the same bits however many rows are beside it; else within {@link Multipliers#FEW_APART} rows. */
    public static boolean keepsRows() {
        return Multipliers.here().order(Type.F32, 1).isPresent();
    }

    /** Whether matrices of this type are multiplied as they are, and not widened to float32 first. */
    public static boolean multiplies(Type type) {
        return Multipliers.here().multiplies(type);
    }

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
        Stack one(int index) {
            return new Stack(get(index), 1, 0, transposed);
        }

        Rows get(int index) {
            return new Rows(first.data(), first.type(), first.offset() + index * step, first.rows(), first.columns(), first.stride());
        }

        /** How many values a row of it is long, as it is read. */
        int inner() {
            return transposed ? first.rows() : first.columns();
        }
    }

    /** {@code y = x w}, or {@code y = x w^T}, of one type, or w of 16 bits where x and y are of float32. */
    public static void product(Rows x, Rows w, boolean transposed, Rows y) {
        product(x, w, transposed, y, Finish.NOTHING);
    }

    /** The same, finished before it is rounded where what multiplies can, and behind that where it cannot. */
    public static void product(Rows x, Rows w, boolean transposed, Rows y, Finish finish) {
        product(x, w, transposed, y, finish, Multipliers.here());
    }

    static void product(Rows x, Rows w, boolean transposed, Rows y, Finish finish, Multipliers multipliers) {
        if (!mixed(x.type(), w.type(), y.type())) {
            requireTypes(x, w, y);
        }
        Stack read = transposed ? Stack.of(w).transpose() : Stack.of(w);
        if (x.type() == y.type()) {
            multipliers.product(x, read, y, finish);
        } else {
            multipliers.products(Stack.of(x), read, Stack.of(y), false);
            finish.apply(y);
        }
    }

    /**
     * {@code y = finish(x w)} with a matrix in panels, of the type of x and y, or of 16 bits where one of those, or both, are of float32. A row's
     * bits do not depend on how many rows there are, where the library adds in an order that our kernels know, which oneDNN does.
     */
    public static void product(Rows x, Panels w, Rows y, Finish finish) {
        product(x, w, y, finish, Multipliers.here());
    }

    static void product(Rows x, Panels w, Rows y, Finish finish, Multipliers multipliers) {
        boolean types = x.type() == w.type() && (x.type() == y.type() || x.type().bytes() == 2 && y.type() == Type.F32)
                || mixed(x.type(), w.type(), y.type());
        if (x.columns() != w.inputs() || y.columns() != w.outputs() || x.rows() != y.rows() || !types) {
            throw new IllegalArgumentException("a matrix in panels of " + w.type() + " is (" + w.inputs() + ", " + w.outputs()
                    + ") and so must x and y be, got x " + x + " and y " + y);
        }
        multipliers.product(x, w, y, finish);
        Reference.reachabilityFence(w.data());
    }

    /** {@code y = finish(x w)} with a matrix of few bits in panels; x and y of float32. A row's bits depend on others as those of {@link Panels} do. */
    public static void product(Rows x, QuantizedPanels w, Rows y, Finish finish) {
        product(x, w, y, finish, Multipliers.here());
    }

    static void product(Rows x, QuantizedPanels w, Rows y, Finish finish, Multipliers multipliers) {
        if (x.columns() != w.inputs() || y.columns() != w.outputs() || x.rows() != y.rows() || x.type() != Type.F32 || y.type() != Type.F32) {
            throw new IllegalArgumentException("a matrix in panels of few bits is (" + w.inputs() + ", " + w.outputs()
                    + ") and so must x and y be, of float32, got x " + x + " and y " + y);
        }
        multipliers.product(x, w, y, finish);
        Reference.reachabilityFence(w.data());
    }

    /** {@code y = x w}, as many products as there are matrices in each stack; x and w of one type, y of theirs or, for 16 bits, of float32. */
    public static void products(Stack x, Stack w, Stack y) {
        products(x, w, y, false, Multipliers.here());
    }

    /** {@code y = x w} by what is fastest at it: the bits of a row may depend on how many rows are beside it. */
    public static void productsInAnyOrder(Stack x, Stack w, Stack y) {
        requireTypes(x.first, w.first, y.first);
        Multipliers.here().productsInAnyOrder(x, w, y, false);
    }

    /** {@code y += x w}, rounded once, by what is fastest at it. */
    public static void addProductsInAnyOrder(Stack x, Stack w, Stack y) {
        requireTypes(x.first, w.first, y.first);
        Multipliers.here().productsInAnyOrder(x, w, y, true);
    }

    static void products(Stack x, Stack w, Stack y, boolean add, Multipliers multipliers) {
        requireTypes(x.first, w.first, y.first);
        multipliers.products(x, w, y, add);
    }

    private static boolean mixed(Type x, Type w, Type y) {
        return x == Type.F32 && y == Type.F32 && w.bytes() == 2;
    }

    private static void requireTypes(Rows x, Rows w, Rows y) {
        Type type = x.type();
        if (type != w.type() || type != y.type() && (type.bytes() != 2 || y.type() != Type.F32)) {
            throw new IllegalArgumentException("products are of one type, and to the same type or of BF16 or F16 to F32, got " + type + " times "
                    + w.type() + " to " + y.type());
        }
    }
}
