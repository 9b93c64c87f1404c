package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import isonorm.architecture.NormKind;
import java.util.Arrays;
import java.util.function.ObjIntConsumer;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * The vector twins of the norms.
 *
 * <p>A row is read once, into an array that stays in the nearest cache; its statistics are float32 sums, two vectors of them side by side.
 * A LayerNorm shifts by the mean as float32 knows it and then corrects by the mean of what is left, so that a large mean costs no
 * digits. A row whose squares leave the range of float32 is left to the plain twin. An instance is at one row after the other.
 *
 * <p>A row of a CRMSNorm is taken with the free slot behind it, where both are whole vectors: a vector that overlaps another, or a
 * zero stored by itself, makes what reads it next wait.
 *
 * <p>Each loop is compiled by itself: in a process with norms of several kinds the loops of all of them would be one compilation, too
 * large for its vectors to stay in registers.
 */
final class VectorNorms {

    /** Beyond these a sum of squares may have overflowed, or lost what was below the smallest number. */
    private static final float LARGE = 1e36f;
    private static final float SMALL = 1e-30f;

    private static final Loop<VectorNorms> SUMMAND = loop(VectorNorms::readSummand);
    private static final Loop<VectorNorms> ADD_WHOLE_FLOATS = loop((row, r) -> row.addWholeFloats(row.rows.address(r), row.branch.address(r)));
    private static final Loop<VectorNorms> ADD_WHOLE_BRAINS = loop((row, r) -> row.addWholeBrains(row.rows.address(r), row.branch.address(r)));
    private static final Loop<VectorNorms> ADD_FLOATS = loop((row, r) -> row.addToFloats(row.rows.address(r)));
    private static final Loop<VectorNorms> ADD_BRAINS = loop((row, _) -> row.addBrains());
    private static final Loop<VectorNorms> STORE_BRAINS = loop((row, r) -> row.storeBrains(row.rows.address(r)));
    private static final Loop<VectorNorms> SUMS = Loop.of((row, _) -> row.sums());
    private static final Loop<VectorNorms> DEVIATIONS = loop((row, _) -> row.deviations());
    private static final Loop<VectorNorms> BEND = loop((row, _) -> row.bend());
    private static final Loop<VectorNorms> NORMALIZE = loop((row, _) -> row.normalize());
    private static final Loop<VectorNorms> NORMALIZE_AFFINE = loop((row, _) -> row.normalizeAffine());
    private static final Loop<VectorNorms> WRITE_SCALED = loop(VectorNorms::writeScaled);

    private final Rows rows;
    private final NormKind kind;
    private final double epsilon;
    private final int C;
    /** What is kept of a row's last vector: all bits of the row's values, none of what lies behind them. */
    private final int[] ofRow;
    private float alpha;
    private final float[] x;

    /** What {@link #measure} found: {@code n = (x - shift - correction) * scale}, and the sum of the row for CRMS. */
    private float shift;
    private float correction;
    private double variance;
    private float scale;
    private float sum;
    private float squares;
    private boolean measured;

    /** What is added, or null; the bias that it is given is all zeros where it has none. */
    private Rows branch;
    private float[] branchBias;
    /** Whether stream and branch are of one type and in whole vectors; if not, what is added is first read into {@code summand}. */
    private boolean whole;
    private float[] summand;

    /** Where it goes, or null; gain and bias are both null or both there. */
    private Rows out;
    private float[] gain;
    private float[] bias;

    private VectorNorms(Rows rows, NormKind kind, double epsilon) {
        this.rows = rows;
        this.kind = kind;
        this.epsilon = epsilon;
        this.C = rows.columns();
        this.x = Lanes.room(C);
        this.ofRow = new int[L];
        Arrays.fill(ofRow, 0, C - (x.length - L), -1);
    }

    /** How many values of a row vectors may touch: a free slot too, where the last vector ends with it. */
    private int span(Rows some) {
        return kind.readsCompressed() && x.length == C + 1 && some.spare() ? C + 1 : C;
    }

    private static Loop<VectorNorms> loop(ObjIntConsumer<VectorNorms> step) {
        return Loop.of((row, r) -> {
            step.accept(row, r);
            return 0;
        });
    }

    private VectorNorms adding(Rows other, Values otherBias) {
        branch = other;
        branchBias = Lanes.padded(otherBias, C, 0);
        whole = rows.type() == other.type() && rows.type() != Type.F16 && span(rows) == x.length && span(other) == x.length;
        summand = whole ? null : Lanes.room(C);
        return this;
    }

    private void normalize(Normalization norm, Rows into) {
        out = into;
        alpha = (float) norm.alpha();
        gain = norm.affine() ? Lanes.padded(norm.gain(), out.columns(), 1) : null;
        bias = norm.affine() ? Lanes.padded(norm.bias(), out.columns(), 0) : null;
        for (int r = 0; r < rows.rows(); r++) {
            read(r);
            if (measured) {
                give(r);
            } else {
                PlainKernels.normRow(rows, r, norm, out);
            }
        }
    }

    private void scale(Values scales) {
        for (int r = 0; r < rows.rows(); r++) {
            read(r);
            scales.set(r, measured ? scale : (float) PlainKernels.scale(rows, r, kind, epsilon));
        }
    }

    static void norm(Rows x, Normalization norm, Rows out) {
        new VectorNorms(x, norm.kind(), norm.epsilon()).normalize(norm, out);
    }

    static void addNorm(Rows stream, Rows branch, Values branchBias, Normalization norm, Rows out) {
        new VectorNorms(stream, norm.kind(), norm.epsilon()).adding(branch, branchBias).normalize(norm, out);
    }

    static void squares(Rows x, NormKind kind, double epsilon, Values scales) {
        new VectorNorms(x, kind, epsilon).scale(scales);
    }

    static void addSquares(Rows stream, Rows branch, Values branchBias, NormKind kind, double epsilon, Values scales) {
        new VectorNorms(stream, kind, epsilon).adding(branch, branchBias).scale(scales);
    }

    /** The statistics of rows, one after the other. */
    static VectorNorms statistics(Rows x, NormKind kind, double epsilon) {
        return new VectorNorms(x, kind, epsilon);
    }

    /** Reads row r and measures it; says whether float32 could. */
    boolean measure(int r) {
        read(r);
        return measured;
    }

    /** The row that was measured, in whole vectors: {@code n = (x - shift - correction) * scale}. */
    float[] row() {
        return x;
    }

    float shift() {
        return shift;
    }

    float correction() {
        return correction;
    }

    float scale() {
        return scale;
    }

    /** The sum of the row for CRMS. */
    float rowSum() {
        return sum;
    }

    /** Row r into {@link #x}, with what is added to it, and measured. */
    private void read(int r) {
        if (whole) {
            (rows.type() == Type.F32 ? ADD_WHOLE_FLOATS : ADD_WHOLE_BRAINS).run(this, r);
            if (span(rows) == C) {
                clearSpare(rows, r);
            }
        } else {
            if (branch == null) {
                Lanes.read(rows.type(), rows.address(r), C, x);
            } else {
                SUMMAND.run(this, r);
                add(r);
            }
            Arrays.fill(x, C, x.length, 0); // a LayerNorm leaves its mean there
        }
        measured = switch (kind) {
            case LAYER, RMS, CRMS -> measure();
            case DYNAMIC_TANH -> {
                BEND.run(this, r);
                scale = 1;
                yield true;
            }
        };
    }

    private void readSummand(int r) {
        Lanes.read(branch.type(), branch.address(r), C, summand);
        for (int i = 0; i < summand.length; i += L) {
            Lanes.floats(summand, i).add(Lanes.floats(branchBias, i)).intoArray(summand, i);
        }
    }

    /** Adds to row r of the stream and keeps in {@link #x} what it became. */
    private void add(int r) {
        if (C < L || rows.type() == Type.F16) {
            for (int c = 0; c < C; c++) {
                long at = rows.address(r) + (long) c * rows.type().bytes();
                x[c] = Lanes.rounded(rows.type(), Lanes.get(rows.type(), at) + summand[c]);
                Lanes.set(rows.type(), at, x[c]);
            }
        } else if (rows.type() == Type.F32) {
            ADD_FLOATS.run(this, r);
        } else {
            Lanes.read(Type.BF16, rows.address(r), C, x);
            ADD_BRAINS.run(this, r);
            STORE_BRAINS.run(this, r);
        }
        clearSpare(rows, r);
    }

    /** The whole vectors of a row, what lies behind its values becoming zero. */
    private void addWholeFloats(long to, long from) {
        int last = x.length - L;
        for (int i = 0; i < x.length; i += L) {
            long at = (long) i * Float.BYTES;
            FloatVector sum = Lanes.floats(to + at).add(Lanes.floats(from + at).add(Lanes.floats(branchBias, i)));
            if (i == last) {
                sum = Lanes.floats(Lanes.bits(sum).and(Lanes.bits(ofRow, 0)));
            }
            sum.intoArray(x, i);
            sum.intoMemorySegment(Lanes.ALL, to + at, Lanes.ORDER);
        }
    }

    /** {@link #addWholeFloats} of bfloat16: the sum, rounded. */
    private void addWholeBrains(long to, long from) {
        int last = x.length - L;
        for (int i = 0; i < x.length; i += L) {
            long at = (long) i * Short.BYTES;
            IntVector sum = Lanes.toBrains(Lanes.brains(to + at).add(Lanes.brains(from + at).add(Lanes.floats(branchBias, i))));
            if (i == last) {
                sum = sum.and(Lanes.bits(ofRow, 0));
            }
            Lanes.floats(sum.and(0xffff0000)).intoArray(x, i);
            Lanes.store(to + at, sum);
        }
    }

    private void addToFloats(long address) {
        int last = C - L;
        long end = address + (long) last * Float.BYTES;
        // Before the loop, which overwrites a part of what the last vector reads.
        FloatVector h = Lanes.floats(end).add(FloatVector.fromArray(FLOATS, summand, last));
        for (int i = 0; i < last; i += L) {
            long at = address + (long) i * Float.BYTES;
            FloatVector sum = Lanes.floats(at).add(FloatVector.fromArray(FLOATS, summand, i));
            sum.intoArray(x, i);
            sum.intoMemorySegment(Lanes.ALL, at, Lanes.ORDER);
        }
        h.intoArray(x, last);
        h.intoMemorySegment(Lanes.ALL, end, Lanes.ORDER);
    }

    /** The sum, rounded. */
    private void addBrains() {
        for (int i = 0; i < x.length; i += L) {
            IntVector sum = Lanes.toBrains(FloatVector.fromArray(FLOATS, x, i).add(FloatVector.fromArray(FLOATS, summand, i)));
            sum.and(0xffff0000).reinterpretAsFloats().intoArray(x, i);
        }
    }

    private void storeBrains(long address) {
        int last = C - L;
        for (int i = 0; i < last; i += L) {
            Lanes.store(address + (long) i * Short.BYTES, FloatVector.fromArray(FLOATS, x, i).reinterpretAsInts());
        }
        Lanes.store(address + (long) last * Short.BYTES, FloatVector.fromArray(FLOATS, x, last).reinterpretAsInts());
    }

    private void clearSpare(Rows written, int r) {
        if (kind.readsCompressed() && written.stride() > C) {
            Lanes.set(written.type(), written.address(r) + (long) C * written.type().bytes(), 0);
        }
    }

    /** Normalizes {@link #x} into row r of {@link #out}. */
    private void give(int r) {
        if (gain == null && !kind.centres()) {
            WRITE_SCALED.run(this, r);
        } else {
            (gain == null ? NORMALIZE : NORMALIZE_AFFINE).run(this, r);
            Lanes.write(out.type(), out.address(r), span(out), x);
        }
        if (out.columns() > C) {
            Lanes.set(out.type(), out.address(r) + (long) C * out.type().bytes(), -sum * scale * gain[C] + bias[C]);
        } else if (span(out) == C) {
            clearSpare(out, r);
        }
    }

    /** Finds shift and scale; says whether float32 could. */
    private boolean measure() {
        squares = SUMS.run(this, 0);
        double q = switch (kind) {
            case RMS -> squares / C;
            case CRMS -> (squares + (double) sum * sum) / (C + 1);
            case LAYER -> {
                shift = sum / C;
                Arrays.fill(x, C, x.length, shift); // what fills up the last vector must not count
                DEVIATIONS.run(this, 0);
                yield variance;
            }
            case DYNAMIC_TANH -> throw new IllegalStateException("nothing is measured");
        };
        scale = (float) (1 / Math.sqrt(q + epsilon));
        return q * C < LARGE && (q + epsilon) * C > SMALL; // false for NaN too
    }

    /** Makes {@link #x} its normalized values, of which no more than gain and bias are missing. */
    private void bend() {
        FloatVector factor = FloatVector.broadcast(FLOATS, alpha);
        for (int i = 0; i < x.length; i += L) {
            VectorMath.tanh(FloatVector.fromArray(FLOATS, x, i).mul(factor)).intoArray(x, i);
        }
    }

    /** The squares, and sets {@link #sum}. */
    private float sums() {
        FloatVector a = Lanes.all(0);
        FloatVector b = Lanes.all(0);
        FloatVector sumA = Lanes.all(0);
        FloatVector sumB = Lanes.all(0);
        int i = 0;
        for (; i <= x.length - 2 * L; i += 2 * L) {
            FloatVector p = Lanes.floats(x, i);
            FloatVector q = Lanes.floats(x, i + L);
            sumA = sumA.add(p);
            sumB = sumB.add(q);
            a = p.fma(p, a);
            b = q.fma(q, b);
        }
        if (i < x.length) {
            FloatVector p = Lanes.floats(x, i);
            sumA = sumA.add(p);
            a = p.fma(p, a);
        }
        sum = Lanes.sum(sumA.add(sumB));
        return Lanes.sum(a.add(b));
    }

    /** The mean of what is left once {@link #shift} is taken away, and the variance. */
    private void deviations() {
        FloatVector a = FloatVector.zero(FLOATS);
        FloatVector b = FloatVector.zero(FLOATS);
        FloatVector sumA = FloatVector.zero(FLOATS);
        FloatVector sumB = FloatVector.zero(FLOATS);
        FloatVector m = FloatVector.broadcast(FLOATS, shift);
        int i = 0;
        for (; i <= x.length - 2 * L; i += 2 * L) {
            FloatVector p = FloatVector.fromArray(FLOATS, x, i).sub(m);
            FloatVector q = FloatVector.fromArray(FLOATS, x, i + L).sub(m);
            sumA = sumA.add(p);
            sumB = sumB.add(q);
            a = p.fma(p, a);
            b = q.fma(q, b);
        }
        if (i < x.length) {
            FloatVector p = FloatVector.fromArray(FLOATS, x, i).sub(m);
            sumA = sumA.add(p);
            a = p.fma(p, a);
        }
        double rest = (double) Lanes.sum(sumA.add(sumB)) / C;
        correction = (float) rest;
        variance = (double) Lanes.sum(a.add(b)) / C - rest * rest;
    }

    /** {@code x * scale}, where nothing is subtracted. */
    private void writeScaled(int r) {
        Lanes.writeTimes(scale, out.type(), out.address(r), span(out), x);
    }

    private void normalize() {
        FloatVector first = FloatVector.broadcast(FLOATS, shift);
        FloatVector second = FloatVector.broadcast(FLOATS, correction);
        FloatVector factor = FloatVector.broadcast(FLOATS, scale);
        for (int i = 0; i < x.length; i += L) {
            FloatVector.fromArray(FLOATS, x, i).sub(first).sub(second).mul(factor).intoArray(x, i);
        }
    }

    private void normalizeAffine() {
        FloatVector first = FloatVector.broadcast(FLOATS, shift);
        FloatVector second = FloatVector.broadcast(FLOATS, correction);
        FloatVector factor = FloatVector.broadcast(FLOATS, scale);
        for (int i = 0; i < x.length; i += L) {
            FloatVector n = FloatVector.fromArray(FLOATS, x, i).sub(first).sub(second).mul(factor);
            n.fma(FloatVector.fromArray(FLOATS, gain, i), FloatVector.fromArray(FLOATS, bias, i)).intoArray(x, i);
        }
    }
}
