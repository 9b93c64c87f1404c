package isonorm.inference;

import com.sun.management.OperatingSystemMXBean;
import isonorm.layer.Batch;
import isonorm.layer.ForwardPass;
import isonorm.layer.Observer;
import isonorm.layer.Result;
import isonorm.tensor.Compute;
import isonorm.tensor.Threads;
import isonorm.weights.Model;
import isonorm.weights.Progress;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntPredicate;

/**
 * Runs a model the faster way that there is for it: fused, or by the reference layers for float64 and for models that memory has no
 * room for. Its batches have no padding.
 */
public sealed interface Runner extends AutoCloseable {

    /** Loads a model, to be run by as many threads as there are processors. */
    static Runner of(Model model, Compute compute) throws IOException {
        return of(model, compute, Runtime.getRuntime().availableProcessors());
    }

    /** Loads a model; {@code threads} are those of the fused runtime. */
    static Runner of(Model model, Compute compute, int threads) throws IOException {
        long memory = ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getTotalMemorySize();
        return fused(model.architecture().parameterCount(), compute, memory)
                ? new Fused(Inference.load(model, compute, threads))
                : new Layers(ForwardPass.fitting(model, compute));
    }

    /** Whether a model is run fused: its weights may all become copies, and take half of the machine's memory at most. */
    static boolean fused(long parameters, Compute compute, long memory) {
        return compute != Compute.F64 && parameters * compute.bytes() <= memory / 2;
    }

    /** The output of each batch, which may differ in length; close them. */
    List<Result> run(List<Batch> batches, Progress progress) throws IOException;

    /** The output of a batch with some of the blocks alone; close it. */
    Result run(Batch batch, IntPredicate some) throws IOException;

    /** Shows an observer what the blocks compute. */
    void observe(Batch batch, Observer observer) throws IOException;

    /** How many rows of {@code length} tokens should go through together. */
    int together(int length);

    @Override
    void close();

    /** By the fused runtime. */
    record Fused(Inference inference) implements Runner {

        @Override
        public List<Result> run(List<Batch> batches, Progress progress) throws IOException {
            List<Result> results = new ArrayList<>();
            try {
                for (Batch batch : batches) {
                    results.add(inference.run(batch));
                    progress.step("batch " + results.size() + " of " + batches.size(), results.size(), batches.size());
                }
                return results;
            } catch (IOException | RuntimeException e) {
                results.forEach(Result::close);
                throw e;
            }
        }

        @Override
        public Result run(Batch batch, IntPredicate some) throws IOException {
            return inference.run(batch, some);
        }

        @Override
        public void observe(Batch batch, Observer observer) throws IOException {
            inference.observe(batch, observer);
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

    /** By the layers. */
    record Layers(ForwardPass pass) implements Runner {

        @Override
        public List<Result> run(List<Batch> batches, Progress progress) throws IOException {
            return pass.run(batches, progress);
        }

        @Override
        public Result run(Batch batch, IntPredicate some) throws IOException {
            return pass.run(batch, some);
        }

        @Override
        public void observe(Batch batch, Observer observer) throws IOException {
            pass.observe(batch, observer);
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
