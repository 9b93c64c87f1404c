package isonorm.measure;

import isonorm.architecture.Architecture;
import isonorm.layer.ForwardPass;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.Arrays;
import java.util.stream.LongStream;

/** What is measured in tests: the layers of a plain forward pass, which reads a text again for each word. */
record Plain(Architecture architecture, ForwardPass pass) implements Loaded {

    static Loaded load(Model model, Compute compute, int threads) throws IOException {
        return new Plain(model.architecture(), ForwardPass.resident(model, compute));
    }

    @Override
    public Result run(Batch batch) throws IOException {
        return pass.run(batch);
    }

    @Override
    public Text start() {
        return new Text() {

            private long[] read = {};

            @Override
            public float[] next(int... tokens) throws IOException {
                read = LongStream.concat(Arrays.stream(read), Arrays.stream(tokens).asLongStream()).toArray();
                try (Result result = pass.run(Batch.Tokens.of(read))) {
                    double[] all = result.outputValues();
                    int vocabulary = all.length / read.length;
                    float[] last = new float[vocabulary];
                    for (int i = 0; i < vocabulary; i++) {
                        last[i] = (float) all[all.length - vocabulary + i];
                    }
                    return last;
                }
            }

            @Override
            public void close() {}
        };
    }

    @Override
    public void close() {
        pass.close();
    }
}
