package isonorm.architecture;

import java.util.OptionalInt;

/**
 * Where matrices lead the stream from one basis to another, each without a bias: {@code h <- M h}.
 *
 * @param entry how many values stand before the matrix through which everything enters the stream; empty where nothing stands between the two
 * @param skips whether each sub-layer's sum is {@code M h + F(N(h))}, so that it reads the stream in a basis and writes it in another (SliceGPT,
 *     arXiv 2401.15024); of parallel blocks one matrix is enough
 * @param exit how many values stand behind the matrix through which the stream leaves for the final norm; empty where that reads the stream itself
 */
public record Bases(OptionalInt entry, boolean skips, OptionalInt exit) {

    /** The stream is in one basis from end to end. */
    public static final Bases ONE = new Bases(OptionalInt.empty(), false, OptionalInt.empty());

    public Bases {
        if (entry.orElse(2) < 2 || exit.orElse(2) < 2) {
            throw new IllegalArgumentException("2 values or more stand beside a matrix through which they enter or leave the stream, got "
                    + (entry.orElse(2) < 2 ? entry : exit).getAsInt());
        }
    }

    public Bases withEntry(int values) {
        return new Bases(OptionalInt.of(values), skips, exit);
    }

    public Bases withSkips() {
        return new Bases(entry, true, exit);
    }

    public Bases withExit(int values) {
        return new Bases(entry, skips, OptionalInt.of(values));
    }
}
