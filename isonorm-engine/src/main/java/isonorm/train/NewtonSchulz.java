package isonorm.train;

import isonorm.kernel.Gradients;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Products;
import isonorm.tensor.Products.Stack;
import java.lang.foreign.Arena;

/**
 * Orthogonalizes a matrix near enough: its singular values come to lie between .7 and 1.2, its singular vectors stay. Five times, with
 * {@code X = X / |X|} at first and a, b and c chosen so that small values grow fast,
 *
 * <pre>
 * A = X X^T        X = a X + (b A + c A A) X
 * </pre>
 *
 * (Jordan et al., Muon; Bernstein and Newhouse, arXiv 2409.20325). Of a matrix with more rows than columns {@code A = X^T X} stands behind X.
 */
final class NewtonSchulz {

    private static final double A = 3.4445;
    private static final double B = -4.7750;
    private static final double C = 2.0315;
    private static final int STEPS = 5;

    /** A matrix shorter than this is divided by it and not by its length. */
    private static final double SHORTEST = 1e-7;

    private NewtonSchulz() {}

    /** {@code x}, F64 or F32, becomes orthogonal; by one thread. */
    static void orthogonalize(Rows x, Arena arena) {
        Gradients gradients = Gradients.of(x.type());
        boolean tall = x.rows() > x.columns();
        int side = Math.min(x.rows(), x.columns());
        Rows gram = room(arena, x.type(), side, side);
        Rows square = room(arena, x.type(), side, side);
        Rows product = room(arena, x.type(), x.rows(), x.columns());
        gradients.scale(x, 1 / Math.max(SHORTEST, Math.sqrt(gradients.sumOfSquares(x))));
        for (int step = 0; step < STEPS; step++) {
            if (tall) {
                Products.productsInAnyOrder(Stack.of(x).transpose(), Stack.of(x), Stack.of(gram));
            } else {
                Products.productsInAnyOrder(Stack.of(x), Stack.of(x).transpose(), Stack.of(gram));
            }
            Products.productsInAnyOrder(Stack.of(gram), Stack.of(gram), Stack.of(square));
            gradients.scale(square, C);
            gradients.add(gram, B, square);
            if (tall) {
                Products.productsInAnyOrder(Stack.of(x), Stack.of(square), Stack.of(product));
            } else {
                Products.productsInAnyOrder(Stack.of(square), Stack.of(x), Stack.of(product));
            }
            gradients.scale(x, A);
            gradients.add(product, 1, x);
        }
    }

    private static Rows room(Arena arena, Type type, int rows, int columns) {
        return Rows.allocate(arena, type, rows, columns, columns);
    }
}
