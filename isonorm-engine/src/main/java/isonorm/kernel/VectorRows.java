package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import isonorm.architecture.Rotary.Pairing;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShuffle;

/** The vector twins of rotary embeddings, of gathering rows, and of what is asked of a single row. */
final class VectorRows {

    /** Each lane and its neighbour exchanged. */
    private static final VectorShuffle<Float> NEIGHBOUR = VectorShuffle.fromOp(FLOATS, lane -> lane ^ 1);

    /** Values of a row that are looked at together; a sum of so many in float32 loses little. */
    private static final int CHUNK = 1024;

    /** A row that is turned, with the angles of its position. */
    private record Turn(float[] row, int pairs, float[] cosine, float[] sine) {}

    private static final Loop<Turn> TURN_HALVES = Loop.of((turn, at) -> {
        turnHalves(turn.row, at, turn.pairs, turn.cosine, turn.sine);
        return 0;
    });
    private static final Loop<Turn> TURN_NEIGHBOURS = Loop.of((turn, at) -> {
        turnNeighbours(turn.row, at, 2 * turn.pairs, turn.cosine, turn.sine);
        return 0;
    });
    static final Loop<float[]> LARGEST = Loop.of(VectorRows::largestOf);

    private VectorRows() {}

    static void rotary(Rows x, int heads, Turns turns, int first) {
        int C = x.columns();
        int D = C / heads;
        int pairs = turns.width() / 2;
        float[] row = Lanes.room(C);
        float[] cosine = Lanes.room(turns.width());
        float[] sine = Lanes.room(turns.width());
        Turn turn = new Turn(row, pairs, cosine, sine);
        for (int r = 0; r < x.rows(); r++) {
            long address = x.address(r);
            Lanes.read(x.type(), address, C, row);
            Lanes.read(Type.F32, turns.cosine().address(first + r), pairs, cosine);
            Lanes.read(Type.F32, turns.sine().address(first + r), pairs, sine);
            if (turns.pairing() == Pairing.HALVES) {
                for (int head = 0; head < heads; head++) {
                    TURN_HALVES.run(turn, head * D);
                }
            } else {
                spread(pairs, cosine, sine);
                for (int head = 0; head < heads; head++) {
                    TURN_NEIGHBOURS.run(turn, head * D);
                }
            }
            Lanes.write(x.type(), address, C, row);
        }
    }

    private static void turnHalves(float[] row, int at, int pairs, float[] cosine, float[] sine) {
        int i = 0;
        for (; i <= pairs - L; i += L) {
            FloatVector a = FloatVector.fromArray(FLOATS, row, at + i);
            FloatVector b = FloatVector.fromArray(FLOATS, row, at + pairs + i);
            FloatVector c = FloatVector.fromArray(FLOATS, cosine, i);
            FloatVector s = FloatVector.fromArray(FLOATS, sine, i);
            a.mul(c).sub(b.mul(s)).intoArray(row, at + i);
            b.mul(c).add(a.mul(s)).intoArray(row, at + pairs + i);
        }
        for (; i < pairs; i++) {
            float a = row[at + i];
            float b = row[at + pairs + i];
            row[at + i] = a * cosine[i] - b * sine[i];
            row[at + pairs + i] = b * cosine[i] + a * sine[i];
        }
    }

    /** Makes (c0, c1, ...) into (c0, c0, c1, c1, ...) and (s0, s1, ...) into (-s0, s0, -s1, s1, ...). */
    private static void spread(int pairs, float[] cosine, float[] sine) {
        for (int i = pairs - 1; i >= 0; i--) {
            cosine[2 * i + 1] = cosine[i];
            cosine[2 * i] = cosine[i];
            sine[2 * i + 1] = sine[i];
            sine[2 * i] = -sine[2 * i + 1];
        }
    }

    private static void turnNeighbours(float[] row, int at, int width, float[] cosine, float[] sine) {
        int i = 0;
        for (; i <= width - L; i += L) {
            FloatVector x = FloatVector.fromArray(FLOATS, row, at + i);
            FloatVector beside = x.rearrange(NEIGHBOUR);
            x.mul(FloatVector.fromArray(FLOATS, cosine, i)).add(beside.mul(FloatVector.fromArray(FLOATS, sine, i))).intoArray(row, at + i);
        }
        for (; i < width; i += 2) {
            float a = row[at + i];
            float b = row[at + i + 1];
            row[at + i] = a * cosine[i] + b * sine[i];
            row[at + i + 1] = b * cosine[i + 1] + a * sine[i + 1];
        }
    }

    static void gather(Rows table, int[] ids, float scale, Rows out) {
        int C = out.columns();
        float[] row = Lanes.room(C);
        for (int i = 0; i < ids.length; i++) {
            Lanes.read(table.type(), table.address(ids[i]), C, row);
            if (scale != 1) {
                VectorSoftmax.times(scale, row, C);
            }
            Lanes.write(out.type(), out.address(i), C, row);
        }
    }

    static void gather(Rows table, int[] ids, float scale, Rows positions, int first, Rows out) {
        int C = out.columns();
        float[] row = Lanes.room(C);
        float[] position = Lanes.room(C);
        for (int i = 0; i < ids.length; i++) {
            Lanes.read(table.type(), table.address(ids[i]), C, row);
            Lanes.read(positions.type(), positions.address(first + i), C, position);
            scaleAdd(row, scale, position, C);
            Lanes.write(out.type(), out.address(i), C, row);
        }
    }

    private static void scaleAdd(float[] row, float scale, float[] added, int n) {
        FloatVector factor = FloatVector.broadcast(FLOATS, scale);
        for (int i = 0; i < n; i += L) {
            FloatVector.fromArray(FLOATS, row, i).fma(factor, FloatVector.fromArray(FLOATS, added, i)).intoArray(row, i);
        }
    }

    static int argmax(Rows x, int row) {
        float[] chunk = new float[Lanes.whole(Math.min(CHUNK, x.columns()))];
        float largest = Float.NEGATIVE_INFINITY;
        int best = -1;
        for (int at = 0; at < x.columns(); at += CHUNK) {
            int n = readChunk(x, row, at, chunk);
            float here = LARGEST.run(chunk, Lanes.whole(n));
            if (here > largest || best < 0 && !(here < largest)) {
                int found = find(chunk, n, here);
                best = found < 0 ? best : at + found;
                largest = here;
            }
        }
        return Math.max(0, best);
    }

    private static int find(float[] chunk, int n, float value) {
        for (int i = 0; i < n; i += L) {
            VectorMask<Float> equal = FloatVector.fromArray(FLOATS, chunk, i).compare(VectorOperators.EQ, value);
            if (equal.anyTrue()) {
                int at = i + equal.firstTrue();
                return at < n ? at : -1;
            }
        }
        return -1;
    }

    /** Reads up to a chunk, filled up to whole vectors with minus infinity. */
    private static int readChunk(Rows x, int row, int at, float[] chunk) {
        int n = Math.min(CHUNK, x.columns() - at);
        Lanes.read(x.type(), x.address(row) + (long) at * x.type().bytes(), n, chunk);
        Arrays.fill(chunk, n, Lanes.whole(n), Float.NEGATIVE_INFINITY);
        return n;
    }

    /** The largest of whole vectors, leaving out NaN. */
    private static float largestOf(float[] s, int whole) {
        FloatVector a = Lanes.all(Float.NEGATIVE_INFINITY);
        FloatVector b = a;
        int i = 0;
        for (; i <= whole - 2 * L; i += 2 * L) {
            a = VectorMath.larger(a, Lanes.floats(s, i));
            b = VectorMath.larger(b, Lanes.floats(s, i + L));
        }
        if (i < whole) {
            a = VectorMath.larger(a, Lanes.floats(s, i));
        }
        return VectorMath.larger(a, Lanes.known(b)).reduceLanes(VectorOperators.MAX);
    }
}
