package isonorm.train;

import isonorm.backpropagation.Examples;
import isonorm.data.Completions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Prompts and the completions that are learned, or conversations.
 *
 * @param files what a checkpoint has beside the model
 */
record Pairs(Completions completions, int vocabulary, int context, Map<String, byte[]> files) implements TrainingData {

    @Override
    public Examples batch(long position, int count, int first, int stride) {
        return examples(completions.rows(position, count, first, stride));
    }

    @Override
    public List<Examples> validation(int batches, int count) {
        List<Examples> all = new ArrayList<>();
        for (int first = 0; first < completions.validation() && all.size() < batches; first += count) {
            all.add(examples(completions.validation(first, Math.min(count, completions.validation() - first))));
        }
        return all;
    }

    @Override
    public String heldOut() {
        int all = completions.train() + completions.validation();
        return all == 1 ? "there is one pair, which is learned from; add others"
                : "of " + all + " pairs none is held out; data.validation=" + TrainingData.share(1, all) + " holds out one";
    }

    @Override
    public List<String> notes() {
        return completions.leftOut() == 0 ? List.of() : List.of("left out of the data, because no answer is within " + context + " tokens: " + completions.leftOut()
                + (completions.leftOut() == 1 ? " conversation" : " conversations"));
    }

    private static Examples examples(Completions.Rows rows) {
        return new Examples.Tokens(rows.ids(), rows.targets());
    }

    @Override
    public Optional<byte[]> tokenizer() {
        return Optional.ofNullable(files.get("tokenizer.json"));
    }
}
