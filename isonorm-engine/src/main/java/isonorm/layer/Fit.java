package isonorm.layer;

import isonorm.architecture.Embedding;
import isonorm.model.Batch;

/** What a model can read of what it is given. */
public final class Fit {

    private Fit() {}

    /** Refuses what a model with this embedding cannot read; gives how many vectors each row puts into the stream. */
    public static int require(Embedding embedding, Batch batch) {
        return switch (embedding) {
            case Embedding.Tokens shape when batch instanceof Batch.Tokens given -> {
                for (long[] row : given.ids()) {
                    require(shape, row, row.length);
                }
                yield given.length();
            }
            case Embedding.Patches shape when batch instanceof Batch.Images given -> {
                if (given.channels() != shape.channels() || given.height() != shape.height() || given.width() != shape.width()) {
                    throw new IllegalArgumentException("this model reads images of " + shape.channels() + " x " + shape.height() + " x "
                            + shape.width() + ", got " + given.channels() + " x " + given.height() + " x " + given.width());
                }
                yield shape.tokens();
            }
            case Embedding.Sound shape when batch instanceof Batch.Sounds given -> {
                if (given.lines() != shape.lines() || shape.frames().isPresent() && given.frames() != shape.frames().getAsInt()) {
                    throw new IllegalArgumentException("this model reads sounds of " + shape.lines() + " lines"
                            + (shape.frames().isPresent() ? " and " + shape.frames().getAsInt() + " frames" : "") + ", got " + given.lines() + " lines and "
                            + given.frames() + " frames");
                }
                int steps = shape.steps(given.frames());
                if (steps < 1) {
                    throw new IllegalArgumentException("a sound of " + given.frames() + " frames is shorter than the convolutions of this model; make it longer");
                }
                if (shape.places() instanceof Embedding.Sound.Places.Table(int rows, int offset) && steps > rows - offset) {
                    throw new IllegalArgumentException("this model has " + (rows - offset) + " positions, got a sound of "
                            + given.frames() + " frames, which has " + steps + "; cut it");
                }
                yield steps;
            }
            case Embedding _ when batch instanceof Batch.Both -> throw new IllegalArgumentException("this model has one stack, got the inputs of two");
            case Embedding.Tokens _ -> throw new IllegalArgumentException("this model reads tokens, got " + what(batch));
            case Embedding.Patches _ -> throw new IllegalArgumentException("this model reads images, got " + what(batch));
            case Embedding.Sound _ -> throw new IllegalArgumentException("this model reads sounds, got " + what(batch));
        };
    }

    private static String what(Batch batch) {
        return switch (batch) {
            case Batch.Tokens _ -> "tokens";
            case Batch.Images _ -> "images";
            case Batch.Sounds _ -> "sounds";
            case Batch.Both _ -> "the inputs of two stacks";
        };
    }

    /** Refuses ids that are no words of an embedding, and sequences of {@code length} tokens where it has fewer positions. */
    public static void require(Embedding.Tokens shape, long[] ids, int length) {
        for (long id : ids) {
            if (id < 0 || id >= shape.vocabulary()) {
                throw new IllegalArgumentException("token ids must be 0 to " + (shape.vocabulary() - 1) + ", got " + id);
            }
        }
        int room = shape.positions() - shape.positionOffset();
        if (shape.positions() > 0 && length > room) {
            throw new IllegalArgumentException("this model has " + room + " positions, got a row of " + length + " tokens; cut it");
        }
    }
}
