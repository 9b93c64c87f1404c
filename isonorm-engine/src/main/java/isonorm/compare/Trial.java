package isonorm.compare;

import static java.util.Objects.requireNonNull;

import isonorm.train.Configuration;
import isonorm.train.TrainingRun;
import java.math.BigDecimal;
import java.util.Collection;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * One run of a grid.
 *
 * @param place its value of every key that the grid varies
 * @param configuration the text of all it is told, but for its folder and its threads
 */
public record Trial(Map<String, String> place, Configuration configuration) {

    /** The same as values. */
    public TrainingRun run() {
        return configuration.run();
    }

    /** What people call it. */
    public String name() {
        return place.isEmpty() ? configuration.text("strategy") : words(place, place.keySet());
    }

    /** The name of its folder. */
    public String folder() {
        return name().replaceAll("[^A-Za-z0-9.+-]+", "-");
    }

    /** The seed of weights and data. */
    public long seed() {
        return run().seed();
    }

    /** How many steps it takes unless it ends before. */
    public long steps() {
        return run().learning().steps();
    }

    /** Some values of a place: pre-ln, lr 0.001, 12 blocks. */
    static String words(Map<String, String> place, Collection<String> keys) {
        return keys.stream().map(key -> words(key, requireNonNull(place.get(key)))).collect(Collectors.joining(", "));
    }

    private static String words(String key, String value) {
        if (key.startsWith("strategy.blocks.")) {
            return key.substring("strategy.".length()).replace('.', ' ') + " " + (value.isEmpty() ? "as it is" : value);
        }
        return switch (key) {
            case "strategy", "model.preset" -> value;
            case "model.blocks" -> value + (value.equals("1") ? " block" : " blocks");
            case "model.heads" -> value + (value.equals("1") ? " head" : " heads");
            default -> key.substring(key.lastIndexOf('.') + 1) + " " + (value.isEmpty() ? "as it is" : value);
        };
    }

    /** A number in one way of writing it, and anything else as it is. */
    static String plain(String value) {
        try {
            return new BigDecimal(value).stripTrailingZeros().toPlainString();
        } catch (NumberFormatException e) {
            return value;
        }
    }
}
