package isonorm.verify;

import isonorm.weights.Scratch;
import isonorm.weights.Slabs;
import java.io.IOException;
import java.util.function.IntPredicate;
import java.util.function.IntToLongFunction;

/**
 * Sums up differences row by row, in float64 and a few rows at a time, on several threads; the result does not depend on how
 * many. A row is one position's logits, or its hidden state.
 */
final class Tally {

    /** Reads {@code count} values from {@code first} on to the start of {@code into}. */
    @FunctionalInterface
    interface Values {
        void read(long first, int count, double[] into);
    }

    /** No next token is known. */
    static final long NO_TARGET = TokenizedText.NONE;

    private final boolean logits;
    private Sums sums = new Sums();

    /** @param logits whether a row is a distribution's logarithm, but for a constant */
    Tally(boolean logits) {
        this.logits = logits;
    }

    /**
     * Adds rows of {@code width} values each.
     *
     * @param counted which rows to compare
     * @param target the column that came true in a row, or {@link #NO_TARGET}
     */
    void add(int rows, int width, Values a, Values b, IntPredicate counted, IntToLongFunction target) throws IOException {
        int slab = Math.max(1, 32_768 / width);
        Sums[] parts = new Sums[Math.ceilDiv(rows, slab)];
        Slabs.forEach(rows, slab, (first, count) -> {
            Sums part = new Sums();
            try (Scratch ofA = Scratch.borrow(width); Scratch ofB = Scratch.borrow(width)) {
                for (int row = first; row < first + count; row++) {
                    if (counted.test(row)) {
                        a.read((long) row * width, width, ofA.values());
                        b.read((long) row * width, width, ofB.values());
                        part.add(row(ofA.values(), ofB.values(), width, target.applyAsLong(row)));
                    }
                }
            }
            parts[first / slab] = part;
        });
        for (Sums part : parts) {
            sums.add(part);
        }
    }

    /** The sums of one row. */
    private Sums row(double[] a, double[] b, int width, long target) {
        Sums row = new Sums();
        row.rows = 1;
        row.count = width;
        double sum = 0;
        for (int i = 0; i < width; i++) {
            double difference = Math.abs(a[i] - b[i]);
            row.largest = Math.max(row.largest, difference); // keeps a NaN
            row.absolute += difference;
            row.differences += difference * difference;
            sum += a[i];
        }
        row.mean = sum / width;
        for (int i = 0; i < width; i++) {
            row.squares += (a[i] - row.mean) * (a[i] - row.mean);
        }
        if (logits) {
            addDistribution(row, a, b, width, target);
        }
        return row;
    }

    /** {@code KL = sum p_a (log p_a - log p_b)}, with {@code log p = x - log sum exp x}. */
    private static void addDistribution(Sums row, double[] a, double[] b, int width, long target) {
        int topA = top(a, width);
        int topB = top(b, width);
        double sumA = 0;
        double sumB = 0;
        double weighted = 0;
        for (int i = 0; i < width; i++) {
            double weight = Math.exp(a[i] - a[topA]);
            sumA += weight;
            sumB += Math.exp(b[i] - b[topB]);
            weighted += weight * (a[i] - b[i]);
        }
        double logA = a[topA] + Math.log(sumA);
        double logB = b[topB] + Math.log(sumB);
        row.kl = weighted / sumA - logA + logB;
        row.agreed = topA == topB ? 1 : 0;
        if (target != NO_TARGET) {
            row.predicted = 1;
            row.surpriseA = logA - a[(int) target];
            row.surpriseB = logB - b[(int) target];
        }
    }

    private static int top(double[] values, int width) {
        int top = 0;
        for (int i = 1; i < width; i++) {
            if (values[i] > values[top]) {
                top = i;
            }
        }
        return top;
    }

    long positions() {
        return sums.rows;
    }

    double deviation() {
        return Math.sqrt(sums.squares / sums.count);
    }

    /** Relative to the deviation; zero where nothing differs, even of a constant output. */
    double largestError() {
        return relative(sums.largest);
    }

    double rootMeanSquareError() {
        return relative(Math.sqrt(sums.differences / sums.count));
    }

    double meanError() {
        return relative(sums.absolute / sums.count);
    }

    private double relative(double error) {
        return error == 0 ? 0 : error / deviation();
    }

    double kl() {
        return logits ? Math.max(0, sums.kl / sums.rows) : Double.NaN;
    }

    double top1Agreement() {
        return logits ? (double) sums.agreed / sums.rows : Double.NaN;
    }

    double perplexityA() {
        return Math.exp(sums.surpriseA / sums.predicted); // NaN where nothing was predicted
    }

    double perplexityB() {
        return Math.exp(sums.surpriseB / sums.predicted);
    }

    /** What a number of rows adds up to; A's variance as the squared distances from its mean. */
    private static final class Sums {
        private long rows;
        private long count;
        private double largest;
        private double absolute;
        private double differences; // squared
        private double mean;
        private double squares;
        private double kl;
        private long agreed;
        private long predicted;
        private double surpriseA;
        private double surpriseB;

        void add(Sums other) {
            if (other.count == 0) {
                return;
            }
            double apart = other.mean - mean;
            long together = count + other.count;
            mean += apart * other.count / together;
            squares += other.squares + apart * apart * count * other.count / together;
            count = together;
            rows += other.rows;
            largest = Math.max(largest, other.largest);
            absolute += other.absolute;
            differences += other.differences;
            kl += other.kl;
            agreed += other.agreed;
            predicted += other.predicted;
            surpriseA += other.surpriseA;
            surpriseB += other.surpriseB;
        }
    }
}
