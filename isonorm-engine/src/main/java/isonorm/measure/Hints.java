package isonorm.measure;

import isonorm.kernel.JvmOptions;
import isonorm.kernel.Type;
import isonorm.measure.Machine.Product;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** What there is to say of a machine's values. */
final class Hints {

    /** A heap that is smaller soon has no room for a large model's vocabulary, tables and logits. */
    private static final long HEAP = 1L << 30;

    private static final String PRODUCTS = "-Disonorm.products=";
    private static final String OPTIONS = "ISONORM_JAVA_OPTS";

    private final Machine machine;
    private final List<Hint> hints = new ArrayList<>();

    private Hints(Machine machine) {
        this.machine = machine;
    }

    static List<Hint> of(Machine machine) {
        Hints all = new Hints(machine);
        all.ofFailure();
        all.ofKernels();
        all.ofInstructions();
        all.ofProducts();
        all.ofMemory();
        all.ofProcessors();
        return List.copyOf(all.hints);
    }

    private void add(String problem, String remedy) {
        hints.add(new Hint(problem, remedy));
    }

    private void ofFailure() {
        machine.failure().ifPresent(why -> add("nothing can be computed: " + why,
                "mend that option or installation; if there is none to mend, report it"));
    }

    private void ofKernels() {
        if (machine.kernels().obstacle().isPresent()) {
            add("vectors are missing, so kernels and conversions run as plain loops, many times slower",
                    machine.kernels().obstacle().get());
        } else if (machine.kernels().bits().isEmpty() && machine.failure().isEmpty()) {
            add("the kernels run as plain loops, many times slower (" + machine.kernels().reason() + ")",
                    "take -Disonorm.kernels=plain out of java's options, if it is there");
        } else if (machine.kernels().bits().isPresent() && !JvmOptions.inlines(machine.jvm().arguments())) {
            add("java may leave vectors as objects, which is slower still in bfloat16 (nothing says what to inline)",
                    "start with ./isonorm, or with java @jvm.args, the file isonorm/jvm.args of the engine's jar");
        }
    }

    private void ofInstructions() {
        for (String name : List.of(InstructionSet.AVX512, InstructionSet.AVX2)) {
            if (machine.jvm().useAvx().isPresent() && leftUnused(name, false)) {
                add("the processor has " + name + ", which java leaves unused (UseAVX=" + machine.jvm().useAvx().getAsInt() + ")",
                        "put -XX:UseAVX=" + (name.equals(InstructionSet.AVX512) ? 3 : 2) + " into " + OPTIONS
                                + ", in place of any other");
                break;
            }
        }
        if (!machine.libraries().loaded("oneDNN")) {
            return;
        }
        List<String> unused = machine.instructions().stream().map(InstructionSet::name)
                .filter(name -> leftUnused(name, true)).toList();
        if (!unused.isEmpty()) {
            Optional<String> maximum = machine.libraries().oneDnnMaximum();
            add("the processor has " + String.join(", ", unused) + ", which oneDNN leaves unused",
                    maximum.map(value -> "take ONEDNN_MAX_CPU_ISA=" + value + " out of the environment")
                            .orElse("see that the system or virtual machine lets programs use all of them"));
        }
    }

    private boolean leftUnused(String name, boolean byOneDnn) {
        return machine.instructions().stream().anyMatch(set -> set.name().equals(name) && set.found() == Answer.YES
                && (byOneDnn ? set.oneDnn() : set.java()) == Answer.NO);
    }

    private void ofProducts() {
        Optional<String> asked = argument(PRODUCTS);
        Optional<Product> wide = of(Type.F64);
        if (asked.isEmpty() && wide.isPresent() && !machine.libraries().loaded("OpenBLAS")) {
            add("matrices of float64 are multiplied without OpenBLAS, so verifying takes long: " + wide.get().reason(),
                    "see that this platform's isonorm-natives is on the class path and the cache of native code can be written");
        }
        Optional<Product> product = of(Type.F32);
        if (product.isEmpty() || machine.libraries().loaded("oneDNN")) {
            return;
        }
        boolean shipped = machine.host().isLinux() && machine.host().architecture().equals("amd64");
        add("matrices are multiplied without oneDNN, by " + product.get().provider()
                + (product.get().reason().isEmpty() ? "" : ": " + product.get().reason()),
                asked.map(argument -> "take " + argument + " out of java's options").orElse(shipped
                        ? "see that this platform's isonorm-natives is on the class path, the C library glibc, and the cache of native "
                                + "code can be written; else report it"
                        : "none on this platform; Linux on x86-64 has it"));
    }

    private Optional<Product> of(Type type) {
        return machine.products().stream().filter(each -> each.type() == type).findFirst();
    }

    private Optional<String> argument(String prefix) {
        return machine.jvm().arguments().stream().filter(argument -> argument.startsWith(prefix)).findFirst();
    }

    private void ofMemory() {
        long heap = machine.jvm().heap();
        if (heap < HEAP) {
            add("the Java heap may grow to " + (heap >> 20) + " MiB only, too little for large models",
                    "give it more, " + OPTIONS + "=-Xmx4g for instance");
        }
        if (machine.memory().limit().isPresent() && machine.memory().physical().isPresent()
                && machine.memory().limit().getAsLong() < machine.memory().physical().getAsLong()) {
            add("a container or group limits memory to " + (machine.memory().limit().getAsLong() >> 20) + " of the machine's "
                    + (machine.memory().physical().getAsLong() >> 20) + " MiB, and the system ends what needs more",
                    "raise its limit where models do not fit (memory.max; docker run --memory)");
        }
        if (machine.memory().hugePages().contains("[never]")) {
            add("the system gives no huge pages, so weights are read slower",
                    "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
        }
    }

    private void ofProcessors() {
        int available = machine.processor().available();
        int all = machine.processor().threads().orElse(available);
        if (available < all) {
            add("java may use " + available + " of the machine's " + all + " processors",
                    argument("-XX:ActiveProcessorCount=").map(argument -> "take " + argument + " out of java's options")
                            .orElse("raise the container's or group's limit (cpu.max; docker run --cpus), or start without "
                                    + "taskset"));
        }
        double limit = machine.memory().processorLimit().orElse(available);
        if (limit < available) {
            add("a container or group gives " + limit + " processors' time to " + available
                    + " threads, which are stopped when it is used up",
                    "raise its limit to a whole number (cpu.max; docker run --cpus)");
        }
    }
}
