package isonorm.generate;

import isonorm.text.BeginningToken;
import java.util.List;
import java.util.OptionalLong;

/**
 * How far a text is continued, and how its tokens are chosen.
 *
 * @param maximumTokens how many tokens a row gets at most, 1 or more
 * @param stops texts at which a row ends, and which are not given out; where several end at once, the longest
 * @param ignoreEnd whether to go on behind the token that ends a text
 * @param beginning what stands in front of a prompt; of a text that an encoder reads, {@link BeginningToken#NEVER} leaves out all that the tokenizer puts
 *     around it
 * @param beams how many texts are followed together; 1 takes one token after the other
 * @param first what an encoder-decoder's text begins with, in place of the {@code forced_bos_token_id} of its generation_config.json: as a rule the
 *     language to translate into
 */
public record Options(
        int maximumTokens, Sampling sampling, List<String> stops, boolean ignoreEnd, BeginningToken beginning, int beams, OptionalLong first) {

    public Options {
        stops = List.copyOf(stops);
        requireTokens(maximumTokens);
        if (stops.contains("")) {
            throw new IllegalArgumentException("a stop string must have a character, got an empty one");
        }
        if (beams < 1) {
            throw new IllegalArgumentException("there must be 1 beam or more, got " + beams);
        }
    }

    static void requireTokens(int maximum) {
        if (maximum < 1) {
            throw new IllegalArgumentException("at least 1 token must be generated, got a maximum of " + maximum);
        }
    }

    /** At most this many of the likeliest tokens, until the text ends. */
    public static Options tokens(int maximum) {
        return new Options(maximum, Sampling.greedy(), List.of(), false, BeginningToken.AUTO, 1, OptionalLong.empty());
    }

    public Options sampling(Sampling other) {
        return new Options(maximumTokens, other, stops, ignoreEnd, beginning, beams, first);
    }

    public Options stops(List<String> other) {
        return new Options(maximumTokens, sampling, other, ignoreEnd, beginning, beams, first);
    }

    public Options ignoreEnd(boolean other) {
        return new Options(maximumTokens, sampling, stops, other, beginning, beams, first);
    }

    public Options beginning(BeginningToken other) {
        return new Options(maximumTokens, sampling, stops, ignoreEnd, other, beams, first);
    }

    public Options beams(int other) {
        return new Options(maximumTokens, sampling, stops, ignoreEnd, beginning, other, first);
    }

    public Options first(long id) {
        return new Options(maximumTokens, sampling, stops, ignoreEnd, beginning, beams, OptionalLong.of(id));
    }
}
