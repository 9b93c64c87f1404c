package isonorm.tensor;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.Played;
import isonorm.architecture.Activation;
import isonorm.kernel.Kernels;
import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.tensor.Products.Stack;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

@EveryProcessor
class ProductsTest {

    private static final List<Integer> SIZES = List.of(1, 5, 16, 17, 63, 64, 65, 197);

    /** How many ways to finish a product {@link #requireSameBits} knows. */
    private static final int FINISHES = 5;

    /** How often sizes and orientations are drawn. */
    private static final int ROUNDS = Played.sample(9, 3);

    private static final List<Activation> ACTIVATIONS = Played.sample(List.of(Activation.values()), List.of(Activation.GELU_TANH, Activation.RELU_SQUARED));

    private final Random random = new Random(7);

    private Rows rows(Arena arena, Type type, int rows, int columns) {
        int stride = columns + random.nextInt(3);
        Rows made = Rows.allocate(arena, type, rows, stride, stride);
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < stride; c++) {
                made.set(r, c, random.nextGaussian());
            }
        }
        return new Rows(made.data(), type, 0, rows, columns, stride);
    }

    private int size() {
        return SIZES.get(random.nextInt(SIZES.size()));
    }

    private static double get(Rows x, boolean transposed, int row, int column) {
        return transposed ? x.get(column, row) : x.get(row, column);
    }

    /** Rounding of sums to the result, of which float32 sums of {@code inner} products of about 1 are off by less. */
    private static double tolerance(Type result, int inner, double expected) {
        return switch (result) {
            case F64 -> 1e-12 * inner;
            case F32 -> 3e-7 * inner + 1e-5;
            case BF16, F16 -> 3e-7 * inner + 1e-5 + Math.abs(expected) / 128;
        };
    }

    /** One product against its definition, with what lies behind each row as a guard. */
    private void requireRight(Type type, Type result, boolean add, Multipliers by) {
        int m = size();
        int k = size();
        int n = size();
        boolean xt = random.nextBoolean();
        boolean wt = random.nextBoolean();
        try (Arena arena = Arena.ofConfined()) {
            Rows x = xt ? rows(arena, type, k, m) : rows(arena, type, m, k);
            Rows w = wt ? rows(arena, type, n, k) : rows(arena, type, k, n);
            Rows y = rows(arena, result, m, n);
            Rows before = Rows.allocate(arena, result, m, y.stride(), y.stride());
            before.data().copyFrom(y.data());
            Rows behind = new Rows(y.data(), result, 0, m, y.stride(), y.stride());
            Stack left = xt ? Stack.of(x).transpose() : Stack.of(x);
            Stack right = wt ? Stack.of(w).transpose() : Stack.of(w);
            Products.products(left, right, Stack.of(y), add, by);
            String what = type + " to " + result + (add ? ", added, " : ", ") + m + " x " + k + " x " + n + (xt ? ", x^T" : "") + (wt ? ", w^T" : "");
            for (int i = 0; i < m; i++) {
                for (int j = 0; j < n; j++) {
                    double sum = add ? before.get(i, j) : 0;
                    for (int l = 0; l < k; l++) {
                        sum += get(x, xt, i, l) * get(w, wt, l, j);
                    }
                    assertEquals(sum, y.get(i, j), tolerance(result, k, sum), what);
                }
                for (int j = n; j < y.stride(); j++) {
                    assertEquals(before.get(i, j), behind.get(i, j), what + ": wrote behind a row");
                }
            }
        }
    }

    /** Each library and our own kernels, as far as they are there. */
    private static List<Multipliers> all() {
        return List.of(Multipliers.here(), Multipliers.open("onednn"), Multipliers.open("openblas"), Multipliers.open("own"));
    }

    @Test
    void whatMultipliesIsDecidedByAskingAndSaysWhyItIsNothingBetter() {
        for (String wish : List.of("onednn", "openblas", "own")) {
            List<Products.Choice> choices = Multipliers.open(wish).choices();
            assertEquals(List.of(Type.values()), choices.stream().map(Products.Choice::type).toList());
            for (Products.Choice choice : choices) {
                if (wish.equals("own")) {
                    assertTrue(choice.provider().contains("kernels"), choice.toString());
                }
                assertEquals(wish.equals("onednn") && choice.provider().startsWith("oneDNN"), choice.reason().isEmpty(), choice.toString());
                if (!Multipliers.open(wish).multiplies(choice.type())) {
                    assertTrue(choice.provider().startsWith("widened to float32"), choice.toString());
                }
            }
        }
        assertThrows(IllegalArgumentException.class, () -> Multipliers.open("mkl"));
    }

    @Test
    void everyTypeAndOrientationGivesTheProductOfItsDefinition() {
        for (Multipliers by : all()) {
            for (int round = 0; round < ROUNDS; round++) {
                for (Type type : List.of(Type.F64, Type.F32, Type.BF16, Type.F16)) {
                    requireRight(type, type, false, by);
                    requireRight(type, type, true, by);
                }
                requireRight(Type.BF16, Type.F32, false, by);
                requireRight(Type.BF16, Type.F32, true, by);
                requireRight(Type.F16, Type.F32, false, by);
                requireRight(Type.F16, Type.F32, true, by);
            }
        }
    }

    /** A column of a wider matrix, and a row that lies as a column. */
    @Test
    void valuesOfAVectorNeedNotBeNeighbours() {
        for (Multipliers by : all()) {
            for (Type type : List.of(Type.F64, Type.F32, Type.BF16, Type.F16)) {
                try (Arena arena = Arena.ofConfined()) {
                    Rows x = rows(arena, type, 197, 65);
                    Rows w = rows(arena, type, 65, 4);
                    Rows y = rows(arena, type, 197, 3);
                    Stack column = Stack.of(w.sliceColumns(1, 1));
                    Products.products(Stack.of(x), column, Stack.of(y.sliceColumns(1, 1)), false, by);
                    Rows row = rows(arena, type, 1, 197);
                    Products.products(column.transpose(), Stack.of(x).transpose(), Stack.of(row), false, by);
                    for (int i = 0; i < 197; i++) {
                        double sum = 0;
                        for (int l = 0; l < 65; l++) {
                            sum += x.get(i, l) * w.get(l, 1);
                        }
                        assertEquals(sum, y.get(i, 1), tolerance(type, 65, sum), type + ", a column");
                        assertEquals(sum, row.get(0, i), tolerance(type, 65, sum), type + ", a row");
                    }
                }
            }
        }
    }

    @Test
    void largeProductsOfFloat16AreTakenInPieces() {
        try (Arena arena = Arena.ofConfined()) {
            Rows x = rows(arena, Type.F16, 1100, 2);
            Rows w = rows(arena, Type.F16, 1050, 2);
            Rows y = rows(arena, Type.F16, 1100, 1050);
            Products.product(x, w, true, y);
            for (int i = 0; i < 1100; i++) {
                for (int j = 0; j < 1050; j++) {
                    double expected = x.get(i, 0) * w.get(j, 0) + x.get(i, 1) * w.get(j, 1);
                    assertEquals(expected, y.get(i, j), Math.abs(expected) / 2048 + 1e-6);
                }
            }
        }
    }

    @Test
    void manyProductsAtOnceAreThoseOneByOneAndMayShareAMatrix() {
        for (Multipliers by : all()) {
            for (Type type : List.of(Type.F64, Type.F32, Type.BF16, Type.F16)) {
                for (int step : new int[] {0, 24}) { // 0: all heads read the same keys
                    try (Arena arena = Arena.ofConfined()) {
                        Rows queries = rows(arena, type, 37, 72);
                        Rows keys = rows(arena, type, 41, 72);
                        Rows scores = rows(arena, type, 3 * 37, 41);
                        Stack x = Stack.of(queries.sliceColumns(0, 24), 3, 24);
                        Stack w = Stack.of(keys.sliceColumns(0, 24), 3, step).transpose();
                        Products.products(x, w, Stack.of(scores.slice(0, 37), 3, 37L * scores.stride()), false, by);
                        Rows one = rows(arena, type, 37, 41);
                        for (int head = 0; head < 3; head++) {
                            Products.products(Stack.of(queries.sliceColumns(24 * head, 24)), Stack.of(keys.sliceColumns(step * head, 24)).transpose(),
                                    Stack.of(one), false, by);
                            for (int i = 0; i < 37; i++) {
                                for (int j = 0; j < 41; j++) {
                                    double expected = one.get(i, j);
                                    assertEquals(expected, scores.get(37 * head + i, j), tolerance(type, 24, expected), type + ", step " + step);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    private static Panels panels(Arena arena, Rows w, boolean transposed) {
        Panels panels = Panels.allocate(arena, w.type(), transposed ? w.columns() : w.rows(), transposed ? w.rows() : w.columns());
        Kernels.of(w.type()).pack(w, transposed, 0, panels);
        return panels;
    }

    @Test
    void aMatrixInPanelsGivesTheProductsOfThePlainOne() {
        for (Multipliers by : all()) {
            for (Type type : List.of(Type.F32, Type.BF16, Type.F16)) {
                for (int round = 0; round < ROUNDS; round++) {
                    try (Arena arena = Arena.ofConfined()) {
                        int m = round == 0 ? 300 : size();
                        int k = size();
                        int n = round == 1 ? 1300 : size();
                        boolean transposed = random.nextBoolean();
                        Type given = round % 3 == 2 ? Type.F32 : type;
                        Rows x = rows(arena, given, m, k);
                        Rows w = transposed ? rows(arena, type, n, k) : rows(arena, type, k, n);
                        Panels panels = panels(arena, w, transposed);
                        Rows y = rows(arena, given, m, n);
                        Products.product(x, panels, y, Finish.NOTHING, by);
                        String what = type + " " + m + " x " + k + " x " + n;
                        for (int i = 0; i < m; i++) {
                            for (int j = 0; j < n; j++) {
                                double sum = 0;
                                for (int l = 0; l < k; l++) {
                                    sum += x.get(i, l) * get(w, transposed, l, j);
                                }
                                assertEquals(sum, y.get(i, j), tolerance(given, k, sum), what);
                            }
                        }
                        Rows narrow = rows(arena, given, m, n + 1);
                        assertThrows(IllegalArgumentException.class, () -> Products.product(x, panels, narrow, Finish.NOTHING, by));
                    }
                }
            }
        }
    }

    /** Where no order is known that our kernels could follow, as of OpenBLAS, it holds for as many rows as they take. */
    @Test
    void aRowHasTheSameBitsHoweverManyAreBesideIt() {
        for (Multipliers by : all()) {
            for (Type type : List.of(Type.F32, Type.BF16, Type.F16)) {
                for (Type given : type == Type.F32 ? List.of(type) : List.of(type, Type.F32)) {
                    requireSameBits(type, given, given, 77, FINISHES, by);
                    requireSameBits(type, given, Type.F32, 1300, 1, by);
                }
            }
        }
    }

    private void requireSameBits(Type type, Type given, Type result, int k, int finishes, Multipliers by) {
        boolean known = by.order(by.multiplies(type) && given == type ? type : Type.F32, k).isPresent();
        int m = known ? 150 : 64;
        int n = 203;
        try (Arena arena = Arena.ofConfined()) {
            Rows x = rows(arena, given, m, k);
            Panels w = panels(arena, rows(arena, type, n, k), true);
            Rows factors = rows(arena, result, m, n);
            List<Finish> all = List.of(Finish.NOTHING, Finish.of(values(n)), Finish.NOTHING.scaled(values(m)),
                    Finish.of(values(n), Activation.GELU_TANH), Finish.of(values(n), Activation.SILU).times(factors));
            for (Finish finish : all.subList(0, finishes)) {
                Rows whole = rows(arena, result, m, n);
                Products.product(x, w, whole, finish, by);
                for (int rows : new int[] {1, 2, 5, 17, 64}) {
                    for (int first : new int[] {0, (m - rows) / 2, m - rows}) {
                        Rows some = rows(arena, result, rows, n);
                        Products.product(x.slice(first, rows), w, some, finish.rows(first, rows), by);
                        Rows part = rows(arena, result, rows, n - 128);
                        Products.product(x.slice(first, rows), w.outputs(128, n - 128), part, finish.rows(first, rows).columns(128, n - 128), by);
                        String what = by.choices().get(1).provider() + ": " + rows + " rows of " + given + " times " + w + ", " + finish;
                        String partly = "a part, " + what;
                        for (int r = 0; r < rows; r++) {
                            for (int c = 0; c < n; c++) {
                                assertEquals(whole.get(first + r, c), some.get(r, c), what);
                                if (c >= 128) {
                                    assertEquals(whole.get(first + r, c), part.get(r, c - 128), partly);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    @Test
    void theOrderInWhichOneDnnAddsIsKnown() {
        Multipliers by = Multipliers.open("onednn");
        for (Type type : List.of(Type.F32, Type.BF16)) {
            for (int inputs : new int[] {64, 768, 3072}) {
                assertTrue(!Kernels.vectorized() || !by.choices().get(type.ordinal()).provider().startsWith("oneDNN") || by.order(type, inputs).isPresent(),
                        type + ", " + inputs + " inputs");
            }
        }
    }

    /** Weights of 16 bits as they lie in a file, for activations of float32. */
    @Test
    void storedMatricesOf16BitsAreMultipliedWithFloat32() {
        for (Multipliers by : all()) {
            for (Type type : List.of(Type.BF16, Type.F16)) {
                for (boolean transposed : new boolean[] {false, true}) {
                    try (Arena arena = Arena.ofConfined()) {
                        int m = size();
                        int n = size();
                        Rows x = rows(arena, Type.F32, m, 65);
                        Rows w = transposed ? rows(arena, type, n, 65) : rows(arena, type, 65, n);
                        Rows y = rows(arena, Type.F32, m, n);
                        Products.product(x, w, transposed, y, Finish.of(Values.constant(n, 2)), by);
                        String what = type + " " + m + " x " + n;
                        for (int i = 0; i < m; i++) {
                            for (int j = 0; j < n; j++) {
                                double sum = 2;
                                for (int l = 0; l < 65; l++) {
                                    sum += x.get(i, l) * get(w, transposed, l, j);
                                }
                                assertEquals(sum, y.get(i, j), tolerance(Type.F32, 65, sum), what);
                            }
                        }
                    }
                }
            }
        }
    }

    /** As many rows, and so wide a matrix, as one that is brought into panels first where its columns lie badly. */
    @Test
    void matricesWhoseColumnsLieInFewPlacesOfACacheAreMultipliedToo() {
        for (Multipliers by : all()) {
            for (boolean add : new boolean[] {false, true}) {
                try (Arena arena = Arena.ofConfined()) {
                    Rows x = rows(arena, Type.F32, 65, 9);
                    Rows w = Rows.allocate(arena, Type.F32, 9, 1000, 1024);
                    Rows y = Rows.allocate(arena, Type.F32, 65, 1000, 1001);
                    for (int c = 0; c < 1000; c++) {
                        for (int r = 0; r < 9; r++) {
                            w.set(r, c, random.nextGaussian());
                        }
                        y.set(1, c, c);
                    }
                    Products.products(Stack.of(x), Stack.of(w), Stack.of(y), add, by);
                    for (int c = 0; c < 1000; c++) {
                        double sum = add ? c : 0;
                        for (int l = 0; l < 9; l++) {
                            sum += x.get(1, l) * w.get(l, c);
                        }
                        assertEquals(sum, y.get(1, c), tolerance(Type.F32, 9, sum) + 1e-6 * Math.abs(sum));
                    }
                }
            }
        }
    }

    /**
     * {@code y = activation(scales * (x w) + bias) * times} from its definition in float64, where the products, and what the activation
     * reads, are off by some tolerances: without oneDNN both can be rounded.
     */
    private static Rows finished(Arena arena, Rows x, Rows w, boolean transposed, Finish finish, int n, int tolerances) {
        Rows y = Rows.allocate(arena, Type.F64, x.rows(), n, n);
        Kernels plain = Kernels.of(Type.F64);
        for (int i = 0; i < x.rows(); i++) {
            for (int j = 0; j < n; j++) {
                double sum = 0;
                for (int l = 0; l < x.columns(); l++) {
                    sum += x.get(i, l) * get(w, transposed, l, j);
                }
                double scale = finish.scales().present() ? finish.scales().get(i) : 1;
                double read = scale * sum + (finish.bias().present() ? finish.bias().get(j) : 0);
                double off = Math.abs(scale) * tolerance(x.type(), x.columns(), sum) + tolerance(x.type(), 1, read);
                y.set(i, j, read + tolerances * off);
            }
        }
        finish.activation().ifPresent(activation -> plain.activate(y, Values.NONE, Values.NONE, activation));
        finish.times().ifPresent(times -> {
            for (int i = 0; i < y.rows(); i++) {
                for (int j = 0; j < n; j++) {
                    y.set(i, j, y.get(i, j) * times.get(i, j));
                }
            }
        });
        return y;
    }

    private Values values(int count) {
        Values values = Values.room(count);
        for (int i = 0; i < count; i++) {
            values.set(i, random.nextGaussian());
        }
        return values;
    }

    @Test
    void productsAreFinishedByScalesBiasActivationAndFactors() {
        for (Multipliers by : all()) {
            for (Type type : List.of(Type.F32, Type.BF16, Type.F16)) {
                for (boolean biased : new boolean[] {false, true}) {
                    for (boolean scaled : new boolean[] {false, true}) {
                        requireFinished(type, biased, scaled, Optional.empty(), false, by);
                        for (Activation activation : ACTIVATIONS) {
                            requireFinished(type, biased, scaled, Optional.of(activation), false, by);
                            requireFinished(type, biased, scaled, Optional.of(activation), true, by);
                        }
                    }
                }
            }
        }
    }

    private void requireFinished(Type type, boolean biased, boolean scaled, Optional<Activation> activation, boolean multiplied, Multipliers by) {
        try (Arena arena = Arena.ofConfined()) {
            int m = size();
            int n = size();
            boolean transposed = random.nextBoolean();
            Rows x = rows(arena, type, m, 17);
            Rows w = transposed ? rows(arena, type, n, 17) : rows(arena, type, 17, n);
            Finish finish = new Finish(scaled ? values(m) : Values.NONE, biased ? values(n) : Values.NONE, activation,
                    multiplied ? Optional.of(rows(arena, type, m, n)) : Optional.empty());
            Rows expected = finished(arena, x, w, transposed, finish, n, 0);
            Rows above = finished(arena, x, w, transposed, finish, n, 1);
            Rows below = finished(arena, x, w, transposed, finish, n, -1);
            String what = type + " " + activation + (biased ? " biased" : "") + (scaled ? " scaled" : "") + (multiplied ? " multiplied" : "");
            Rows y = rows(arena, type, m, n);
            Products.product(x, w, transposed, y, finish, by);
            requireClose(expected, above, below, y, what);
            Products.product(x, panels(arena, w, transposed), y, finish, by);
            requireClose(expected, above, below, y, "in panels, " + what);
        }
    }

    private static void requireClose(Rows expected, Rows above, Rows below, Rows y, String what) {
        for (int i = 0; i < y.rows(); i++) {
            for (int j = 0; j < y.columns(); j++) {
                double value = expected.get(i, j);
                double off = Math.abs(above.get(i, j) - value) + Math.abs(below.get(i, j) - value);
                assertEquals(value, y.get(i, j), off + tolerance(y.type(), 1, value), what);
            }
        }
    }

    @Test
    void typesThatProductsDoNotHaveAreRefused() {
        try (Arena arena = Arena.ofConfined()) {
            Rows half = rows(arena, Type.F16, 2, 2);
            Rows single = rows(arena, Type.F32, 2, 2);
            Rows brain = rows(arena, Type.BF16, 2, 2);
            for (List<Rows> wrong : List.of(List.of(half, half, brain), List.of(half, brain, half), List.of(brain, single, brain), List.of(single, single, brain))) {
                String message = assertThrows(IllegalArgumentException.class,
                        () -> Products.product(wrong.get(0), wrong.get(1), false, wrong.get(2))).getMessage();
                assertTrue(message.startsWith("products are of one type"), message);
            }
        }
    }
}
