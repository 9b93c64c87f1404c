package isonorm.tensor;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;

/**
 * Threads that work on one thing after the other together, the caller's among them.
 *
 * <p>A forward pass has a hundred short steps, and waking a thread takes as long as many of them. So a thread that has nothing
 * to do looks for work for a moment before it sleeps. A step ends with its parts: the caller waits for those that others have begun, and for
 * no thread that has begun none, which another program may keep from its processor for as long as many steps take. What a step wrote, the
 * next one sees. An exception in one part is thrown to the caller when all parts have ended.
 */
public final class Team implements AutoCloseable {

    /** What is done with the part that has this number. */
    @FunctionalInterface
    public interface Part {
        void run(int number);
    }

    /** What is done with {@code count} things from {@code first} on. */
    @FunctionalInterface
    public interface Slice {
        void run(int first, int count);
    }

    /** Looks for work so often before it sleeps, about a millisecond; where there are fewer processors than threads, not at all. */
    private static final int LOOKS = 40_000;

    /** So many parts a thread: more would cost more than they balance. */
    private static final int PARTS = 2;

    private final int looks;
    private final Thread[] helpers;
    private final AtomicInteger[] asleep;

    /** How many parts this step has, above, and the next of them, below: who takes a number knows of the same step whether it is one. */
    private final AtomicLong next = new AtomicLong();

    private final AtomicInteger ended = new AtomicInteger();
    private final AtomicReference<Throwable> thrown = new AtomicReference<>();

    private Part work = _ -> {}; // of the step that has parts left: no other begins before they have ended
    private volatile int round;
    private volatile boolean closed;

    private Team(int threads) {
        looks = threads <= Runtime.getRuntime().availableProcessors() ? LOOKS : 0;
        helpers = new Thread[threads - 1];
        asleep = new AtomicInteger[threads - 1];
    }

    /** A team of {@code threads}, the caller's included. */
    public static Team of(int threads) {
        if (threads < 1) {
            throw new IllegalArgumentException("a model needs one thread or more, got " + threads);
        }
        Team team = new Team(threads);
        for (int t = 0; t < team.helpers.length; t++) {
            AtomicInteger sleeps = new AtomicInteger();
            team.asleep[t] = sleeps;
            team.helpers[t] = Thread.ofPlatform().daemon().name("isonorm-" + (t + 1)).unstarted(() -> team.help(sleeps));
        }
        for (Thread helper : team.helpers) {
            helper.start();
        }
        return team;
    }

    public int size() {
        return helpers.length + 1;
    }

    /** Runs parts 0 to {@code count - 1}, whoever is free taking the next. */
    public void each(int count, Part part) {
        if (count <= 1 || helpers.length == 0) {
            for (int number = 0; number < count; number++) {
                part.run(number);
            }
            return;
        }
        work = part;
        ended.set(0);
        next.set((long) count << Integer.SIZE); // publishes what is above
        round++;
        for (int t = 0; t < helpers.length; t++) {
            if (asleep[t].get() != 0) {
                LockSupport.unpark(helpers[t]);
            }
        }
        take();
        for (int looked = 0; ended.get() < count; looked++) {
            if (looked < looks) {
                Thread.onSpinWait();
            } else {
                Thread.yield();
            }
        }
        Throwable first = thrown.getAndSet(null);
        switch (first) {
            case null -> {}
            case RuntimeException e -> throw e;
            case Error e -> throw e;
            default -> throw new IllegalStateException(first);
        }
    }

    /** Runs {@code slice} on all of {@code total}, a share for each thread, beginning at multiples of {@code step}. */
    public void split(int total, int step, Slice slice) {
        long steps = Math.ceilDiv(total, step);
        int shares = (int) Math.min(size(), steps);
        each(shares, share -> {
            int first = (int) Math.ceilDiv(steps * share, shares) * step; // the caller, who begins first, has the larger share
            int end = Math.min(total, (int) Math.ceilDiv(steps * (share + 1), shares) * step);
            slice.run(first, end - first);
        });
    }

    /**
     * Runs {@code slice} on all of {@code total} in some parts for each thread, beginning at multiples of {@code step}: whoever is free takes the
     * next, for two threads that read memory are seldom equally fast.
     */
    public void deal(int total, int step, Slice slice) {
        long steps = Math.ceilDiv(total, step);
        int parts = helpers.length == 0 ? 1 : (int) Math.min((long) PARTS * size(), steps);
        each(parts, part -> {
            int first = (int) (steps * part / parts) * step;
            int end = Math.min(total, (int) (steps * (part + 1) / parts) * step);
            slice.run(first, end - first);
        });
    }

    private void take() {
        while (true) {
            long taken = next.getAndIncrement();
            int number = (int) taken;
            if (number >= (int) (taken >>> Integer.SIZE)) {
                return;
            }
            try {
                work.run(number);
            } catch (RuntimeException | Error e) {
                thrown.compareAndSet(null, e);
            } finally {
                ended.incrementAndGet();
            }
        }
    }

    private void help(AtomicInteger sleeps) {
        int seen = 0;
        while (true) {
            for (int looked = 0; round == seen && !closed; looked++) {
                if (looked < looks) {
                    Thread.onSpinWait();
                    continue;
                }
                sleeps.set(1);
                if (round == seen && !closed) {
                    LockSupport.park(this);
                }
                sleeps.set(0);
            }
            if (closed) {
                return;
            }
            seen = round;
            take();
        }
    }

    @Override
    public void close() {
        closed = true;
        for (Thread helper : helpers) {
            LockSupport.unpark(helper);
        }
    }
}
