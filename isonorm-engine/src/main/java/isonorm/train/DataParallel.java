package isonorm.train;

import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Parameters.Span;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;

/**
 * What the ranks of a group do together in a step: gradients are added up bucket by bucket while the backward pass goes on, each rank changes its part
 * of the weights, and these are gathered. The process that is alone has all of them, and nothing is done.
 */
final class DataParallel {

    /** So many buckets are on their way at once when weights are gathered. */
    private static final int UNDERWAY = 4;

    private final ProcessGroup group;
    private final Parameters parameters;
    private final Shards shards;
    private final List<Span> own;
    private final List<ProcessGroup.Pending> reducing = new ArrayList<>();
    private int begun;
    private long waited;

    /**
     * @param exact whether a step computes from the weights themselves, not from what is made of them in the type of computation
     * @param overlapped whether the backward pass completes gradients block by block
     */
    DataParallel(ProcessGroup group, Parameters parameters, boolean exact, boolean overlapped) {
        this.group = group;
        this.parameters = parameters;
        this.shards = Shards.of(parameters, group.size(), exact, overlapped);
        this.own = alone() ? List.of(parameters.whole()) : shards.of(group.rank());
    }

    private boolean alone() {
        return group.size() == 1;
    }

    ProcessGroup group() {
        return group;
    }

    /** What this rank changes. */
    List<Span> own() {
        return own;
    }

    /** Nanoseconds in which this rank has waited for others since this was asked last. */
    long waited() {
        long was = waited;
        waited = 0;
        return was;
    }

    private void await(ProcessGroup.Pending pending) {
        long begin = System.nanoTime();
        pending.await();
        waited += System.nanoTime() - begin;
    }

    /** What every rank says, in their order. */
    double[][] all(ProcessGroup.Patience patience, double... values) {
        long begin = System.nanoTime();
        double[][] all = group.allGather(patience, values);
        waited += System.nanoTime() - begin;
        return all;
    }

    /** The sums of what all ranks say, in their order: the same bits on each. */
    double[] sums(double... values) {
        double[] sums = new double[values.length];
        for (double[] each : all(ProcessGroup.Patience.STEP, values)) {
            for (int i = 0; i < sums.length; i++) {
                sums[i] += each[i];
            }
        }
        return sums;
    }

    /** Before the first gradient of a step. */
    void begin() {
        begun = 0;
        reducing.clear();
    }

    /** Behind the backward pass of a block, or of all of them: begins to add up what is complete. */
    void complete(int block) {
        if (alone()) {
            return;
        }
        while (begun < shards.buckets().size() && shards.buckets().get(begun).block() >= block) {
            Span span = shards.buckets().get(begun).span();
            settle(span);
            reducing.add(group.allReduce(parameters.gradient(span), parameters.gradientType() == Type.F64 ? ProcessGroup.Element.F64 : ProcessGroup.Element.F32));
            begun++;
        }
    }

    private void settle(Span span) {
        for (Parameters.Entry entry : parameters.all()) {
            long first = entry.weights().offset();
            if (first < span.end() && first + (long) entry.weights().rows() * entry.weights().columns() > span.first()) {
                entry.settle();
            }
        }
    }

    /** Adds up the rest, and waits for all of it. */
    void reduce() {
        complete(Shards.LAST);
        reducing.forEach(this::await);
        reducing.clear();
    }

    /** How this rank changes a span of its own. */
    @FunctionalInterface
    interface Change {
        void of(List<Span> spans);
    }

    /** Changes this rank's weights bucket by bucket, and gathers those of the others meanwhile. */
    void change(Change change, Team team) {
        if (alone()) {
            change.of(own);
            parameters.refreshValues();
            return;
        }
        Deque<Gathering> underway = new ArrayDeque<>();
        for (Shards.Bucket bucket : shards.buckets()) {
            Span part = bucket.part(group.rank(), group.size());
            if (part.length() > 0) {
                change.of(List.of(part));
            }
            if (underway.size() == UNDERWAY) {
                end(underway.remove(), team);
            }
            underway.add(gathering(bucket, !bucket.exact()));
        }
        while (!underway.isEmpty()) {
            end(underway.remove(), team);
        }
        parameters.refreshValues();
    }

    /** Gathers all weights themselves, of which only what is made of them may have gone from rank to rank. */
    void gatherWeights(Team team) {
        if (alone()) {
            return;
        }
        for (Shards.Bucket bucket : shards.buckets()) {
            if (!bucket.exact()) {
                end(gathering(bucket, false), team);
            }
        }
    }

    /** A bucket on its way, in its place or in room of its own where the parts of ranks are not equally long. */
    private record Gathering(Shards.Bucket bucket, boolean used, MemorySegment all, Optional<Arena> room, ProcessGroup.Pending pending) {}

    private Gathering gathering(Shards.Bucket bucket, boolean used) {
        Type type = used ? parameters.compute() : parameters.type();
        MemorySegment there = used ? parameters.used(bucket.span()) : parameters.weights(bucket.span());
        long share = bucket.share(group.size()) * type.bytes();
        Span part = bucket.part(group.rank(), group.size());
        MemorySegment mine = used ? parameters.used(part) : parameters.weights(part);
        if (share * group.size() == there.byteSize()) {
            return new Gathering(bucket, used, there, Optional.empty(), group.allGather(mine, there));
        }
        Arena room = Arena.ofShared();
        MemorySegment all = room.allocate(share * group.size(), Long.BYTES);
        MemorySegment padded = all.asSlice(share * group.rank(), share);
        padded.copyFrom(mine);
        return new Gathering(bucket, used, all, Optional.of(room), group.allGather(padded, all));
    }

    private void end(Gathering gathering, Team team) {
        await(gathering.pending);
        Span span = gathering.bucket.span();
        if (gathering.room.isPresent()) {
            MemorySegment there = gathering.used ? parameters.used(span) : parameters.weights(span);
            there.copyFrom(gathering.all.asSlice(0, there.byteSize())); // a rank's part is full before the next one has any
            gathering.room.get().close();
        }
        if (!gathering.used && parameters.compute() != parameters.type()) {
            parameters.each(team, List.of(span), parameters::refresh);
        }
    }
}
