package isonorm.tensor;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import isonorm.architecture.Activation;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.tensor.Products.Stack;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.net.URL;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.javacpp.Loader;

/**
 * Matrix products of float32 and bfloat16 by oneDNN, through its C interface, each on the caller's thread, with what
 * {@link Finish finishes} them.
 *
 * <p>oneDNN compiles a function for each shape. A thread keeps its own, for at most {@value #MOST} shapes: one must not run twice at
 * once. Where a matrix is multiplied often it can be {@link #pack brought} into the order in which the function reads it, which
 * otherwise is done in every product.
 */
@SuppressWarnings("restricted")
final class OneDnn {

    /** How many shapes a thread keeps its functions for. */
    private static final int MOST = 1024;

    /** For so many rows a matrix' order is chosen; it serves others too. */
    private static final int ROWS = 128;

    private static final String FOLDER = "/org/bytedeco/dnnl/linux-x86_64/";

    private static final int SUCCESS = 0;
    private static final int CPU = 1;
    private static final int ANY_ORDER = 1;
    private static final int DEFAULT_FLAGS = 1;
    private static final int WEIGHTS_OF = 131;
    private static final int BFLOAT16 = 2;
    private static final int FLOAT32 = 3;
    private static final int[] ARGUMENTS = {1, 33, 17}; // source, weights, destination
    private static final int OPERAND = 32768; // of what follows in the first place; twice that in the second
    private static final int SECOND_SOURCE = 2;
    private static final int BIAS = 41;
    private static final int MULTIPLY = 0x1fff1;
    private static final int RELU = 0x20;
    private static final int TANH = 0x21;
    private static final int SQUARE = 0x23;
    private static final int GELU_TANH = 0x2b;
    private static final int SWISH = 0x2c; // x sigmoid(factor x)
    private static final int GELU_ERF = 0x31;
    private static final int DIMENSIONS = 3;
    private static final int MOST_DIMENSIONS = 12;
    private static final long ARGUMENT = 16;

    /** The library, or nothing where it is not there or was not asked for. */
    private static final Optional<OneDnn> HERE = open(System.getProperty("isonorm.products", "onednn"));

    /** A shape with everything that its function depends on. */
    private record Shape(Type type, Type result, int count, int m, int k, int n, int xStride, boolean xTransposed, long xStep,
            int wStride, boolean wTransposed, long wStep, int yStride, long yStep, MemorySegment packed, After after) {}

    /** What follows a product, as far as its function depends on it. */
    private record After(boolean add, boolean scales, boolean bias, Optional<Activation> activation, OptionalInt timesStride) {

        static final After NOTHING = new After(false, false, false, Optional.empty(), OptionalInt.empty());
        static final After SUM = new After(true, false, false, Optional.empty(), OptionalInt.empty());

        static After of(Finish finish) {
            return finish.nothing() ? NOTHING : new After(false, finish.scales().present(), finish.bias().present(), finish.activation(),
                    finish.times().isPresent() ? OptionalInt.of(finish.times().get().stride()) : OptionalInt.empty());
        }
    }

    /** What an operation behind a product reads, and the number by which a function knows it. */
    private record Operand(int argument, MemorySegment description) {}

    /** A matrix whose order was asked for. */
    private record Order(Type type, int k, int n) {}

    /** A function, and what it is given: x, w, y, and the operands of what follows. */
    private record Compiled(MemorySegment primitive, List<MemorySegment> given, MemorySegment arguments) {}

    /** What a thread has; {@link #CLEANER} gives it back when the thread is gone. */
    private static final class Own {
        private final MemorySegment stream;
        private final Map<Shape, Compiled> compiled;
        private MemorySegment scales = MemorySegment.NULL;
        private MemorySegment bias = MemorySegment.NULL;

        private Own(MemorySegment stream, Map<Shape, Compiled> compiled) {
            this.stream = stream;
            this.compiled = compiled;
        }

        /** Scales and biases are in Java's memory, where oneDNN cannot look. */
        private long scales(Values values) {
            scales = copy(values, scales);
            return scales.address();
        }

        private long bias(Values values) {
            bias = copy(values, bias);
            return bias.address();
        }

        private static MemorySegment copy(Values values, MemorySegment room) {
            MemorySegment copy = room.byteSize() < (long) values.count() * Float.BYTES
                    ? Arena.ofAuto().allocate(JAVA_FLOAT, values.count())
                    : room;
            MemorySegment.copy(values.array(), values.first(), copy, JAVA_FLOAT, 0, values.count());
            return copy;
        }
    }

    private static final Cleaner CLEANER = Cleaner.create();

    private final MethodHandle describe;
    private final MethodHandle describeAny;
    private final MethodHandle free;
    private final MethodHandle size;
    private final MethodHandle attributes;
    private final MethodHandle freeAttributes;
    private final MethodHandle postOps;
    private final MethodHandle freePostOps;
    private final MethodHandle appendSum;
    private final MethodHandle appendElementwise;
    private final MethodHandle appendBinary;
    private final MethodHandle operations;
    private final MethodHandle setPostOps;
    private final MethodHandle matmul;
    private final MethodHandle query;
    private final MethodHandle create;
    private final MethodHandle freeDescription;
    private final MethodHandle freePrimitive;
    private final MethodHandle memory;
    private final MethodHandle freeMemory;
    private final MethodHandle move;
    private final MethodHandle reorder;
    private final MethodHandle execute;
    private final MethodHandle await;
    private final MethodHandle newStream;
    private final MethodHandle freeStream;
    private final MethodHandle oneThread;
    private final MemorySegment engine;

    private final Map<Order, MemorySegment> orders = new ConcurrentHashMap<>();
    private final ThreadLocal<Own> own = ThreadLocal.withInitial(this::begin);

    private OneDnn(SymbolLookup library) {
        describe = function(library, "dnnl_memory_desc_create_with_strides", ADDRESS, JAVA_INT, ADDRESS, JAVA_INT, ADDRESS);
        describeAny = function(library, "dnnl_memory_desc_create_with_tag", ADDRESS, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT);
        free = function(library, "dnnl_memory_desc_destroy", ADDRESS);
        size = handle(library, "dnnl_memory_desc_get_size", FunctionDescriptor.of(JAVA_LONG, ADDRESS));
        attributes = function(library, "dnnl_primitive_attr_create", ADDRESS);
        freeAttributes = function(library, "dnnl_primitive_attr_destroy", ADDRESS);
        freePostOps = function(library, "dnnl_post_ops_destroy", ADDRESS);
        postOps = function(library, "dnnl_post_ops_create", ADDRESS);
        appendSum = function(library, "dnnl_post_ops_append_sum", ADDRESS, JAVA_FLOAT, JAVA_INT, JAVA_INT);
        appendElementwise = function(library, "dnnl_post_ops_append_eltwise", ADDRESS, JAVA_INT, JAVA_FLOAT, JAVA_FLOAT);
        appendBinary = function(library, "dnnl_post_ops_append_binary", ADDRESS, JAVA_INT, ADDRESS);
        operations = function(library, "dnnl_post_ops_len", ADDRESS);
        setPostOps = function(library, "dnnl_primitive_attr_set_post_ops", ADDRESS, ADDRESS);
        matmul = function(library, "dnnl_matmul_primitive_desc_create", ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS);
        query = handle(library, "dnnl_primitive_desc_query_md", FunctionDescriptor.of(ADDRESS, ADDRESS, JAVA_INT, JAVA_INT));
        create = function(library, "dnnl_primitive_create", ADDRESS, ADDRESS);
        freeDescription = function(library, "dnnl_primitive_desc_destroy", ADDRESS);
        freePrimitive = function(library, "dnnl_primitive_destroy", ADDRESS);
        memory = function(library, "dnnl_memory_create", ADDRESS, ADDRESS, ADDRESS, ADDRESS);
        freeMemory = function(library, "dnnl_memory_destroy", ADDRESS);
        move = function(library, "dnnl_memory_set_data_handle", ADDRESS, ADDRESS);
        reorder = function(library, "dnnl_reorder_primitive_desc_create", ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS);
        execute = function(library, "dnnl_primitive_execute", ADDRESS, ADDRESS, JAVA_INT, ADDRESS);
        await = function(library, "dnnl_stream_wait", ADDRESS);
        newStream = function(library, "dnnl_stream_create", ADDRESS, ADDRESS, JAVA_INT);
        freeStream = function(library, "dnnl_stream_destroy", ADDRESS);
        oneThread = handle(library, "omp_set_num_threads", FunctionDescriptor.ofVoid(JAVA_INT));
        MethodHandle newEngine = function(library, "dnnl_engine_create", ADDRESS, JAVA_INT, JAVA_LONG);
        engine = made("an engine", out -> (int) newEngine.invokeExact(out, CPU, 0L));
    }

    private static MethodHandle function(SymbolLookup library, String name, MemoryLayout... arguments) {
        return handle(library, name, FunctionDescriptor.of(JAVA_INT, arguments));
    }

    private static MethodHandle handle(SymbolLookup library, String name, FunctionDescriptor descriptor) {
        return Linker.nativeLinker().downcallHandle(library.find(name).orElseThrow(), descriptor);
    }

    private static Optional<OneDnn> open(String wish) {
        URL openMp = OneDnn.class.getResource(FOLDER + "libgomp.so.1");
        URL library = OneDnn.class.getResource(FOLDER + "libdnnl.so.3");
        if (!wish.equals("onednn") || openMp == null || library == null || !System.getProperty("os.arch").equals("amd64")) {
            return Optional.empty();
        }
        try {
            SymbolLookup.libraryLookup(cached(openMp), Arena.global());
            return Optional.of(new OneDnn(SymbolLookup.libraryLookup(cached(library), Arena.global())));
        } catch (IOException | IllegalArgumentException e) {
            return Optional.empty(); // a C library that cannot load it: libtorch and OpenBLAS do the same, slower
        }
    }

    private static Path cached(URL resource) throws IOException {
        return Loader.cacheResource(resource).toPath();
    }

    static Optional<OneDnn> here() {
        return HERE;
    }

    /** Whether it has products of this type. */
    static boolean multiplies(Type type) {
        return type == Type.F32 || type == Type.BF16;
    }

    private Own begin() {
        call("threads", () -> {
            oneThread.invokeExact(1); // a setting of each thread
            return SUCCESS;
        });
        MemorySegment stream = made("a stream", out -> (int) newStream.invokeExact(out, engine, DEFAULT_FLAGS));
        Map<Shape, Compiled> compiled = new HashMap<>();
        Own made = new Own(stream, compiled);
        CLEANER.register(made, () -> {
            compiled.values().forEach(this::release);
            destroy(freeStream, stream);
        });
        return made;
    }

    /** {@code y = x w}, or {@code y += x w}. */
    void products(Stack x, Stack w, Stack y, boolean add) {
        run(x, w, y, add ? After.SUM : After.NOTHING, Finish.NOTHING);
    }

    /** Whether it does this itself: it adds a bias before it scales. */
    static boolean finishes(Finish finish) {
        return !finish.scales().present() || !finish.bias().present();
    }

    /** {@code y = finish(x w)}, of what it {@link #finishes}. */
    void product(Rows x, Stack w, Rows y, Finish finish) {
        run(Stack.of(x), w, Stack.of(y), After.of(finish), finish);
    }

    /** The same with a matrix that {@link #pack} made. */
    void product(Rows x, Packed w, Rows y, Finish finish) {
        run(Stack.of(x), 0, false, 0, w.values().address(), Stack.of(y), w.order(), After.of(finish), finish);
        Reference.reachabilityFence(w.values());
    }

    private void run(Stack x, Stack w, Stack y, After after, Finish finish) {
        run(x, w.first().stride(), w.transposed(), w.step(), w.first().address(0), y, MemorySegment.NULL, after, finish);
        Reference.reachabilityFence(w.first().data());
    }

    private void run(Stack x, int wStride, boolean wTransposed, long wStep, long w, Stack y, MemorySegment packed, After after, Finish finish) {
        Rows a = x.first();
        Rows c = y.first();
        Shape shape = new Shape(a.type(), c.type(), y.count(), c.rows(), x.transposed() ? a.rows() : a.columns(), c.columns(),
                a.stride(), x.transposed(), x.step(), wStride, wTransposed, wStep, c.stride(), y.step(), packed, after);
        Own mine = own.get();
        Compiled compiled = mine.compiled.get(shape);
        if (compiled == null) {
            if (mine.compiled.size() >= MOST) {
                mine.compiled.values().forEach(this::release);
                mine.compiled.clear();
            }
            compiled = compile(shape);
            mine.compiled.put(shape, compiled);
        }
        try {
            int failed = move(compiled, 0, a.address(0)) | move(compiled, 1, w) | move(compiled, 2, c.address(0));
            int place = ARGUMENTS.length;
            if (after.bias) {
                failed |= move(compiled, place++, mine.bias(finish.bias()));
            }
            if (after.scales) {
                failed |= move(compiled, place++, mine.scales(finish.scales()));
            }
            if (finish.times().isPresent()) {
                failed |= move(compiled, place++, finish.times().get().address(0));
            }
            failed |= (int) execute.invokeExact(compiled.primitive, mine.stream, place, compiled.arguments);
            failed |= (int) await.invokeExact(mine.stream);
            require(failed, "a product");
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e); // functions of C throw nothing
        } finally { // oneDNN knows only addresses
            Reference.reachabilityFence(a.data());
            Reference.reachabilityFence(c.data());
            Reference.reachabilityFence(finish);
        }
    }

    private int move(Compiled compiled, int place, long address) throws Throwable {
        return (int) move.invokeExact(compiled.given.get(place), MemorySegment.ofAddress(address));
    }

    private Compiled compile(Shape shape) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment x = matrix(arena, shape.type, shape.count, shape.m, shape.k, shape.xStride, shape.xTransposed, shape.xStep);
            MemorySegment w = shape.packed.equals(MemorySegment.NULL)
                    ? matrix(arena, shape.type, shape.count, shape.k, shape.n, shape.wStride, shape.wTransposed, shape.wStep)
                    : shape.packed;
            MemorySegment y = matrix(arena, shape.result, shape.count, shape.m, shape.n, shape.yStride, false, shape.yStep);
            List<Operand> operands = new ArrayList<>();
            MemorySegment bias = MemorySegment.NULL;
            if (shape.after.bias) {
                bias = matrix(arena, Type.F32, 1, 1, shape.n, shape.n, false, 0);
                operands.add(new Operand(BIAS, bias));
            }
            MemorySegment how = how(arena, shape, operands);
            MemorySegment description = description(x, w, bias, y, how);
            if (!how.equals(MemorySegment.NULL)) {
                destroy(freeAttributes, how);
            }
            MemorySegment primitive = made("a product's function", out -> (int) create.invokeExact(out, description));
            destroy(freeDescription, description);
            List<MemorySegment> given = new ArrayList<>(List.of(memory(x), memory(w), memory(y)));
            operands.forEach(operand -> given.add(memory(operand.description)));
            MemorySegment arguments = Arena.ofAuto().allocate(ARGUMENT * given.size(), 8);
            for (int i = 0; i < given.size(); i++) {
                arguments.set(JAVA_INT, i * ARGUMENT, i < ARGUMENTS.length ? ARGUMENTS[i] : operands.get(i - ARGUMENTS.length).argument);
                arguments.set(ADDRESS, i * ARGUMENT + ADDRESS.byteSize(), given.get(i));
            }
            operands.forEach(operand -> destroy(free, operand.description));
            destroy(free, x);
            destroy(free, y);
            if (shape.packed.equals(MemorySegment.NULL)) {
                destroy(free, w);
            }
            return new Compiled(primitive, given, arguments);
        }
    }

    private void release(Compiled compiled) {
        destroy(freePrimitive, compiled.primitive);
        compiled.given.forEach(memory -> destroy(freeMemory, memory));
    }

    /**
     * A copy of {@code w}, read as it is or transposed, in the order in which products read it.
     *
     * @return nothing for a matrix of a type that products do not take
     */
    Optional<Packed> pack(Rows w, boolean transposed, Arena keep) {
        if (!multiplies(w.type())) {
            return Optional.empty();
        }
        int k = transposed ? w.columns() : w.rows();
        int n = transposed ? w.rows() : w.columns();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment from = matrix(arena, w.type(), 1, k, n, w.stride(), transposed, 0);
            MemorySegment order = orders.computeIfAbsent(new Order(w.type(), k, n), this::best);
            MemorySegment values = keep.allocate(call("a size", () -> (long) size.invokeExact(order)), 64);
            MemorySegment way = made("a reordering", out ->
                    (int) reorder.invokeExact(out, from, engine, order, engine, MemorySegment.NULL));
            MemorySegment primitive = made("a reordering's function", out -> (int) create.invokeExact(out, way));
            MemorySegment source = memory(from);
            MemorySegment target = memory(order);
            MemorySegment arguments = arena.allocate(ARGUMENT * 2, 8);
            arguments.set(JAVA_INT, 0, ARGUMENTS[0]);
            arguments.set(ADDRESS, ADDRESS.byteSize(), source);
            arguments.set(JAVA_INT, ARGUMENT, ARGUMENTS[2]);
            arguments.set(ADDRESS, ARGUMENT + ADDRESS.byteSize(), target);
            MemorySegment stream = own.get().stream;
            check("a reordering", () -> (int) move.invokeExact(source, MemorySegment.ofAddress(w.address(0))));
            check("a reordering", () -> (int) move.invokeExact(target, values));
            check("a reordering", () -> (int) execute.invokeExact(primitive, stream, 2, arguments));
            check("a reordering", () -> (int) await.invokeExact(stream));
            destroy(freePrimitive, primitive);
            destroy(freeDescription, way);
            destroy(freeMemory, source);
            destroy(freeMemory, target);
            destroy(free, from);
            return Optional.of(new Packed(values, w.type(), k, n, order));
        }
    }

    /** The order that products of some rows take best; it is never given back, nor what owns it. */
    private MemorySegment best(Order shape) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment x = matrix(arena, shape.type, 1, ROWS, shape.k, shape.k, false, 0);
            MemorySegment y = matrix(arena, shape.type, 1, ROWS, shape.n, shape.n, false, 0);
            MemorySegment any = made("an order", out ->
                    (int) describeAny.invokeExact(out, DIMENSIONS, dimensions(arena, 1, shape.k, shape.n), code(shape.type), ANY_ORDER));
            MemorySegment best = description(x, any, MemorySegment.NULL, y, MemorySegment.NULL);
            destroy(free, x);
            destroy(free, y);
            destroy(free, any);
            return call("an order", () -> (MemorySegment) query.invokeExact(best, WEIGHTS_OF, 0));
        }
    }

    private MemorySegment description(MemorySegment x, MemorySegment w, MemorySegment bias, MemorySegment y, MemorySegment how) {
        return made("a product", out -> (int) matmul.invokeExact(out, engine, x, w, bias, y, how));
    }

    /** What is done with every value of a product, in float32, before it is rounded. */
    private MemorySegment how(Arena arena, Shape shape, List<Operand> operands) {
        After after = shape.after;
        if (after.equals(After.NOTHING)) {
            return MemorySegment.NULL;
        }
        MemorySegment chain = made("what follows a product", out -> (int) postOps.invokeExact(out));
        if (after.add) {
            check("a sum", () -> (int) appendSum.invokeExact(chain, 1f, 0, code(shape.result)));
        }
        if (after.scales) {
            append(chain, matrix(arena, Type.F32, 1, shape.m, 1, 1, false, 0), operands);
        }
        after.activation.ifPresent(activation -> append(chain, activation));
        after.timesStride.ifPresent(stride -> append(chain, matrix(arena, shape.type, 1, shape.m, shape.n, stride, false, 0), operands));
        MemorySegment how = made("attributes", out -> (int) attributes.invokeExact(out));
        check("what follows a product", () -> (int) setPostOps.invokeExact(how, chain));
        destroy(freePostOps, chain);
        return how;
    }

    private void append(MemorySegment chain, MemorySegment factors, List<Operand> operands) {
        int place = call("a place", () -> (int) operations.invokeExact(chain));
        check("factors", () -> (int) appendBinary.invokeExact(chain, MULTIPLY, factors));
        operands.add(new Operand(OPERAND * (place + 1) | SECOND_SOURCE, factors));
    }

    private void append(MemorySegment chain, Activation activation) {
        switch (activation) {
            case GELU -> append(chain, GELU_ERF, 0);
            case GELU_TANH -> append(chain, GELU_TANH, 0);
            case QUICK_GELU -> append(chain, SWISH, 1.702f);
            case RELU -> append(chain, RELU, 0);
            case RELU_SQUARED -> {
                append(chain, RELU, 0);
                append(chain, SQUARE, 0);
            }
            case SILU -> append(chain, SWISH, 1);
            case TANH -> append(chain, TANH, 0);
        }
    }

    private void append(MemorySegment chain, int function, float factor) {
        check("a function", () -> (int) appendElementwise.invokeExact(chain, function, factor, 0f));
    }

    /**
     * Matrices as oneDNN knows them, (count, rows, columns), however they lie in memory; one too, because a product of two dimensions
     * whose rows are scaled is left to oneDNN's slow reference.
     */
    private MemorySegment matrix(Arena arena, Type type, int count, int rows, int columns, int stride, boolean transposed, long step) {
        long down = transposed ? 1 : stride;
        long across = transposed ? stride : 1;
        long whole = (long) stride * (transposed ? columns : rows);
        MemorySegment dimensions = dimensions(arena, step == 0 ? 1 : count, rows, columns);
        MemorySegment strides = dimensions(arena, step == 0 ? whole : step, down, across);
        return made("a matrix", out -> (int) describe.invokeExact(out, DIMENSIONS, dimensions, code(type), strides));
    }

    private static MemorySegment dimensions(Arena arena, long... values) {
        MemorySegment dimensions = arena.allocate(JAVA_LONG, MOST_DIMENSIONS);
        MemorySegment.copy(values, 0, dimensions, JAVA_LONG, 0, values.length);
        return dimensions;
    }

    private MemorySegment memory(MemorySegment matrix) {
        return made("memory", out -> (int) memory.invokeExact(out, matrix, engine, MemorySegment.NULL));
    }

    private static int code(Type type) {
        return type == Type.F32 ? FLOAT32 : BFLOAT16;
    }

    @FunctionalInterface
    private interface Call<T> {
        T run() throws Throwable;
    }

    @FunctionalInterface
    private interface Making {
        int run(MemorySegment out) throws Throwable;
    }

    /** What a function of C puts where it is told to. */
    private static MemorySegment made(String what, Making making) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ADDRESS);
            check(what, () -> making.run(out));
            return out.get(ADDRESS, 0);
        }
    }

    private static void check(String what, Call<Integer> call) {
        require(call(what, call), what);
    }

    private static void destroy(MethodHandle by, MemorySegment it) {
        check("freeing", () -> (int) by.invokeExact(it));
    }

    private static <T> T call(String what, Call<T> call) {
        try {
            return call.run();
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(what, e); // functions of C throw nothing
        }
    }

    private static void require(int status, String what) {
        if (status != SUCCESS) {
            throw new IllegalStateException("oneDNN must make " + what + ", it answers with status " + status
                    + "; -Disonorm.products=libtorch does without it");
        }
    }
}
