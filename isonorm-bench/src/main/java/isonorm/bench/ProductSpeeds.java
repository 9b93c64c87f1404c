package isonorm.bench;

import isonorm.kernel.Kernels;
import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.measure.Machine;
import isonorm.tensor.Finish;
import isonorm.tensor.Products;
import isonorm.tensor.Team;
import isonorm.weights.Seed;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/**
 * GFLOP/s of matrix products with weights that are not in the nearest caches, by two threads with half of the rows each: of weights as they
 * lie in a file, (out, in) and (in, out), and of those in panels. {@code ISONORM_JAVA_OPTS=-Disonorm.products=own} does without oneDNN.
 */
public final class ProductSpeeds {

    private static final int[][] SHAPES = {{98, 192, 576}, {98, 768, 192}, {98, 384, 1536}, {98, 768, 3072}, {788, 192, 768}, {788, 384, 1536},
        {788, 768, 3072}, {1024, 384, 1536}};
    private static final int ROUNDS = 9;
    private static final int THREADS = 2;

    private ProductSpeeds() {}

    public static void main(String[] arguments) {
        System.out.println(Machine.here().line(THREADS));
        SplittableRandom random = Seed.of(1).random();
        try (Team team = Team.of(THREADS); Arena arena = Arena.ofShared()) {
            for (Type type : List.of(Type.F32, Type.BF16)) { // until all is compiled
                measure(type, SHAPES[0], team, arena, random);
            }
            System.out.printf("%-6s %-18s %12s %12s %12s%n", "type", "rows x in x out", "(out, in)", "(in, out)", "in panels");
            for (Type type : List.of(Type.F32, Type.BF16)) {
                for (int[] shape : SHAPES) {
                    double[] speeds = measure(type, shape, team, arena, random);
                    System.out.printf("%-6s %-18s %12.0f %12.0f %12.0f%n", type, shape[0] + " x " + shape[1] + " x " + shape[2], speeds[0], speeds[1],
                            speeds[2]);
                }
            }
        }
    }

    private static double[] measure(Type type, int[] shape, Team team, Arena arena, SplittableRandom random) {
        int m = shape[0];
        int k = shape[1];
        int n = shape[2];
        int copies = Math.clamp(10_000_000 / ((long) k * n), 1, 24);
        Rows[] weights = new Rows[copies];
        for (int i = 0; i < copies; i++) {
            weights[i] = random(arena, type, n, k, random);
        }
        Rows[] turned = Arrays.stream(weights).map(w -> new Rows(w.data(), type, 0, k, n, n)).toArray(Rows[]::new);
        List<Panels> panels = Arrays.stream(weights).map(w -> panels(arena, w)).toList();
        Rows[] x = {random(arena, type, m, k, random), random(arena, type, m, k, random)};
        Rows[] y = {random(arena, type, m, n, random), random(arena, type, m, n, random)};
        double operations = 2.0 * m * k * n * copies * team.size();
        int times = (int) Math.max(1, 2e9 / operations);
        double[] stored = new double[ROUNDS];
        double[] other = new double[ROUNDS];
        double[] ordered = new double[ROUNDS];
        for (int round = 0; round < ROUNDS; round++) {
            stored[round] = operations * times / time(times * copies, i -> team.each(team.size(), t ->
                    Products.product(x[t], weights[i % copies], true, y[t])));
            other[round] = operations * times / time(times * copies, i -> team.each(team.size(), t ->
                    Products.product(x[t], turned[i % copies], false, y[t])));
            ordered[round] = operations * times / time(times * copies, i -> team.each(team.size(), t ->
                    Products.product(x[t], panels.get(i % copies), y[t], Finish.NOTHING)));
        }
        return new double[] {median(stored), median(other), median(ordered)};
    }

    private static double median(double[] speeds) {
        Arrays.sort(speeds);
        return speeds[ROUNDS / 2];
    }

    private static Panels panels(Arena arena, Rows w) {
        Panels panels = Panels.allocate(arena, w.type(), w.columns(), w.rows());
        Kernels.provider().pack(w, true, 0, panels);
        return panels;
    }

    private static Rows random(Arena arena, Type type, int rows, int columns, SplittableRandom random) {
        Rows made = Rows.allocate(arena, type, rows, columns, columns);
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < columns; c++) {
                made.set(r, c, random.nextGaussian());
            }
        }
        return made;
    }

    private static long time(int times, Team.Part work) {
        long began = System.nanoTime();
        for (int i = 0; i < times; i++) {
            work.run(i);
        }
        return System.nanoTime() - began;
    }
}
