package isonorm.kernel;

import static isonorm.kernel.Lanes.ALL;
import static isonorm.kernel.Lanes.L;

import java.lang.foreign.MemorySegment;

/**
 * The vector twin of a copy from one type to another. One loop a pair of types, each compiled by itself; the last vector of a row
 * ends with it and overlaps the one before.
 */
final class VectorCopy {

    private static final Loop<VectorCopy> FLOATS_TO_BRAINS = Loop.of(VectorCopy::floatsToBrains);
    private static final Loop<VectorCopy> BRAINS_TO_FLOATS = Loop.of(VectorCopy::brainsToFloats);
    private static final Loop<VectorCopy> FLOATS_TO_HALVES = Loop.of(VectorCopy::floatsToHalves);
    private static final Loop<VectorCopy> BRAINS_TO_HALVES = Loop.of(VectorCopy::brainsToHalves);
    private static final Loop<VectorCopy> HALVES_TO_FLOATS = Loop.of(VectorCopy::halvesToFloats);
    private static final Loop<VectorCopy> HALVES_TO_BRAINS = Loop.of(VectorCopy::halvesToBrains);

    /** Where a row is read and written. */
    private long from;
    private long to;

    private VectorCopy() {}

    static void copy(Rows x, Rows out) {
        int C = x.columns();
        if (x.type() == out.type()) {
            for (int row = 0; row < x.rows(); row++) {
                MemorySegment.copy(ALL, x.address(row), ALL, out.address(row), (long) C * x.type().bytes());
            }
        } else if (C < L) {
            new PlainKernels().copy(x, out);
        } else {
            VectorCopy copy = new VectorCopy();
            Loop<VectorCopy> loop = loop(x.type(), out.type());
            for (int row = 0; row < x.rows(); row++) {
                copy.from = x.address(row);
                copy.to = out.address(row);
                loop.run(copy, C);
            }
        }
    }

    private static Loop<VectorCopy> loop(Type from, Type to) {
        return switch (from) {
            case F64 -> throw Lanes.wide();
            case F32 -> to == Type.BF16 ? FLOATS_TO_BRAINS : FLOATS_TO_HALVES;
            case BF16 -> to == Type.F32 ? BRAINS_TO_FLOATS : BRAINS_TO_HALVES;
            case F16 -> to == Type.F32 ? HALVES_TO_FLOATS : HALVES_TO_BRAINS;
        };
    }

    /** The vector that begins at i, or the last one that fits. */
    private static long at(int i, int n) {
        return Math.min(i, n - L);
    }

    private static float floatsToBrains(VectorCopy on, int n) {
        for (int i = 0; i < n; i += L) {
            long at = at(i, n);
            Lanes.store(on.to + at * Short.BYTES, Lanes.toBrains(Lanes.floats(on.from + at * Float.BYTES)));
        }
        return 0;
    }

    private static float brainsToFloats(VectorCopy on, int n) {
        for (int i = 0; i < n; i += L) {
            long at = at(i, n);
            Lanes.brains(on.from + at * Short.BYTES).intoMemorySegment(ALL, on.to + at * Float.BYTES, Lanes.ORDER);
        }
        return 0;
    }

    private static float floatsToHalves(VectorCopy on, int n) {
        for (int i = 0; i < n; i++) {
            Lanes.set(Type.F16, on.to + (long) i * Short.BYTES, Lanes.get(Type.F32, on.from + (long) i * Float.BYTES));
        }
        return 0;
    }

    private static float brainsToHalves(VectorCopy on, int n) {
        for (int i = 0; i < n; i++) {
            Lanes.set(Type.F16, on.to + (long) i * Short.BYTES, Lanes.get(Type.BF16, on.from + (long) i * Short.BYTES));
        }
        return 0;
    }

    private static float halvesToFloats(VectorCopy on, int n) {
        for (int i = 0; i < n; i += L) {
            long at = at(i, n);
            Lanes.halves(on.from + at * Short.BYTES).intoMemorySegment(ALL, on.to + at * Float.BYTES, Lanes.ORDER);
        }
        return 0;
    }

    private static float halvesToBrains(VectorCopy on, int n) {
        for (int i = 0; i < n; i += L) {
            long at = at(i, n);
            Lanes.store(on.to + at * Short.BYTES, Lanes.toBrains(Lanes.halves(on.from + at * Short.BYTES)));
        }
        return 0;
    }
}
