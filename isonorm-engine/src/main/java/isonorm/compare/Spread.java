package isonorm.compare;

import java.util.Arrays;

/**
 * Values of repetitions.
 *
 * @param mean NaN of none
 * @param deviation the standard deviation of a sample; NaN of fewer than two
 */
public record Spread(int count, double mean, double deviation) {

    public static Spread of(double... values) {
        double mean = Arrays.stream(values).average().orElse(Double.NaN);
        double squares = Arrays.stream(values).map(value -> (value - mean) * (value - mean)).sum();
        return new Spread(values.length, mean, values.length < 2 ? Double.NaN : Math.sqrt(squares / (values.length - 1)));
    }
}
