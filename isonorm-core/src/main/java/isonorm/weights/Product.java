package isonorm.weights;

/** Products of float64 matrices in memory, in the Vector API where that is fast. Each output is one sum, input by input. */
final class Product {

    private Product() {}

    /**
     * {@code into = a b}: a has {@code rows} rows of {@code inner} values from its row {@code first} on, b is (inner, columns), all row after row.
     */
    static void multiply(double[] a, int first, int rows, int inner, double[] b, int columns, double[] into) {
        multiply(a, first, rows, inner, b, columns, into, Numbers.VECTORS);
    }

    static void multiply(double[] a, int first, int rows, int inner, double[] b, int columns, double[] into, boolean vectors) {
        int done = vectors ? VectorProduct.multiply(a, first, rows, inner, b, columns, into) : 0;
        for (int r = 0; r < rows; r++) {
            for (int c = done; c < columns; c++) {
                into[r * columns + c] = 0;
            }
            for (int i = 0; done < columns && i < inner; i++) {
                double factor = a[(first + r) * inner + i];
                for (int c = done; c < columns; c++) {
                    into[r * columns + c] += factor * b[i * columns + c];
                }
            }
        }
    }
}
