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
        MemorySegment weights = arena.allocate(values * type.bytes(), 64);
        Type exact = type == Type.F64 ? Type.F64 : Type.F32;
        MemorySegment gradient = arena.allocate(values * exact.bytes(), 64);
        MemorySegment used = compute == type ? weights : arena.allocate(values * compute.bytes(), 64);
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
        each(team, this::refresh);
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

    /** Runs {@code chunk} on all parameters, in parts. */
    public void each(Team team, Chunk chunk) {
        List<Piece> pieces = pieces();
        team.each(pieces.size(), number -> {
            Piece piece = pieces.get(number);
            chunk.run(piece.entry, piece.first, piece.length);
        });
    }

    /** The sum of what {@code measure} gives for every part, added in one order whoever computes it. */
    public double sum(Team team, ToDoubleFunction<Rows> measure) {
        List<Piece> pieces = pieces();
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

    private List<Piece> pieces() {
        List<Piece> pieces = new ArrayList<>();
        for (Entry entry : own) {
            long values = (long) entry.weights.rows() * entry.weights.columns();
            for (long first = 0; first < values; first += CHUNK) {
                pieces.add(new Piece(entry, first, (int) Math.min(CHUNK, values - first)));
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
        for (Entry entry : own) {
            if (entry.begins()) {
                zero(entry.gradient);
            }
        }
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
