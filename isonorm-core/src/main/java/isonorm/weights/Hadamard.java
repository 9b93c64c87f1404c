package isonorm.weights;

import java.util.Arrays;
import java.util.Optional;

/**
 * A Hadamard matrix, entries 1 and -1 and rows orthogonal to each other: the Kronecker product of one of Paley's and of Sylvester's of a power of two, so
 * that multiplying by it takes {@code order + log2(doubled)} additions a value.
 *
 * @param order rows of Paley's matrix, or 1
 * @param entries of Paley's matrix, row after row
 * @param doubled rows of Sylvester's matrix, a power of two
 * @see <a href="https://doi.org/10.1002/sapm1933121311">Paley: On orthogonal matrices, 1933</a>
 */
record Hadamard(int order, byte[] entries, int doubled) {

    /** The largest of Paley's matrices that is looked for: above, a transform would not be fast. */
    private static final int LARGEST = 1024;

    /** One of so many rows, of the smallest of Paley's matrices there is one of; empty where none is known. */
    static Optional<Hadamard> find(int rows) {
        int most = Integer.lowestOneBit(rows);
        for (int doubled = most; doubled >= 1; doubled /= 2) {
            int order = rows / doubled;
            if (order > LARGEST) {
                break;
            }
            Optional<byte[]> entries = order == 1 ? Optional.of(new byte[] {1}) : paley(order);
            if (entries.isPresent()) {
                return Optional.of(new Hadamard(order, entries.get(), doubled));
            }
        }
        return Optional.empty();
    }

    int rows() {
        return order * doubled;
    }

    /** Paley's two constructions, of {@code q + 1} and {@code 2 (q + 1)} rows for primes q that are 3 and 1 more than a multiple of 4. */
    private static Optional<byte[]> paley(int order) {
        if (prime(order - 1) && order % 4 == 0) {
            return Optional.of(skew(order));
        }
        return order % 4 == 0 && prime(order / 2 - 1) && order / 2 % 4 == 2 ? Optional.of(symmetric(order)) : Optional.empty();
    }

    private static boolean prime(int number) {
        for (int divisor = 2; divisor * divisor <= number; divisor++) {
            if (number % divisor == 0) {
                return false;
            }
        }
        return number > 2;
    }

    /** Whether numbers are squares modulo q: 1 or -1, and 0 of 0. */
    private static byte[] character(int q) {
        byte[] character = new byte[q];
        Arrays.fill(character, (byte) -1);
        for (int i = 1; i < q; i++) {
            character[(int) ((long) i * i % q)] = 1;
        }
        character[0] = 0;
        return character;
    }

    /** {@code I + S}, where S has a border of ones above, of minus ones on the left, and the characters of the differences inside. */
    private static byte[] skew(int order) {
        byte[] character = character(order - 1);
        byte[] entries = new byte[order * order];
        for (int r = 0; r < order; r++) {
            for (int c = 0; c < order; c++) {
                entries[r * order + c] = r == c || r == 0 ? 1 : c == 0 ? -1 : character[Math.floorMod(r - c, order - 1)];
            }
        }
        return entries;
    }

    /** {@code C} by {@code [1 1; 1 -1]} plus {@code I} by {@code [1 -1; -1 -1]}, C having borders of ones and the characters of the differences. */
    private static byte[] symmetric(int order) {
        int half = order / 2;
        byte[] character = character(half - 1);
        byte[] entries = new byte[order * order];
        for (int r = 0; r < half; r++) {
            for (int c = 0; c < half; c++) {
                int of = r == c ? 0 : r == 0 || c == 0 ? 1 : character[Math.floorMod(r - c, half - 1)];
                int diagonal = r == c ? 1 : 0;
                entries[2 * r * order + 2 * c] = (byte) (of + diagonal);
                entries[2 * r * order + 2 * c + 1] = (byte) (of - diagonal);
                entries[(2 * r + 1) * order + 2 * c] = (byte) (of - diagonal);
                entries[(2 * r + 1) * order + 2 * c + 1] = (byte) (-of - diagonal);
            }
        }
        return entries;
    }

    /** {@code H^T x / sqrt(rows)} in place, x being (rows, n), row after row. */
    void apply(double[] x, int n) {
        for (int block = 0; block < order; block++) {
            addAndSubtract(x, block * doubled, n);
        }
        if (order > 1) {
            double[] mixed = new double[order * n];
            for (int s = 0; s < doubled; s++) {
                Arrays.fill(mixed, 0);
                for (int from = 0; from < order; from++) {
                    int at = (from * doubled + s) * n;
                    for (int to = 0; to < order; to++) {
                        double sign = entries[from * order + to];
                        for (int c = 0; c < n; c++) {
                            mixed[to * n + c] += sign * x[at + c];
                        }
                    }
                }
                for (int to = 0; to < order; to++) {
                    System.arraycopy(mixed, to * n, x, (to * doubled + s) * n, n);
                }
            }
        }
        double root = 1 / Math.sqrt(rows());
        for (int i = 0; i < rows() * n; i++) {
            x[i] *= root;
        }
    }

    /** Sylvester's matrix times {@code doubled} rows from {@code first} on. */
    private void addAndSubtract(double[] x, int first, int n) {
        for (int step = 1; step < doubled; step *= 2) {
            for (int r = 0; r < doubled; r += 2 * step) {
                for (int i = (first + r) * n; i < (first + r + step) * n; i++) {
                    double one = x[i];
                    double other = x[i + step * n];
                    x[i] = one + other;
                    x[i + step * n] = one - other;
                }
            }
        }
    }
}
