package isonorm.train;

import isonorm.architecture.Part;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Parameters.Span;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * The parameters of a model in buckets, of each of which every rank of a group has a part: that of which it keeps the optimizer's moments and
 * changes the weights (ZeRO-1, Rajbhandari et al., arXiv 1910.02054).
 *
 * @param buckets in the order in which the backward pass completes their gradients
 */
record Shards(List<Bucket> buckets, int ranks) {

    /** The bytes of a bucket's gradient: above 32 MB, what collectives take for themselves is given back to the system and asked for again each time. */
    private static final long BYTES = 16L << 20;

    /** Parts begin at whole cache lines. */
    private static final int LINE = 16;

    /** A block that the backward pass never reaches: behind all of it. */
    static final int LAST = -1;

    /**
     * Values that go from rank to rank together.
     *
     * @param block the backward pass of this block completes their gradient
     * @param exact whether others compute with the weights themselves, not with what is made of them in the type of computation
     */
    record Bucket(Span span, int block, boolean exact) {

        /** How many values a rank has of it; the last ones may have fewer. */
        long share(int ranks) {
            return Math.ceilDiv(Math.ceilDiv(span.length(), ranks), LINE) * LINE;
        }

        /** What a rank has of it. */
        Span part(int rank, int ranks) {
            long first = Math.min(span.length(), share(ranks) * rank);
            return new Span(span.first() + first, Math.min(span.length() - first, share(ranks)));
        }
    }

    /**
     * @param exact whether everything is computed from the weights themselves
     * @param overlapped whether gradients are complete behind each block
     */
    static Shards of(Parameters parameters, int ranks, boolean exact, boolean overlapped) {
        long most = BYTES / parameters.gradientType().bytes() / (LINE * ranks) * LINE * ranks;
        most = Math.max(most, (long) LINE * ranks);
        boolean same = exact || parameters.compute() == parameters.type();
        List<Bucket> buckets = new ArrayList<>();
        int blocks = parameters.all().stream().mapToInt(entry -> entry.role().block()).max().orElse(LAST);
        long first = 0;
        long end = 0;
        int earliest = LAST;
        boolean used = false;
        for (Parameters.Entry entry : parameters.all()) {
            boolean matrix = !entry.shape().isVector();
            int block = !matrix || !overlapped ? LAST : entry.role().part() == Part.HEAD ? blocks : entry.role().block();
            boolean through = matrix && !same && (entry.role().block() >= 0 || entry.role().part() == Part.HEAD);
            boolean joins = end > first && used == through && (block == LAST) == (earliest == LAST);
            if (!joins) {
                cut(buckets, first, end, earliest, !used);
                first = end;
                earliest = block;
                used = through;
            }
            long length = (long) entry.weights().rows() * entry.weights().columns();
            for (long left = length; left > 0; ) {
                long taken = Math.min(left, first + most - end);
                end += taken;
                left -= taken;
                earliest = Math.min(earliest, block);
                if (end - first == most) {
                    cut(buckets, first, end, earliest, !used);
                    first = end;
                    earliest = block;
                }
            }
        }
        cut(buckets, first, end, earliest, !used);
        buckets.sort(Comparator.comparingInt(Bucket::block).reversed());
        return new Shards(List.copyOf(buckets), ranks);
    }

    private static void cut(List<Bucket> buckets, long first, long end, int block, boolean exact) {
        if (end > first) {
            buckets.add(new Bucket(new Span(first, end - first), block, exact));
        }
    }

    /** All that a rank has, in the order in which it lies in memory. */
    List<Span> of(int rank) {
        return buckets.stream().map(bucket -> bucket.part(rank, ranks)).filter(span -> span.length() > 0)
                .sorted(Comparator.comparingLong(Span::first)).toList();
    }
}
