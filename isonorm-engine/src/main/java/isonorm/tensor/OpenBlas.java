package isonorm.tensor;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.nio.charset.StandardCharsets.US_ASCII;

import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Products.Stack;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.lang.ref.Reference;
import java.net.URLConnection;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.bytedeco.javacpp.Loader;

/**
 * Matrix products of float64 and float32 by OpenBLAS, through its C interface.
 *
 * <p>It must use no threads of its own: each of ours multiplies its own rows, and two sets of threads would starve each other. It has no
 * setting for one caller alone, so it is loaded from a file, and under a name, that nobody else in the process has: whoever uses OpenBLAS
 * beside us keeps what they set.
 */
@SuppressWarnings("restricted")
final class OpenBlas implements Multiplier {

    private static final String PLATFORM = Loader.getPlatform();
    private static final String FOLDER = "org/bytedeco/openblas/" + PLATFORM + "/";

    /** What it is called, on Linux, macOS and Windows. */
    private static final List<String> NAMES = List.of("libopenblas.so.0", "libopenblas.0.dylib", "libopenblas.dll");

    /** What it calls, as far as a platform's jar has it: each before who calls it. */
    private static final List<String> CALLED = List.of("libgcc_s.so.1", "libquadmath.so.0", "libgfortran.so.5",
            "libgcc_s.1.1.dylib", "libquadmath.0.dylib", "libgfortran.5.dylib");

    /** What Linux knows a library by that is loaded already, and what ours is called instead; as many letters. */
    private static final byte[] KNOWN = "libopenblas.so.0".getBytes(US_ASCII);
    private static final byte[] OURS = "isonormblas.so.0".getBytes(US_ASCII);

    private static final int ROW_MAJOR = 101;
    private static final int AS_IT_IS = 111;
    private static final int TRANSPOSED = 112;

    private final MethodHandle float64;
    private final MethodHandle float32;
    private final Path place;

    private OpenBlas(SymbolLookup library, Path place) {
        this.place = place;
        float64 = product(library, "cblas_dgemm", JAVA_DOUBLE);
        float32 = product(library, "cblas_sgemm", JAVA_FLOAT);
        MethodHandle use = handle(library, "openblas_set_num_threads", FunctionDescriptor.ofVoid(JAVA_INT));
        call(() -> {
            use.invokeExact(1);
        });
    }

    /** What there is of it: the library, or why there is none. */
    record Found(Optional<OpenBlas> library, String reason) {}

    /** Opened once. */
    private static final class Here {
        private static final Found FOUND = open();
    }

    static Found here() {
        return Here.FOUND;
    }

    /** Its name in this platform's jar, or where that lies unpacked; nothing where neither is there. */
    private static Optional<String> name() {
        return NAMES.stream().map(name -> FOLDER + name).filter(name -> Libraries.unpacked(name).isPresent() || Libraries.packed(name).isPresent()).findFirst();
    }

    /** Whether the jar with this platform's native code is there. */
    static boolean isOnClassPath() {
        return name().isPresent();
    }

    private static Found open() {
        Optional<String> library = name();
        if (library.isEmpty()) {
            return new Found(Optional.empty(), Libraries.missing("OpenBLAS", PLATFORM));
        }
        try {
            for (String name : CALLED) {
                Libraries.file(FOLDER + name).ifPresent(called -> SymbolLookup.libraryLookup(called, Arena.global()));
            }
            Path place = ownFile(library.get());
            return new Found(Optional.of(new OpenBlas(SymbolLookup.libraryLookup(place, Arena.global()), place)), "");
        } catch (IOException | IllegalArgumentException e) { // such as a C library that cannot load it
            return new Found(Optional.empty(), "OpenBLAS could not be loaded: " + e.getMessage());
        }
    }

    /** The library in a file of our own, which is written once and never changed; where it lies unpacked it is that. */
    private static Path ownFile(String library) throws IOException {
        Optional<Path> unpacked = Libraries.unpacked(library);
        if (unpacked.isPresent()) {
            return unpacked.get();
        }
        String version = Libraries.version("openblas").orElse("unknown");
        Path file = Loader.getCacheDir().toPath().resolve("openblas-" + version + "-isonorm-" + PLATFORM + NAMES.stream()
                .filter(name -> library.endsWith("/" + name)).map(name -> name.substring("libopenblas".length())).findFirst().orElse(""));
        URLConnection connection = Libraries.packed(library).orElseThrow().openConnection();
        if (Files.exists(file) && Files.size(file) == connection.getContentLengthLong()) {
            return file;
        }
        Libraries.tellBeforeUnpacking(file);
        byte[] bytes;
        try (InputStream in = connection.getInputStream()) {
            bytes = in.readAllBytes();
        }
        for (int at = 0; at <= bytes.length - KNOWN.length; at++) {
            if (bytes[at] == KNOWN[0] && Arrays.equals(bytes, at, at + KNOWN.length, KNOWN, 0, KNOWN.length)) {
                System.arraycopy(OURS, 0, bytes, at, OURS.length);
            }
        }
        Path written = Files.createTempFile(file.getParent(), "openblas", ".tmp");
        try {
            Files.write(written, bytes, StandardOpenOption.SYNC);
            Files.move(written, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(written);
        }
        return file;
    }

    /** Of {@code y = alpha a b + beta y}: order, two ways to read, rows, columns, inner; alpha, a, b, beta and y with their strides. */
    private static MethodHandle product(SymbolLookup library, String name, MemoryLayout number) {
        return handle(library, name, FunctionDescriptor.ofVoid(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT,
                number, ADDRESS, JAVA_INT, ADDRESS, JAVA_INT, number, ADDRESS, JAVA_INT));
    }

    private static MethodHandle handle(SymbolLookup library, String name, FunctionDescriptor descriptor) {
        return Linker.nativeLinker().downcallHandle(library.find(name).orElseThrow(() -> new IllegalArgumentException("it has no " + name)), descriptor);
    }

    private interface Call {
        void run() throws Throwable;
    }

    private static void call(Call call) {
        try {
            call.run();
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException("OpenBLAS cannot be called", e);
        }
    }

    /** Where it was loaded from. */
    Path place() {
        return place;
    }

    @Override
    public String name(Type type) {
        return "OpenBLAS";
    }

    @Override
    public void products(Stack x, Stack w, Stack y, boolean add) {
        for (int i = 0; i < y.count(); i++) {
            Rows c = y.get(i);
            multiply(x.one(i), w.get(i), w.transposed(), c, c.columns(), x.inner(), add ? 1 : 0);
        }
    }

    /** A panel is a matrix of its own, (inputs, 64), without gaps. */
    @Override
    public void product(Stack x, Panels w, Rows y, Finish finish) {
        for (int panel = 0; panel < w.count(); panel++) {
            int first = panel * Panels.WIDTH;
            int columns = Math.min(Panels.WIDTH, w.outputs() - first);
            Rows each = new Rows(w.data(), w.type(), (long) panel * w.depth() * Panels.WIDTH, w.inputs(), columns, Panels.WIDTH);
            multiply(x, each, false, y.sliceColumns(first, columns), columns, w.inputs(), 0);
        }
    }

    private void multiply(Stack x, Rows b, boolean transposed, Rows c, int columns, int inner, int beta) {
        Rows a = x.first();
        int left = x.transposed() ? TRANSPOSED : AS_IT_IS;
        int right = transposed ? TRANSPOSED : AS_IT_IS;
        MemorySegment from = MemorySegment.ofAddress(a.address(0));
        MemorySegment by = MemorySegment.ofAddress(b.address(0));
        MemorySegment into = MemorySegment.ofAddress(c.address(0));
        if (a.type() == Type.F64) {
            call(() -> {
                float64.invokeExact(ROW_MAJOR, left, right, c.rows(), columns, inner, 1d, from, a.stride(), by, b.stride(), (double) beta, into, c.stride());
            });
        } else {
            call(() -> {
                float32.invokeExact(ROW_MAJOR, left, right, c.rows(), columns, inner, 1f, from, a.stride(), by, b.stride(), (float) beta, into, c.stride());
            });
        }
        Reference.reachabilityFence(a.data());
        Reference.reachabilityFence(b.data());
        Reference.reachabilityFence(c.data());
    }
}
