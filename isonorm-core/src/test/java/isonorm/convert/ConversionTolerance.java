package isonorm.convert;

/** How far outputs may differ, as a part of the standard deviation of the reference's outputs, and why that far. */
public final class ConversionTolerance {

    /** Float64 against a reference that keeps a few float32 steps (rotary tables, softmax): those give up to 1.8e-6. */
    public static final double REFERENCE = 2e-6;

    /** Two ways to the same value in float64, some dozen layers of sums of 48 to 192 values: some 1e-14 were seen. */
    public static final double SAME = 1e-10;

    /** As {@link #SAME}, with every weight rounded to float32 once: 6e-8 of each value. */
    public static final double FLOAT32 = 5e-6;

    /** Less than this is no sign of a mistake. */
    public static final double BROKEN = 1e-3;

    private ConversionTolerance() {}
}
