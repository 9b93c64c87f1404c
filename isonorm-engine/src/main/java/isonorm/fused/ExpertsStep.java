package isonorm.fused;

import isonorm.architecture.Experts;
import isonorm.architecture.Mlp;
import isonorm.fused.Workspace.Use;
import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.layer.Choice;
import isonorm.tensor.Finish;
import isonorm.weights.Scratch;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * {@code sum over the chosen e of weight(e) * expert_e(x) + shared(x)}. Only the weights of experts that some row chose are read.
 *
 * <p>Rows are brought together by expert, each as often as it chose one, and each expert's rows go through its layers as products of their own,
 * whose outputs are shared out among threads. What a row gets depends on that row alone: a product's rows do, and contributions are added in
 * the order of the experts' numbers, in float64, and rounded once. The shared MLP is one expert more, which all rows choose.
 */
record ExpertsStep(
        Experts experts, int block, Weight router, Values routerBias, double[] correction, List<Expert> each, Optional<Expert> shared, Optional<Weight> sharedWeight,
        Values sharedWeightBias) {

    private static final Kernels KERNELS = Kernels.provider();

    /** So many parts a thread: experts have different numbers of rows. */
    private static final int PARTS = 4;

    /** The weights of one. */
    record Expert(Mlp mlp, Optional<Weight> gate, Values gateBias, Weight up, Values upBias, Weight down, Values downBias) {

        /** {@code activation(gate(x)) * up(x)} for some of the hidden values. */
        private void inner(Rows x, Values scales, int column, Rows upper, Rows gated) {
            int columns = upper.columns();
            if (gate.isEmpty()) {
                up.multiply(x, column, upper, Finish.of(upBias, mlp.activation()).columns(column, columns).scaled(scales));
                return;
            }
            up.multiply(x, column, upper, Finish.of(upBias).columns(column, columns).scaled(scales));
            if (mlp.clamp().isEmpty()) {
                gate.get().multiply(x, column, gated, Finish.of(gateBias, mlp.activation()).columns(column, columns).scaled(scales).times(upper));
                return;
            }
            gate.get().multiply(x, column, gated, Finish.of(gateBias).columns(column, columns).scaled(scales));
            MlpStep.clamp(mlp.clamp().get(), gated, upper);
            KERNELS.gate(gated, upper, Values.NONE, Values.NONE, Values.NONE, mlp.activation(), gated);
        }
    }

    /** The rows that chose one expert, from {@code first} on among those that are brought together. */
    private record Group(Expert expert, int first, int count) {}

    /** Rows brought together by expert. */
    private static final class Together {
        private final List<Group> groups = new ArrayList<>();
        private final int[] rows;
        private final double[] weights;
        private final int[][] places;
        private final int[] known;
        private int count;

        Together(int total, int rowCount, int most) {
            rows = new int[total];
            weights = new double[total];
            places = new int[rowCount][most];
            known = new int[rowCount];
        }

        private void add(int row, double weight) {
            places[row][known[row]++] = count;
            rows[count] = row;
            weights[count++] = weight;
        }
    }

    Rows forward(Residual.Read read, Pass pass) {
        int n = pass.rows();
        Rows outputs = pass.room().rows(Use.ROUTER, Type.F32, n, experts.count());
        pass.linear(read, router, outputs, Finish.of(routerBias));
        Rows gates = pass.room().rows(Use.SHARED_WEIGHT, Type.F32, n, 1);
        sharedWeight.ifPresent(weight -> pass.linear(read, weight, gates, Finish.of(sharedWeightBias)));
        pass.settle();
        Together together = together(choose(outputs, pass), gates);
        int total = together.count;
        int d = read.x().columns();
        Rows x = pass.room().rows(Use.GATHERED, total, d);
        Values scales = read.scales().present() ? Values.room(total) : Values.NONE;
        pass.each(parts(total, pass), part -> {
            int first = (int) ((long) total * part / parts(total, pass));
            int some = (int) ((long) total * (part + 1) / parts(total, pass)) - first;
            KERNELS.gather(read.x(), Arrays.copyOfRange(together.rows, first, first + some), 1, x.slice(first, some));
            for (int i = first; i < first + some && scales.present(); i++) {
                scales.set(i, read.scales().get(together.rows[i]));
            }
        });
        int hidden = together.groups.stream().mapToInt(group -> group.expert.mlp.hidden()).max().orElseThrow();
        Rows upper = pass.room().rows(Use.INNER, total, hidden);
        Rows gated = pass.room().rows(Use.GATE, total, hidden);
        each(together.groups, pass, expert -> expert.mlp.hidden(), expert -> expert.up.step(), (group, column, columns) -> {
            Rows up = upper.slice(group.first, group.count).sliceColumns(column, columns);
            Rows gate = gated.slice(group.first, group.count).sliceColumns(column, columns);
            group.expert.inner(x.slice(group.first, group.count), scales.slice(group.first, group.count), column, up, gate);
        });
        Rows given = pass.room().rows(Use.GIVEN, Type.F32, total, d);
        each(together.groups, pass, _ -> d, expert -> expert.down.step(), (group, column, columns) -> {
            Rows inner = (group.expert.gate.isPresent() ? gated : upper).slice(group.first, group.count).sliceColumns(0, group.expert.mlp.hidden());
            group.expert.down.multiply(inner, column, given.slice(group.first, group.count).sliceColumns(column, columns),
                    Finish.of(group.expert.downBias).columns(column, columns));
        });
        Rows written = pass.room().rows(Use.MLP_BRANCH, n, d);
        pass.each(parts(n, pass), part -> {
            int first = (int) ((long) n * part / parts(n, pass));
            int end = (int) ((long) n * (part + 1) / parts(n, pass));
            sum(together, given, first, end - first, written);
        });
        return written;
    }

    private static int parts(int rows, Pass pass) {
        return Math.min(rows, pass.threads());
    }

    private Choice[] choose(Rows outputs, Pass pass) {
        Choice[] choices = new Choice[outputs.rows()];
        double[] values = new double[experts.count()];
        for (int row = 0; row < choices.length; row++) {
            outputs.read(row, 0, values.length, values);
            choices[row] = Choice.of(experts.routing(), values, correction);
        }
        pass.showChosen(block, choices);
        return choices;
    }

    private Together together(Choice[] choices, Rows gates) {
        int chosen = experts.routing().chosen();
        int most = chosen + (shared.isPresent() ? 1 : 0);
        Together together = new Together(choices.length * most, choices.length, most);
        int[] next = new int[choices.length];
        for (int e = 0; e < experts.count(); e++) {
            int first = together.count;
            for (int row = 0; row < choices.length; row++) {
                Choice choice = choices[row];
                if (next[row] < chosen && choice.experts()[next[row]] == e) {
                    together.add(row, choice.weights()[next[row]++]);
                }
            }
            if (together.count > first) {
                together.groups.add(new Group(each.get(e), first, together.count - first));
            }
        }
        shared.ifPresent(expert -> {
            together.groups.add(new Group(expert, together.count, choices.length));
            for (int row = 0; row < choices.length; row++) {
                together.add(row, sharedWeight.isPresent() ? 1 / (1 + Math.exp(-gates.get(row, 0))) : 1);
            }
        });
        return together;
    }

    private interface Size {
        int of(Expert expert);
    }

    private interface Body {
        void run(Group group, int column, int columns);
    }

    private record Task(Group group, int column, int columns) {}

    /** Runs {@code body} on all groups, some of the outputs at a time: those with most rows first. */
    private static void each(List<Group> groups, Pass pass, Size outputs, Size steps, Body body) {
        List<Task> tasks = new ArrayList<>();
        int parts = pass.threads() == 1 ? 1 : Math.ceilDiv(PARTS * pass.threads(), groups.size());
        groups.stream().sorted((a, b) -> Integer.compare(b.count, a.count)).forEach(group -> {
            int all = outputs.of(group.expert);
            int step = steps.of(group.expert);
            int number = Math.ceilDiv(all, step);
            int some = Math.min(parts, number);
            for (int part = 0; part < some; part++) {
                int first = (int) ((long) number * part / some) * step;
                int end = Math.min(all, (int) ((long) number * (part + 1) / some) * step);
                tasks.add(new Task(group, first, end - first));
            }
        });
        pass.each(tasks.size(), number -> {
            Task task = tasks.get(number);
            body.run(task.group, task.column, task.columns);
        });
    }

    private static void sum(Together together, Rows given, int first, int count, Rows written) {
        int d = written.columns();
        try (Scratch of = Scratch.borrow(d); Scratch total = Scratch.borrow(d)) {
            double[] values = of.values();
            double[] sum = total.values();
            for (int row = first; row < first + count; row++) {
                Arrays.fill(sum, 0, d, 0);
                for (int place : together.places[row]) {
                    double weight = together.weights[place];
                    given.read(place, 0, d, values);
                    for (int c = 0; c < d; c++) {
                        sum[c] += weight * values[c];
                    }
                }
                written.write(row, 0, d, sum);
            }
        }
    }
}
