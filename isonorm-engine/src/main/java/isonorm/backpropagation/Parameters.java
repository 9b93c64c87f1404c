package isonorm.backpropagation;

import isonorm.architecture.Architecture;
import isonorm.architecture.Parameter;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.architecture.Stream;
import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.tensor.Team;
import isonorm.weights.Matrix;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/**
 * The parameters of a model in training, each with its gradient: one piece of memory for all of them, and one for all gradients.
 *
 * <p>Matrices lie there in the order of {@link Architecture#parameters()}, so that gate and up of an MLP are one matrix for a product.
 * What belongs to a compressed stream of d - 1 values has rows or columns of d, the last one zero, so that products keep their aligned
 * shape; its gradient there is zero too.
 */
public final class Parameters implements AutoCloseable {

    /** What an optimizer takes at once: it stays in a core's nearest caches while it is read and written. */
    static final int CHUNK = 1 << 15;

    private final Arena arena = Arena.ofShared();
    private final Type type;
    private final Type compute;
    private final Map<Role, Entry> entries = new LinkedHashMap<>();
    private final List<Entry> own;
    private final long count;
    private final MemorySegment weights;
    private final MemorySegment gradient;
    private final MemorySegment used;

    /**
     * One parameter. A vector has one row.
     *
     * @param shape as files have it; weights can have a row or a column of zeros more
     * @param weights what the optimizer changes
     * @param used the same in the type of computation; the same memory where that is one type
     * @param values of a vector, as kernels read them
     */
    public record Entry(Parameter shape, Rows weights, Rows gradient, Rows used, Values values, boolean[] begun) {

        /** Takes the values of a matrix. */
        public void take(Matrix matrix) throws IOException {
            Rows to = stored(weights());
            double[] row = new double[matrix.columns()];
            matrix.prepare();
            try {
                for (int r = 0; r < matrix.rows(); r++) {
                    matrix.read(r, 1, row);
                    for (int c = 0; c < row.length; c++) {
                        to.set(r, c, row[c]);
                    }
                }
            } finally {
                matrix.release();
            }
        }

        public Role role() {
            return shape.role();
        }

        /** The part that files have. */
        public Rows stored(Rows all) {
            return all.slice(0, Math.max(1, shape.rows())).sliceColumns(0, shape.columns());
        }

        /** Makes the gradient zero where nothing was added to it. */
        public void settle() {
            if (begins()) {
                zero(gradient);
            }
        }

        /** Whether something was added to the gradient in this step; if not, it may be overwritten. Asking makes it so. */
        public boolean begins() {
            boolean first = !begun[0];
            begun[0] = true;
            return first;
        }
    }

    private Parameters(Architecture architecture, Type type, Type compute, Map<Role, Entry> shared) {
        this.type = type;
        this.compute = compute;
        List<Parameter> own = architecture.parameters().stream().filter(each -> !shared.containsKey(each.role())).toList();
        List<Parameter> order = new ArrayList<>(own.stream().filter(each -> !each.isVector()).toList());
        order.addAll(own.stream().filter(Parameter::isVector).toList());
        long values = order.stream().mapToLong(each -> (long) rows(architecture, each) * columns(architecture, each)).sum();
        this.count = values;
        this.weights = arena.allocate(values * type.bytes(), 64);
        Type exact = gradientType();
        this.gradient = arena.allocate(values * exact.bytes(), 64);
        this.used = compute == type ? weights : arena.allocate(values * compute.bytes(), 64);
        long at = 0;
        for (Parameter each : order) {
            int rows = rows(architecture, each);
            int columns = columns(architecture, each);
            entries.put(each.role(), new Entry(each,
                    new Rows(weights, type, at, rows, columns, columns),
                    new Rows(gradient, exact, at, rows, columns, columns),
                    new Rows(used, compute, at, rows, columns, columns),
                    each.isVector() ? Values.room(type, columns) : Values.NONE,
                    new boolean[1]));
            at += (long) rows * columns;
        }
        this.own = List.copyOf(entries.values());
        entries.putAll(shared);
    }

    /**
     * Zeros for every parameter.
     *
     * @param type of weights; gradients are float32 at least
     * @param compute the type matrices are multiplied in
     */
    public static Parameters of(Architecture architecture, Type type, Type compute) {
        return new Parameters(architecture, type, compute, Map.of());
    }

    /** The same, some parameters being those of another model. */
    public static Parameters of(Architecture architecture, Type type, Type compute, Map<Role, Entry> shared) {
        return new Parameters(architecture, type, compute, shared);
    }

    private static int rows(Architecture architecture, Parameter parameter) {
        boolean padded = architecture.stream() == Stream.COMPRESSED && !parameter.isVector()
                && architecture.use(parameter.role().part()) == Part.Use.WRITER;
        return Math.max(1, parameter.rows()) + (padded ? 1 : 0);
    }

    private static int columns(Architecture architecture, Parameter parameter) {
        boolean padded = architecture.stream() == Stream.COMPRESSED && !parameter.isVector() && switch (architecture.use(parameter.role().part())) {
            case TABLE -> true;
            case READER -> parameter.columns() == architecture.streamWidth(); // a final norm with a gain gives all values
            case VECTOR, WRITER, NONE -> false;
        };
        return parameter.columns() + (padded ? 1 : 0);
    }

    /** The type of weights. */
    public Type type() {
        return type;
    }

    /** The type of what is computed with. */
    public Type compute() {
        return compute;
    }

    /** How many values there are, without those of another model. */
    public long count() {
        return count;
    }

    /** Some values of all, which lie one behind the other from the first matrix to the last vector. */
    public record Span(long first, long length) {

        public long end() {
            return first + length;
        }
    }

    /** All of them. */
    public Span whole() {
        return new Span(0, count);
    }

    /** The memory of some weights. */
    public MemorySegment weights(Span span) {
        return slice(weights, type, span);
    }

    /** The memory of their gradient. */
    public MemorySegment gradient(Span span) {
        return slice(gradient, gradientType(), span);
    }

    /** The memory of what is computed with in their place. */
    public MemorySegment used(Span span) {
        return slice(used, compute, span);
    }

    /** The type of gradients: float32, or float64 where weights are. */
    public Type gradientType() {
        return type == Type.F64 ? Type.F64 : Type.F32;
    }

    private static MemorySegment slice(MemorySegment all, Type type, Span span) {
        return all.asSlice(span.first * type.bytes(), span.length * type.bytes());
    }

    /** Every parameter that is not another model's. */
    public List<Entry> all() {
        return own;
    }

    public Entry get(Part part, int block, Role.Field field) {
        return get(Role.of(part, block, field));
    }

    public Entry get(Role role) {
        return find(role).orElseThrow(() -> new IllegalArgumentException("there is no " + role + " in this model"));
    }

    public Optional<Entry> find(Role role) {
        return Optional.ofNullable(entries.get(role));
    }

    /** Gate and up of a gated MLP, which follow each other in memory, as one matrix. */
    static Rows together(Rows first, Rows second) {
        if (second.offset() != first.offset() + (long) first.rows() * first.stride()) {
            throw new IllegalArgumentException("the second matrix must follow the first, got " + first + " at " + first.offset() + " and "
                    + second + " at " + second.offset());
        }
        return new Rows(first.data(), first.type(), first.offset(), first.rows() + second.rows(), first.columns(), first.stride());
    }

    /** Makes what is computed with from the weights, after they have changed. */
    public void refresh(Team team) {
        each(team, List.of(whole()), this::refresh);
        refreshValues();
    }

    /** The same for a part of a parameter. */
    public void refresh(Entry entry, long first, int length) {
        if (compute != type) {
            Kernels.of(type).copy(flat(entry.weights, first, length), flat(entry.used, first, length));
        }
    }

    /** The same for what kernels read of vectors. */
    public void refreshValues() {
        for (Entry entry : own) {
            for (int i = 0; i < entry.values.count(); i++) {
                entry.values.set(i, entry.weights.get(0, i));
            }
        }
    }

    /** What is done with a part of a parameter, taken as one row. */
    @FunctionalInterface
    public interface Chunk {
        void run(Entry entry, long first, int length);
    }

    private record Piece(Entry entry, long first, int length) {}

    /** Runs {@code chunk} on the parameters in some spans, which are in order, in parts. */
    public void each(Team team, List<Span> spans, Chunk chunk) {
        List<Piece> pieces = pieces(spans);
        team.each(pieces.size(), number -> {
            Piece piece = pieces.get(number);
            chunk.run(piece.entry, piece.first, piece.length);
        });
    }

    /** The sum of what {@code measure} gives for every part of the gradient in some spans, added in one order whoever computes it. */
    public double sum(Team team, List<Span> spans, ToDoubleFunction<Rows> measure) {
        List<Piece> pieces = pieces(spans);
        double[] sums = new double[pieces.size()];
        team.each(pieces.size(), number -> {
            Piece piece = pieces.get(number);
            sums[number] = measure.applyAsDouble(flat(piece.entry.gradient, piece.first, piece.length));
        });
        double sum = 0;
        for (double each : sums) {
            sum += each;
        }
        return sum;
    }

    private List<Piece> pieces(List<Span> spans) {
        List<Piece> pieces = new ArrayList<>();
        int next = 0;
        for (Entry entry : own) {
            long at = entry.weights.offset();
            long end = at + (long) entry.weights.rows() * entry.weights.columns();
            for (long first = at; first < end; first += CHUNK) {
                long last = Math.min(first + CHUNK, end);
                while (next < spans.size() && spans.get(next).end() <= first) {
                    next++;
                }
                for (int i = next; i < spans.size() && spans.get(i).first < last; i++) {
                    long from = Math.max(first, spans.get(i).first);
                    long to = Math.min(last, spans.get(i).end());
                    pieces.add(new Piece(entry, from - at, (int) (to - from)));
                }
            }
        }
        return pieces;
    }

    /** A part of a matrix without gaps as one row. */
    public static Rows flat(Rows rows, long first, int length) {
        return new Rows(rows.data(), rows.type(), rows.offset() + first, 1, length, length);
    }

    /** Forgets all gradients. Those of vectors, which are added to from many sides, become zero; others are overwritten when they begin. */
    public void forgetGradients() {
        for (Entry entry : own) {
            entry.begun[0] = false;
            if (entry.shape.isVector()) {
                zero(entry.gradient);
                entry.begun[0] = true;
            }
        }
    }

    /** Makes gradients zero to which nothing was added: those of parts that took no part. */
    public void settleGradients() {
        own.forEach(Entry::settle);
    }

    public static void zero(Rows rows) {
        long bytes = rows.type().bytes();
        rows.data().asSlice(rows.offset() * bytes, (long) rows.rows() * rows.stride() * bytes).fill((byte) 0);
    }

    @Override
    public void close() {
        arena.close();
    }
}
