package isonorm.fused;

import isonorm.architecture.CrossAttention;
import isonorm.fused.Workspace.Use;
import isonorm.kernel.Kernels;
import isonorm.kernel.Panels;
import isonorm.kernel.Reach;
import isonorm.kernel.Rows;
import isonorm.kernel.Scoring;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.tensor.Finish;
import isonorm.tensor.Products;
import java.util.ArrayList;
import java.util.List;

/**
 * {@code output(softmax(scale q k^T) v)} with q from the decoder's stream and k and v from what an encoder gives, which {@link Encoded} keeps. What
 * {@code output} adds as a bias is left to the stream. H heads, of which some share a key-value head, and D the head's width.
 */
record CrossStep(CrossAttention attention, Weight query, Values queryBias, Weight keyValue, Values keyValueBias, Weight output) {

    private static final Kernels KERNELS = Kernels.provider();

    /** So many queries of a head go together: their scores stay in a cache. */
    private static final int QUERIES = 128;

    /** Some heads of some queries of a sequence. */
    private record Task(Span span, int head, int heads, int query, int queries) {}

    Rows forward(Residual.Read read, Pass pass, int l) {
        Rows q = pass.room().rows(Use.CROSS_QUERIES, pass.rows(), attention.queryWidth());
        pass.linear(read, query, q, Finish.of(queryBias));
        Rows attended = pass.room().rows(Use.CROSS_ATTENDED, pass.rows(), attention.queryWidth());
        List<Task> tasks = tasks(pass);
        pass.each(tasks.size(), number -> attend(q, attended, tasks.get(number), l));
        Rows written = pass.room().rows(Use.CROSS_BRANCH, pass.rows(), output.outputs());
        pass.linear(attended, output, written);
        return written;
    }

    /** The keys and values of what an encoder gave, {@code (tokens, key-value width)}. */
    Rows keyValues(Rows encoded, Pass pass) {
        Rows all = pass.room().rows(Use.PROJECTED, encoded.rows(), attention.keyValueWidth());
        pass.linear(new Residual.Read(encoded, Values.NONE), keyValue, all, Finish.of(keyValueBias));
        pass.settle();
        return all;
    }

    private List<Task> tasks(Pass pass) {
        int H = attention.heads().count();
        int each = Math.ceilDiv(H, Math.clamp(Math.ceilDiv(pass.threads(), pass.spans().size()), 1, H));
        List<Task> tasks = new ArrayList<>();
        for (Span span : pass.spans()) {
            for (int query = 0; query < span.count(); query += QUERIES) {
                for (int head = 0; head < H; head += each) {
                    tasks.add(new Task(span, head, Math.min(each, H - head), query, Math.min(QUERIES, span.count() - query)));
                }
            }
        }
        return tasks;
    }

    /** Keys behind the last one fill up its panel and are hidden. */
    private void attend(Rows q, Rows attended, Task task, int l) {
        Encoded encoded = task.span.encoded().orElseThrow();
        KvCache.Cache cache = encoded.cache(l);
        int D = attention.heads().width();
        int shared = attention.heads().count() / attention.heads().keyValue();
        int keys = encoded.capacity();
        int first = task.span.first() + task.query;
        Rows scores = AttentionStep.scores(Type.F32, task.queries, keys);
        Rows weights = Rows.of(scores.data(), q.type(), task.queries, keys, scores.stride() * (Float.BYTES / q.type().bytes()));
        for (int head = task.head; head < task.head + task.heads; head++) {
            Products.product(q.slice(first, task.queries).sliceColumns(head * D, D), cache.keys(head / shared, 0, keys), scores, Finish.NOTHING);
            KERNELS.softmax(scores, Scoring.of(attention.scale()), Values.NONE, Reach.causal(encoded.length() - 1, 1), weights);
            for (int panel = 0; panel * Panels.WIDTH < D; panel++) {
                int columns = Math.min(Panels.WIDTH, D - panel * Panels.WIDTH);
                AttentionStep.sum(weights, cache, head / shared, panel, 0,
                        attended.slice(first, task.queries).sliceColumns(head * D + panel * Panels.WIDTH, columns));
            }
        }
    }
}
