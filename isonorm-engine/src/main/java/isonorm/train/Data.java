package isonorm.train;

import java.io.IOException;

/** Finds the data of a configuration. */
final class Data {

    private Data() {}

    static TrainingData of(Configuration configuration) throws IOException {
        int length = configuration.number("sequence", 1);
        long seed = configuration.whole("seed", 0);
        if (configuration.text("data").equals("shakespeare")) {
            return Bytes.shakespeare(length, seed);
        }
        throw new IllegalArgumentException("data must be shakespeare or a folder that isonorm data build made, got " + configuration.text("data"));
    }
}
