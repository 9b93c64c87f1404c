package isonorm.fused;

import isonorm.architecture.Rotary;
import isonorm.kernel.Turns;
import isonorm.kernel.Type;
import java.lang.foreign.Arena;
import java.util.HashMap;
import java.util.Map;

/** The cosines and sines of rotary embeddings, for as many positions as were ever asked for. */
final class Angles {

    private static final int STEP = 1024;

    private final Arena arena;
    private final Map<Rotary, Turns> known = new HashMap<>();

    Angles(Arena arena) {
        this.arena = arena;
    }

    /** Those of positions 0 to {@code positions - 1} or more. */
    Turns of(Rotary rotary, int positions) {
        Turns turns = known.get(rotary);
        if (turns == null || turns.cosine().rows() < positions) {
            int before = turns == null ? 0 : turns.cosine().rows();
            turns = Turns.of(rotary, Type.F32, Math.max(2 * before, Math.ceilDiv(positions, STEP) * STEP), arena);
            known.put(rotary, turns);
        }
        return turns;
    }
}
