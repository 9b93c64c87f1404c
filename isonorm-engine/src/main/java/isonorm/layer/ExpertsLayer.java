package isonorm.layer;

import isonorm.architecture.Experts;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import isonorm.weights.Scratch;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * {@code sum over the chosen e of weight(e) * expert_e(x) + shared(x)}: one expert after the other, each with the positions that chose it, added up in
 * the wide type in the order of their numbers.
 *
 * @param router its weight; its bias and its correction are in the wide type
 * @param sharedWeight what the shared MLP's gate is computed with
 * @param width of what is written
 */
record ExpertsLayer(
        Experts experts,
        Tensor router,
        Optional<Tensor> bias,
        double[] correction,
        Each each,
        Optional<MlpLayer> shared,
        Optional<Linear> sharedWeight,
        int width,
        Compute compute) {

    /** Gives the experts their weights: all are in memory, or one at a time. */
    interface Each {
        Tensor forward(int expert, Tensor x) throws IOException;
    }

    Tensor forward(Tensor x, int block, Observation watch) {
        Choice[] choices = choose(x);
        watch.chosen(block, choices);
        Type wide = Type.wide(compute);
        Tensor sum = x.space().empty(wide, x.count(), width).map((_, _, y) -> Arrays.fill(y, 0, width, 0));
        for (int e = 0; e < experts.count(); e++) {
            add(e, x, choices, sum);
        }
        if (shared.isPresent()) {
            Tensor all = shared.get().forward(x).to(wide);
            sum = sum.plus(sharedWeight.isPresent() ? all.times(sigmoid(sharedWeight.get().forward(x).to(wide))) : all);
        }
        return sum.to(Type.of(compute));
    }

    private Choice[] choose(Tensor x) {
        Tensor product = new Tensor(x.space().empty(Type.wide(compute), x.count(), experts.count()).rows(), x.space());
        x.product(router, product.rows());
        Tensor outputs = bias.isPresent() ? product.plus(bias.get()) : product;
        Choice[] choices = new Choice[x.count()];
        x.space().split(x.count(), (long) x.count() * x.width(), (first, some) -> {
            for (int row = first; row < first + some; row++) {
                double[] values = new double[experts.count()];
                outputs.rows().read(row, 0, values.length, values);
                choices[row] = Choice.of(experts.routing(), values, correction);
            }
        });
        return choices;
    }

    private record Chosen(int row, double weight) {}

    /** Adds what an expert gives the positions that chose it. */
    private void add(int e, Tensor x, Choice[] choices, Tensor sum) {
        List<Chosen> chosen = new ArrayList<>();
        for (int row = 0; row < choices.length; row++) {
            for (int i = 0; i < choices[row].experts().length; i++) {
                if (choices[row].experts()[i] == e) {
                    chosen.add(new Chosen(row, choices[row].weights()[i]));
                }
            }
        }
        if (chosen.isEmpty()) {
            return;
        }
        try {
            x.space().scoped(() -> {
                Tensor some = x.space().empty(x.type(), chosen.size(), x.width());
                for (int i = 0; i < chosen.size(); i++) {
                    x.slice(chosen.get(i).row, 1).copyTo(some.rows().slice(i, 1));
                }
                Tensor given = each.forward(e, some);
                x.space().split(chosen.size(), (long) chosen.size() * width, (first, count) -> add(given, chosen, first, count, sum));
            });
        } catch (IOException e1) {
            throw new UncheckedIOException(e1);
        }
    }

    private void add(Tensor given, List<Chosen> chosen, int first, int count, Tensor sum) {
        try (Scratch of = Scratch.borrow(width); Scratch total = Scratch.borrow(width)) {
            for (int i = first; i < first + count; i++) {
                Chosen one = chosen.get(i);
                given.rows().read(i, 0, width, of.values());
                sum.rows().read(one.row, 0, width, total.values());
                for (int c = 0; c < width; c++) {
                    total.values()[c] += one.weight * of.values()[c];
                }
                sum.rows().write(one.row, 0, width, total.values());
            }
        }
    }

    private static Tensor sigmoid(Tensor x) {
        return x.map((_, row, y) -> y[0] = 1 / (1 + Math.exp(-row[0])));
    }
}
