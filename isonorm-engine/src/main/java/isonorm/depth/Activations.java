package isonorm.depth;

import java.util.OptionalDouble;

/**
 * What the values at one position are like, all tokens and dimensions together. A compressed stream counts with the value that it
 * implies.
 *
 * @param values how many finite values there were
 * @param variance {@code mean((x - mean)²)}
 * @param rms {@code sqrt(mean(x²))}
 * @param maxAbs the largest magnitude
 * @param p50 the magnitude below which half of all magnitudes lie; from bins whose ends differ by 1.6 %, as p99 and p999
 * @param p99 the magnitude below which 99 % of all magnitudes lie
 * @param p999 the magnitude below which 99.9 % of all magnitudes lie
 * @param kurtosis {@code mean((x - mean)^4) / variance²}, 3 for a normal distribution; NaN where nothing varies
 * @param writeRatio of a branch's output, the mean over tokens of its norm divided by that of the stream it found
 * @param beyondFp16 how many magnitudes are larger than 65504
 * @param beyondE4m3 how many magnitudes are larger than 448, the largest number of FP8 E4M3
 * @param beyondE5m2 how many magnitudes are larger than 57344, the largest number of FP8 E5M2
 * @param nonFinite how many values were infinite or no number; nothing else counts them
 */
public record Activations(
        long values,
        double mean,
        double variance,
        double rms,
        double maxAbs,
        double p50,
        double p99,
        double p999,
        double kurtosis,
        OptionalDouble writeRatio,
        long beyondFp16,
        long beyondE4m3,
        long beyondE5m2,
        long nonFinite) {}
