package isonorm.layer;

import isonorm.model.Batch;
import isonorm.model.Progress;
import isonorm.model.Result;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntPredicate;

/** A model that runs, by whichever of the two ways; what reads texts with one takes either. */
public interface Runner extends AutoCloseable {

    /** The output of each batch, which may differ in length; close them. */
    List<Result> run(List<Batch> batches, Progress progress) throws IOException;

    /** What gives the output of a batch. */
    @FunctionalInterface
    interface One {
        Result run(Batch batch) throws IOException;
    }

    /** The output of each batch, one after the other; none stays open where one fails. */
    static List<Result> each(List<Batch> batches, One one, Progress progress) throws IOException {
        List<Result> results = new ArrayList<>();
        try {
            for (Batch batch : batches) {
                results.add(one.run(batch));
                progress.step("batch " + results.size() + " of " + batches.size(), results.size(), batches.size());
            }
            return results;
        } catch (IOException | RuntimeException e) {
            results.forEach(Result::close);
            throw e;
        }
    }

    /** The output of a batch with some of the blocks alone, as if the stream had passed the others by; close it. */
    Result run(Batch batch, IntPredicate some) throws IOException;

    /** The output of a batch; close it. */
    default Result run(Batch batch) throws IOException {
        return run(batch, _ -> true);
    }

    /** Shows an observer what the blocks compute for a batch, those of the main stack where there are two; no output is computed. */
    default void observe(Batch batch, Observer observer) throws IOException {
        observe(batch, observer, Observer.NONE);
    }

    /** The same of two stacks; the blocks of the second are shown to {@code companion}. */
    void observe(Batch batch, Observer observer, Observer companion) throws IOException;

    /** How many rows of {@code length} tokens should go through the blocks together. */
    int together(int length);

    @Override
    void close();
}
