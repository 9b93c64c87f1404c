package isonorm.train;

import isonorm.data.ImageFolder;
import isonorm.layer.Batch;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Images and their classes. */
record Pictures(ImageFolder images, int context) implements TrainingData {

    @Override
    public int vocabulary() {
        return images.classes().size();
    }

    @Override
    public Examples batch(long position, int count) {
        try {
            return examples(images.rows(position, count));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public List<Examples> validation(int batches, int count) {
        List<Examples> all = new ArrayList<>();
        try {
            for (int first = 0; first < images.validation() && all.size() < batches; first += count) {
                all.add(examples(images.validation(first, Math.min(count, images.validation() - first))));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return all;
    }

    private Examples examples(ImageFolder.Labelled rows) {
        return new Examples.Images(new Batch.Images(rows.pixels(), rows.labels().length, 3, context, context), rows.labels());
    }

    @Override
    public Optional<byte[]> tokenizer() {
        return Optional.empty();
    }
}
