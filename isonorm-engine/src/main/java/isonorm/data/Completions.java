package isonorm.data;

import isonorm.text.BeginningToken;
import isonorm.weights.Seed;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Pairs of a prompt and its completion, of which the completion is to be learned: lines of JSON with the keys {@code prompt} and
 * {@code completion}.
 *
 * <p>A pair is the tokens of its prompt, as they are when a model is asked to continue it, those of its completion, and the end of text. Of
 * one that is longer than a sequence, the prompt loses its beginning, down to one token; what is still too long loses the end of the
 * completion. All pairs are held in memory as tokens.
 */
public final class Completions {

    /**
     * Rows of one length.
     *
     * @param ids (count, length): what is read, and the end of text where a row is shorter
     * @param targets (count, length): the token behind each, or -1 where nothing is asked: within the prompt, and behind the end
     */
    public record Rows(int[][] ids, int[][] targets) {}

    /** Tokens, of which those from {@code asked} on are targets. */
    private record Pair(int[] ids, int asked) {}

    private final List<Pair> train;
    private final List<Pair> validation;
    private final int endOfText;
    private final long seed;

    private Completions(List<Pair> train, List<Pair> validation, int endOfText, long seed) {
        this.train = train;
        this.validation = validation;
        this.endOfText = endOfText;
        this.seed = seed;
    }

    /**
     * Reads a file of pairs.
     *
     * @param vocabulary of the model that is trained
     * @param beginning what stands in front of a prompt
     * @param length the most tokens a row has
     * @param share of the pairs, drawn by the seed, that is not learned from
     * @throws IOException naming the line that is no such pair
     */
    public static Completions read(Path file, Vocabulary vocabulary, BeginningToken beginning, int length, double share, long seed)
            throws IOException {
        if (length < 1) {
            throw new IllegalArgumentException("a sequence must have 1 token or more, got " + length);
        }
        if (!(share >= 0 && share < 1)) {
            throw new IllegalArgumentException("the share for validation must be 0 or more and below 1, got " + share);
        }
        if (DocumentFile.kind(file) != DocumentFile.Kind.LINES) {
            throw new IOException(file + " must be lines of JSON with a prompt and a completion; its name must end in .jsonl, .ndjson or .json, or "
                    + "in one of these and .gz or .zst");
        }
        List<Pair> pairs = new ArrayList<>();
        DocumentFile.Lines.visit(file, List.of("prompt", "completion"), (_, texts) -> pairs.add(pair(
                vocabulary.prompt(texts.getFirst().getBytes(StandardCharsets.UTF_8), beginning),
                vocabulary.ids(texts.getLast().getBytes(StandardCharsets.UTF_8)), vocabulary.endOfText(), length)));
        if (pairs.isEmpty()) {
            throw new IOException(file + " has no line");
        }
        List<Pair> train = new ArrayList<>();
        List<Pair> validation = new ArrayList<>();
        long kept = Math.min(Math.round(pairs.size() * share), pairs.size() - 1);
        Permutation order = new Permutation(pairs.size(), Seed.of(seed).at("validation"));
        for (int i = 0; i < pairs.size(); i++) {
            (i < kept ? validation : train).add(pairs.get((int) order.at(i)));
        }
        return new Completions(train, validation, vocabulary.endOfText(), seed);
    }

    private static Pair pair(int[] prompt, int[] completion, int endOfText, int length) {
        int[] before = prompt.length == 0 ? new int[] {endOfText} : prompt; // something must stand before the first target
        int asked = Math.min(completion.length + 1, length);
        int kept = Math.min(before.length, length + 1 - asked);
        int[] ids = new int[kept + asked];
        System.arraycopy(before, before.length - kept, ids, 0, kept);
        System.arraycopy(completion, 0, ids, kept, Math.min(completion.length, asked));
        if (asked > completion.length) {
            ids[kept + completion.length] = endOfText;
        }
        return new Pair(ids, kept);
    }

    /** Whether a file's name is that of lines of JSON. */
    public static boolean isNamed(Path file) {
        return file.getFileName() != null && DocumentFile.kind(file.getFileName().toString()).equals(Optional.of(DocumentFile.Kind.LINES));
    }

    /** How many pairs are learned from. */
    public int train() {
        return train.size();
    }

    /** How many are not. */
    public int validation() {
        return validation.size();
    }

    /** The pairs {@code position} to {@code position + count - 1} of an endless order, as long as the longest of them. */
    public Rows rows(long position, int count) {
        return rows(position, count, 0, 1);
    }

    /** Of these the one with number {@code first} and every {@code stride}th behind it, as long as the longest of all. */
    public Rows rows(long position, int count, int first, int stride) {
        Pair[] pairs = new Pair[count];
        for (int i = 0; i < count; i++) {
            pairs[i] = train.get((int) Permutation.endless(train.size(), Seed.of(seed).at("order"), position + i));
        }
        return rows(IntStream.iterate(first, i -> i < count, i -> i + stride).mapToObj(i -> pairs[i]).toArray(Pair[]::new), longest(pairs));
    }

    /** The pairs {@code first} to {@code first + count - 1} of those that are not learned from. */
    public Rows validation(int first, int count) {
        Pair[] pairs = validation.subList(first, first + count).toArray(Pair[]::new);
        return rows(pairs, longest(pairs));
    }

    private static int longest(Pair[] pairs) {
        return Arrays.stream(pairs).mapToInt(pair -> pair.ids.length - 1).max().orElseThrow();
    }

    private Rows rows(Pair[] pairs, int length) {
        int[][] ids = new int[pairs.length][length];
        int[][] targets = new int[pairs.length][length];
        for (int row = 0; row < pairs.length; row++) {
            int[] all = pairs[row].ids;
            Arrays.fill(ids[row], endOfText);
            Arrays.fill(targets[row], -1);
            System.arraycopy(all, 0, ids[row], 0, all.length - 1);
            int first = pairs[row].asked - 1;
            System.arraycopy(all, first + 1, targets[row], first, all.length - 1 - first);
        }
        return new Rows(ids, targets);
    }
}
