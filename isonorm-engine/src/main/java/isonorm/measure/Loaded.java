package isonorm.measure;

import isonorm.architecture.Architecture;
import isonorm.inference.Inference;
import isonorm.inference.Sequence;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.List;

/** A model that is in memory and ready to be timed. */
public interface Loaded extends AutoCloseable {

    /** Loads a model; what is measured is the same for whatever does. */
    @FunctionalInterface
    interface Engine {

        /** The one that is fast. */
        Engine INFERENCE = (model, compute, threads) -> new OfInference(Inference.load(model, compute, threads), model.architecture());

        Loaded load(Model model, Compute compute, int threads) throws IOException;
    }

    /** Text that is being continued. */
    interface Text extends AutoCloseable {

        /** Appends tokens and gives the logits of the token behind them, which the next call overwrites. */
        float[] next(int... tokens) throws IOException;

        @Override
        void close();
    }

    Architecture architecture();

    /** The output of a batch, at all positions; close it. */
    Result run(Batch batch) throws IOException;

    /** A sequence without a token in it yet; close it. */
    Text start();

    @Override
    void close();

    /** What {@link Inference} loaded. */
    record OfInference(Inference inference, Architecture architecture) implements Loaded {

        @Override
        public Result run(Batch batch) throws IOException {
            return inference.run(batch);
        }

        @Override
        public Text start() {
            Sequence sequence = inference.start();
            return new Text() {
                @Override
                public float[] next(int... tokens) throws IOException {
                    return inference.next(List.of(sequence), List.of(tokens)).getFirst();
                }

                @Override
                public void close() {
                    sequence.close();
                }
            };
        }

        @Override
        public void close() {
            inference.close();
        }
    }
}
