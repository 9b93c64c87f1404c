package isonorm.architecture;

import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Rotary position embedding: the first {@code width} values of each query and key head are turned, pair by pair, by
 * {@code position * frequency(i)}, where {@code frequency(i) = base^(-2i/divisor)} before scaling.
 *
 * @param width how many values of a head are turned; even
 * @param divisor the exponents' divisor: the width, except in models whose rotary width was rounded up from an odd number
 * @param base the largest wavelength's base, often called theta
 * @param grid where positions are those of patches in an image; empty where they are counted
 */
public record Rotary(int width, int divisor, double base, Pairing pairing, Scaling scaling, Optional<Grid> grid) {

    /**
     * Positions of patches. The first half of the pairs is turned by {@code 2 pi y base^(-4i/width)} and the second by the same of x, y and x being where
     * the middle of a patch lies between -1 and 1; what stands before the patches is not turned (DINOv3, arXiv 2508.10104).
     *
     * @param rows of patches
     * @param columns of patches
     * @param before how many positions stand before them
     */
    public record Grid(int rows, int columns, int before) {

        public Grid {
            if (rows < 1 || columns < 1 || before < 0) {
                throw new IllegalArgumentException("a grid has 1 row and column or more, and 0 positions or more before it, got " + rows + ", " + columns
                        + " and " + before);
            }
        }
    }

    /** Counted positions. */
    public Rotary(int width, int divisor, double base, Pairing pairing, Scaling scaling) {
        this(width, divisor, base, pairing, scaling, Optional.empty());
    }

    /** Which two values form a pair. */
    public enum Pairing {
        /** Value i and value i + width/2. */
        HALVES("halves"),
        /** Value 2i and value 2i + 1. */
        NEIGHBOURS("neighbours");

        private final String label;

        Pairing(String label) {
            this.label = label;
        }

        /** The word used in files. */
        public String label() {
            return label;
        }
    }

    /** How the frequencies are changed for contexts longer than those of the pre-training. */
    public sealed interface Scaling {
        /** Not at all. */
        record None() implements Scaling {}

        /** Every frequency is divided by {@code factor}. */
        record Linear(double factor) implements Scaling {

            public Linear {
                requirePositive(factor);
            }
        }

        /**
         * Llama 3: long wavelengths are divided by {@code factor}, short ones kept, those between interpolated.
         *
         * @param lowFrequencyFactor wavelengths above originalContext / lowFrequencyFactor are long
         * @param highFrequencyFactor wavelengths below originalContext / highFrequencyFactor are short
         */
        record Llama3(double factor, double lowFrequencyFactor, double highFrequencyFactor, int originalContext)
                implements Scaling {

            public Llama3 {
                requirePositive(factor);
                if (!(highFrequencyFactor > lowFrequencyFactor) || originalContext < 1) {
                    throw new IllegalArgumentException("the high frequency factor is above the low one, and the original context has a token, got "
                            + highFrequencyFactor + ", " + lowFrequencyFactor + " and " + originalContext);
                }
            }
        }

        /**
         * Pair i is divided by {@code factor} as far as it lies behind {@code from} on the way to {@code to}, and kept before it; queries and keys are
         * multiplied with {@code magnitude} (YaRN, arXiv 2309.00071).
         */
        record Yarn(double factor, double from, double to, double magnitude) implements Scaling {

            public Yarn {
                requirePositive(factor);
                requirePositive(magnitude);
                if (!(to > from)) {
                    throw new IllegalArgumentException("pairs are divided from one to a later one, got " + from + " to " + to);
                }
            }
        }

        /**
         * Every pair is divided by a factor of its own, in texts longer than the original context by others; queries and keys are multiplied with
         * {@code magnitude} (LongRoPE, arXiv 2402.13753).
         */
        record Long(List<Double> factors, List<Double> longFactors, int originalContext, double magnitude) implements Scaling {

            public Long {
                factors = List.copyOf(factors);
                longFactors = List.copyOf(longFactors);
                factors.forEach(Scaling::requirePositive);
                longFactors.forEach(Scaling::requirePositive);
                requirePositive(magnitude);
                requireContext(originalContext);
            }
        }

        /** In texts longer than the original context the base grows with their length (dynamic NTK). */
        record Dynamic(double factor, int originalContext) implements Scaling {

            public Dynamic {
                requirePositive(factor);
                requireContext(originalContext);
            }
        }

        /** All frequencies are divided by {@code factor}, and only the first {@code pairs} turn at all. */
        record Proportional(int pairs, double factor) implements Scaling {

            public Proportional {
                requirePositive(factor);
                if (pairs < 0) {
                    throw new IllegalArgumentException("the first 0 pairs or more turn, got " + pairs);
                }
            }
        }

        private static void requirePositive(double factor) {
            if (!(factor > 0) || factor == Double.POSITIVE_INFINITY) { // also refuses NaN
                throw new IllegalArgumentException("factors of rotary positions are positive and finite, got " + factor);
            }
        }

        private static void requireContext(int tokens) {
            if (tokens < 1) {
                throw new IllegalArgumentException("the original context of rotary positions has 1 token or more, got " + tokens);
            }
        }
    }

    public Rotary {
        if (width <= 0 || width % 2 != 0) {
            throw new IllegalArgumentException("the rotary width must be even and positive, got " + width);
        }
        if (grid.isPresent() && (width % 4 != 0 || divisor != width || !(scaling instanceof Scaling.None))) {
            throw new IllegalArgumentException("positions of patches turn a multiple of 4 values, by frequencies that are not scaled, got " + width + " and "
                    + scaling);
        }
        if (!(base > 0) || base == Double.POSITIVE_INFINITY) {
            throw new IllegalArgumentException("the rotary base must be positive and finite, got " + base);
        }
        if (divisor < 1 || scaling instanceof Scaling.Dynamic && divisor == 2) {
            throw new IllegalArgumentException("the divisor of rotary exponents is 1 or more, and not 2 where the base grows, got " + divisor);
        }
        if (scaling instanceof Scaling.Long(List<Double> factors, List<Double> longFactors, int _, double _)
                && (factors.size() != width / 2 || longFactors.size() != width / 2)) {
            throw new IllegalArgumentException("rotary factors must be one for each of " + width / 2 + " pairs, got " + factors.size() + " and "
                    + longFactors.size());
        }
    }

    /** The same turning with other frequencies. */
    public Rotary withScaling(Scaling other) {
        return new Rotary(width, divisor, base, pairing, other, grid);
    }

    /** The same of patches. */
    public Rotary withGrid(Grid of) {
        return new Rotary(width, divisor, base, pairing, scaling, Optional.of(of));
    }

    /** Unscaled frequencies. */
    public static Rotary of(int width, double base, Pairing pairing) {
        return new Rotary(width, width, base, pairing, new Scaling.None());
    }

    /** What is turned so in texts of {@code length} tokens: the same, except where frequencies depend on the length. */
    public Rotary at(int length) {
        return switch (scaling) {
            case Scaling.Long(_, List<Double> longFactors, int original, double magnitude) when length > original ->
                withScaling(new Scaling.Long(longFactors, longFactors, original, magnitude));
            case Scaling.Dynamic(double factor, int original) when length > original -> new Rotary(width, divisor,
                    base * Math.pow(factor * length / original - (factor - 1), (double) divisor / (divisor - 2)), pairing, new Scaling.None());
            default -> this;
        };
    }

    /** In texts of how many tokens every position is turned as in all shorter ones; empty for any. */
    public OptionalInt steadyLength() {
        return switch (scaling) {
            case Scaling.Long(List<Double> factors, List<Double> longFactors, int original, double _) when !factors.equals(longFactors) ->
                OptionalInt.of(original);
            case Scaling.Dynamic(double _, int original) -> OptionalInt.of(original);
            default -> OptionalInt.empty();
        };
    }

    /** What queries and keys are multiplied with, besides being turned. */
    public double magnitude() {
        return switch (scaling) {
            case Scaling.Yarn(double _, double _, double _, double magnitude) -> magnitude;
            case Scaling.Long(_, _, int _, double magnitude) -> magnitude;
            default -> 1;
        };
    }

    /** The angle by which each pair is turned at a position, width/2 values; of texts no longer than {@link #steadyLength}. */
    public double[] angles(int position) {
        return grid.map(patches -> angles(patches, position - patches.before())).orElseGet(() -> {
            double[] angles = frequencies();
            for (int i = 0; i < angles.length; i++) {
                angles[i] *= position;
            }
            return angles;
        });
    }

    private double[] angles(Grid patches, int patch) {
        double[] angles = new double[width / 2];
        if (patch < 0) {
            return angles;
        }
        double y = 2 * (patch / patches.columns() + .5) / patches.rows() - 1;
        double x = 2 * (patch % patches.columns() + .5) / patches.columns() - 1;
        int each = width / 4;
        for (int i = 0; i < each; i++) {
            double frequency = 2 * Math.PI * Math.pow(base, -4.0 * i / width);
            angles[i] = y * frequency;
            angles[each + i] = x * frequency;
        }
        return angles;
    }

    /** The angle per counted position of each pair, width/2 values; of texts no longer than {@link #steadyLength}. */
    public double[] frequencies() {
        double[] frequencies = new double[width / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = scaled(i, Math.pow(base, -2.0 * i / divisor));
        }
        return frequencies;
    }

    private double scaled(int pair, double frequency) {
        return switch (scaling) {
            case Scaling.None(), Scaling.Dynamic(double _, int _) -> frequency;
            case Scaling.Linear(double factor) -> frequency / factor;
            case Scaling.Llama3(double factor, double low, double high, int context) -> {
                double turns = context * frequency / (2 * Math.PI);
                if (turns < low) {
                    yield frequency / factor;
                }
                if (turns > high) {
                    yield frequency;
                }
                double smooth = (turns - low) / (high - low);
                yield (1 - smooth) * frequency / factor + smooth * frequency;
            }
            case Scaling.Yarn(double factor, double from, double to, double _) -> {
                double divided = Math.clamp((pair - from) / (to - from), 0, 1);
                yield frequency / factor * divided + frequency * (1 - divided);
            }
            case Scaling.Long(List<Double> factors, _, int _, double _) -> frequency / factors.get(pair);
            case Scaling.Proportional(int pairs, double factor) -> pair < pairs ? frequency / factor : 0;
        };
    }
}
