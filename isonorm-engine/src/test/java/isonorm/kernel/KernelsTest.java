package isonorm.kernel;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Which kernels are chosen, and what rows and values there can be. */
@EveryProcessor
class KernelsTest {

    /** Whether this JVM was started as one in which vectors would be slow. */
    private static final boolean SLOW = Boolean.getBoolean("isonorm.test.slow-vectors");

    /** A silent fall-back would leave every other test here passing, and everything slow; so would vectors that are none. */
    @Test
    void vectorsAreUsedWhereTheyAreFast() {
        assertSame(SLOW ? PlainKernels.class : VectorKernels.class, Kernels.provider().getClass(), Kernels.reason());
        assertSame(Kernels.provider(), Kernels.provider());
        assertTrue(Kernels.reason().startsWith(SLOW ? "plain kernels: this processor has no AVX2" : "vector kernels: vectors have "), Kernels.reason());
    }

    @Test
    void gradientsGoWithThem() {
        Class<?> expected = SLOW ? PlainGradients.class : VectorGradients.class;
        assertSame(expected, Gradients.of(Type.BF16).getClass());
        assertSame(expected, Gradients.of(Type.F32).getClass());
        assertInstanceOf(PlainGradients.class, Gradients.of(Type.F64));
    }

    /** So that whoever adds a kernel has it tested on every processor. */
    @Test
    void everyTestOfKernelsAndProductsRunsOnEveryProcessor() throws IOException {
        for (String folder : List.of("kernel", "tensor")) {
            try (Stream<Path> files = Files.list(Path.of("src", "test", "java", "isonorm", folder))) {
                for (Path file : files.filter(each -> each.toString().endsWith("Test.java")).toList()) {
                    assertTrue(Files.readString(file).contains("@EveryProcessor"), file + " needs @EveryProcessor");
                }
            }
        }
    }

    @Test
    void plainOnesOnRequest() {
        Provider plain = Provider.choose("plain");
        assertInstanceOf(PlainKernels.class, plain.kernels());
        assertEquals("plain kernels: isonorm.kernels asks for them", plain.reason());
        assertThrows(IllegalArgumentException.class, () -> Provider.choose("fast"));
    }

    @Test
    void rowsLieInsideTheirSegment() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment data = arena.allocate(100);
            assertEquals(25, Rows.of(data, Type.F32, 5, 5).data().byteSize() / 4);
            new Rows(data, Type.F32, 0, 3, 5, 10); // the last row need not fill its stride
            new Rows(data, Type.BF16, 50, 0, 5, 5);
            assertThrows(IllegalArgumentException.class, () -> new Rows(data, Type.F32, 1, 5, 5, 5));
            assertThrows(IllegalArgumentException.class, () -> new Rows(data, Type.F32, -1, 1, 5, 5));
            assertThrows(IllegalArgumentException.class, () -> new Rows(data, Type.F32, 0, 1, 5, 4));
            assertThrows(IllegalArgumentException.class, () -> new Rows(data, Type.BF16, 0, Integer.MAX_VALUE, 9, Integer.MAX_VALUE));
            assertThrows(IllegalArgumentException.class, () -> Rows.of(MemorySegment.ofArray(new float[25]), Type.F32, 5, 5));
        }
    }

    @Test
    void slices() {
        try (Arena arena = Arena.ofConfined()) {
            Rows rows = Rows.allocate(arena, Type.BF16, 4, 5, 6);
            rows.set(2, 3, 7);
            assertEquals(7, rows.slice(1, 3).get(1, 3));
            assertEquals(7, rows.sliceColumns(3, 2).get(2, 0));
            assertEquals(7, Rows.of(rows.data(), Type.BF16, 4, 6).get(2, 3));
            assertThrows(IllegalArgumentException.class, () -> rows.slice(2, 3));
            assertThrows(IllegalArgumentException.class, () -> rows.sliceColumns(-1, 2));
            Values values = Values.of(1, 2, 3);
            assertEquals(3, values.slice(1, 2).get(1));
            assertThrows(IllegalArgumentException.class, () -> values.slice(1, 3));
            assertSame(Values.NONE, Values.NONE.slice(4, 4));
        }
    }

    @Test
    void storedNumbersAreRoundedOnceToEven() {
        try (Arena arena = Arena.ofConfined()) {
            Rows brain = Rows.allocate(arena, Type.BF16, 1, 1, 1);
            Rows half = Rows.allocate(arena, Type.F16, 1, 1, 1);
            brain.set(0, 0, 1 + 0x1p-8); // the middle
            assertEquals(1, brain.get(0, 0));
            brain.set(0, 0, 1 + 0x1p-8 + 0x1p-40);
            assertEquals(1 + 0x1p-7f, brain.get(0, 0));
            half.set(0, 0, 1 + 0x3p-11);
            assertEquals(1 + 0x1p-9f, half.get(0, 0));
        }
    }
}
