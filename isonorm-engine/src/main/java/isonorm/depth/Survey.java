package isonorm.depth;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.architecture.Experts;
import isonorm.architecture.Stream;
import isonorm.depth.Depth.ExpertLoad;
import isonorm.kernel.Kernels;
import isonorm.kernel.Profile;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import isonorm.layer.Choice;
import isonorm.layer.Observer;
import isonorm.model.Batch;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Queue;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.stream.IntStream;

/**
 * Watches the blocks of a model, batch after batch, and gathers what a {@link Depth} says.
 *
 * <p>Statistics are taken of what is shown and nothing of it is kept, but for the inputs of the blocks of one batch, which distances
 * compare: width times blocks times the tokens that go through together. A block's output is the input of the next and measured once.
 */
final class Survey implements Observer {

    private static final Kernels KERNELS = Kernels.provider();

    /** Massive activations are larger than so many times the median magnitude, and in so many dimensions at most. */
    private static final double TIMES_MEDIAN = 1000;
    private static final int DIMENSIONS = 3;

    private final int blocks;
    private final int width;
    private final boolean implied;
    private final Inputs inputs;
    private final List<Gathering> streams;
    private final Map<Position, List<Gathering>> inside = new EnumMap<>(Position.class);
    private final List<Giants> giants;
    private final Distances distances;
    private final Similarity similarity;
    /** How many tokens chose each expert, by block. */
    private final SortedMap<Integer, AtomicLongArray> chosen = new TreeMap<>();

    /** Those that nobody is at. */
    private final Queue<Profile> profiles = new ConcurrentLinkedQueue<>();

    private Tokens batch = new Tokens(Batch.Tokens.of(new long[] {0}), 1, 0);
    /** How many tokens of each window of the batch are still under way. */
    private AtomicIntegerArray underWay = new AtomicIntegerArray(0);
    private long tokens;

    /** @param inputs room for those of this architecture's blocks, which nobody else uses meanwhile */
    Survey(Architecture architecture, Inputs inputs) {
        this.inputs = inputs;
        this.blocks = architecture.blocks().size();
        this.width = architecture.width();
        this.implied = architecture.stream() == Stream.COMPRESSED;
        this.streams = gatherings(blocks + 1);
        for (Position position : List.of(Position.ATTENTION_NORM, Position.ATTENTION_OUTPUT, Position.CROSS_ATTENTION_OUTPUT, Position.MLP_OUTPUT)) {
            inside.put(position, gatherings(blocks));
        }
        this.giants = IntStream.rangeClosed(0, blocks).mapToObj(_ -> new Giants(width)).toList();
        this.distances = new Distances(blocks + 1);
        this.similarity = new Similarity(blocks + 1);
        for (int l = 0; l < blocks; l++) {
            if (architecture.blocks().get(l).feedForward() instanceof Experts experts) {
                chosen.put(l, new AtomicLongArray(experts.count()));
            }
        }
    }

    private static List<Gathering> gatherings(int count) {
        return IntStream.range(0, count).mapToObj(_ -> new Gathering()).toList();
    }

    /** A batch comes whose rows put so many vectors each into the stream. */
    void begin(Batch read, int length) {
        batch = new Tokens(read, length, tokens);
        int count = batch.count();
        all().forEach(gathering -> gathering.begin(count));
        distances.begin(count, length);
        similarity.begin(batch.rows());
        underWay = new AtomicIntegerArray(batch.rows());
        for (int window = 0; window < batch.rows(); window++) {
            underWay.set(window, length);
        }
        inputs.begin(count);
    }

    /** The batch has been shown. */
    void end() {
        all().forEach(Gathering::end);
        distances.end();
        similarity.end();
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
        giants.get(block).add(h, implied, profile, batch, first);
        gather(profile, streams.get(block), first, h.rows());
        inputs.hold(block, h, implied, first);
        if (block == blocks) {
            distances.add(inputs.of(first, h.rows()), first);
            passed(first, first + h.rows());
        }
    }

    /** These tokens are behind the last block; who has the last of a window compares the tokens of it. */
    private void passed(int first, int end) {
        int length = batch.length();
        for (int window = first / length; window * length < end; window++) {
            int some = Math.min(end, (window + 1) * length) - Math.max(first, window * length);
            if (underWay.addAndGet(window, -some) == 0) {
                similarity.add(window, inputs.of(window * length, length));
            }
        }
    }

    @Override
    public void normalized(int block, Rows x, Values scales, int first) {
        gather(profile(x, scales, Values.NONE), requireNonNull(inside.get(Position.ATTENTION_NORM)).get(block), first, x.rows());
    }

    @Override
    public void written(int block, Branch branch, Rows x, Values scales, Values bias, Rows h, int first) {
        Position position = switch (branch) {
            case ATTENTION -> Position.ATTENTION_OUTPUT;
            case CROSS_ATTENTION -> Position.CROSS_ATTENTION_OUTPUT;
            case MLP -> Position.MLP_OUTPUT;
        };
        Gathering gathering = requireNonNull(inside.get(position)).get(block);
        gather(profile(x, scales, bias), gathering, first, x.rows());
        if (branch == Branch.ATTENTION) { // it found the stream that stands before the block
            for (int r = 0; r < h.rows(); r++) {
                gathering.ratio(first + r, streams.get(block).squares(first + r));
            }
            return;
        }
        double[] squares = new double[h.rows()];
        KERNELS.sumsOfSquares(h, implied, squares);
        for (int r = 0; r < h.rows(); r++) {
            gathering.ratio(first + r, squares[r]);
        }
    }

    @Override
    public void chosen(int block, int token, Choice choice) {
        AtomicLongArray counts = requireNonNull(chosen.get(block));
        for (int expert : choice.experts()) {
            counts.incrementAndGet(expert);
        }
    }

    private Profile profile(Rows x, Values scales, Values bias) {
        Profile free = profiles.poll();
        Profile profile = free != null && free.rows() >= x.rows() ? free : new Profile(x.rows());
        KERNELS.profile(x, scales, bias, implied, profile);
        return profile;
    }

    private void gather(Profile profile, Gathering into, int first, int count) {
        into.add(profile, first, count);
        profile.clear();
        profiles.add(profile);
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

    /** How often each expert was chosen, of the blocks that have experts. */
    SortedMap<Integer, ExpertLoad> experts() {
        SortedMap<Integer, ExpertLoad> loads = new TreeMap<>();
        chosen.forEach((block, counts) ->
                loads.put(block, new ExpertLoad(IntStream.range(0, counts.length()).mapToLong(counts::get).toArray(), tokens)));
        return loads;
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
}
