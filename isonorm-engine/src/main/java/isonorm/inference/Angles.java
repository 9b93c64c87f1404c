package isonorm.inference;

import isonorm.architecture.Rotary;
import isonorm.kernel.Rows;
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
            turns = computed(rotary, Math.max(2 * before, Math.ceilDiv(positions, STEP) * STEP));
            known.put(rotary, turns);
        }
        return turns;
    }

    private Turns computed(Rotary rotary, int positions) {
        double[] frequencies = rotary.frequencies();
        int pairs = frequencies.length;
        Rows cosines = Rows.allocate(arena, Type.F32, positions, pairs, pairs);
        Rows sines = Rows.allocate(arena, Type.F32, positions, pairs, pairs);
        for (int position = 0; position < positions; position++) {
            for (int i = 0; i < pairs; i++) {
                cosines.set(position, i, Math.cos(position * frequencies[i]));
                sines.set(position, i, Math.sin(position * frequencies[i]));
            }
        }
        return new Turns(rotary.pairing(), cosines, sines);
    }
}
