package isonorm.tensor;

import isonorm.kernel.Kernels;
import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Summation;
import isonorm.kernel.Type;
import isonorm.tensor.Products.Stack;
import isonorm.weights.Seed;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentHashMap;

/**
 * In which order a library adds up products with panels, found out by comparing bits: our kernels, which take few rows, then add in the same
 * one, and a row's values do not depend on how many rows are beside it.
 *
 * <p>The order depends on the number of inputs, and could on that of rows: an order counts if few rows and many have it.
 */
final class Orders {

    private static final int OUTPUTS = 2 * Panels.WIDTH;
    private static final int FEWEST = 512;
    private static final List<Integer> LOOKED_AT = List.of(0, 33, OUTPUTS - 1);
    private static final int FEW = 5;
    private static final int MANY = 130;
    private static final List<Integer> SPANS = List.of(Summation.WHOLE, 512, 1024, 256, 384, 2048);

    private final Multiplier multiplier;
    private final Map<List<Object>, Optional<Summation>> known = new ConcurrentHashMap<>();

    Orders(Multiplier multiplier) {
        this.multiplier = multiplier;
    }

    /** The order, if it is one that our kernels have too. */
    Optional<Summation> of(Type type, int inputs) {
        if (multiplier instanceof OwnProducts || type == Type.F64) { // of float64 our kernels have an order of their own
            return Optional.of(Summation.USUAL);
        }
        int asked = Math.max(inputs, FEWEST); // of fewer there is one sum, whatever the span is
        return Kernels.vectorized() ? known.computeIfAbsent(List.of(type, asked), _ -> find(type, asked)) : Optional.empty();
    }

    /** Only what is looked at is more than zero: this is done before the first product of a shape, when nothing is compiled. */
    private Optional<Summation> find(Type type, int inputs) {
        try (Arena arena = Arena.ofConfined()) {
            SplittableRandom random = Seed.of(inputs).random();
            Panels w = Panels.allocate(arena, type, inputs, OUTPUTS);
            for (int output : LOOKED_AT) {
                for (int input = 0; input < inputs; input++) {
                    w.set(input, output, random.nextDouble(-1, 1));
                }
            }
            Rows x = Rows.allocate(arena, type, MANY, inputs, inputs);
            for (int row : List.of(0, FEW - 1, MANY - 1)) {
                for (int input = 0; input < inputs; input++) {
                    x.set(row, input, random.nextDouble(-1, 1));
                }
            }
            List<Summation> possible = possible(type, inputs);
            for (Rows some : List.of(x.slice(0, FEW), x)) {
                Rows y = Rows.allocate(arena, Type.F32, some.rows(), OUTPUTS, OUTPUTS);
                multiplier.product(Stack.of(some), w, y, Finish.NOTHING);
                possible.removeIf(summation -> !explains(some, w, y, summation));
            }
            return possible.stream().findFirst();
        }
    }

    private static List<Summation> possible(Type type, int inputs) {
        List<Summation> possible = new ArrayList<>();
        for (int span : SPANS) {
            if (span == Summation.WHOLE || span < inputs) {
                possible.add(new Summation(span, false));
                if (type.bytes() == 2) {
                    possible.add(new Summation(span, true));
                }
            }
        }
        return possible;
    }

    private static boolean explains(Rows x, Panels w, Rows y, Summation summation) {
        for (int row : List.of(0, FEW - 1, x.rows() - 1)) {
            for (int output : LOOKED_AT) {
                if (sum(x, row, w, output, summation) != (float) y.get(row, output)) {
                    return false;
                }
            }
        }
        return true;
    }

    private static float sum(Rows x, int row, Panels w, int output, Summation summation) {
        int K = w.inputs();
        int span = Math.min(summation.span(), K);
        float total = -0f; // to which a sum is added as it is
        for (int from = 0; from < K; from += span) {
            float sum = 0;
            int end = Math.min(from + span, K);
            for (int i = from; i < end; i++) {
                int input = summation.secondFirst() ? i ^ 1 : i;
                if (input < K) {
                    sum = Math.fma((float) x.get(row, input), (float) w.get(input, output), sum);
                }
            }
            if (summation.secondFirst() && K % 2 != 0 && end == K) {
                sum = Math.fma((float) x.get(row, K - 1), (float) w.get(K - 1, output), sum);
            }
            total += sum;
        }
        return total;
    }
}
