package isonorm.fused;

import isonorm.architecture.Alibi;
import isonorm.architecture.Attention;
import isonorm.architecture.RelativeBias;
import isonorm.fused.Workspace.Use;
import isonorm.kernel.Gradients;
import isonorm.kernel.Kernels;
import isonorm.kernel.KeyBiases;
import isonorm.kernel.Normalization;
import isonorm.kernel.Panels;
import isonorm.kernel.Reach;
import isonorm.kernel.Rows;
import isonorm.kernel.Scoring;
import isonorm.kernel.Turns;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.tensor.Finish;
import isonorm.tensor.Products;
import isonorm.tensor.Products.Stack;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.IntToDoubleFunction;

/**
 * {@code output(softmax(softcap(scale q k^T) + positions + mask) v)} with q, k and v from one projection. What {@code output}
 * adds as a bias is left to the stream.
 *
 * <p>Scores are computed for some queries of some heads at a time, against the keys these can see, so that memory grows with the
 * length of a sequence and not with its square. Few queries, as in generation, need no matrix products. In the code H is heads,
 * K key-value heads, G = H / K and D the head's width.
 */
record AttentionStep(
        Attention attention,
        Projection projection,
        Optional<Normalization> queryNorm,
        Optional<Normalization> keyNorm,
        Optional<Normalization> valueNorm,
        Optional<Normalization> innerNorm,
        Values sinks,
        Optional<Relative> relative,
        Writer output) {

    /** All heads' queries, then their keys, then their values, of what reads the stream. */
    interface Projection {
        Rows of(Residual.Read read, Pass pass);
    }

    /** What is written to the stream of what all heads give. */
    interface Writer {
        Rows of(Rows attended, Pass pass);
    }

    /**
     * What is added to scores: a number for each head and each bucket, (buckets, heads).
     *
     * @param gates what makes each query's own gates, which multiply it
     */
    record Relative(RelativeBias.Buckets buckets, double[] table, int heads, Optional<Gates> gates) {

        double of(int head, int query, int key) {
            return table[buckets.of(query, key) * heads + head];
        }
    }

    /** The layer that makes two numbers for each head of what a query reads, all heads' first and then all second ones; see {@link RelativeBias.Gates}. */
    record Gates(Weight weight, Values bias, double[] scales) {

        Rows numbers(Residual.Read read, Pass pass) {
            Rows numbers = pass.room().rows(Use.RELATIVE_GATES, Type.F32, pass.rows(), 2 * scales.length);
            pass.linear(read, weight, numbers, Finish.of(bias));
            return numbers;
        }

        double of(Rows numbers, int row, int head) {
            return RelativeBias.Gates.of(numbers.get(row, head), numbers.get(row, scales.length + head), scales[head]);
        }
    }

    /** One linear layer that reads the stream. */
    static Projection projection(Attention attention, Weight weight, Values bias) {
        return (read, pass) -> {
            Rows qkv = pass.room().rows(Use.PROJECTED, pass.rows(), attention.projectionWidth());
            pass.linear(read, weight, qkv, Finish.of(bias));
            return qkv;
        };
    }

    /** One linear layer that writes to it. */
    static Writer writer(Weight weight) {
        return (attended, pass) -> {
            Rows written = pass.room().rows(Use.ATTENTION_BRANCH, pass.rows(), weight.outputs());
            pass.linear(attended, weight, written);
            return written;
        };
    }


    private static final Kernels KERNELS = Kernels.provider();

    /** The bytes of the scores that a task has in memory: they stay in a core's own cache. */
    private static final int SCORES = 512 * 1024;

    /** For so few queries reading keys and values is all that counts, and their heads are shared out. */
    private static final int FEW = 16;

    /** Sums over keys begin anew at multiples of so many positions: one that libraries and our kernels add up input by input. */
    private static final int SPAN = KvCache.PAGE;

    /** Fewer queries than these make its products slow, however many keys they see. */
    private static final int QUERIES = 32;

    /** More queries than these together would, where later keys are hidden, compute too many hidden scores. */
    private static final int CAUSAL = 128;

    /** A row of scores begins on a cache line. */
    private static final int LINE = 32;

    private static final ThreadLocal<Rows> ROOM = ThreadLocal.withInitial(() -> room(SCORES));
    private static final ThreadLocal<Rows> SUMS = ThreadLocal.withInitial(() -> room(LINE));

    private static Rows room(int bytes) {
        return Rows.allocate(Arena.ofAuto(), Type.F32, 1, bytes / Float.BYTES, bytes / Float.BYTES);
    }

    Rows forward(Residual.Read read, Pass pass, int l) {
        int n = pass.rows();
        Rows qkv = projection.of(read, pass);
        Optional<Rows> gates = relative.flatMap(Relative::gates).map(each -> each.numbers(read, pass));
        attention.clip().ifPresent(limit -> pass.rows((first, count) -> clip(qkv.slice(first, count), limit)));
        positioned(qkv, pass, l);
        Rows attended = pass.room().rows(Use.ATTENDED, n, attention.outputColumns());
        attend(qkv, gates, attended, pass, l);
        innerNorm.ifPresent(norm -> pass.rows((first, count) -> KERNELS.norm(attended.slice(first, count), norm, attended.slice(first, count))));
        return output.of(attended, pass);
    }

    private static void clip(Rows x, double limit) {
        for (int r = 0; r < x.rows(); r++) {
            for (int c = 0; c < x.columns(); c++) {
                x.set(r, c, Math.clamp(x.get(r, c), -limit, limit));
            }
        }
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

    /** Queries, keys and values normalized, and the first two turned by their positions' angles; keys and values kept where a sequence goes on. */
    private void positioned(Rows qkv, Pass pass, int l) {
        boolean kept = pass.spans().stream().anyMatch(span -> span.sequence().isPresent());
        if (queryNorm.isEmpty() && valueNorm.isEmpty() && attention.positions().rotary().isEmpty() && !kept) {
            return;
        }
        int longest = pass.spans().stream().mapToInt(Span::end).max().orElseThrow();
        Optional<Turns> turns = attention.positions().rotary().map(rotary -> pass.angles().of(rotary.at(longest), longest));
        pass.rows((first, count) -> {
            for (Span span : pass.spans()) {
                int from = Math.max(first, span.first());
                int to = Math.min(first + count, span.first() + span.count());
                if (from < to) {
                    positioned(qkv.slice(from, to - from), span, span.position() + from - span.first(), turns, l);
                }
            }
        });
    }

    private void positioned(Rows qkv, Span span, int position, Optional<Turns> turns, int l) {
        Rows queries = queries(qkv);
        Rows keys = keys(qkv);
        queryNorm.ifPresent(norm -> normalize(queries, attention.heads().count(), norm));
        keyNorm.ifPresent(norm -> normalize(keys, attention.heads().keyValue(), norm));
        valueNorm.ifPresent(norm -> normalize(values(qkv), attention.heads().keyValue(), norm));
        turns.ifPresent(angles -> {
            KERNELS.rotary(queries, attention.heads().count(), angles, position);
            KERNELS.rotary(keys, attention.heads().keyValue(), angles, position);
        });
        span.sequence().ifPresent(sequence -> sequence.keep(l, position, keys, values(qkv)));
    }

    private void normalize(Rows x, int heads, Normalization norm) {
        int D = attention.heads().width();
        switch (attention.norms().span()) {
            case PROJECTION -> KERNELS.norm(x, norm, x);
            case HEAD -> {
                for (int head = 0; head < heads; head++) {
                    Rows one = x.sliceColumns(head * D, D);
                    KERNELS.norm(one, norm, one);
                }
            }
            case EACH_HEAD -> {
                for (int head = 0; head < heads; head++) {
                    Rows one = x.sliceColumns(head * D, D);
                    KERNELS.norm(one, norm.withGain(norm.gain().slice(head * D, D)).withBias(norm.bias().slice(head * D, D)), one);
                }
            }
        }
    }

    /** Some queries of some heads, which share a key-value head or have each their own. */
    private record Task(Span span, int head, int heads, int query, int queries) {}

    private void attend(Rows qkv, Optional<Rows> gates, Rows attended, Pass pass, int l) {
        List<Task> tasks = new ArrayList<>();
        for (Span span : pass.spans()) {
            if (span.count() <= FEW && span.sequence().isPresent()) {
                shareHeads(span, Math.ceilDiv(pass.threads(), pass.spans().size()), tasks);
            } else {
                shareQueries(span, pass, tasks);
            }
        }
        pass.each(tasks.size(), number -> {
            Task task = tasks.get(number);
            task.span.sequence().ifPresentOrElse(
                    sequence -> attend(qkv, gates, attended, task, sequence.cache(l)),
                    () -> attend(qkv, gates, attended, task));
        });
    }

    /** All queries of some key-value heads. */
    private void shareHeads(Span span, int shares, List<Task> tasks) {
        int K = attention.heads().keyValue();
        int G = group();
        int each = Math.ceilDiv(K, shares);
        for (int head = 0; head < K; head += each) {
            tasks.add(new Task(span, head * G, Math.min(each, K - head) * G, 0, span.count()));
        }
    }

    /** Tasks whose scores stay in a cache, and so many of them that all threads end together. */
    private void shareQueries(Span span, Pass pass, List<Task> tasks) {
        int H = attention.heads().count();
        int alike = group() == 1 ? H : group();
        int scores = SCORES / (span.sequence().isPresent() ? Type.F32 : pass.room().type()).bytes();
        int keys = stride(span.end());
        int blocks = Math.ceilDiv(span.count(), Math.max(QUERIES, Math.min(scores / keys, attention.causal() ? CAUSAL : scores)));
        int parts = Math.ceilDiv(alike, Math.clamp(scores / (Math.ceilDiv(span.count(), blocks) * (long) keys), 1, alike));
        while (alike % parts != 0) { // tasks of one size
            parts++;
        }
        int heads = alike / parts;
        int chunks = pass.spans().size() * (H / alike) * parts;
        int most = Math.max(blocks, span.count() / QUERIES);
        while (chunks * blocks % pass.threads() != 0 && chunks * blocks < 4 * pass.threads() && blocks < most) {
            blocks++;
        }
        int queries = Math.ceilDiv(span.count(), blocks);
        for (int block = Math.ceilDiv(span.count(), queries) - 1; block >= 0; block--) { // the last see most keys: the longest first
            int query = block * queries;
            for (int first = 0; first < H; first += alike) {
                for (int head = 0; head < alike; head += heads) {
                    tasks.add(new Task(span, first + head, Math.min(heads, alike - head), query, Math.min(queries, span.count() - query)));
                }
            }
        }
    }

    /** How many query heads share a key-value head. */
    private int group() {
        return attention.heads().count() / attention.heads().keyValue();
    }

    private static int stride(int keys) {
        return Math.ceilDiv(keys, LINE) * LINE;
    }

    private Scoring scoring() {
        return Scoring.of(attention.scores().scale()).withSoftcap(attention.scores().softcap().orElse(0));
    }

    private int window() {
        return attention.scores().window().orElse(Integer.MAX_VALUE);
    }

    /**
     * Against the keys and values of a sequence. What a query gets depends on nothing but its own position and those before it: products add up
     * input by input, hidden keys add zeros, and sums over keys begin anew at every multiple of {@value #SPAN}.
     */
    private void attend(Rows qkv, Optional<Rows> gates, Rows attended, Task task, KvCache.KeysAndValues cache) {
        int N = task.heads;
        int n = task.queries;
        int D = attention.heads().width();
        Span span = task.span;
        int position = span.position() + task.query;
        int from = Math.max(0, position - (window() - 1)) / Panels.WIDTH * Panels.WIDTH;
        int keys = Math.ceilDiv(position + n - from, Panels.WIDTH) * Panels.WIDTH;
        Rows queries = qkv.slice(span.first() + task.query, n);
        Rows out = attended.slice(span.first() + task.query, n);
        Rows scores = scores(Type.F32, N * n, keys);
        for (int i = 0; i < N; i++) {
            int head = task.head + i;
            for (int first = from; first < from + keys; ) {
                int count = Math.min(from + keys, (first / SPAN + 1) * SPAN) - first;
                Products.product(queries.sliceColumns(head * D, D), cache.keys(head / group(), first, count), scores.slice(i * n, n).sliceColumns(first - from, count),
                        Finish.NOTHING);
                first += count;
            }
        }
        Rows weights = Rows.of(scores.data(), qkv.type(), N * n, keys, scores.stride() * (Float.BYTES / qkv.type().bytes()));
        weigh(scores, gates, task, position - from, from, weights);
        for (int i = 0; i < N; i++) {
            int head = task.head + i;
            for (int panel = 0; panel * Panels.WIDTH < D; panel++) {
                int columns = Math.min(Panels.WIDTH, D - panel * Panels.WIDTH);
                sum(weights.slice(i * n, n), cache, head / group(), panel, from, out.sliceColumns(head * D + panel * Panels.WIDTH, columns));
            }
        }
    }

    /** The softmax of a task's scores, head after head, whose first query is at {@code first}, all positions counted from {@code from} on. */
    private void weigh(Rows scores, Optional<Rows> gates, Task task, int first, int from, Rows weights) {
        Reach reach = new Reach(first, task.queries, true, window());
        if (sinks.present()) {
            for (int i = 0; i < task.heads; i++) {
                KERNELS.softmax(scores.slice(i * task.queries, task.queries), scoring().withSink(sinks.get(task.head + i)), Values.NONE, reach,
                        weights.slice(i * task.queries, task.queries));
            }
            return;
        }
        if (relative.isPresent()) {
            for (int i = 0; i < task.heads; i++) {
                weighRelative(scores.slice(i * task.queries, task.queries), task.head + i, gates(gates, task, task.head + i), first, from, true,
                        weights.slice(i * task.queries, task.queries));
            }
            return;
        }
        if (attention.positions().alibi().isEmpty()) {
            KERNELS.softmax(scores, scoring(), Values.NONE, reach, weights);
            return;
        }
        for (int i = 0; i < task.heads; i++) {
            Rows some = scores.slice(i * task.queries, task.queries);
            Rows into = weights.slice(i * task.queries, task.queries);
            if (attention.positions().alibi().get() == Alibi.BEFORE_SCALE_BFLOAT16) {
                KERNELS.softmax(some, scoring(), keyBias(task.head + i, from, from + scores.columns()), reach, into);
            } else {
                double slope = attention.positions().alibi().orElseThrow().slopes(attention.heads().count())[task.head + i];
                weighDistances(some, distance -> slope * distance, Optional.empty(), first, true, into);
            }
        }
    }

    /** What a head's queries of a task, counted from the first, multiply their biases with; empty where they do not. */
    private Optional<IntToDoubleFunction> gates(Optional<Rows> numbers, Task task, int head) {
        return relative.flatMap(Relative::gates).map(gates -> query -> gates.of(numbers.orElseThrow(), task.span.first() + task.query + query, head));
    }

    /** The same of one head, where scores know how far a key is. */
    private void weighRelative(Rows scores, int head, Optional<IntToDoubleFunction> gates, int first, int from, boolean causal, Rows weights) {
        Relative table = relative.orElseThrow();
        switch (table.buckets) {
            case RelativeBias.Distances _ -> weighDistances(scores, distance -> table.of(head, 0, distance), gates, first, causal, weights);
            case RelativeBias.Grid _ -> {
                Values biases = Values.room(scores.columns());
                for (int r = 0; r < scores.rows(); r++) {
                    for (int key = 0; key < scores.columns(); key++) {
                        biases.set(key, (float) table.of(head, from + first + r, from + key));
                    }
                    KERNELS.softmax(scores.slice(r, 1), scoring(), gated(biases, gates, r), new Reach(first + r, 1, causal, window()), weights.slice(r, 1));
                }
            }
        }
    }

    /** The same of one head, each of whose queries counts the distances of keys from itself. */
    private void weighDistances(
            Rows scores, IntToDoubleFunction bias, Optional<IntToDoubleFunction> gates, int first, boolean causal, Rows weights) {
        int keys = scores.columns();
        Values distances = Values.room(2 * keys);
        for (int i = 0; i < 2 * keys; i++) {
            distances.set(i, (float) bias.applyAsDouble(i - (keys - 1)));
        }
        for (int r = 0; r < scores.rows(); r++) {
            KERNELS.softmax(scores.slice(r, 1), scoring(), gated(distances.slice(keys - 1 - (first + r), keys), gates, r),
                    new Reach(first + r, 1, causal, window()), weights.slice(r, 1));
        }
    }

    private static Values gated(Values biases, Optional<IntToDoubleFunction> gates, int query) {
        return gates.isPresent() ? biases.times(gates.get().applyAsDouble(query)) : biases;
    }

    /** {@code out = weights v} of some columns of a head's values from position {@code from} on, rounded once. */
    static void sum(Rows weights, KvCache.KeysAndValues cache, int head, int panel, int from, Rows out) {
        int keys = weights.columns();
        int end = from + keys;
        if (from / SPAN == (end - 1) / SPAN) {
            Products.product(weights, cache.values(head, panel, from, keys), out, Finish.NOTHING);
            return;
        }
        int bytes = out.rows() * out.columns() * Float.BYTES;
        if (SUMS.get().data().byteSize() < 2L * bytes) {
            SUMS.set(room(2 * bytes));
        }
        Rows sums = Rows.of(SUMS.get().data(), Type.F32, 2 * out.rows(), out.columns());
        Rows total = sums.slice(0, out.rows());
        Rows part = sums.slice(out.rows(), out.rows());
        for (int first = from; first < end; ) {
            int count = Math.min(end, (first / SPAN + 1) * SPAN) - first;
            Products.product(weights.sliceColumns(first - from, count), cache.values(head, panel, first, count), first == from ? total : part,
                    Finish.NOTHING);
            if (first > from) {
                Gradients.of(Type.F32).add(part, 1, total);
            }
            first += count;
        }
        KERNELS.copy(total, out);
    }

    /** Within one pass: against the keys and values that were just projected. */
    private void attend(Rows qkv, Optional<Rows> gates, Rows attended, Task task) {
        int D = attention.heads().width();
        int N = task.heads;
        Span span = task.span;
        int position = span.position() + task.query;
        int from = Math.max(0, position - (window() - 1));
        int to = attention.causal() ? position + task.queries : (int) Math.min(span.end(), position + task.queries - 1L + window());
        Rows rows = qkv.slice(span.first(), span.count());
        Stack q = Stack.of(rows.slice(task.query, task.queries).sliceColumns(task.head * D, D), N, D);
        Stack k = projected(keys(rows), task, from, to);
        Stack v = projected(values(rows), task, from, to);
        Stack out = Stack.of(attended.slice(span.first() + task.query, task.queries).sliceColumns(task.head * D, D), N, D);
        Rows all = scores(qkv.type(), N * task.queries, to - from);
        Stack scores = Stack.of(all.slice(0, task.queries), N, (long) task.queries * all.stride());
        Products.products(q, k.transpose(), scores);
        Reach reach = new Reach(position - from, task.queries, attention.causal(), window());
        if (sinks.present()) {
            for (int i = 0; i < N; i++) {
                Rows one = all.slice(i * task.queries, task.queries);
                KERNELS.softmax(one, scoring().withSink(sinks.get(task.head + i)), Values.NONE, reach, one);
            }
        } else if (relative.isPresent()) {
            for (int i = 0; i < N; i++) {
                Rows one = all.slice(i * task.queries, task.queries);
                weighRelative(one, task.head + i, gates(gates, task, task.head + i), position - from, from, attention.causal(), one);
            }
        } else if (attention.positions().alibi().isEmpty()) {
            KERNELS.softmax(all, scoring(), Values.NONE, reach, all);
        } else {
            for (int i = 0; i < N; i++) {
                Rows one = all.slice(i * task.queries, task.queries);
                KERNELS.softmax(one, scoring(), keyBias(task.head + i, from, to), reach, one);
            }
        }
        Products.products(scores, v, out);
    }

    /** Keys or values of a task's heads. */
    private Stack projected(Rows rows, Task task, int from, int to) {
        int D = attention.heads().width();
        int step = group() == 1 ? D : 0;
        return Stack.of(rows.sliceColumns(task.head / group() * D, D).slice(from, to - from), task.heads, step);
    }

    /** Room for scores, the thread's own. */
    static Rows scores(Type type, int rows, int keys) {
        int stride = stride(keys);
        int bytes = rows * stride * type.bytes();
        if (ROOM.get().data().byteSize() < bytes) {
            ROOM.set(room(bytes));
        }
        return Rows.of(ROOM.get().data(), type, rows, keys, stride);
    }

    /** What is added to the scores of keys {@code from} to {@code to - 1}. */
    private Values keyBias(int head, int from, int to) {
        return KeyBiases.of(attention.positions().alibi().orElseThrow(), attention.heads().count(), head, attention.scores().scale(), from, to, Type.F32);
    }
}
