package isonorm.train;

import isonorm.data.TokenData;
import java.io.IOException;

/** Finds the data of a configuration. */
final class Data {

    private Data() {}

    static TrainingData of(Configuration configuration) throws IOException {
        int length = configuration.number("sequence", 1);
        long seed = configuration.whole("seed", 0);
        if (configuration.text("data").equals("shakespeare")) {
            return new Windows(TokenData.shakespeare(), length, seed);
        }
        return new Windows(TokenData.open(configuration.path("data")), length, seed);
    }
}
