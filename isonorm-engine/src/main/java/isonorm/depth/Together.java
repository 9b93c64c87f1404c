package isonorm.depth;

import isonorm.model.Batch;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/** Rows of batches, which go through a model together where they are equally long. */
final class Together {

    private Together() {}

    /** Each row of a batch without its padding; nothing in the place of one that was nothing else. */
    static List<Optional<Batch>> rows(Batch batch) {
        return switch (batch) {
            case Batch.Tokens tokens -> IntStream.range(0, tokens.count()).mapToObj(r -> row(tokens, r)).toList();
            case Batch.Images images -> IntStream.range(0, images.count()).mapToObj(r -> Optional.<Batch>of(images.slice(r, 1))).toList();
            case Batch.Sounds sounds -> IntStream.range(0, sounds.count()).mapToObj(r -> Optional.<Batch>of(sounds.slice(r, 1))).toList();
            case Batch.Both both -> {
                if (both.companion().count() != both.main().count()) {
                    throw new IllegalArgumentException("a decoder reads a row for each that its encoder reads, got " + both.main().count() + " and "
                            + both.companion().count());
                }
                List<Optional<Batch>> read = rows(both.companion());
                List<Optional<Batch>> written = rows(both.main());
                yield IntStream.range(0, read.size())
                        .mapToObj(r -> read.get(r).flatMap(input -> written.get(r).<Batch>map(main -> new Batch.Both(input, main)))).toList();
            }
        };
    }

    private static Optional<Batch> row(Batch.Tokens tokens, int r) {
        long[] row = IntStream.range(0, tokens.length()).filter(t -> tokens.seen(r, t)).mapToLong(t -> tokens.ids()[r][t]).toArray();
        return row.length == 0 ? Optional.empty() : Optional.of(Batch.Tokens.of(row));
    }

    /** Whether two rows are equally long. */
    static boolean fit(Batch one, Batch other) {
        return switch (one) {
            case Batch.Tokens tokens -> other instanceof Batch.Tokens more && tokens.length() == more.length();
            case Batch.Images images -> other instanceof Batch.Images more && images.channels() == more.channels() && images.height() == more.height()
                    && images.width() == more.width();
            case Batch.Sounds sounds -> other instanceof Batch.Sounds more && sounds.lines() == more.lines() && sounds.frames() == more.frames();
            case Batch.Both both -> other instanceof Batch.Both more && fit(both.companion(), more.companion()) && fit(both.main(), more.main());
        };
    }

    /** One batch of rows that fit. */
    static Batch of(List<Batch> rows) {
        return switch (rows.getFirst()) {
            case Batch.Tokens _ -> Batch.Tokens.of(rows.stream().map(row -> ((Batch.Tokens) row).ids()[0]).toArray(long[][]::new));
            case Batch.Images image -> new Batch.Images(joined(rows.stream().map(row -> ((Batch.Images) row).pixels()).toList()), rows.size(),
                    image.channels(), image.height(), image.width());
            case Batch.Sounds sound -> new Batch.Sounds(joined(rows.stream().map(row -> ((Batch.Sounds) row).values()).toList()), rows.size(),
                    sound.lines(), sound.frames());
            case Batch.Both _ -> new Batch.Both(of(rows.stream().map(row -> ((Batch.Both) row).companion()).toList()),
                    of(rows.stream().map(row -> ((Batch.Both) row).main()).toList()));
        };
    }

    private static float[] joined(List<float[]> parts) {
        int each = parts.getFirst().length;
        float[] all = Arrays.copyOf(parts.getFirst(), each * parts.size());
        for (int i = 1; i < parts.size(); i++) {
            System.arraycopy(parts.get(i), 0, all, i * each, each);
        }
        return all;
    }
}
