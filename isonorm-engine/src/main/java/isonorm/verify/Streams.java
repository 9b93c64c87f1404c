package isonorm.verify;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import isonorm.layer.Fit;
import isonorm.layer.ForwardPass;
import isonorm.layer.Observer;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.weights.Model;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The residual stream of a model before each block and behind the last, without each token's mean, which forms of one function may differ
 * by. Rounding moves streams a little more block after block; where one model's block is another function, its stream jumps away.
 */
final class Streams {

    /** By how much the distance of two streams, counted in what rounding makes at the same place, must grow within a block to tell. */
    private static final double JUMP = 2;

    /** Streams are shown in float32; nearer than this is the same. */
    private static final double SAME = 1e-6;

    private static final int TOKENS = 128;

    private final float[][] values; // of each place, token after token

    private Streams(float[][] values) {
        this.values = values;
    }

    /** Of the second stack first where there are two: what it gives, the main one may read. */
    private static List<Streams> of(Model model, Batch batch) throws IOException {
        Architecture architecture = model.architecture();
        Optional<Architecture> beside = architecture.companion().map(Companion::architecture);
        Batch main = batch instanceof Batch.Both both ? both.main() : batch;
        Watch watch = Watch.of(architecture, main);
        Optional<Watch> other = beside.map(stack -> Watch.of(stack, ((Batch.Both) batch).companion()));
        try (ForwardPass pass = ForwardPass.fitting(model, Compute.F64)) {
            pass.observe(batch, watch, other.<Observer>map(each -> each).orElse(Observer.NONE));
        }
        return Stream.concat(other.stream(), Stream.of(watch)).map(each -> new Streams(each.values)).toList();
    }

    /** Keeps the stream of one stack. */
    private record Watch(int width, boolean compressed, float[][] values) implements Observer {

        static Watch of(Architecture stack, Batch batch) {
            int tokens = batch.count() * Fit.require(stack.embedding(), batch);
            return new Watch(stack.width(), stack.streamWidth() < stack.width(), new float[stack.blocks().size() + 1][tokens * stack.width()]);
        }

        @Override
        public void stream(int block, Rows h, int first) {
            double[] row = new double[width];
            for (int r = 0; r < h.rows(); r++) {
                Rows one = h.slice(r, 1);
                Numbers.decode(one.data(), one.type().dtype(), one.offset(), one.columns(), row, 0);
                double sum = Arrays.stream(row, 0, one.columns()).sum();
                if (compressed) {
                    row[width - 1] = -sum;
                }
                double mean = compressed ? 0 : sum / width;
                for (int c = 0; c < width; c++) {
                    values[block][(first + r) * width + c] = (float) (row[c] - mean);
                }
            }
        }

        @Override
        public void normalized(int block, Rows x, Values scales, int first) {}

        @Override
        public void written(int block, Branch branch, Rows x, Values scales, Values bias, Rows h, int first) {}
    }

    /** How far another model's stream is from this one at a place, as a part of this one. */
    private double distance(Streams other, int place) {
        double differences = 0;
        double squares = 0;
        for (int i = 0; i < values[place].length; i++) {
            double difference = (double) other.values[place][i] - values[place][i];
            differences += difference * difference;
            squares += (double) values[place][i] * values[place][i];
        }
        return squares == 0 ? 0 : Math.sqrt(differences / squares);
    }

    /** Where a model begins to differ from its original by more than rounding, in words; empty where the models have not the same blocks. */
    static Optional<String> parting(Model original, Model other, Batch inputs) throws IOException {
        if (!alike(original.architecture(), other.architecture())) {
            return Optional.empty();
        }
        Batch batch = some(inputs);
        List<Streams> expected = of(original, batch);
        List<Streams> given = of(other, batch);
        List<Streams> moved = of(OwnRounding.once(original, other), batch);
        Parting main = expected.getLast().parting(given.getLast(), moved.getLast());
        return original.architecture().companion().map(beside -> {
            Parting second = expected.getFirst().parting(given.getFirst(), moved.getFirst());
            return second.place >= 0 ? "of its " + beside.stack().title() + ", " + words(second) : "of its " + beside.mainTitle() + ", " + words(main);
        }).or(() -> Optional.of(words(main)));
    }

    private static boolean alike(Architecture a, Architecture b) {
        return a.width() == b.width() && a.blocks().size() == b.blocks().size() && a.companion().isPresent() == b.companion().isPresent()
                && (a.companion().isEmpty() || alike(a.companion().get().architecture(), b.companion().orElseThrow().architecture()));
    }

    /**
     * Where a stream leaves another.
     *
     * @param place before block 0 that is 0; -1 for nowhere
     * @param jump by how much their distance grows there
     */
    private record Parting(int place, double jump) {}

    /** @param moved what rounding makes of this one */
    private Parting parting(Streams given, Streams moved) {
        double largest = JUMP;
        int place = -1;
        double before = 1;
        for (int at = 0; at < values.length; at++) {
            double times = distance(given, at) / Math.max(SAME, distance(moved, at));
            double jump = times / Math.max(1, before);
            if (!(jump <= largest)) { // also NaN
                largest = jump;
                place = at;
            }
            before = times;
        }
        return new Parting(place, largest);
    }

    private static String words(Parting parting) {
        return switch (parting.place) {
            case -1 -> "the streams of both are alike behind every block, so it is what reads the last one: the final norm or the output";
            case 0 -> "the streams of both differ before block 0 already, so it is the embedding";
            default -> "the stream jumps away behind block " + (parting.place - 1) + ", to " + (long) Math.min(1e6, parting.jump) + " times as far as before it";
        };
    }

    /** One prompt, and not more of it than is needed. */
    private static Batch some(Batch batch) {
        return batch instanceof Batch.Tokens tokens ? Batch.Tokens.of(Arrays.copyOf(tokens.ids()[0], Math.min(TOKENS, tokens.length()))) : batch;
    }
}
