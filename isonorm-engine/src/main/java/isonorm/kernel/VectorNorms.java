package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import isonorm.architecture.NormKind;
import java.util.Arrays;
import java.util.function.ObjIntConsumer;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * The vector twins of the norms.
 *
 * <p>A row is read once, into an array that stays in the nearest cache; its statistics are float32 sums, four vectors of them side by side.
 * A LayerNorm shifts by the mean as float32 knows it and then corrects by the mean of what is left, so that a large mean costs no
 * digits. A row whose squares leave the range of float32 is left to the plain twin. An instance is at one row after the other.
 *
 * <p>Each loop is compiled by itself: in a process with norms of several kinds the loops of all of them would be one compilation, too
 * large for its vectors to stay in registers.
 */
final class VectorNorms {

    /** Beyond these a sum of squares may have overflowed, or lost what was below the smallest number. */
    private static final float LARGE = 1e36f;
    private static final float SMALL = 1e-30f;

    private static final Loop<VectorNorms> SUMMAND = loop(VectorNorms::readSummand);
    private static final Loop<VectorNorms> ADD_FLOATS = loop((row, r) -> row.addToFloats(row.rows.address(r)));
    private static final Loop<VectorNorms> ADD_BRAINS = loop((row, _) -> row.addBrains());
    private static final Loop<VectorNorms> STORE_BRAINS = loop((row, r) -> row.storeBrains(row.rows.address(r)));
    private static final Loop<VectorNorms> SUM = Loop.of((row, _) -> row.sum());
    private static final Loop<VectorNorms> SQUARES = Loop.of((row, _) -> row.squares());
    private static final Loop<VectorNorms> DEVIATIONS = loop((row, _) -> row.deviations());
    private static final Loop<VectorNorms> BEND = loop((row, _) -> row.bend());
    private static final Loop<VectorNorms> NORMALIZE = loop((row, _) -> row.normalize());
    private static final Loop<VectorNorms> NORMALIZE_AFFINE = loop((row, _) -> row.normalizeAffine());
    private static final Loop<VectorNorms> WRITE_SCALED = loop(VectorNorms::writeScaled);

    private final Rows rows;
    private final NormKind kind;
    private final double epsilon;
    private final int C;
    private float alpha;
    private final float[] x;
    private float[] summand;

    /** What {@link #measure} found: {@code n = (x - shift - correction) * scale}, and the sum of the row for CRMS. */
    private float shift;
    private float correction;
    private double variance;
    private float scale;
    private float sum;
    private boolean measured;

    /** What is added, or null. */
    private Rows branch;
    private float[] branchBias;

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
    }

    private static Loop<VectorNorms> loop(ObjIntConsumer<VectorNorms> step) {
        return Loop.of((row, r) -> {
            step.accept(row, r);
            return 0;
        });
    }

    private VectorNorms adding(Rows other, Values otherBias) {
        branch = other;
        summand = Lanes.room(C);
        branchBias = otherBias.present() ? Lanes.padded(otherBias, C, 0) : null;
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
        if (branch == null) {
            Lanes.read(rows.type(), rows.address(r), C, x);
        } else {
            SUMMAND.run(this, r);
            add(r);
        }
        Arrays.fill(x, C, x.length, 0); // a LayerNorm leaves its mean there
        if (kind == NormKind.DYNAMIC_TANH) {
            BEND.run(this, r);
            scale = 1;
            measured = true;
        } else {
            measure();
        }
    }

    private void readSummand(int r) {
        Lanes.read(branch.type(), branch.address(r), C, summand);
        if (branchBias != null) {
            for (int i = 0; i < summand.length; i += L) {
                FloatVector.fromArray(FLOATS, summand, i).add(FloatVector.fromArray(FLOATS, branchBias, i)).intoArray(summand, i);
            }
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
        if (kind == NormKind.CRMS && written.stride() > C) {
            Lanes.set(written.type(), written.address(r) + (long) C * written.type().bytes(), 0);
        }
    }

    /** Normalizes {@link #x} into row r of {@link #out}. */
    private void give(int r) {
        if (gain == null && kind != NormKind.LAYER) {
            WRITE_SCALED.run(this, r);
        } else {
            (gain == null ? NORMALIZE : NORMALIZE_AFFINE).run(this, r);
            Lanes.write(out.type(), out.address(r), C, x);
        }
        if (out.columns() > C) {
            Lanes.set(out.type(), out.address(r) + (long) C * out.type().bytes(), -sum * scale * gain[C] + bias[C]);
        } else {
            clearSpare(out, r);
        }
    }

    /** Finds shift and scale, where float32 can. */
    private void measure() {
        double q = switch (kind) {
            case RMS -> SQUARES.run(this, 0) / C;
            case CRMS -> {
                sum = SUM.run(this, 0);
                yield (SQUARES.run(this, 0) + (double) sum * sum) / (C + 1);
            }
            case LAYER -> {
                shift = SUM.run(this, 0) / C;
                Arrays.fill(x, C, x.length, shift); // what fills up the last vector must not count
                DEVIATIONS.run(this, 0);
                yield variance;
            }
            case DYNAMIC_TANH -> throw new IllegalStateException("nothing is measured");
        };
        scale = (float) (1 / Math.sqrt(q + epsilon));
        measured = q * C < LARGE && (q + epsilon) * C > SMALL; // false for NaN too
    }

    /** Makes {@link #x} its normalized values, of which no more than gain and bias are missing. */
    private void bend() {
        FloatVector factor = FloatVector.broadcast(FLOATS, alpha);
        for (int i = 0; i < x.length; i += L) {
            VectorMath.tanh(FloatVector.fromArray(FLOATS, x, i).mul(factor)).intoArray(x, i);
        }
    }

    private float sum() {
        FloatVector a = FloatVector.zero(FLOATS);
        FloatVector b = FloatVector.zero(FLOATS);
        FloatVector c = FloatVector.zero(FLOATS);
        FloatVector d = FloatVector.zero(FLOATS);
        int i = 0;
        for (; i <= x.length - 4 * L; i += 4 * L) {
            a = a.add(FloatVector.fromArray(FLOATS, x, i));
            b = b.add(FloatVector.fromArray(FLOATS, x, i + L));
            c = c.add(FloatVector.fromArray(FLOATS, x, i + 2 * L));
            d = d.add(FloatVector.fromArray(FLOATS, x, i + 3 * L));
        }
        for (; i < x.length; i += L) {
            a = a.add(FloatVector.fromArray(FLOATS, x, i));
        }
        return Lanes.sum(a, b, c, d);
    }

    private float squares() {
        FloatVector a = FloatVector.zero(FLOATS);
        FloatVector b = FloatVector.zero(FLOATS);
        FloatVector c = FloatVector.zero(FLOATS);
        FloatVector d = FloatVector.zero(FLOATS);
        int i = 0;
        for (; i <= x.length - 4 * L; i += 4 * L) {
            FloatVector p = FloatVector.fromArray(FLOATS, x, i);
            FloatVector q = FloatVector.fromArray(FLOATS, x, i + L);
            FloatVector r = FloatVector.fromArray(FLOATS, x, i + 2 * L);
            FloatVector s = FloatVector.fromArray(FLOATS, x, i + 3 * L);
            a = p.fma(p, a);
            b = q.fma(q, b);
            c = r.fma(r, c);
            d = s.fma(s, d);
        }
        for (; i < x.length; i += L) {
            FloatVector p = FloatVector.fromArray(FLOATS, x, i);
            a = p.fma(p, a);
        }
        return Lanes.sum(a, b, c, d);
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
        Lanes.writeTimes(scale, out.type(), out.address(r), C, x);
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
