package isonorm.train;

import isonorm.data.Completions;
import isonorm.data.ImageFolder;
import isonorm.data.TokenData;
import isonorm.data.Vocabulary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/** Finds the data of a configuration. */
final class Data {

    private Data() {}

    static TrainingData of(Configuration configuration) throws IOException {
        int length = configuration.number("sequence", 1);
        long seed = configuration.whole("seed", 0);
        String name = configuration.text("data");
        if (name.equals("shakespeare")) {
            return new Windows(TokenData.shakespeare(), length, seed);
        }
        Path path = configuration.path("data");
        if (Files.exists(path.resolve(TokenData.MANIFEST))) {
            return new Windows(TokenData.open(path), length, seed);
        }
        double share = configuration.real("data.validation", 0, 1);
        if (Files.isRegularFile(path) && name.toLowerCase(Locale.ROOT).matches(".*\\.jsonl(\\.gz)?")) {
            return pairs(path, configuration, length, share, seed);
        }
        if (hasFolders(path)) {
            return new Pictures(ImageFolder.open(path, configuration.number("image", 1), ImageFolder.Normalization.VIT, share, seed),
                    configuration.number("image", 1));
        }
        throw new IllegalArgumentException("data must be shakespeare, a folder that isonorm data build made, a .jsonl file of prompts and completions "
                + "or a folder with a folder of images for each class, got " + name + (Files.exists(path) ? "" : ", which does not exist"));
    }

    private static TrainingData pairs(Path path, Configuration configuration, int length, double share, long seed) throws IOException {
        if (!configuration.has("from")) {
            throw new IllegalArgumentException("completions are for a model that has learned its language; name it with from, or --from");
        }
        try (Vocabulary vocabulary = Vocabulary.open(configuration.path("from"), Optional.empty())) {
            return new Pairs(Completions.read(path, vocabulary, length, share, seed), vocabulary.size(), length, vocabulary.tokenizerJson());
        }
    }

    private static boolean hasFolders(Path path) throws IOException {
        if (!Files.isDirectory(path)) {
            return false;
        }
        try (Stream<Path> entries = Files.list(path)) {
            return entries.anyMatch(Files::isDirectory);
        }
    }
}
