package isonorm.depth;

import isonorm.architecture.Architecture;
import isonorm.architecture.NormKind;
import isonorm.architecture.Stream;
import isonorm.kernel.Kernels;
import isonorm.kernel.Profile;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.layer.Observer;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;

/**
 * Watches the blocks of a model, batch after batch, and gathers what a {@link Depth} says.
 *
 * <p>Statistics are taken of what is shown and nothing of it is kept, but for the inputs of the blocks of one batch, which distances
 * compare: width times blocks times the tokens that go through together. A block's output is the input of the next and measured once.
 */
final class Survey implements Observer, AutoCloseable {

    private static final Kernels KERNELS = Kernels.provider();

    /** Massive activations are larger than so many times the median magnitude, and in so many dimensions at most. */
    private static final double TIMES_MEDIAN = 1000;
    private static final int DIMENSIONS = 3;

    private final int blocks;
    private final int width;
    private final boolean implied;
    private final List<Gathering> streams;
    private final Map<Position, List<Gathering>> inside = new EnumMap<>(Position.class);
    private final List<Giants> giants;
    private final Distances distances;
    private final Similarity similarity;

    private Arena arena = Arena.ofShared();
    /** The inputs of all blocks, and the output of the last, of one token behind the other. */
    private Rows held = Rows.allocate(arena, Type.F32, 0, 0, 0);

    private Tokens batch;
    private long tokens;

    Survey(Architecture architecture) {
        this.blocks = architecture.blocks().size();
        this.width = architecture.width();
        this.implied = architecture.stream() == Stream.COMPRESSED;
        this.streams = gatherings(blocks + 1);
        for (Position position : List.of(Position.ATTENTION_NORM, Position.ATTENTION_OUTPUT, Position.MLP_OUTPUT)) {
            inside.put(position, gatherings(blocks));
        }
        this.giants = IntStream.rangeClosed(0, blocks).mapToObj(_ -> new Giants(width)).toList();
        this.distances = new Distances(blocks + 1);
        this.similarity = new Similarity(blocks + 1);
    }

    private static List<Gathering> gatherings(int count) {
        return IntStream.range(0, count).mapToObj(_ -> new Gathering()).toList();
    }

    /** A batch of these rows comes. */
    void begin(long[][] ids) {
        batch = new Tokens(ids, tokens);
        int count = batch.count();
        all().forEach(gathering -> gathering.begin(count));
        distances.begin(count);
        int rows = Math.multiplyExact(count, blocks + 1);
        if (held.rows() < rows) {
            arena.close();
            arena = Arena.ofShared();
            held = Rows.allocate(arena, Type.F32, rows, width, width);
        }
    }

    /** The batch has been shown. */
    void end() {
        all().forEach(Gathering::end);
        distances.end();
        int rows = batch.ids()[0].length * (blocks + 1);
        for (int window = 0; window < batch.ids().length; window++) {
            similarity.add(held.slice(window * rows, rows));
        }
        tokens += batch.count();
    }

    private List<Gathering> all() {
        List<Gathering> all = new ArrayList<>(streams);
        inside.values().forEach(all::addAll);
        return all;
    }

    @Override
    public void stream(int block, Rows h, int first) {
        Profile profile = profile(h, Values.NONE, Values.NONE);
        streams.get(block).add(profile, first);
        giants.get(block).add(h, implied, profile, batch, first);
        hold(block, h, first);
        if (block == blocks) {
            distances.add(held.slice(first * (blocks + 1), h.rows() * (blocks + 1)), first);
        }
    }

    private void hold(int block, Rows h, int first) {
        Rows into = new Rows(held.data(), Type.F32, ((long) first * (blocks + 1) + block) * width, h.rows(), width, (blocks + 1) * width);
        KERNELS.copy(h, into.sliceColumns(0, h.columns()));
        for (int r = 0; r < h.rows() && implied; r++) {
            double sum = 0;
            for (int c = 0; c < h.columns(); c++) {
                sum += into.get(r, c);
            }
            into.set(r, h.columns(), -sum);
        }
    }

    @Override
    public void normalized(int block, Rows x, Values scales, int first) {
        inside.get(Position.ATTENTION_NORM).get(block).add(profile(x, scales, Values.NONE), first);
    }

    @Override
    public void written(int block, Branch branch, Rows x, Values scales, Values bias, Rows h, int first) {
        Position position = branch == Branch.ATTENTION ? Position.ATTENTION_OUTPUT : Position.MLP_OUTPUT;
        Gathering gathering = inside.get(position).get(block);
        gathering.add(profile(x, scales, bias), first);
        Values reciprocals = Values.room(h.rows()); // of root mean squares
        KERNELS.squares(h, implied ? NormKind.CRMS : NormKind.RMS, 0, reciprocals);
        for (int r = 0; r < h.rows(); r++) {
            gathering.ratio(first + r, Math.sqrt(width) / reciprocals.get(r));
        }
    }

    private Profile profile(Rows x, Values scales, Values bias) {
        Profile profile = new Profile(x.rows());
        KERNELS.profile(x, scales, bias, implied, profile);
        return profile;
    }

    long tokens() {
        return tokens;
    }

    Distances distances() {
        return distances;
    }

    Similarity similarity() {
        return similarity;
    }

    /** What was gathered, block after block; a position that a block does not have is missing. */
    List<Map<Position, Activations>> activations() {
        List<Map<Position, Activations>> all = new ArrayList<>();
        for (int l = 0; l < blocks; l++) {
            Map<Position, Activations> block = new EnumMap<>(Position.class);
            block.put(Position.BLOCK_INPUT, streams.get(l).result());
            for (Map.Entry<Position, List<Gathering>> position : inside.entrySet()) {
                if (position.getValue().get(l).any()) {
                    block.put(position.getKey(), position.getValue().get(l).result());
                }
            }
            block.put(Position.BLOCK_OUTPUT, streams.get(l + 1).result());
            all.add(block);
        }
        return all;
    }

    /** The dimensions with massive activations before each block, and behind the last. */
    private List<List<Giants.Giant>> massive() {
        List<List<Giants.Giant>> all = new ArrayList<>();
        for (int l = 0; l <= blocks; l++) {
            List<Giants.Giant> above = giants.get(l).above(Math.max(Giants.LEAST, TIMES_MEDIAN * streams.get(l).median()));
            all.add(above.size() <= DIMENSIONS ? above : List.of());
        }
        return all;
    }

    List<MassiveActivation> massiveActivations() {
        List<List<Giants.Giant>> massive = massive();
        int[] dimensions = massive.stream().flatMap(List::stream).mapToInt(Giants.Giant::dimension).distinct().sorted().toArray();
        List<MassiveActivation> found = new ArrayList<>();
        for (int dimension : dimensions) {
            List<Optional<Giants.Giant>> path = massive.stream()
                    .map(level -> level.stream().filter(giant -> giant.dimension() == dimension).findFirst())
                    .toList();
            long levels = path.stream().filter(Optional::isPresent).count();
            if (4 * levels >= blocks) {
                found.add(massiveActivation(path));
            }
        }
        return found;
    }

    /** One dimension, from level to level: level l is what block l reads, and what block l - 1 has written. */
    private MassiveActivation massiveActivation(List<Optional<Giants.Giant>> path) {
        int first = IntStream.rangeClosed(0, blocks).filter(l -> path.get(l).isPresent()).min().orElseThrow();
        int last = IntStream.rangeClosed(0, blocks).filter(l -> path.get(l).isPresent()).max().orElseThrow();
        int highest = IntStream.rangeClosed(first, last).filter(l -> path.get(l).isPresent()).boxed()
                .max(Comparator.comparingDouble(l -> Math.abs(path.get(l).orElseThrow().value()))).orElseThrow();
        Giants.Giant giant = path.get(highest).orElseThrow();
        return new MassiveActivation(giant.dimension(), first - 1, last == blocks ? OptionalInt.empty() : OptionalInt.of(last), giant.value(),
                highest - 1, giant.token(), giant.place(), giant.tokens());
    }

    @Override
    public void close() {
        arena.close();
    }
}
