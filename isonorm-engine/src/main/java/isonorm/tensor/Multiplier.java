package isonorm.tensor;

import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Products.Stack;

/**
 * What multiplies matrices, each on the caller's thread. {@link Multipliers} gives it only what it says it can.
 */
sealed interface Multiplier permits OneDnn, OpenBlas, OwnProducts {

    /** Its name, with how it multiplies numbers of this type. */
    String name(Type type);

    /** Whether it has fast products of this type, to the same type and, of 16 bits, to float32. */
    default boolean multiplies(Type type) {
        return type == Type.F64 || type == Type.F32;
    }

    /** Whether it finishes products so itself, and faster than a pass behind them would. */
    default boolean finishes(Finish finish) {
        return finish.nothing();
    }

    /** {@code y = x w}, or {@code y += x w}, rounded once. */
    void products(Stack x, Stack w, Stack y, boolean add);

    /** {@code y = finish(x w)}, of what it {@link #finishes}. */
    default void product(Rows x, Stack w, Rows y, Finish finish) {
        products(Stack.of(x), w, Stack.of(y), false);
    }

    /** {@code y = finish(x w)}, of what it {@link #finishes}; x is one matrix. */
    void product(Stack x, Panels w, Rows y, Finish finish);
}
