package isonorm.train;

import isonorm.backpropagation.Examples;
import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What a run learns from. The same position gives the same examples whenever it is asked for, so a position is all that a run keeps of it. */
interface TrainingData {

    /** How many tokens the vocabulary has, or labels there are. */
    int vocabulary();

    /** How long a sequence is; for images the pixels of a side. */
    int context();

    /** The examples {@code position} to {@code position + count - 1} of an endless order. */
    default Examples batch(long position, int count) {
        return batch(position, count, 0, 1);
    }

    /** Of these the one with number {@code first} and every {@code stride}th behind it. */
    Examples batch(long position, int count, int first, int stride);

    /** Batches of examples that are never learned from, at most so many; empty where there are none. */
    List<Examples> validation(int batches, int count);

    /** How much is never learned from and what would be enough to evaluate: "of 40 pairs none is held out; data.validation=0.025 holds out one". */
    String heldOut();

    /** The least share, of three digits, that is no less than a part of something. */
    static String share(double part, double of) {
        return new BigDecimal(Math.min(1, part / of)).round(new MathContext(3, RoundingMode.UP)).stripTrailingZeros().toPlainString();
    }

    /** The tokenizer.json of tokens. */
    Optional<byte[]> tokenizer();

    /** What checkpoints have beside the model, by the names of files: how what it reads is made. */
    default Map<String, byte[]> files() {
        return tokenizer().map(json -> Map.of("tokenizer.json", json)).orElse(Map.of());
    }

    /** What a run should be told of it, a line each. */
    default List<String> notes() {
        return List.of();
    }
}
