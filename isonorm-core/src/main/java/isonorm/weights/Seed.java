package isonorm.weights;

import java.util.SplittableRandom;

/**
 * Where everything that is drawn by chance begins: a number of 64 bits, each of which depends on every bit of what the seed was made from, so
 * that what two seeds give has nothing in common, however near they are.
 *
 * <p>{@link SplittableRandom} does not mix what it is given: it adds the same number before each draw, so generators whose seeds differ by a
 * multiple of that number give the same values, moved. All generators are therefore made here.
 */
public record Seed(long value) {

    /** What SplitMix64 adds before each draw: odd, and its multiples are spread evenly. */
    private static final long GAMMA = 0x9e3779b97f4a7c15L;

    /** Keeps seeds of seeds apart from what is drawn: the fractional part of the square root of 3. */
    private static final long APART = 0xbb67ae8584caa73bL;

    /** The seed that people give as a number. */
    public static Seed of(long number) {
        return new Seed(mixed(number + GAMMA));
    }

    /** The seed of one use, or one part, of what this is the seed of. */
    public Seed at(long number) {
        return new Seed(mixed(value + mixed(number ^ APART)));
    }

    /** The same for what has a name. */
    public Seed at(String name) {
        Seed seed = at(name.length());
        for (int i = 0; i < name.length(); i++) {
            seed = seed.at(name.charAt(i));
        }
        return seed;
    }

    /** The number at a position of an endless row: what {@link #random} draws there, without what stands before. */
    public long number(long position) {
        return mixed(value + GAMMA * (position + 1));
    }

    /** A generator that begins here. */
    public SplittableRandom random() {
        return new SplittableRandom(value);
    }

    /** SplitMix64's finalizer: every bit of the result depends on every bit of {@code z}. */
    private static long mixed(long z) {
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }
}
