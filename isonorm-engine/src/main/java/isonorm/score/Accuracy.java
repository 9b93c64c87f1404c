package isonorm.score;

import java.util.List;
import java.util.function.ToIntFunction;

/**
 * The part of some questions that was answered right.
 *
 * @param value the mean of 1 for right and 0 for wrong
 * @param standardError their sample standard deviation over the root of how many there are; NaN of a single one
 */
public record Accuracy(double value, double standardError) {

    /** Of the choices {@code chosen} makes, {@link Answered#chosen} for instance. */
    public static Accuracy of(List<Answered> answered, ToIntFunction<Answered> chosen) {
        long n = answered.size();
        if (n == 0) {
            throw new IllegalArgumentException("an accuracy needs a question, got none");
        }
        long right = answered.stream().filter(one -> chosen.applyAsInt(one) == one.question().answer()).count();
        double mean = (double) right / n;
        double squares = right * (1 - mean) * (1 - mean) + (n - right) * mean * mean;
        return new Accuracy(mean, Math.sqrt(squares / (n - 1) / n));
    }
}
