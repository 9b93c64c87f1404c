package isonorm.measure;

import static isonorm.measure.Answer.NO;
import static isonorm.measure.Answer.YES;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.kernel.JvmOptions;
import isonorm.kernel.Kernels;
import isonorm.kernel.Type;
import isonorm.tensor.Libraries.Library;
import isonorm.tensor.Products;
import isonorm.weights.VectorSupport;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What is said of machines made by hand: one on which all is well, and that one with one thing changed. */
class MachineTest {

    private static final long GIB = 1L << 30;

    private Machine.Host host = new Machine.Host("Linux", "6.1", "amd64");
    private Machine.Processor processor = new Machine.Processor("AMD EPYC", OptionalInt.of(4), OptionalInt.of(8), 8);
    private final List<InstructionSet> instructions = new ArrayList<>(List.of(new InstructionSet("AVX2", YES, YES, YES),
            new InstructionSet("AVX-512", YES, YES, YES), new InstructionSet("AVX512-BF16", YES, NO, YES), new InstructionSet("AMX-BF16", NO, NO, NO)));
    private Machine.Computing kernels = new Machine.Computing(OptionalInt.of(512), "vector kernels: vectors have 512 bits", Optional.empty());
    private List<Machine.Product> products = List.of(new Machine.Product(Type.F64, "OpenBLAS", "", true),
            new Machine.Product(Type.F32, "oneDNN, brg_matmul:avx512_core", "", true),
            new Machine.Product(Type.F16, "widened to float32, some columns at a time, for oneDNN, brg_matmul:avx512_core", "", false));
    private Optional<String> failure = Optional.empty();
    private Machine.Memory memory = new Machine.Memory(OptionalLong.of(64 * GIB), OptionalLong.empty(), OptionalDouble.empty(), true, "always [madvise] never");
    private Machine.Native libraries = libraries(true, true, Optional.empty());
    private Machine.Jvm jvm = new Machine.Jvm("OpenJDK", "25", JvmOptions.all(), 16 * GIB, OptionalInt.of(3));

    private static Machine.Native libraries(boolean oneDnn, boolean openBlas, Optional<String> maximum) {
        Optional<Path> place = Optional.of(Path.of("lib.so"));
        return new Machine.Native(List.of(new Library("oneDNN", Optional.of("3.11"), oneDnn ? place : Optional.empty()),
                new Library("OpenBLAS", Optional.of("0.3.31"), openBlas ? place : Optional.empty())), Optional.empty(), maximum);
    }

    private static List<String> with(String option) {
        return Stream.concat(JvmOptions.all().stream(), Stream.of(option)).toList();
    }

    private Machine machine() {
        return new Machine(host, processor, instructions, kernels, products, failure, memory, libraries, jvm);
    }

    private void hinted(String problem, String remedy) {
        List<Hint> hints = machine().hints();
        assertEquals(1, hints.size(), hints.toString());
        assertTrue(hints.getFirst().problem().contains(problem), hints.toString());
        assertTrue(hints.getFirst().remedy().contains(remedy), hints.toString());
    }

    @Test
    void nothingIsSaidWhereAllIsWell() {
        assertEquals(List.of(), machine().hints());
    }

    @Test
    void theLineNamesWhatAFigureDependsOn() {
        assertEquals("AMD EPYC, AVX-512 and bf16; kernels of 512 bits; products f64 OpenBLAS, f32 oneDNN brg_matmul:avx512_core, f16 widened to f32; 2 threads",
                machine().line(2));
        kernels = new Machine.Computing(OptionalInt.empty(), "plain kernels: why", Optional.empty());
        products = List.of(new Machine.Product(Type.F32, "Isonorm's vector kernels", "", true));
        instructions.removeFirst();
        instructions.set(0, new InstructionSet("AVX-512", NO, NO, NO));
        instructions.set(1, new InstructionSet("NEON", YES, YES, NO));
        assertEquals("AMD EPYC, NEON; plain kernels; products f32 Isonorm's vector kernels; 1 thread", machine().line(1));
    }

    @Test
    void thisMachineHasWhatWasChosen() {
        Machine here = Machine.here();
        assertEquals(Kernels.reason(), here.kernels().reason());
        assertEquals(Products.choices(), here.products().stream().map(each -> new Products.Choice(each.type(), each.provider(), each.reason())).toList());
        assertEquals(Optional.empty(), here.failure());
        assertEquals(Runtime.getRuntime().maxMemory(), here.jvm().heap());
        assertEquals(Runtime.getRuntime().availableProcessors(), here.processor().available());
    }

    @Test
    void whatCannotComputeIsHinted() {
        failure = Optional.of("isonorm.kernels must be vector or plain, got fast");
        hinted("isonorm.kernels must be vector or plain, got fast", "mend");
    }

    @Test
    void missingVectorsAreHinted() {
        kernels = new Machine.Computing(OptionalInt.empty(), "plain kernels: the API", Optional.of("add " + VectorSupport.MODULE));
        hinted("vectors are missing", "add " + VectorSupport.MODULE);
    }

    @Test
    void plainKernelsAreHinted() {
        kernels = new Machine.Computing(OptionalInt.empty(), "plain kernels: isonorm.kernels asks for them", Optional.empty());
        hinted("plain loops", "-Disonorm.kernels=plain");
    }

    @Test
    void missingOptionsOfInliningAreHinted() {
        jvm = new Machine.Jvm("OpenJDK", "25", List.of(), 16 * GIB, OptionalInt.of(3));
        hinted("vectors as objects", "./isonorm");
    }

    @Test
    void instructionsThatJavaMayNotUseAreHinted() {
        jvm = new Machine.Jvm("OpenJDK", "25", JvmOptions.all(), 16 * GIB, OptionalInt.of(2));
        instructions.set(1, new InstructionSet("AVX-512", YES, NO, YES));
        hinted("AVX-512, which java leaves unused (UseAVX=2)", "-XX:UseAVX=3");
    }

    @Test
    void instructionsThatOneDnnMayNotUseAreHinted() {
        instructions.set(2, new InstructionSet("AVX512-BF16", YES, NO, NO));
        hinted("AVX512-BF16, which oneDNN leaves unused", "virtual machine");
        libraries = libraries(true, true, Optional.of("AVX512_CORE"));
        hinted("AVX512-BF16, which oneDNN leaves unused", "ONEDNN_MAX_CPU_ISA=AVX512_CORE");
    }

    @Test
    void productsWithoutOneDnnAreHinted() {
        libraries = libraries(false, true, Optional.empty());
        products = List.of(new Machine.Product(Type.F32, "OpenBLAS", "oneDNN could not be loaded: musl", true));
        hinted("without oneDNN, by OpenBLAS: oneDNN could not be loaded: musl", "glibc");
        host = new Machine.Host("Mac OS X", "15", "aarch64");
        hinted("without oneDNN", "none on this platform");
        jvm = new Machine.Jvm("OpenJDK", "25", with("-Disonorm.products=openblas"), 16 * GIB, OptionalInt.of(3));
        hinted("without oneDNN", "take -Disonorm.products=openblas out");
    }

    @Test
    void productsOfFloat64WithoutOpenBlasAreHinted() {
        libraries = libraries(true, false, Optional.empty());
        hinted("without OpenBLAS", "class path");
    }

    @Test
    void aSmallHeapIsHinted() {
        jvm = new Machine.Jvm("OpenJDK", "25", JvmOptions.all(), 512 << 20, OptionalInt.of(3));
        hinted("512 MiB", "ISONORM_JAVA_OPTS=-Xmx4g");
    }

    @Test
    void aLimitOfMemoryIsHinted() {
        memory = new Machine.Memory(OptionalLong.of(64 * GIB), OptionalLong.of(4 * GIB), OptionalDouble.empty(), true, "[always] madvise never");
        hinted("limits memory to 4096 of the machine's 65536 MiB", "memory.max");
    }

    @Test
    void missingHugePagesAreHinted() {
        memory = new Machine.Memory(OptionalLong.of(64 * GIB), OptionalLong.empty(), OptionalDouble.empty(), true, "always madvise [never]");
        hinted("no huge pages", "echo madvise");
    }

    @Test
    void fewerProcessorsThanThereAreIsHinted() {
        processor = new Machine.Processor("AMD EPYC", OptionalInt.of(4), OptionalInt.of(8), 2);
        hinted("2 of the machine's 8 processors", "cpu.max");
        jvm = new Machine.Jvm("OpenJDK", "25", with("-XX:ActiveProcessorCount=2"), 16 * GIB, OptionalInt.of(3));
        hinted("2 of the machine's 8 processors", "take -XX:ActiveProcessorCount=2 out");
    }

    @Test
    void partsOfProcessorsAreHinted() {
        memory = new Machine.Memory(OptionalLong.of(64 * GIB), OptionalLong.empty(), OptionalDouble.of(7.5), true, "[always] madvise never");
        hinted("7.5 processors' time to 8 threads", "whole number");
    }
}
