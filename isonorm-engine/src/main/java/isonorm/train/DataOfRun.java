package isonorm.train;

import isonorm.chat.ChatTemplate;
import isonorm.data.Completions;
import isonorm.data.ImageFolder;
import isonorm.data.Manifest;
import isonorm.data.TokenData;
import isonorm.data.Vocabulary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/** Finds the data of a run. */
final class DataOfRun {

    private DataOfRun() {}

    static TrainingData of(TrainingRun run) throws IOException {
        TrainingData data = found(run);
        if (!(data instanceof Pictures) && !run.reading().augmentation().equals(TrainingRun.Augmentation.NONE)) {
            throw new IllegalArgumentException("crop, mixup and label-smoothing are for images, and the data has tokens; leave them out");
        }
        return data;
    }

    private static TrainingData found(TrainingRun run) throws IOException {
        TrainingRun.Reading reading = run.reading();
        int length = reading.sequence();
        long seed = run.seed();
        if (reading.data().isEmpty()) {
            return new Windows(TokenData.shakespeare(), length, seed);
        }
        Path path = reading.data().get();
        if (Files.exists(path.resolve(Manifest.FILE))) {
            return new Windows(TokenData.open(path), length, seed);
        }
        double share = reading.validation();
        if (Files.isRegularFile(path) && Completions.isNamed(path)) {
            return pairs(path, run, length);
        }
        if (hasFolders(path)) {
            return new Pictures(ImageFolder.open(path, reading.image(), ImageFolder.Normalization.VIT, share, seed), reading.image(), reading.augmentation(), seed);
        }
        throw new IllegalArgumentException("data must be shakespeare, a folder that isonorm data build made, a .jsonl file of prompts and completions "
                + "or a folder with a folder of images for each class, got " + path + (Files.exists(path) ? "" : ", which does not exist"));
    }

    private static TrainingData pairs(Path path, TrainingRun run, int length) throws IOException {
        if (!(run.start() instanceof TrainingRun.Start.Checkpoint checkpoint)) {
            throw new IllegalArgumentException("completions are for a model that has learned its language; name it with from, or --from");
        }
        try (Vocabulary vocabulary = Vocabulary.open(checkpoint.folder(), Optional.empty())) {
            return new Pairs(Completions.read(path, vocabulary, ChatTemplate.of(checkpoint.folder()), run.reading().beginning(), length, run.reading().validation(), run.seed()),
                    vocabulary.size(), length, beside(checkpoint.folder(), vocabulary));
        }
    }

    /** What says how texts become tokens, and conversations texts. */
    private static Map<String, byte[]> beside(Path checkpoint, Vocabulary vocabulary) throws IOException {
        Map<String, byte[]> files = new LinkedHashMap<>();
        files.put("tokenizer.json", vocabulary.tokenizerJson());
        for (String name : List.of("tokenizer_config.json", "chat_template.jinja")) {
            if (Files.isRegularFile(checkpoint.resolve(name))) {
                files.put(name, Files.readAllBytes(checkpoint.resolve(name)));
            }
        }
        return files;
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
