package isonorm.checkpoint;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class TensorInfoTest {

    private static TensorInfo info(Dtype dtype, Long... shape) {
        return new TensorInfo("t", dtype, List.of(shape));
    }

    @Test
    void sizesAreProducts() {
        assertEquals(24, info(Dtype.F32, 2L, 3L).bytes());
        assertEquals(6, info(Dtype.F32, 2L, 3L).elements());
        assertEquals(1, info(Dtype.BF16).elements());
        assertEquals(2, info(Dtype.BF16).bytes());
        assertEquals(0, info(Dtype.F64, 5L, 0L).bytes());
        assertEquals(Long.MAX_VALUE, info(Dtype.U8, Long.MAX_VALUE).bytes());
    }

    @Test
    void sizesThatCannotBeCountedAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> info(Dtype.F16, Long.MAX_VALUE));
        assertThrows(IllegalArgumentException.class, () -> info(Dtype.U8, 1L << 32, 1L << 32));
        assertThrows(IllegalArgumentException.class, () -> info(Dtype.U8, 1L << 32, 1L << 31));
        assertThrows(IllegalArgumentException.class, () -> info(Dtype.U8, -1L));
        assertEquals("tensor t: the shape must be dimensions of zero or more whose product fits 63 bits as bytes, got"
                + " I8 [-1, -1]", assertThrows(IllegalArgumentException.class, () -> info(Dtype.I8, -1L, -1L)).getMessage());
    }

    @Test
    void shapeIsACopy() {
        List<Long> shape = new ArrayList<>(List.of(1L));
        TensorInfo info = new TensorInfo("t", Dtype.U8, shape);
        shape.set(0, 9L);
        assertEquals(1, info.elements());
    }

    @Test
    void dtypesAreFoundByExactName() {
        for (Dtype dtype : Dtype.values()) {
            assertEquals(Optional.of(dtype), Dtype.named(dtype.name()));
        }
        assertTrue(Dtype.named("f32").isEmpty());
        assertEquals(2, Dtype.BF16.bytes());
        assertTrue(Dtype.BF16.floating());
        assertFalse(Dtype.I64.floating());
        assertEquals(1, Dtype.F8_E4M3.bytes());
        assertFalse(Dtype.F8_E4M3.floating());
    }
}
