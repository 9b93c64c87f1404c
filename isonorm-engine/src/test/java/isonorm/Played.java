package isonorm;

/** Which processor a test runs as if on, as the build says, where it isn't this machine's own. */
public final class Played {

    /** The build's name for one with AVX2 alone. */
    public static final String AVX2 = "avx2";

    /** Empty where tests run as this machine is. */
    public static final String PROCESSOR = System.getProperty("isonorm.played", "");

    private Played() {}

    /** What of many cases is tried: all as this machine is, and some on each processor that is played. */
    public static <T> T sample(T all, T some) {
        return PROCESSOR.isEmpty() || Boolean.getBoolean("isonorm.all") ? all : some;
    }
}
