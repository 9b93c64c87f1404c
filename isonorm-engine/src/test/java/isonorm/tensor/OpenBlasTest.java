package isonorm.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import isonorm.EveryProcessor;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Products.Stack;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.openblas.presets.openblas_nolapack;
import org.junit.jupiter.api.Test;

/** OpenBLAS beside somebody else's. */
@EveryProcessor
@SuppressWarnings("restricted")
class OpenBlasTest {

    /** Who asks for OpenBLAS by its name must not be given ours because it is loaded already. */
    @Test
    void nobodyGetsItByTheNameOfTheLibrary() {
        assumeTrue(OpenBlas.isOnClassPath(), "OpenBLAS is not on this platform");
        OpenBlas ours = OpenBlas.here().library().orElseThrow(() -> new AssertionError(OpenBlas.here().reason()));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment product = SymbolLookup.libraryLookup(ours.place(), arena).find("cblas_dgemm").orElseThrow();
            SymbolLookup named;
            try {
                named = SymbolLookup.libraryLookup("libopenblas.so.0", arena);
            } catch (IllegalArgumentException e) {
                return; // there is no other
            }
            assertNotEquals(product.address(), named.find("cblas_dgemm").orElseThrow().address());
        }
    }

    @Test
    void itIsLoadedFromAFileThatNobodyElseLoads() {
        assumeTrue(OpenBlas.isOnClassPath(), "OpenBLAS is not on this platform");
        OpenBlas ours = OpenBlas.here().library().orElseThrow(() -> new AssertionError(OpenBlas.here().reason()));
        Loader.load(openblas_nolapack.class);
        Loader.load(org.bytedeco.openblas.global.openblas_nolapack.class);
        assertTrue(Loader.getLoadedLibraries().values().stream().noneMatch(file -> ours.place().toString().equals(file)), "the file is ours alone");
        try (Arena arena = Arena.ofConfined()) {
            Rows x = Rows.allocate(arena, Type.F64, 2, 3, 3);
            Rows y = Rows.allocate(arena, Type.F64, 2, 2, 2);
            for (int i = 0; i < 6; i++) {
                x.set(i / 3, i % 3, i + 1);
            }
            ours.products(Stack.of(x), Stack.of(x).transpose(), Stack.of(y), false);
            assertEquals(1 * 4 + 2 * 5 + 3 * 6, y.get(0, 1));
            assertEquals(4 * 4 + 5 * 5 + 6 * 6, y.get(1, 1));
        }
    }
}
