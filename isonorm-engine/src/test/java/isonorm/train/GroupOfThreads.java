package isonorm.train;

import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.train.ProcessGroup.Element;
import isonorm.train.ProcessGroup.Patience;
import isonorm.train.ProcessGroup.Pending;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** A group whose ranks are threads of one process, so that what ranks do together is tested where there is nothing to speak by. */
final class GroupOfThreads {

    private static final long SECONDS = 60;

    private final int size;
    private final CyclicBarrier barrier;
    private final Object[] given;
    private final AtomicInteger underway = new AtomicInteger();

    private GroupOfThreads(int size) {
        this.size = size;
        this.barrier = new CyclicBarrier(size);
        this.given = new Object[size];
    }

    /** What a rank does. */
    @FunctionalInterface
    interface Task<T> {
        T run(ProcessGroup group) throws Exception;
    }

    /**
     * What each of so many ranks gives.
     *
     * @throws Exception what the first of them that failed threw
     */
    static <T> List<T> run(int size, Task<T> task) throws Exception {
        GroupOfThreads all = new GroupOfThreads(size);
        try (ExecutorService threads = Executors.newFixedThreadPool(size)) {
            List<Future<T>> results = new ArrayList<>();
            for (int rank = 0; rank < size; rank++) {
                ProcessGroup group = all.new Rank(rank);
                results.add(threads.submit(() -> {
                    try {
                        return task.run(group);
                    } catch (Throwable e) {
                        all.lose();
                        throw e;
                    }
                }));
            }
            List<T> gathered = new ArrayList<>();
            Exception first = null;
            for (Future<T> each : results) {
                try {
                    gathered.add(each.get());
                } catch (ExecutionException e) {
                    first = first == null && e.getCause() instanceof Exception cause ? cause : first;
                }
            }
            assertEquals(0, all.underway.get(), "collectives whose end nobody waited for");
            if (first != null) {
                throw first;
            }
            return gathered;
        }
    }

    /** From now on whoever waits for others, or begins to, is told that one was lost: who is interrupted at a barrier breaks it. */
    private void lose() {
        Thread.currentThread().interrupt();
        try {
            barrier.await();
        } catch (InterruptedException | BrokenBarrierException e) {
            return;
        }
    }

    private Pending counted(Pending pending) {
        underway.incrementAndGet();
        return () -> {
            underway.decrementAndGet();
            pending.await();
        };
    }

    /** What all ranks give, in their order, once they have. */
    private <T> List<T> all(int rank, T mine) {
        try {
            given[rank] = mine;
            barrier.await(SECONDS, TimeUnit.SECONDS);
            @SuppressWarnings("unchecked")
            List<T> all = (List<T>) List.of(given);
            barrier.await(SECONDS, TimeUnit.SECONDS);
            return all;
        } catch (Exception e) {
            throw new ProcessGroup.Broken("a thread was lost", false, e);
        }
    }

    private final class Rank implements ProcessGroup {

        private final int rank;

        Rank(int rank) {
            this.rank = rank;
        }

        @Override
        public int rank() {
            return rank;
        }

        @Override
        public int size() {
            return size;
        }

        @Override
        public int local() {
            return size;
        }

        @Override
        public String address(int other) {
            return "thread " + other;
        }

        @Override
        public Pending allReduce(MemorySegment values, Element element) {
            byte[] now = values.toArray(ValueLayout.JAVA_BYTE); // who changes them while they are on their way loses that
            return counted(() -> {
                List<byte[]> parts = all(rank, now);
                int bytes = element == Element.F32 ? Float.BYTES : Double.BYTES;
                for (long i = 0; i < values.byteSize() / bytes; i++) {
                    double sum = 0;
                    for (byte[] part : parts) {
                        MemorySegment of = MemorySegment.ofArray(part);
                        sum += element == Element.F32 ? of.getAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, i) : of.getAtIndex(ValueLayout.JAVA_DOUBLE_UNALIGNED, i);
                    }
                    if (element == Element.F32) {
                        values.setAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, i, (float) sum);
                    } else {
                        values.setAtIndex(ValueLayout.JAVA_DOUBLE_UNALIGNED, i, sum);
                    }
                }
            });
        }

        @Override
        public Pending allGather(MemorySegment part, MemorySegment all) {
            byte[] now = part.toArray(ValueLayout.JAVA_BYTE);
            return counted(() -> {
                List<byte[]> parts = all(rank, now);
                for (int other = 0; other < size; other++) {
                    MemorySegment.copy(parts.get(other), 0, all, ValueLayout.JAVA_BYTE, other * part.byteSize(), parts.get(other).length);
                }
            });
        }

        @Override
        public double[][] allGather(Patience patience, double... values) {
            return all(rank, values.clone()).stream().map(double[]::clone).toArray(double[][]::new);
        }

        @Override
        public byte[][] allGather(Patience patience, byte[] bytes) {
            return all(rank, bytes.clone()).stream().map(each -> Arrays.copyOf(each, each.length)).toArray(byte[][]::new);
        }

        @Override
        public void close() {
            // threads end by themselves
        }
    }
}
