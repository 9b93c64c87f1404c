package isonorm.backpropagation;

import static isonorm.architecture.Part.ATTENTION_HEAD_SCALE;
import static isonorm.architecture.Part.ATTENTION_INNER_NORM;
import static isonorm.architecture.Part.ATTENTION_OUTPUT;
import static isonorm.architecture.Part.KEY_NORM;
import static isonorm.architecture.Part.QUERY_KEY_VALUE;
import static isonorm.architecture.Part.QUERY_NORM;
import static isonorm.architecture.Part.VALUE_NORM;
import static isonorm.architecture.Role.Field.BIAS;
import static isonorm.architecture.Role.Field.GAIN;
import static isonorm.architecture.Role.Field.WEIGHT;

import isonorm.architecture.Attention;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Role;
import isonorm.kernel.KeyBiases;
import isonorm.kernel.Reach;
import isonorm.kernel.Rows;
import isonorm.kernel.Scoring;
import isonorm.kernel.Turns;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.tensor.Products;
import isonorm.tensor.Products.Stack;
import isonorm.weights.Seed;
import java.lang.foreign.Arena;
import java.util.Optional;

/**
 * {@code output(softmax(softcap(scale q k^T) + positions + mask) v)} with q, k and v from one projection, and the backward pass; the bias of
 * {@code output} is left to the stream.
 *
 * <p>Weights are not kept: the backward pass computes them again, some queries at a time, so that memory grows with the length of a
 * sequence and not with its square. With P the weights and S the scaled products of queries and keys,
 *
 * <pre>
 * dV = P^T dO        dP = dO V^T        dS = P * (dP - rowsum(P * dP))        dQ = scale dS K        dK = scale dS^T Q
 * </pre>
 *
 * In the code H is heads, K key-value heads, G = H / K, D the head's width, T the length of a sequence and N how many heads a task has.
 */
final class AttentionFunction {

    /** The bytes of the weights that a task has in memory. */
    private static final int SCORES = 512 * 1024;

    /** So many queries are taken together at most: later ones see more keys than the first, and would compute hidden scores. */
    private static final int QUERIES = 256;

    private static final ThreadLocal<Rows[]> ROOM = ThreadLocal.withInitial(() -> new Rows[Use.values().length]);

    private enum Use { WEIGHTS, DROPPED, GRADIENTS, PRODUCTS, KEYS, VALUES, ADDED }

    private final Attention attention;
    private final int block;
    private final double dropout;
    private final LinearFunction projection;
    private final Optional<Parameters.Entry> bias;
    private final Optional<NormFunction> queryNorm;
    private final Optional<NormFunction> keyNorm;
    private final Optional<NormFunction> valueNorm;
    private final Optional<NormFunction> innerNorm;
    private final Optional<Parameters.Entry> headScales;
    private final Values allScales;
    private final LinearFunction output;
    private final Optional<Turns> turns;
    private final Optional<Turns> turnsBack;

    /**
     * @param dropout the probability with which a weight is dropped
     */
    AttentionFunction(Parameters from, Attention attention, int l, int context, double dropout, Arena arena) {
        if (attention.scores().sinks()) {
            throw new IllegalArgumentException("attention with sinks is not trained; train a model without them");
        }
        if (attention.positions().relative().isPresent()) {
            throw new IllegalArgumentException("attention with a learned bias of distances is not trained; train a model without one");
        }
        this.attention = attention;
        this.block = l;
        this.dropout = dropout;
        this.projection = LinearFunction.of(from.get(QUERY_KEY_VALUE, l, WEIGHT));
        this.bias = attention.bias() ? Optional.of(from.get(QUERY_KEY_VALUE, l, BIAS)) : Optional.empty();
        this.queryNorm = attention.norms().queryKey().map(norm -> headNorm(norm, Role.of(QUERY_NORM, l, GAIN), from, attention.heads().count()));
        this.keyNorm = attention.norms().queryKey().map(norm -> headNorm(norm, Role.of(KEY_NORM, l, GAIN), from, attention.heads().keyValue()));
        this.valueNorm = attention.norms().value().map(norm -> NormFunction.ofHeads(norm,
                attention.norms().span(),
                Role.of(VALUE_NORM, l, GAIN), from, attention.heads().keyValue()));
        this.innerNorm = attention.norms().inner().map(norm -> NormFunction.of(norm, Role.of(ATTENTION_INNER_NORM, l, GAIN), from,
                attention.outputColumns(), 1));
        this.headScales = attention.norms().headScales() ? Optional.of(from.get(ATTENTION_HEAD_SCALE, l, WEIGHT)) : Optional.empty();
        this.allScales = attention.norms().headScales() ? Values.room(from.type(), attention.outputColumns()) : Values.NONE;
        this.output = LinearFunction.of(from.get(ATTENTION_OUTPUT, l, WEIGHT));
        this.turns = attention.positions().rotary().map(rotary -> Turns.of(rotary, from.compute() == Type.F64 ? Type.F64 : Type.F32, context, arena));
        this.turnsBack = turns.map(angles -> angles.inverse(arena));
    }

    private static NormFunction headNorm(QueryKeyNorm norm, Role gain, Parameters from, int heads) {
        return NormFunction.ofHeads(norm.norm(), norm.span(), gain, from, heads);
    }

    private Rows queries(Rows qkv) {
        return qkv.sliceColumns(0, attention.heads().count() * attention.heads().width());
    }

    private Rows keys(Rows qkv) {
        int D = attention.heads().width();
        return qkv.sliceColumns(attention.heads().count() * D, attention.heads().keyValue() * D);
    }

    private Rows values(Rows qkv) {
        int D = attention.heads().width();
        return qkv.sliceColumns((attention.heads().count() + attention.heads().keyValue()) * D, attention.heads().keyValue() * D);
    }

    Traced forward(Rows x, Step step) {
        Rows qkv = projection.forward(x, step);
        bias.ifPresent(added -> step.split(qkv.rows(), (first, rows) -> step.kernels().addBias(qkv.slice(first, rows), added.values())));
        boolean changes = attention.clip().isPresent() || queryNorm.isPresent() || valueNorm.isPresent();
        Rows raw = changes ? step.narrowCopy(qkv) : qkv;
        attention.clip().ifPresent(limit -> step.split(qkv.rows(), (first, rows) -> clip(qkv.slice(first, rows), limit)));
        Rows clipped = attention.clip().isPresent() && (queryNorm.isPresent() || valueNorm.isPresent()) ? step.narrowCopy(qkv) : raw;
        queryNorm.ifPresent(norm -> norm.forward(queries(qkv), queries(qkv), step));
        keyNorm.ifPresent(norm -> norm.forward(keys(qkv), keys(qkv), step));
        valueNorm.ifPresent(norm -> norm.forward(values(qkv), values(qkv), step));
        turns.ifPresent(angles -> turn(qkv, angles, step));
        Rows attended = step.room(attention.outputColumns());
        attend(qkv, attended, step);
        Rows read = innerNorm.isEmpty() ? attended : step.room(attention.outputColumns());
        innerNorm.ifPresent(norm -> norm.forward(attended, read, step));
        Rows scaled = headScales.isEmpty() ? read : step.room(attention.outputColumns());
        headScales.ifPresent(scales -> scale(read, scales, scaled, step));
        Rows y = output.forward(scaled, step);
        return new Traced(y, dy -> {
            Rows dAttended = output.backward(scaled, dy, step);
            headScales.ifPresent(scales -> scaleBack(read, scales, dAttended, step));
            innerNorm.ifPresent(norm -> norm.backward(attended, dAttended, dAttended, step));
            Rows dqkv = step.room(attention.projectionWidth());
            attendBack(qkv, dAttended, dqkv, step);
            turnsBack.ifPresent(angles -> turn(dqkv, angles, step));
            queryNorm.ifPresent(norm -> norm.backward(queries(clipped), queries(dqkv), queries(dqkv), step));
            keyNorm.ifPresent(norm -> norm.backward(keys(clipped), keys(dqkv), keys(dqkv), step));
            valueNorm.ifPresent(norm -> norm.backward(values(clipped), values(dqkv), values(dqkv), step));
            attention.clip().ifPresent(limit -> step.split(dqkv.rows(),
                    (first, rows) -> stopBeyond(raw.slice(first, rows), limit, dqkv.slice(first, rows))));
            bias.ifPresent(added -> step.addColumnSums(dqkv, added.gradient()));
            return projection.backward(x, dqkv, step);
        });
    }

    /** {@code out = x}, each head times its scale. */
    private void scale(Rows x, Parameters.Entry scales, Rows out, Step step) {
        for (int c = 0; c < allScales.count(); c++) {
            allScales.set(c, scales.values().get(c / attention.heads().width()));
        }
        step.split(x.rows(), (first, rows) -> step.gradients().multiplyColumns(x.slice(first, rows), allScales, out.slice(first, rows)));
    }

    private void scaleBack(Rows x, Parameters.Entry scales, Rows dy, Step step) {
        Rows sums = step.pad().rows(scales.gradient().type(), 1, dy.columns());
        Parameters.zero(sums);
        step.summing(dy.rows(), new Rows[] {sums}, (first, rows, some) ->
                step.gradients().columnFactors(x.slice(first, rows), allScales, dy.slice(first, rows), some[0]));
        for (int c = 0; c < sums.columns(); c++) {
            int head = c / attention.heads().width();
            scales.gradient().set(0, head, scales.gradient().get(0, head) + sums.get(0, c));
        }
    }

    private static void clip(Rows x, double limit) {
        for (int r = 0; r < x.rows(); r++) {
            for (int c = 0; c < x.columns(); c++) {
                x.set(r, c, Math.clamp(x.get(r, c), -limit, limit));
            }
        }
    }

    private static void stopBeyond(Rows x, double limit, Rows dx) {
        for (int r = 0; r < x.rows(); r++) {
            for (int c = 0; c < x.columns(); c++) {
                if (Math.abs(x.get(r, c)) > limit) {
                    dx.set(r, c, 0);
                }
            }
        }
    }

    /** Turns queries and keys of every sequence. */
    private void turn(Rows qkv, Turns angles, Step step) {
        step.each(step.rows(), (first, rows) -> {
            for (int row = first; row < first + rows; ) {
                int position = row % step.length();
                int some = Math.min(first + rows - row, step.length() - position);
                step.kernels().rotary(queries(qkv.slice(row, some)), attention.heads().count(), angles, position);
                step.kernels().rotary(keys(qkv.slice(row, some)), attention.heads().keyValue(), angles, position);
                row += some;
            }
        });
    }

    /** Some heads of a sequence, which share a key-value head or have each their own. */
    private record Task(int sequence, int head, int heads) {}

    private int group() {
        return attention.heads().count() / attention.heads().keyValue();
    }

    private Task[] tasks(Step step) {
        int H = attention.heads().count();
        int alike = group() == 1 ? H : group();
        long each = (long) step.length() * Math.min(QUERIES, step.length()) * step.type().bytes();
        int heads = Math.clamp(SCORES / each, 1, alike);
        while (alike % heads != 0) {
            heads--;
        }
        Task[] tasks = new Task[step.count() * H / heads];
        for (int t = 0; t < tasks.length; t++) {
            tasks[t] = new Task(t / (H / heads), t % (H / heads) * heads, heads);
        }
        return tasks;
    }

    /** The queries of a task, some at a time, each with the keys they can see. */
    private interface Block {
        void run(int query, int queries, int from, int to, Reach reach);
    }

    private void blocks(int T, Block block) {
        int window = attention.scores().window().orElse(Integer.MAX_VALUE);
        int blocks = Math.ceilDiv(T, QUERIES);
        for (int b = 0; b < blocks; b++) {
            int query = (int) ((long) T * b / blocks);
            int queries = (int) ((long) T * (b + 1) / blocks) - query;
            int from = attention.causal() ? Math.max(0, query - (window - 1)) : 0;
            int to = attention.causal() ? query + queries : T;
            block.run(query, queries, from, to, new Reach(query - from, queries, attention.causal(), window));
        }
    }

    private Scoring scoring() {
        return Scoring.of(attention.scores().scale()).withSoftcap(attention.scores().softcap().orElse(0));
    }

    /** Heads of some rows, one after the other. */
    private Stack heads(Rows x, int first, int rows, int head, int heads, int step) {
        int D = attention.heads().width();
        return Stack.of(x.slice(first, rows).sliceColumns(head * D, D), heads, (long) step * D);
    }

    private void attend(Rows qkv, Rows attended, Step step) {
        Task[] tasks = tasks(step);
        int T = step.length();
        step.team().each(tasks.length, number -> {
            Task task = tasks[number];
            int row = task.sequence * T;
            blocks(T, (query, queries, from, to, reach) -> {
                Rows weights = room(Use.WEIGHTS, step.type(), task.heads * queries, to - from);
                weights(qkv, task, row, query, queries, from, to, reach, weights, Optional.empty(), step);
                drop(weights, task, query, queries, step);
                Products.products(stack(weights, task.heads), valueHeads(values(qkv), row + from, to - from, task),
                        heads(attended, row + query, queries, task.head, task.heads, 1));
            });
        });
    }

    /**
     * Drops weights, or their gradients: the same ones whenever it is applied in a step, whichever heads a task has and whichever sequences a rank. The queries of a
     * block begin with the same keys there and back, so a column says which key is meant.
     */
    private void drop(Rows weights, Task task, int query, int queries, Step step) {
        if (dropout == 0 || !step.learning()) {
            return;
        }
        Seed seed = step.seed().at("attention").at(block);
        long sequence = step.sequences().number(task.sequence);
        for (int i = 0; i < task.heads; i++) {
            long head = sequence * attention.heads().count() + task.head + i;
            step.gradients().dropout(weights.slice(i * queries, queries), dropout, seed, head * step.length() + query);
        }
    }

    private Stack valueHeads(Rows keysOrValues, int first, int rows, Task task) {
        return heads(keysOrValues, first, rows, task.head / group(), task.heads, group() == 1 ? 1 : 0);
    }

    /** Scores and their softmax; the products themselves are kept where they are asked for. */
    private void weights(Rows qkv, Task task, int row, int query, int queries, int from, int to, Reach reach, Rows weights,
            Optional<Rows> products, Step step) {
        Rows scores = products.orElse(weights);
        Products.products(heads(queries(qkv), row + query, queries, task.head, task.heads, 1),
                valueHeads(keys(qkv), row + from, to - from, task).transpose(), stack(scores, task.heads));
        if (attention.positions().alibi().isEmpty()) {
            step.kernels().softmax(scores, scoring(), Values.NONE, reach, weights);
        } else {
            for (int i = 0; i < task.heads; i++) {
                Values biases = KeyBiases.of(attention.positions().alibi().get(), attention.heads().count(), task.head + i, attention.scores().scale(), from, to, step.type());
                step.kernels().softmax(scores.slice(i * queries, queries), scoring(), biases, reach, weights.slice(i * queries, queries));
            }
        }
    }

    private void attendBack(Rows qkv, Rows dAttended, Rows dqkv, Step step) {
        Task[] tasks = tasks(step);
        int chain = group() == 1 ? 1 : group() / tasks[0].heads; // tasks of one key-value head are one thread's, because they add to it
        step.team().each(tasks.length / chain, number -> {
            boolean direct = group() == 1 && Math.ceilDiv(step.length(), QUERIES) == 1;
            Task first = tasks[number * chain];
            int heads = group() == 1 ? first.heads : 1;
            Type exact = step.type() == Type.F64 ? Type.F64 : Type.F32;
            Rows keySums = direct ? null : zeros(Use.KEYS, exact, heads * step.length());
            Rows valueSums = direct ? null : zeros(Use.VALUES, exact, heads * step.length());
            for (int i = 0; i < chain; i++) {
                attendBack(tasks[number * chain + i], qkv, dAttended, dqkv, keySums, valueSums, step);
            }
            if (!direct) {
                store(keySums, keys(dqkv), first, heads, step);
                store(valueSums, values(dqkv), first, heads, step);
            }
        });
    }

    private Rows zeros(Use use, Type type, int rows) {
        Rows room = room(use, type, rows, attention.heads().width());
        Parameters.zero(room);
        return room;
    }

    private void store(Rows sums, Rows into, Task task, int heads, Step step) {
        int T = step.length();
        int D = attention.heads().width();
        for (int i = 0; i < heads; i++) {
            step.kernels().copy(sums.slice(i * T, T), into.slice(task.sequence * T, T).sliceColumns((task.head / group() + i) * D, D));
        }
    }

    private void attendBack(Task task, Rows qkv, Rows dAttended, Rows dqkv, Rows keySums, Rows valueSums, Step step) {
        int row = task.sequence * step.length();
        int N = task.heads;
        blocks(step.length(), (query, queries, from, to, reach) -> {
            Rows weights = room(Use.WEIGHTS, step.type(), N * queries, to - from);
            Rows products = attention.scores().softcap().isPresent() ? room(Use.PRODUCTS, step.type(), N * queries, to - from) : null;
            weights(qkv, task, row, query, queries, from, to, reach, weights, Optional.ofNullable(products), step);
            Stack q = heads(queries(qkv), row + query, queries, task.head, N, 1);
            Stack k = valueHeads(keys(qkv), row + from, to - from, task);
            Stack v = valueHeads(values(qkv), row + from, to - from, task);
            Stack dOut = heads(dAttended, row + query, queries, task.head, N, 1);
            Rows gradient = room(Use.GRADIENTS, step.type(), N * queries, to - from);
            Products.products(dOut, v.transpose(), stack(gradient, N));
            drop(gradient, task, query, queries, step);
            toHeads(stack(dropped(weights, task, query, queries, step), N).transpose(), dOut, values(dqkv), valueSums, task, from, to, step);
            step.gradients().softmax(weights, products, scoring(), reach, gradient);
            Products.products(stack(gradient, N), k, heads(queries(dqkv), row + query, queries, task.head, N, 1));
            toHeads(stack(gradient, N).transpose(), q, keys(dqkv), keySums, task, from, to, step);
        });
    }

    /** The weights as values were multiplied with them; the softmax's own gradient is of what it gave. */
    private Rows dropped(Rows weights, Task task, int query, int queries, Step step) {
        if (dropout == 0 || !step.learning()) {
            return weights;
        }
        Rows dropped = room(Use.DROPPED, weights.type(), weights.rows(), weights.columns());
        step.kernels().copy(weights, dropped);
        drop(dropped, task, query, queries, step);
        return dropped;
    }

    /** {@code x y} into the key-value heads, or added to their sums where they are seen from several blocks or heads of queries. */
    private void toHeads(Stack x, Stack y, Rows into, Rows sums, Task task, int from, int to, Step step) {
        int T = step.length();
        int D = attention.heads().width();
        int N = task.heads;
        if (sums == null) {
            Products.products(x, y, heads(into, task.sequence * T, T, task.head, N, 1));
            return;
        }
        Rows products = room(Use.ADDED, step.type(), N * (to - from), D);
        Products.products(x, y, stack(products, N));
        for (int i = 0; i < N; i++) {
            int head = group() == 1 ? i : 0;
            step.gradients().add(products.slice(i * (to - from), to - from), 1, sums.slice(head * T + from, to - from));
        }
    }

    private static Stack stack(Rows all, int count) {
        int rows = all.rows() / count;
        return Stack.of(all.slice(0, rows), count, (long) rows * all.stride());
    }

    /** A thread's own room; it holds anything. */
    private static Rows room(Use use, Type type, int rows, int columns) {
        Rows[] rooms = ROOM.get();
        long bytes = (long) rows * columns * type.bytes();
        Rows room = rooms[use.ordinal()];
        if (room == null || room.data().byteSize() < bytes) {
            room = Rows.of(Arena.ofAuto().allocate(bytes, 64), Type.BF16, 1, 0);
            rooms[use.ordinal()] = room;
        }
        return Rows.of(room.data(), type, rows, columns);
    }
}
