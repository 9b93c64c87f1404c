package isonorm.depth;

import isonorm.inference.Inference;
import isonorm.layer.Batch;
import isonorm.layer.ForwardPass;
import isonorm.layer.Observer;
import isonorm.layer.Result;
import isonorm.tensor.Compute;
import isonorm.tensor.Threads;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.function.IntPredicate;

/** Runs a model whose blocks are watched: the fused runtime, or the layers where it does not compute in the type that is asked for. */
sealed interface Runner extends AutoCloseable {

    static Runner of(Model model, Compute compute, int threads) throws IOException {
        return compute == Compute.F64 ? new Layers(ForwardPass.resident(model, compute)) : new Fused(Inference.load(model, compute, threads));
    }

    void observe(Batch batch, Observer observer) throws IOException;

    /** The output with some of the blocks alone; close it. */
    Result run(Batch batch, IntPredicate some) throws IOException;

    /** How many rows of {@code length} tokens should go through together. */
    int together(int length);

    @Override
    void close();

    record Fused(Inference inference) implements Runner {

        @Override
        public void observe(Batch batch, Observer observer) throws IOException {
            inference.observe(batch, observer);
        }

        @Override
        public Result run(Batch batch, IntPredicate some) throws IOException {
            return inference.run(batch, some);
        }

        @Override
        public int together(int length) {
            return inference.together(length);
        }

        @Override
        public void close() {
            inference.close();
        }
    }

    record Layers(ForwardPass pass) implements Runner {

        @Override
        public void observe(Batch batch, Observer observer) throws IOException {
            pass.observe(batch, observer);
        }

        @Override
        public Result run(Batch batch, IntPredicate some) throws IOException {
            return pass.run(batch, some);
        }

        @Override
        public int together(int length) {
            return Threads.share();
        }

        @Override
        public void close() {
            pass.close();
        }
    }
}
