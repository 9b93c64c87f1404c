package isonorm.measure;

import static isonorm.measure.Answer.NO;
import static isonorm.measure.Answer.UNKNOWN;
import static isonorm.measure.Answer.YES;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

/** Who may use which instructions. */
class InstructionSetTest {

    private static final List<String> GENOA = List.of("fma", "avx2", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_bf16");

    private static void check(List<InstructionSet> sets, String name, Answer found, Answer java, Answer oneDnn) {
        assertEquals(new InstructionSet(name, found, java, oneDnn), sets.stream().filter(set -> set.name().equals(name)).findFirst().orElseThrow());
    }

    @Test
    void whatTheProcessorHasIsUsedUpToTheOptionsOfEach() {
        List<InstructionSet> all = InstructionSet.x86(Optional.of(GENOA), OptionalInt.of(3), YES, OptionalInt.of(0xe7));
        check(all, "AVX2", YES, YES, YES);
        check(all, "FMA", YES, YES, YES);
        check(all, "F16C", YES, YES, YES);
        check(all, "AVX-512", YES, YES, YES);
        check(all, "AVX512-BF16", YES, NO, YES);
        check(all, "AVX512-FP16", NO, NO, NO);
        check(all, "AMX-BF16", NO, NO, NO);
        check(all, "AMX-INT8", NO, NO, NO);
        List<InstructionSet> less = InstructionSet.x86(Optional.of(GENOA), OptionalInt.of(2), NO, OptionalInt.of(0x27));
        check(less, "AVX2", YES, YES, YES);
        check(less, "FMA", YES, NO, YES);
        check(less, "AVX-512", YES, NO, YES);
        check(less, "AVX512-BF16", YES, NO, NO);
        List<InstructionSet> none = InstructionSet.x86(Optional.of(GENOA), OptionalInt.of(0), YES, OptionalInt.empty());
        check(none, "F16C", YES, NO, NO);
        check(none, "AVX2", YES, NO, NO);
    }

    @Test
    void tilesAreOneDnns() {
        List<String> sapphireRapids = List.of("avx512_fp16", "amx_bf16", "amx_int8");
        List<InstructionSet> all = InstructionSet.x86(Optional.of(sapphireRapids), OptionalInt.of(3), YES, OptionalInt.of(0xfef));
        check(all, "AVX512-FP16", YES, YES, YES);
        check(all, "AMX-BF16", YES, NO, YES);
        check(all, "AMX-INT8", YES, NO, YES);
    }

    @Test
    void whatIsUsedIsThereWhereTheSystemSaysNothing() {
        List<InstructionSet> all = InstructionSet.x86(Optional.empty(), OptionalInt.of(2), UNKNOWN, OptionalInt.empty());
        check(all, "AVX2", YES, YES, NO);
        check(all, "AVX-512", UNKNOWN, NO, NO);
        check(all, "F16C", UNKNOWN, UNKNOWN, NO);
        check(InstructionSet.x86(Optional.empty(), OptionalInt.empty(), UNKNOWN, OptionalInt.of(0xe7)), "AVX512-BF16", YES, NO, YES);
    }

    @Test
    void armHasItsOwn() {
        List<InstructionSet> all = InstructionSet.arm(Optional.of(List.of("asimd", "sve", "bf16")), OptionalInt.of(2));
        check(all, "NEON", YES, YES, NO);
        check(all, "BF16", YES, NO, NO);
        check(all, "SVE", YES, YES, NO);
        check(InstructionSet.arm(Optional.of(List.of("asimd")), OptionalInt.of(0)), "SVE", NO, NO, NO);
        check(InstructionSet.arm(Optional.empty(), OptionalInt.empty()), "SVE", UNKNOWN, UNKNOWN, NO);
    }
}
