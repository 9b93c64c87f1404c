package isonorm.architecture;

/**
 * Rotary position embedding: the first {@code width} values of each query and key head are turned, pair by pair, by
 * {@code position * frequency(i)}, where {@code frequency(i) = base^(-2i/divisor)} before scaling.
 *
 * @param width how many values of a head are turned; even
 * @param divisor the exponents' divisor: the width, except in models whose rotary width was rounded up from an odd number
 * @param base the largest wavelength's base, often called theta
 */
public record Rotary(int width, int divisor, double base, Pairing pairing, Scaling scaling) {

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
        record Linear(double factor) implements Scaling {}

        /**
         * Llama 3: long wavelengths are divided by {@code factor}, short ones kept, those between interpolated.
         *
         * @param lowFrequencyFactor wavelengths above originalContext / lowFrequencyFactor are long
         * @param highFrequencyFactor wavelengths below originalContext / highFrequencyFactor are short
         */
        record Llama3(double factor, double lowFrequencyFactor, double highFrequencyFactor, int originalContext)
                implements Scaling {}
    }

    public Rotary {
        if (width <= 0 || width % 2 != 0) {
            throw new IllegalArgumentException("the rotary width must be even and positive, got " + width);
        }
        if (!(base > 0)) {
            throw new IllegalArgumentException("the rotary base must be positive, got " + base);
        }
    }

    /** The same turning with other frequencies. */
    public Rotary withScaling(Scaling other) {
        return new Rotary(width, divisor, base, pairing, other);
    }

    /** Unscaled frequencies. */
    public static Rotary of(int width, double base, Pairing pairing) {
        return new Rotary(width, width, base, pairing, new Scaling.None());
    }

    /** The angle per position of each pair, width/2 values. */
    public double[] frequencies() {
        double[] frequencies = new double[width / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = scaled(Math.pow(base, -2.0 * i / divisor));
        }
        return frequencies;
    }

    private double scaled(double frequency) {
        return switch (scaling) {
            case Scaling.None() -> frequency;
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
        };
    }
}
