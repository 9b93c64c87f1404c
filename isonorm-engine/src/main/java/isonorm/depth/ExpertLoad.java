package isonorm.depth;

import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * How the tokens of a text are spread over the experts of a block.
 *
 * @param chosen how many tokens chose each expert
 * @param tokens how many tokens there were
 */
public record ExpertLoad(long[] chosen, long tokens) {

    /** How many experts there are. */
    public int experts() {
        return chosen.length;
    }

    /** The part of the tokens that chose an expert; all experts' add up to how many one token chooses. */
    public double share(int expert) {
        return chosen[expert] / (double) tokens;
    }

    /** The expert that most tokens chose. */
    public int most() {
        return IntStream.range(0, chosen.length).reduce((a, b) -> chosen[b] > chosen[a] ? b : a).orElseThrow();
    }

    /** The expert that fewest tokens chose. */
    public int least() {
        return IntStream.range(0, chosen.length).reduce((a, b) -> chosen[b] < chosen[a] ? b : a).orElseThrow();
    }

    /** How many experts are never chosen. */
    public long unused() {
        return Arrays.stream(chosen).filter(count -> count == 0).count();
    }

    /** How many experts that are chosen equally often would be as even: {@code exp(entropy)} of the choices, so all of them at most. */
    public double effective() {
        double all = Arrays.stream(chosen).sum();
        return Math.exp(Arrays.stream(chosen).filter(count -> count > 0).mapToDouble(count -> -count / all * Math.log(count / all)).sum());
    }
}
