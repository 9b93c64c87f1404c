package isonorm.tensor;

import static java.util.Objects.requireNonNull;

import isonorm.kernel.Gradients;
import isonorm.kernel.Kernels;
import isonorm.kernel.Panels;
import isonorm.kernel.QuantizedPanels;
import isonorm.kernel.Rows;
import isonorm.kernel.Summation;
import isonorm.kernel.Type;
import isonorm.tensor.Products.Choice;
import isonorm.tensor.Products.Stack;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Who multiplies numbers of which type: decided once, by asking each library for a product instead of expecting one of it.
 *
 * <p>Numbers of 16 bits that no one multiplies stay so in memory. Their products are taken in float32: of the second matrix some panels are
 * widened at a time, and multiplied with as many rows as there are; what follows is done in float32, and the result rounded once.
 */
final class Multipliers {

    /** So many rows are widened and multiplied together. */
    private static final int ROWS = 1024;

    /** So many values of a widened matrix are multiplied together, half of a core's own cache, and so many columns at the most. */
    private static final int WIDENED = 1 << 16;
    private static final int COLUMNS = 1 << 10;

    /** A product that is finished in a pass behind it is made in pieces of so many values, which the pass finds in a near cache. */
    private static final int PIECE = 1 << 16;

    /** For so few rows reading the matrix is all that counts, and our kernels do nothing else. */
    private static final int FEW = 4;

    /** The same for a matrix that would have to be widened, which costs as much as reading it a few times. */
    private static final int FEW_WIDENED = 16;

    /** So many rows are our kernels' where a library adds in an order that they have not: within them a row depends on itself alone. */
    static final int FEW_APART = 64;

    private static final Room W = new Room();
    private static final Room X = new Room();
    private static final Room Y = new Room();

    /** Those of this process. */
    private static final Multipliers HERE = open(System.getProperty("isonorm.products", "onednn"));

    static {
        Slowness.warn(HERE);
    }

    private final Map<Type, Multiplier> by = new EnumMap<>(Type.class);
    private final Map<Type, Orders> orders = new EnumMap<>(Type.class);
    private final Multiplier inAnyOrder;
    private final List<Choice> choices = new ArrayList<>();
    private final List<Multiplier> there;

    /**
     * @param best those that there are, the best one first; the last one multiplies F64 and F32
     * @param missing why there are no better ones, or nothing
     */
    Multipliers(List<Multiplier> best, String missing) {
        there = List.copyOf(best);
        inAnyOrder = best.stream().filter(each -> best.getFirst() instanceof OneDnn first && !first.wide() && each instanceof OpenBlas).findFirst()
                .or(() -> best.stream().filter(each -> each.multiplies(Type.F32)).findFirst()).orElseThrow();
        for (Type type : Type.values()) {
            choices.add(choose(type, best, missing));
        }
        by.forEach((type, multiplier) -> orders.put(type, new Orders(multiplier)));
    }

    private Choice choose(Type type, List<Multiplier> best, String missing) {
        List<String> not = new ArrayList<>();
        if (!missing.isEmpty()) {
            not.add(missing);
        }
        for (Multiplier multiplier : best) {
            if (multiplier.multiplies(type)) {
                by.put(type, multiplier);
                String training = type == Type.F32 && inAnyOrder != multiplier ? ", in training " + inAnyOrder.name(type) : "";
                return new Choice(type, multiplier.name(type) + training, String.join("; ", not));
            }
            not.add(multiplier.name(type) + ": no fast product of this type on this processor");
        }
        return new Choice(type, "widened to float32, some columns at a time, for " + requireNonNull(by.get(Type.F32)).name(Type.F32), String.join("; ", not));
    }

    static Multipliers here() {
        return HERE;
    }

    /** The multipliers that are asked for, as far as they are there. */
    static Multipliers open(String wish) {
        List<String> known = List.of("onednn", "openblas", "own");
        int best = known.indexOf(wish);
        if (best < 0) {
            throw new IllegalArgumentException("isonorm.products must be one of " + String.join(", ", known) + ", got " + wish);
        }
        List<Multiplier> there = new ArrayList<>();
        List<String> missing = new ArrayList<>();
        if (best > 0) {
            missing.add("-Disonorm.products=" + wish + " asks for it");
        } else {
            OneDnn.Found found = OneDnn.here();
            found.library().ifPresentOrElse(there::add, () -> missing.add(found.reason()));
        }
        if (best < 2) {
            OpenBlas.Found found = OpenBlas.here();
            found.library().ifPresentOrElse(there::add, () -> missing.add(found.reason()));
        }
        there.add(new OwnProducts());
        return new Multipliers(there, String.join("; ", missing));
    }

    List<Choice> choices() {
        return choices;
    }

    /** oneDNN, where it is one of those that there are. */
    Optional<OneDnn> oneDnn() {
        return there.stream().filter(OneDnn.class::isInstance).map(OneDnn.class::cast).findFirst();
    }

    /** OpenBLAS, where it is one of those that there are. */
    Optional<OpenBlas> openBlas() {
        return there.stream().filter(OpenBlas.class::isInstance).map(OpenBlas.class::cast).findFirst();
    }

    boolean byLibrary() {
        return !(by.get(Type.F32) instanceof OwnProducts);
    }

    /** Whether numbers of this type are multiplied as they are. */
    boolean multiplies(Type type) {
        return by.containsKey(type);
    }

    /** {@code y = finish(x w)}; w may be of 16 bits where x and y are of float32. */
    void product(Rows x, Stack w, Rows y, Finish finish) {
        Multiplier direct = by.get(x.type());
        if (direct == null || x.type() != w.first().type()) {
            widened(Stack.of(x), w, Stack.of(y), false, finish);
        } else if (direct.finishes(finish)) {
            direct.product(x, w, y, finish);
        } else {
            int most = Math.max(1, PIECE / Math.max(1, x.rows()) / Panels.WIDTH) * Panels.WIDTH;
            for (int first = 0; first < y.columns(); first += most) {
                int columns = Math.min(most, y.columns() - first);
                Stack some = Stack.of(w.transposed() ? w.first().slice(first, columns) : w.first().sliceColumns(first, columns));
                inTwoSteps(y.sliceColumns(first, columns), finish.columns(first, columns),
                        product -> direct.product(x, w.transposed() ? some.transpose() : some, product, Finish.NOTHING));
            }
        }
    }

    /** In which order products of this type are added up, where our kernels can do so too. */
    Optional<Summation> order(Type type, int inputs) {
        return requireNonNull(orders.get(type)).of(type, inputs);
    }

    /** A product and what follows it, which is rounded once. */
    private static void inTwoSteps(Rows y, Finish finish, Consumer<Rows> product) {
        if (finish.nothing()) {
            product.accept(y);
        } else {
            byFloat32(y, finish, product);
        }
    }

    /** The same of sums that are float32 before they are rounded, whatever they are made in. */
    private static void byFloat32(Rows y, Finish finish, Consumer<Rows> product) {
        Rows wide = y.type().bytes() == 2 ? Y.rows(Type.F32, y.rows(), y.columns()) : y;
        product.accept(wide);
        finish.apply(wide, y);
    }

    /**
     * {@code y = finish(x w)}; w may be of 16 bits where x and y are of float32, and y of float32 where both are of 16 bits. Few rows are
     * multiplied by our own kernels.
     */
    void product(Rows x, Panels w, Rows y, Finish finish) {
        Multiplier direct = by.get(w.type());
        boolean asTheyAre = direct != null && x.type() == w.type();
        if (x.rows() <= FEW_APART && few(x, w, y, asTheyAre, finish)) {
            return;
        }
        if (direct == null || !asTheyAre) {
            for (int row = 0; row < x.rows(); row += ROWS) {
                int rows = Math.min(ROWS, x.rows() - row);
                widened(x.slice(row, rows), w, y.slice(row, rows), finish.rows(row, rows));
            }
        } else if (direct.finishes(finish)) {
            direct.product(Stack.of(x), w, y, finish);
        } else {
            int most = Math.max(1, PIECE / Math.max(1, x.rows()) / Panels.WIDTH) * Panels.WIDTH;
            for (int first = 0; first < y.columns(); first += most) {
                int columns = Math.min(most, y.columns() - first);
                Panels some = w.outputs(first, columns);
                inTwoSteps(y.sliceColumns(first, columns), finish.columns(first, columns),
                        product -> direct.product(Stack.of(x), some, product, Finish.NOTHING));
            }
        }
    }

    /** {@code y = finish(x w)} of float32 with a matrix of few bits. Few rows are multiplied by our own kernels; for more it is widened, some panels at a time. */
    void product(Rows x, QuantizedPanels w, Rows y, Finish finish) {
        Optional<Summation> order = order(Type.F32, w.inputs());
        if (x.rows() <= (order.isEmpty() ? FEW_APART : FEW_WIDENED)) {
            Kernels.provider().product(x, w.summed(order.orElse(Summation.USUAL)), y);
            finish.apply(y);
            return;
        }
        int most = Math.clamp(WIDENED / w.inputs() / Panels.WIDTH, 1, COLUMNS / Panels.WIDTH) * Panels.WIDTH;
        for (int first = 0; first < y.columns(); first += most) {
            int columns = Math.min(most, y.columns() - first);
            Panels b = W.panels(Type.F32, w.inputs(), columns);
            Kernels.provider().widen(w.outputs(first, columns), b);
            finished(Stack.of(x), b, y.sliceColumns(first, columns), false, finish.columns(first, columns));
        }
    }

    /** By our own kernels, where the rows are few enough. */
    private boolean few(Rows x, Panels w, Rows y, boolean asTheyAre, Finish finish) {
        Optional<Summation> order = order(asTheyAre ? w.type() : Type.F32, w.inputs());
        if (x.rows() > (order.isEmpty() ? FEW_APART : asTheyAre ? FEW : FEW_WIDENED)) {
            return false;
        }
        Panels summed = w.summed(order.orElse(Summation.USUAL));
        if (asTheyAre) {
            inTwoSteps(y, finish, product -> Kernels.of(w.type()).product(x, summed, product));
        } else {
            byFloat32(y, finish, product -> Kernels.of(w.type()).product(x, summed, product));
        }
        return true;
    }

    private void widened(Rows x, Panels w, Rows y, Finish finish) {
        Rows a = widened(x);
        int most = Math.clamp(WIDENED / w.depth() / Panels.WIDTH, 1, COLUMNS / Panels.WIDTH) * Panels.WIDTH;
        for (int first = 0; first < y.columns(); first += most) {
            int columns = Math.min(most, y.columns() - first);
            Panels some = w.outputs(first, columns);
            Panels b = W.panels(Type.F32, w.inputs(), columns);
            Kernels.provider().widen(some, b);
            finished(Stack.of(a), b, y.sliceColumns(first, columns), false, finish.columns(first, columns));
        }
    }

    /** {@code y = x w}, or {@code y += x w}, as many products as there are matrices in each stack. */
    void products(Stack x, Stack w, Stack y, boolean add) {
        Multiplier direct = by.get(x.first().type());
        if (direct == null) {
            widened(x, w, y, add, Finish.NOTHING);
        } else {
            direct.products(x, w, y, add);
        }
    }

    /**
     * The same in any order of sums: what a row gets may depend on how many are beside it. With AVX2 alone OpenBLAS is faster at matrices as
     * they lie, most of all where the first one is transposed, and adds up in an order that our kernels have not.
     */
    void productsInAnyOrder(Stack x, Stack w, Stack y, boolean add) {
        if (x.first().type() == Type.F32) {
            inAnyOrder.products(x, w, y, add);
        } else {
            products(x, w, y, add);
        }
    }

    private void widened(Stack x, Stack w, Stack y, boolean add, Finish finish) {
        for (int i = 0; i < y.count(); i++) {
            Rows stored = w.get(i);
            Rows into = y.get(i);
            int inner = x.inner();
            int most = Math.clamp(WIDENED / inner / Panels.WIDTH, 1, COLUMNS / Panels.WIDTH) * Panels.WIDTH;
            for (int row = 0; row < into.rows(); row += ROWS) {
                int rows = Math.min(ROWS, into.rows() - row);
                Rows left = x.get(i);
                Rows a = widened(x.transposed() ? left.sliceColumns(row, rows) : left.slice(row, rows));
                for (int first = 0; first < into.columns(); first += most) {
                    int columns = Math.min(most, into.columns() - first);
                    Panels b = W.panels(Type.F32, inner, columns);
                    Kernels.provider().pack(w.transposed() ? stored.slice(first, columns) : stored.sliceColumns(first, columns), w.transposed(), 0, b);
                    finished(new Stack(a, 1, 0, x.transposed()), b, into.slice(row, rows).sliceColumns(first, columns), add,
                            finish.rows(row, rows).columns(first, columns));
                }
            }
        }
    }

    /** {@code y = finish(x w)}, or {@code y += x w}, from float32 to any type. */
    private void finished(Stack x, Panels w, Rows y, boolean add, Finish finish) {
        Multiplier multiplier = requireNonNull(by.get(Type.F32));
        boolean fused = multiplier.finishes(finish) && finish.times().isEmpty();
        if (y.type() == Type.F32 && !add) {
            multiplier.product(x, w, y, fused ? finish : Finish.NOTHING);
            if (!fused) {
                finish.apply(y);
            }
            return;
        }
        Rows product = Y.rows(Type.F32, y.rows(), y.columns());
        multiplier.product(x, w, product, fused ? finish : Finish.NOTHING);
        if (add) {
            Gradients.of(Type.F32).add(product, 1, y);
        } else if (fused) {
            Kernels.provider().copy(product, y);
        } else {
            finish.apply(product, y);
        }
    }

    private static Rows widened(Rows rows) {
        if (rows.type() == Type.F32) {
            return rows;
        }
        Rows wide = X.rows(Type.F32, rows.rows(), rows.columns());
        Kernels.provider().copy(rows, wide);
        return wide;
    }
}
