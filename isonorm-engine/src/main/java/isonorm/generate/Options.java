package isonorm.generate;

import isonorm.text.BeginningToken;
import java.util.List;

/**
 * How far a text is continued, and how its tokens are chosen.
 *
 * @param maximumTokens how many tokens a row gets at most, 1 or more
 * @param stops texts at which a row ends, and which are not given out; where several end at once, the longest
 * @param ignoreEnd whether to go on behind the token that ends a text
 * @param beginning what stands in front of a prompt
 */
public record Options(int maximumTokens, Sampling sampling, List<String> stops, boolean ignoreEnd, BeginningToken beginning) {

    public Options {
        stops = List.copyOf(stops);
        requireTokens(maximumTokens);
        if (stops.contains("")) {
            throw new IllegalArgumentException("a stop string must have a character, got an empty one");
        }
    }

    static void requireTokens(int maximum) {
        if (maximum < 1) {
            throw new IllegalArgumentException("at least 1 token must be generated, got a maximum of " + maximum);
        }
    }

    /** At most this many of the likeliest tokens, until the text ends. */
    public static Options tokens(int maximum) {
        return new Options(maximum, Sampling.greedy(), List.of(), false, BeginningToken.AUTO);
    }

    public Options sampling(Sampling other) {
        return new Options(maximumTokens, other, stops, ignoreEnd, beginning);
    }

    public Options stops(List<String> other) {
        return new Options(maximumTokens, sampling, other, ignoreEnd, beginning);
    }

    public Options ignoreEnd(boolean other) {
        return new Options(maximumTokens, sampling, stops, other, beginning);
    }

    public Options beginning(BeginningToken other) {
        return new Options(maximumTokens, sampling, stops, ignoreEnd, other);
    }
}
