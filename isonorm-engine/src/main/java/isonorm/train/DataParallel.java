package isonorm.train;

import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Parameters.Span;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;

/**
 * What the ranks of a group do together in a step: gradients are added up bucket by bucket while the backward pass goes on, each rank changes its part
 * of the weights, and these are gathered. The process that is alone has all of them, and nothing is done.
 */
final class DataParallel implements AutoCloseable {

    /** So many buckets are on their way at once when weights are gathered. */
    private static final int UNDERWAY = 4;

    private final ProcessGroup group;
    private final Parameters parameters;
    private final Shards shards;
    private final List<Span> own;
    /** What has begun and not ended, in that order: memory that it reads and writes must stay. */
    private final Deque<Collective> underway = new ArrayDeque<>();
    private int begun;
    private long waited;
    private long waitedForGradients;

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

    /** How many of them it has waited for sums of gradients, which are what the backward pass may hide. */
    long waitedForGradients() {
        long was = waitedForGradients;
        waitedForGradients = 0;
        return was;
    }

    /**
     * A collective on its way.
     *
     * @param room of its own, if it has any
     * @param ended what is done with what it brought
     */
    private record Collective(ProcessGroup.Pending pending, Optional<Arena> room, Runnable ended) {

        void close() {
            room.ifPresent(Arena::close);
        }
    }

    /** Waits for the one that began first. If it breaks, the others are waited for too. */
    private void endFirst() {
        Collective first = underway.remove();
        boolean ended = false;
        try {
            long begin = System.nanoTime();
            first.pending.await();
            waited += System.nanoTime() - begin;
            first.ended.run();
            ended = true;
        } finally {
            first.close();
            if (!ended) {
                close();
            }
        }
    }

    /** Waits until nothing is on its way any more, and takes nothing of what it brings. The group may be broken. */
    @Override
    public void close() {
        while (!underway.isEmpty()) {
            Collective each = underway.remove();
            try {
                each.pending.await();
            } catch (ProcessGroup.Broken e) {
                // whoever asks for a result is told
            } finally {
                each.close();
            }
        }
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
    }

    /** Behind the backward pass of a block, or of all of them: begins to add up what is complete. */
    void complete(int block) {
        if (alone()) {
            return;
        }
        while (begun < shards.buckets().size() && shards.buckets().get(begun).block() >= block) {
            Span span = shards.buckets().get(begun).span();
            settle(span);
            ProcessGroup.Element element = parameters.gradientType() == Type.F64 ? ProcessGroup.Element.F64 : ProcessGroup.Element.F32;
            underway.add(new Collective(group.allReduce(parameters.gradient(span), element), Optional.empty(), () -> {}));
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
        long before = waited;
        while (!underway.isEmpty()) {
            endFirst();
        }
        waitedForGradients += waited - before;
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
        for (Shards.Bucket bucket : shards.buckets()) {
            Span part = bucket.part(group.rank(), group.size());
            if (part.length() > 0) {
                change.of(List.of(part));
            }
            if (underway.size() == UNDERWAY) {
                endFirst();
            }
            gather(bucket, !bucket.exact(), team);
        }
        while (!underway.isEmpty()) {
            endFirst();
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
                gather(bucket, false, team);
                endFirst();
            }
        }
    }

    /** Begins to gather a bucket, in its place or in room of its own where the parts of ranks are not equally long. */
    private void gather(Shards.Bucket bucket, boolean used, Team team) {
        Type type = used ? parameters.compute() : parameters.type();
        MemorySegment there = used ? parameters.used(bucket.span()) : parameters.weights(bucket.span());
        long share = bucket.share(group.size()) * type.bytes();
        Span part = bucket.part(group.rank(), group.size());
        MemorySegment mine = used ? parameters.used(part) : parameters.weights(part);
        if (share * group.size() == there.byteSize()) {
            underway.add(new Collective(group.allGather(mine, there), Optional.empty(), () -> refresh(bucket, used, team)));
            return;
        }
        Arena room = Arena.ofShared();
        boolean begun = false;
        try {
            MemorySegment all = room.allocate(share * group.size(), Long.BYTES);
            MemorySegment padded = all.asSlice(share * group.rank(), share);
            padded.copyFrom(mine);
            underway.add(new Collective(group.allGather(padded, all), Optional.of(room), () -> {
                there.copyFrom(all.asSlice(0, there.byteSize())); // a rank's part is full before the next one has any
                refresh(bucket, used, team);
            }));
            begun = true;
        } finally {
            if (!begun) {
                room.close();
            }
        }
    }

    private void refresh(Shards.Bucket bucket, boolean used, Team team) {
        if (!used && parameters.compute() != parameters.type()) {
            parameters.each(team, List.of(bucket.span()), parameters::refresh);
        }
    }
}
