package isonorm.train;

import isonorm.backpropagation.Examples;
import isonorm.data.Batches;
import isonorm.data.TokenData;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Windows of a long row of tokens.
 *
 * @param batches those that are learned from
 */
record Windows(TokenData tokens, Batches batches) implements TrainingData {

    Windows(TokenData tokens, int length, long seed) {
        this(tokens, new Batches(tokens.train(), length, seed));
    }

    @Override
    public int vocabulary() {
        return tokens.vocabulary();
    }

    @Override
    public int context() {
        return batches.length();
    }

    @Override
    public Examples batch(long position, int count, int first, int stride) {
        return Examples.Tokens.ofWindows(batches.rows(position + first, Math.ceilDiv(count - first, stride), stride));
    }

    @Override
    public List<Examples> validation(int most, int count) {
        List<Examples> all = new ArrayList<>();
        long windows = Batches.inOrder(tokens.validation(), batches.length());
        for (long first = 0; first < windows && all.size() < most; first += count) {
            all.add(Examples.Tokens.ofWindows(Batches.inOrder(tokens.validation(), batches.length(), first, (int) Math.min(count, windows - first))));
        }
        return all;
    }

    @Override
    public String heldOut() {
        long kept = tokens.validation().tokens();
        long all = tokens.train().tokens() + kept;
        return "validation has " + kept + " tokens, and a sequence of " + context() + " needs one more than it has; build the data with --validation "
                + TrainingData.share(context() + 1.0, all) + " or more" + (kept > 1 ? ", or take a sequence of at most " + (kept - 1) : "");
    }

    @Override
    public Optional<byte[]> tokenizer() {
        return Optional.of(tokens.tokenizerJson());
    }
}
