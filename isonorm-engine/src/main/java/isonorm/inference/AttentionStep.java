package isonorm.inference;

import isonorm.architecture.Alibi;
import isonorm.architecture.Attention;
import isonorm.architecture.QueryKeyNorm;
import isonorm.inference.Workspace.Use;
import isonorm.kernel.Kernels;
import isonorm.kernel.Normalization;
import isonorm.kernel.Reach;
import isonorm.kernel.Rows;
import isonorm.kernel.Scoring;
import isonorm.kernel.Turns;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.weights.Numbers;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * {@code output(softmax(softcap(scale q k^T) + positions + mask) v)} with q, k and v from one projection. What {@code output}
 * adds as a bias is left to the stream.
 *
 * <p>Scores are computed for some queries of one head at a time, against the keys these can see, so that memory grows with the
 * length of a sequence and not with its square. A single query, as in generation, needs no matrix product and is one kernel. In
 * the code T is tokens, H heads, K key-value heads, G = H / K and D the head's width.
 */
record AttentionStep(
        Attention attention,
        Weight projection,
        Values bias,
        Optional<Normalization> queryNorm,
        Optional<Normalization> keyNorm,
        Weight output) {

    private static final Kernels KERNELS = Kernels.provider();

    /** How many scores a task has in memory: half a megabyte, which stays in a core's own cache. */
    private static final int SCORES = 128 * 1024;

    /** Fewer queries than these make its products slow, however many keys they see. */
    private static final int QUERIES = 32;

    /** A row of scores begins on a cache line. */
    private static final int LINE = 32;

    private static final ThreadLocal<Rows> ROOM = ThreadLocal.withInitial(() -> room(SCORES));

    private static Rows room(int values) {
        return Rows.allocate(Arena.ofAuto(), Type.F32, 1, values, values);
    }

    Rows forward(Residual.Read read, Pass pass, int l) {
        int n = pass.rows();
        Rows qkv = pass.room().rows(Use.PROJECTED, n, attention.projectionWidth());
        pass.linear(read, projection, qkv, attention.headWidth(), (tile, scales, column) -> {
            if (scales.present() || bias.present()) {
                KERNELS.scaleRowsAddBias(tile, scales, bias.slice(column, tile.columns()));
            }
            attention.clip().ifPresent(limit -> clip(tile, limit));
        });
        positioned(qkv, pass, l);
        Rows attended = pass.room().rows(Use.ATTENDED, n, attention.outputColumns());
        attend(qkv, attended, pass, l);
        Rows written = pass.room().rows(Use.ATTENTION_BRANCH, n, output.outputs());
        pass.linear(attended, output, written);
        return written;
    }

    private static void clip(Rows x, double limit) {
        for (int r = 0; r < x.rows(); r++) {
            for (int c = 0; c < x.columns(); c++) {
                x.set(r, c, Math.clamp(x.get(r, c), -limit, limit));
            }
        }
    }

    private Rows queries(Rows qkv) {
        return qkv.sliceColumns(0, attention.heads() * attention.headWidth());
    }

    private Rows keys(Rows qkv) {
        int D = attention.headWidth();
        return qkv.sliceColumns(attention.heads() * D, attention.keyValueHeads() * D);
    }

    private Rows values(Rows qkv) {
        int D = attention.headWidth();
        return qkv.sliceColumns((attention.heads() + attention.keyValueHeads()) * D, attention.keyValueHeads() * D);
    }

    /** Queries and keys normalized and turned by their positions' angles; keys and values kept where a sequence goes on. */
    private void positioned(Rows qkv, Pass pass, int l) {
        boolean kept = pass.spans().stream().anyMatch(span -> span.sequence().isPresent());
        if (queryNorm.isEmpty() && attention.rotary().isEmpty() && !kept) {
            return;
        }
        int longest = pass.spans().stream().mapToInt(Span::end).max().orElseThrow();
        Optional<Turns> turns = attention.rotary().map(rotary -> pass.angles().of(rotary, longest));
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
        queryNorm.ifPresent(norm -> normalize(queries, attention.heads(), norm));
        keyNorm.ifPresent(norm -> normalize(keys, attention.keyValueHeads(), norm));
        turns.ifPresent(angles -> {
            KERNELS.rotary(queries, attention.heads(), angles, position);
            KERNELS.rotary(keys, attention.keyValueHeads(), angles, position);
        });
        span.sequence().ifPresent(sequence -> sequence.keep(l, position, keys, values(qkv)));
    }

    private void normalize(Rows x, int heads, Normalization norm) {
        int D = attention.headWidth();
        switch (attention.queryKeyNorm().orElseThrow().span()) {
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

    /** Some queries of one head, or, for a single query, some heads. */
    private record Task(Span span, int head, int heads, int query, int queries) {}

    private void attend(Rows qkv, Rows attended, Pass pass, int l) {
        List<Task> tasks = new ArrayList<>();
        for (Span span : pass.spans()) {
            if (single(span)) {
                shareHeads(span, Math.ceilDiv(pass.threads(), pass.spans().size()), tasks);
            } else {
                shareQueries(span, pass, tasks);
            }
        }
        pass.each(tasks.size(), number -> {
            Task task = tasks.get(number);
            if (single(task.span)) {
                attendOne(qkv, attended, task, l);
            } else {
                attendBlock(qkv, attended, task, l);
            }
        });
    }

    private boolean single(Span span) {
        return span.count() == 1 && span.sequence().isPresent() && !attention.alibi().equals(Optional.of(Alibi.BEFORE_SCALE_BFLOAT16));
    }

    private void shareHeads(Span span, int shares, List<Task> tasks) {
        int K = attention.keyValueHeads();
        int each = Math.ceilDiv(K, shares);
        for (int head = 0; head < K; head += each) {
            tasks.add(new Task(span, head, Math.min(each, K - head), 0, 1));
        }
    }

    private void shareQueries(Span span, Pass pass, List<Task> tasks) {
        int H = attention.heads();
        int blocks = Math.ceilDiv(span.count(), Math.max(QUERIES, SCORES / span.end()));
        int wanted = Math.ceilDiv(2 * pass.threads(), H * pass.spans().size()); // two tasks a thread at least, so that they end together
        int count = Math.clamp(wanted, blocks, Math.max(blocks, span.count() / QUERIES));
        int queries = Math.ceilDiv(span.count(), count);
        for (int query = 0; query < span.count(); query += queries) {
            for (int head = 0; head < H; head++) {
                tasks.add(new Task(span, head, 1, query, Math.min(queries, span.count() - query)));
            }
        }
    }

    private Scoring scoring() {
        return Scoring.of(attention.scale()).withSoftcap(attention.softcap().orElse(0));
    }

    private int window() {
        return attention.window().orElse(Integer.MAX_VALUE);
    }

    private void attendOne(Rows qkv, Rows attended, Task task, int l) {
        int D = attention.headWidth();
        int G = attention.heads() / attention.keyValueHeads();
        Span span = task.span;
        Sequence sequence = span.sequence().orElseThrow();
        Sequence.Cache cache = sequence.cache(l);
        int capacity = sequence.capacity();
        int rows = task.heads * capacity;
        KERNELS.attendOne(
                heads(qkv, span.first(), task.head * G, task.heads * G, D),
                cache.keys().slice(task.head * capacity, rows),
                cache.values().slice(task.head * capacity, rows),
                task.heads, scoring(), Math.max(0, span.end() - window()), span.end(),
                slopes().slice(task.head * G, task.heads * G),
                heads(attended, span.first(), task.head * G, task.heads * G, D));
    }

    /** Heads of one row as rows. */
    private static Rows heads(Rows x, int row, int first, int count, int D) {
        return new Rows(x.data(), x.type(), x.offset() + (long) row * x.stride() + (long) first * D, count, D, D);
    }

    private Values slopes() {
        return attention.alibi().isPresent()
                ? Values.of(Weights.floats(attention.alibi().get().slopes(attention.heads())))
                : Values.NONE;
    }

    private void attendBlock(Rows qkv, Rows attended, Task task, int l) {
        int D = attention.headWidth();
        int K = task.head / (attention.heads() / attention.keyValueHeads());
        Span span = task.span;
        int position = span.position() + task.query;
        int from = Math.max(0, position - (window() - 1));
        int to = attention.causal() ? position + task.queries : span.end();
        Rows rows = qkv.slice(span.first(), span.count());
        Rows k = span.sequence().map(sequence -> sequence.keys(l, K)).orElseGet(() -> keys(rows).sliceColumns(K * D, D)).slice(from, to - from);
        Rows v = span.sequence().map(sequence -> sequence.values(l, K)).orElseGet(() -> values(rows).sliceColumns(K * D, D)).slice(from, to - from);
        Rows q = rows.slice(task.query, task.queries).sliceColumns(task.head * D, D);
        Rows out = attended.slice(span.first() + task.query, task.queries).sliceColumns(task.head * D, D);
        Rows scores = scores(qkv.type(), task.queries, to - from);
        Products.product(q, k, true, scores);
        Reach reach = new Reach(position - from, task.queries, attention.causal(), window());
        KERNELS.softmax(scores, scoring(), keyBias(task.head, from, to), reach, scores);
        Products.product(scores, v, false, out);
    }

    private static Rows scores(Type type, int queries, int keys) {
        int stride = Math.ceilDiv(keys, LINE) * LINE;
        if (ROOM.get().columns() < queries * stride) {
            ROOM.set(room(queries * stride));
        }
        return Rows.of(ROOM.get().data(), type, queries, keys, stride);
    }

    /** What is added to the scores of keys {@code from} to {@code to - 1}. A term that all keys of a row share changes nothing. */
    private Values keyBias(int head, int from, int to) {
        if (attention.alibi().isEmpty()) {
            return Values.NONE;
        }
        Alibi alibi = attention.alibi().get();
        double slope = alibi.slopes(attention.heads())[head];
        float[] biases = new float[to - from];
        for (int key = from; key < to; key++) {
            biases[key - from] = switch (alibi) {
                case AFTER_SCALE, AFTER_SCALE_INTERLEAVED -> (float) (slope * (key - (to - 1)));
                case BEFORE_SCALE_BFLOAT16 -> (float) (attention.scale() * bfloat16(bfloat16(slope) * bfloat16(key)));
            };
        }
        return Values.of(biases);
    }

    private static double bfloat16(double value) {
        return Float.intBitsToFloat(Numbers.toBfloat16(value) << 16);
    }
}
