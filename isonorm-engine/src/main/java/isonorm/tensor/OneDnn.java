package isonorm.tensor;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import isonorm.kernel.Kernels;
import isonorm.kernel.Panels;
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
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.bytedeco.javacpp.Loader;

/**
 * Matrix products of float32, and of bfloat16 where the processor has instructions for it, by oneDNN, through its C interface, with what
 * {@link Finish finishes} them.
 *
 * <p>oneDNN compiles a function for each shape. A thread keeps its own, for at most {@value #MOST} shapes: one must not run twice at
 * once. Matrices in {@link Panels} lie in the order in which its functions read them; others are brought into it in every product.
 */
@SuppressWarnings("restricted")
final class OneDnn implements Multiplier {

    /** How many shapes a thread keeps its functions for. */
    private static final int MOST = 1024;

    /** The shape of the products that are made to learn what there is. */
    private static final int ASKED = 128;

    /** Columns so many bytes apart lie in few places of a cache, where a function without AVX-512 reads them as they are stored. */
    private static final int ALIASED = 4096;

    /** For so many rows a matrix is worth being brought into panels first where it lies so, and for so many wherever it lies. */
    private static final int ROWS_ALIASED = 64;
    private static final int ROWS_ANY = 256;

    /** So many values of it at a time. */
    private static final int TOGETHER = 1 << 18;

    private static final String PLATFORM = "linux-x86_64";
    private static final String FOLDER = "org/bytedeco/dnnl/" + PLATFORM + "/";

    private static final int SUCCESS = 0;
    private static final int CPU = 1;
    private static final int PANELS = 524; // aCB16b64c
    private static final int PANELS_OF_PAIRS = 528; // aCB16b64c2b
    private static final int DEFAULT_FLAGS = 1;
    private static final int IMPLEMENTATION = 8;
    private static final int AVX512 = 39;
    private static final String GENERATED = "brg_"; // all others are for shapes and types it has nothing good for
    private static final int BFLOAT16 = 2;
    private static final int FLOAT32 = 3;
    private static final int[] ARGUMENTS = {1, 33, 17}; // source, weights, destination
    private static final int OPERAND = 32768; // of what follows in the first place; twice that in the second
    private static final int SECOND_SOURCE = 2;
    private static final int BIAS = 41;
    private static final int MULTIPLY = 0x1fff1;
    private static final int DIMENSIONS = 3;
    private static final int MOST_DIMENSIONS = 12;
    private static final long ARGUMENT = 16;

    private static final Room W = new Room();

    /** The library, or nothing and the reason. */
    record Found(Optional<OneDnn> library, String reason) {}

    /** A shape with everything that its function depends on. */
    private record Shape(Type type, Type result, int count, int m, int k, int n, int xStride, boolean xTransposed, long xStep,
            int wStride, boolean wTransposed, long wStep, int yStride, long yStep, boolean panels, After after) {

        /** Looked up in every product: what a record does of itself is slow until it is compiled. */
        @Override
        public int hashCode() {
            int hash = m;
            hash = 31 * hash + k;
            hash = 31 * hash + n;
            hash = 31 * hash + xStride;
            hash = 31 * hash + wStride;
            hash = 31 * hash + yStride;
            hash = 31 * hash + count;
            return 31 * hash + (panels ? 1 : 0) + (wTransposed ? 2 : 0) + (result == Type.F32 ? 4 : 0);
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Shape that && m == that.m && k == that.k && n == that.n && xStride == that.xStride && wStride == that.wStride
                    && yStride == that.yStride && count == that.count && panels == that.panels && wTransposed == that.wTransposed
                    && xTransposed == that.xTransposed && type == that.type && result == that.result && xStep == that.xStep && wStep == that.wStep
                    && yStep == that.yStep && after.equals(that.after);
        }
    }

    /** What follows a product, as far as its function depends on it. */
    private record After(boolean add, boolean scales, boolean bias) {

        static final After NOTHING = new After(false, false, false);
        static final After SUM = new After(true, false, false);

        static After of(Finish finish) {
            return finish.nothing() ? NOTHING : new After(false, finish.scales().present(), finish.bias().present());
        }
    }

    /** What an operation behind a product reads, and the number by which a function knows it. */
    private record Operand(int argument, MemorySegment description) {}

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
    private final MethodHandle describeOrder;
    private final MethodHandle free;
    private final MethodHandle attributes;
    private final MethodHandle freeAttributes;
    private final MethodHandle postOps;
    private final MethodHandle freePostOps;
    private final MethodHandle appendSum;
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
    private final MethodHandle execute;
    private final MethodHandle await;
    private final MethodHandle newStream;
    private final MethodHandle freeStream;
    private final MethodHandle oneThread;
    private final MemorySegment engine;
    private final int instructions;
    private final boolean wide;
    private final Path place;
    private final Map<Type, String> implementations = new EnumMap<>(Type.class);
    private final Set<Type> readsPanels = EnumSet.noneOf(Type.class);
    private final ThreadLocal<Own> own = ThreadLocal.withInitial(this::begin);

    private OneDnn(SymbolLookup library, Path place) {
        this.place = place;
        describe = function(library, "dnnl_memory_desc_create_with_strides", ADDRESS, JAVA_INT, ADDRESS, JAVA_INT, ADDRESS);
        describeOrder = function(library, "dnnl_memory_desc_create_with_tag", ADDRESS, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT);
        free = function(library, "dnnl_memory_desc_destroy", ADDRESS);
        attributes = function(library, "dnnl_primitive_attr_create", ADDRESS);
        freeAttributes = function(library, "dnnl_primitive_attr_destroy", ADDRESS);
        freePostOps = function(library, "dnnl_post_ops_destroy", ADDRESS);
        postOps = function(library, "dnnl_post_ops_create", ADDRESS);
        appendSum = function(library, "dnnl_post_ops_append_sum", ADDRESS, JAVA_FLOAT, JAVA_INT, JAVA_INT);
        appendBinary = function(library, "dnnl_post_ops_append_binary", ADDRESS, JAVA_INT, ADDRESS);
        operations = function(library, "dnnl_post_ops_len", ADDRESS);
        setPostOps = function(library, "dnnl_primitive_attr_set_post_ops", ADDRESS, ADDRESS);
        matmul = function(library, "dnnl_matmul_primitive_desc_create", ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS);
        query = function(library, "dnnl_primitive_desc_query", ADDRESS, JAVA_INT, JAVA_INT, ADDRESS);
        create = function(library, "dnnl_primitive_create", ADDRESS, ADDRESS);
        freeDescription = function(library, "dnnl_primitive_desc_destroy", ADDRESS);
        freePrimitive = function(library, "dnnl_primitive_destroy", ADDRESS);
        memory = function(library, "dnnl_memory_create", ADDRESS, ADDRESS, ADDRESS, ADDRESS);
        freeMemory = function(library, "dnnl_memory_destroy", ADDRESS);
        move = function(library, "dnnl_memory_set_data_handle", ADDRESS, ADDRESS);
        execute = function(library, "dnnl_primitive_execute", ADDRESS, ADDRESS, JAVA_INT, ADDRESS);
        await = function(library, "dnnl_stream_wait", ADDRESS);
        newStream = function(library, "dnnl_stream_create", ADDRESS, ADDRESS, JAVA_INT);
        freeStream = function(library, "dnnl_stream_destroy", ADDRESS);
        oneThread = handle(library, "omp_set_num_threads", FunctionDescriptor.ofVoid(JAVA_INT));
        MethodHandle newEngine = function(library, "dnnl_engine_create", ADDRESS, JAVA_INT, JAVA_LONG);
        engine = made("an engine", out -> (int) newEngine.invokeExact(out, CPU, 0L));
        MethodHandle allowed = handle(library, "dnnl_get_effective_cpu_isa", FunctionDescriptor.of(JAVA_INT));
        instructions = call("instructions", () -> (int) allowed.invokeExact());
        wide = (instructions & AVX512) == AVX512;
        for (Type type : List.of(Type.F32, Type.BF16)) {
            implementation(type, false).ifPresent(name -> implementations.put(type, name));
            if (implementation(type, true).filter(name -> name.startsWith(GENERATED)).isPresent()) {
                readsPanels.add(type);
            }
        }
    }

    /** What would make a product of this type; nothing where nothing would. */
    private Optional<String> implementation(Type type, boolean panels) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment x = matrix(arena, type, 1, ASKED, ASKED, ASKED, false, 0);
            MemorySegment w = panels ? panels(arena, type, ASKED, ASKED) : x;
            MemorySegment out = arena.allocate(ADDRESS);
            int status = call("a product", () -> (int) matmul.invokeExact(out, engine, x, w, MemorySegment.NULL, x, MemorySegment.NULL));
            Optional<String> name = Optional.empty();
            if (status == SUCCESS) {
                MemorySegment description = out.get(ADDRESS, 0);
                check("a name", () -> (int) query.invokeExact(description, IMPLEMENTATION, 0, out));
                name = Optional.of(out.get(ADDRESS, 0).reinterpret(Long.MAX_VALUE).getString(0));
                destroy(freeDescription, description);
            }
            destroy(free, x);
            if (panels) {
                destroy(free, w);
            }
            return name;
        }
    }

    private static MethodHandle function(SymbolLookup library, String name, MemoryLayout... arguments) {
        return handle(library, name, FunctionDescriptor.of(JAVA_INT, arguments));
    }

    private static MethodHandle handle(SymbolLookup library, String name, FunctionDescriptor descriptor) {
        return Linker.nativeLinker().downcallHandle(library.find(name).orElseThrow(), descriptor);
    }

    /** Opened once. */
    private static final class Here {
        private static final Found FOUND = open();
    }

    static Found here() {
        return Here.FOUND;
    }

    private static Found open() {
        if (!Loader.getPlatform().equals(PLATFORM)) {
            return new Found(Optional.empty(), "oneDNN comes with Isonorm for Linux on x86-64 alone");
        }
        try {
            Optional<Path> openMp = Libraries.file(FOLDER + "libgomp.so.1");
            Optional<Path> library = Libraries.file(FOLDER + "libdnnl.so.3");
            if (openMp.isEmpty() || library.isEmpty()) {
                return new Found(Optional.empty(), Libraries.missing("oneDNN", PLATFORM));
            }
            SymbolLookup.libraryLookup(openMp.get(), Arena.global());
            return new Found(Optional.of(new OneDnn(SymbolLookup.libraryLookup(library.get(), Arena.global()), library.get())), "");
        } catch (IOException | IllegalArgumentException e) { // such as a C library that cannot load it
            return new Found(Optional.empty(), "oneDNN could not be loaded: " + e.getMessage());
        }
    }

    /** The instruction sets it may use, a bit each, as {@code dnnl_cpu_isa_t} has them. */
    int instructions() {
        return instructions;
    }

    /** Whether it may use AVX-512. */
    boolean wide() {
        return wide;
    }

    /** Where it was loaded from. */
    Path place() {
        return place;
    }

    @Override
    public String name(Type type) {
        return "oneDNN" + (implementations.containsKey(type) ? ", " + implementations.get(type) : "");
    }

    /** Of bfloat16 only what is generated for its instructions: all else takes longer than products of float32. */
    @Override
    public boolean multiplies(Type type) {
        return type == Type.F32 && implementations.containsKey(type)
                || implementations.getOrDefault(type, "").startsWith(GENERATED) && readsPanels.contains(type);
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

    @Override
    public void products(Stack x, Stack w, Stack y, boolean add) {
        run(x, w, y, add ? After.SUM : After.NOTHING, Finish.NOTHING);
    }

    /** It adds a bias before it scales. Its activations have other last bits than those of our kernels, which finish products of few rows. */
    @Override
    public boolean finishes(Finish finish) {
        return (!finish.scales().present() || !finish.bias().present()) && finish.activation().isEmpty();
    }

    @Override
    public void product(Rows x, Stack w, Rows y, Finish finish) {
        run(Stack.of(x), w, Stack.of(y), After.of(finish), finish);
    }

    @Override
    public void product(Stack x, Panels w, Rows y, Finish finish) {
        run(x, w, y, After.of(finish), finish);
    }

    private void run(Stack x, Panels w, Rows y, After after, Finish finish) {
        if (readsPanels.contains(w.type())) {
            run(x, 0, false, 0, w.address(0), Stack.of(y), true, after, finish);
            return;
        }
        for (int panel = 0; panel < w.count(); panel++) { // each is a matrix of its own, (inputs, 64), without gaps
            int first = panel * Panels.WIDTH;
            int columns = Math.min(Panels.WIDTH, w.outputs() - first);
            run(x, Panels.WIDTH, false, 0, w.address(panel), Stack.of(y.sliceColumns(first, columns)), false, after, finish.columns(first, columns));
        }
    }

    private void run(Stack x, Stack w, Stack y, After after, Finish finish) {
        if (y.count() == 1 && reads(w, y.first().rows())) {
            inPanels(x.one(0), w.get(0), y.get(0), after, finish);
        } else {
            run(x, w.first().stride(), w.transposed(), w.step(), w.first().address(0), y, false, after, finish);
        }
        Reference.reachabilityFence(w.first().data());
    }

    /** Whether a matrix is better read once, into panels, than by the product of so many rows. */
    private boolean reads(Stack w, int rows) {
        Rows stored = w.first();
        boolean aliased = (long) stored.stride() * stored.type().bytes() % ALIASED == 0;
        return !wide && !w.transposed() && readsPanels.contains(stored.type()) && stored.columns() > Panels.WIDTH
                && rows >= (aliased ? ROWS_ALIASED : ROWS_ANY);
    }

    private void inPanels(Stack x, Rows w, Rows y, After after, Finish finish) {
        int most = Math.max(1, TOGETHER / w.rows() / Panels.WIDTH) * Panels.WIDTH;
        for (int first = 0; first < w.columns(); first += most) {
            int columns = Math.min(most, w.columns() - first);
            Panels some = W.panels(w.type(), w.rows(), columns);
            Kernels.of(w.type()).pack(w.sliceColumns(first, columns), false, 0, some);
            run(x, some, y.sliceColumns(first, columns), after, finish.columns(first, columns));
        }
    }

    private void run(Stack x, int wStride, boolean wTransposed, long wStep, long w, Stack y, boolean panels, After after, Finish finish) {
        Rows a = x.first();
        Rows c = y.first();
        Shape shape = new Shape(a.type(), c.type(), y.count(), c.rows(), x.transposed() ? a.rows() : a.columns(), c.columns(),
                a.stride(), x.transposed(), x.step(), wStride, wTransposed, wStep, c.stride(), y.step(), panels, after);
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
            MemorySegment w = shape.panels
                    ? panels(arena, shape.type, shape.k, shape.n)
                    : matrix(arena, shape.type, shape.count, shape.k, shape.n, shape.wStride, shape.wTransposed, shape.wStep);
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
            destroy(free, w);
            return new Compiled(primitive, given, arguments);
        }
    }

    private void release(Compiled compiled) {
        destroy(freePrimitive, compiled.primitive);
        compiled.given.forEach(memory -> destroy(freeMemory, memory));
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

    /** A matrix as {@link Panels} have it. */
    private MemorySegment panels(Arena arena, Type type, int inputs, int outputs) {
        int order = type == Type.F32 ? PANELS : PANELS_OF_PAIRS;
        return made("an order", out -> (int) describeOrder.invokeExact(out, DIMENSIONS, dimensions(arena, 1, inputs, outputs), code(type), order));
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
                    + "; -Disonorm.products=openblas does without it");
        }
    }
}
