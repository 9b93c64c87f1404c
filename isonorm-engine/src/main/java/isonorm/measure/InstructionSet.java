package isonorm.measure;

import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Instructions that matter to Isonorm, and who may use them.
 *
 * @param found whether the processor has them
 * @param java whether the JVM makes them: it knows none for bfloat16 and for tiles
 * @param oneDnn whether oneDNN makes them
 */
public record InstructionSet(String name, Answer found, Answer java, Answer oneDnn) {

    static final String AVX2 = "AVX2";
    static final String AVX512 = "AVX-512";
    static final String BF16 = "AVX512-BF16";
    static final String FP16 = "AVX512-FP16";
    static final String AMX = "AMX-BF16";
    static final String NEON = "NEON";
    static final String NEON_BF16 = "BF16";
    static final String SVE = "SVE";

    /** A UseAVX that there is not. */
    private static final int NEVER = Integer.MAX_VALUE;

    /** Those of x86-64: the system's names for them, the least UseAVX with which the JVM makes them, and oneDNN's bit. */
    private enum X86 {
        AVX2_(AVX2, 2, 0x4, "avx2"),
        FMA("FMA", 1, 0x4, "fma"),
        F16C("F16C", 1, 0x4, "f16c"),
        AVX512_(AVX512, 3, 0x20, "avx512f", "avx512bw", "avx512dq", "avx512vl"),
        BF16_(BF16, NEVER, 0x80, "avx512_bf16"),
        FP16_(FP16, 3, 0x100, "avx512_fp16"),
        AMX_BF16(AMX, NEVER, 0x800, "amx_bf16"),
        AMX_INT8("AMX-INT8", NEVER, 0x400, "amx_int8");

        private final String label;
        private final int useAvx;
        private final int bit;
        private final List<String> flags;

        X86(String label, int useAvx, int bit, String... flags) {
            this.label = label;
            this.useAvx = useAvx;
            this.bit = bit;
            this.flags = List.of(flags);
        }
    }

    /**
     * Those of x86-64.
     *
     * @param flags the system's names of what the processor has, if it says it
     * @param useAvx the JVM's option
     * @param useFma the JVM's option
     * @param oneDnn what oneDNN may use, as {@code dnnl_cpu_isa_t} has it; empty where it is not used
     */
    static List<InstructionSet> x86(Optional<List<String>> flags, OptionalInt useAvx, Answer useFma, OptionalInt oneDnn) {
        return List.of(X86.values()).stream().map(each -> {
            Answer found = flags.map(names -> Answer.of(names.containsAll(each.flags))).orElse(Answer.UNKNOWN);
            Answer java = useAvx.isPresent() || each.useAvx == NEVER
                    ? Answer.of(useAvx.orElse(0) >= each.useAvx)
                    : Answer.UNKNOWN;
            if (each == X86.FMA && java == Answer.YES) {
                java = useFma;
            }
            Answer there = Answer.of(oneDnn.isPresent() && (oneDnn.getAsInt() & each.bit) != 0);
            boolean implied = java == Answer.YES && (each == X86.AVX2_ || each == X86.AVX512_);
            if (found == Answer.UNKNOWN && (there == Answer.YES || implied)) {
                found = Answer.YES; // neither takes what the processor has not
            }
            return new InstructionSet(each.label, found, both(found, java), both(found, there));
        }).toList();
    }

    /** Those of aarch64, where oneDNN is not used. */
    static List<InstructionSet> arm(Optional<List<String>> flags, OptionalInt useSve) {
        Answer bf16 = flags.map(names -> Answer.of(names.contains("bf16"))).orElse(Answer.UNKNOWN);
        Answer sve = flags.map(names -> Answer.of(names.contains("sve"))).orElse(Answer.UNKNOWN);
        Answer java = useSve.isPresent() ? Answer.of(useSve.getAsInt() > 0) : Answer.UNKNOWN;
        return List.of(
                new InstructionSet(NEON, Answer.YES, Answer.YES, Answer.NO), // there is no aarch64 without it that a JVM runs on
                new InstructionSet(NEON_BF16, bf16, Answer.NO, Answer.NO),
                new InstructionSet(SVE, sve, both(sve, java), Answer.NO));
    }

    private static Answer both(Answer found, Answer allowed) {
        return found == Answer.NO || allowed == Answer.NO ? Answer.NO : found == Answer.UNKNOWN ? Answer.UNKNOWN : allowed;
    }
}
