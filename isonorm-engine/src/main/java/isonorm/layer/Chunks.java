package isonorm.layer;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import java.util.function.IntToLongFunction;

/** Batches that are run together, as many as outputs have room for, and what they say of the tokens that follow. */
public final class Chunks {

    /** What the outputs of a chunk may take. */
    public static final long BYTES = 256L << 20;

    /** Rows that are joined to one batch, at the most. */
    public static final int ROWS_A_BATCH = 16;

    private Chunks() {}

    /** Batches in groups whose outputs fit the memory; neighbouring unpadded rows of one length are joined. */
    public static List<List<Batch>> of(List<Batch> batches, Architecture architecture, Compute compute) {
        List<List<Batch>> chunks = new ArrayList<>();
        List<Batch> chunk = new ArrayList<>();
        long bytes = 0;
        for (Batch batch : batches) {
            long more = outputValues(batch, architecture) * compute.bytes();
            if (!chunk.isEmpty() && bytes + more > BYTES) {
                chunks.add(chunk);
                chunk = new ArrayList<>();
                bytes = 0;
            }
            bytes += more;
            Batch last = chunk.isEmpty() ? null : chunk.getLast();
            if (last instanceof Batch.Tokens before && batch instanceof Batch.Tokens tokens && joinable(before, tokens)) {
                long[][] joined = Arrays.copyOf(before.ids(), before.count() + tokens.count());
                System.arraycopy(tokens.ids(), 0, joined, before.count(), tokens.count());
                chunk.set(chunk.size() - 1, Batch.Tokens.of(joined));
            } else {
                chunk.add(batch);
            }
        }
        chunks.add(chunk);
        return chunks;
    }

    private static boolean joinable(Batch.Tokens before, Batch.Tokens tokens) {
        return before.mask().isEmpty() && tokens.mask().isEmpty() && before.length() == tokens.length()
                && before.count() + tokens.count() <= ROWS_A_BATCH;
    }

    /** How many values the output for a batch has. */
    public static long outputValues(Batch given, Architecture architecture) {
        return switch (given) {
            case Batch.Tokens tokens -> tokens.count() * valuesEach(architecture) * tokens.length();
            case Batch.Images images -> images.count() * valuesEach(architecture)
                    * (architecture.embedding() instanceof Embedding.Patches patches ? patches.tokens() : 1);
            case Batch.Sounds sounds -> sounds.count() * valuesEach(architecture)
                    * (architecture.embedding() instanceof Embedding.Sound sound ? sound.steps(sounds.frames()) : 1);
            case Batch.Both(Batch companion, Batch main) -> outputValues(main, architecture)
                    + architecture.companion().map(beside -> outputValues(companion, beside.architecture())).orElse(0L);
        };
    }

    private static long valuesEach(Architecture architecture) {
        return switch (architecture.output()) {
            case Output.Words _ -> architecture.embedding() instanceof Embedding.Tokens tokens ? tokens.vocabulary() : 1;
            case Output.Labels labels -> labels.labels();
            case Output.Hidden _ -> architecture.width();
        };
    }

    /** The log probabilities of what follows each position of each batch, and 0 where nothing does. */
    public static List<double[]> logProbabilities(Runner runner, List<Batch> chunk, Function<Batch, IntToLongFunction> targets, Progress progress)
            throws IOException {
        List<double[]> all = new ArrayList<>();
        List<Result> results = runner.run(chunk, progress);
        try {
            for (int i = 0; i < chunk.size(); i++) {
                all.add(LogProbabilities.of(results.get(i), targets.apply(chunk.get(i))));
            }
        } finally {
            results.forEach(Result::close);
        }
        return all;
    }

    /** The progress of one of several parts of equal length, {@code before} others being done. */
    public static Progress part(Progress whole, int before, int parts) {
        return (what, done, total) -> whole.step(what, before * total + done, parts * total);
    }
}
