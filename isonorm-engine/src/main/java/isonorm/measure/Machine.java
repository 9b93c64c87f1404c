package isonorm.measure;

import com.sun.management.OperatingSystemMXBean;
import isonorm.kernel.Kernels;
import isonorm.kernel.Type;
import isonorm.kernel.VectorKernels;
import isonorm.tensor.LargePages;
import isonorm.tensor.Libraries;
import isonorm.tensor.Libraries.Library;
import isonorm.tensor.Products;
import isonorm.weights.VectorSupport;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * What decides how fast and how exactly models run here: the processor, the JVM, what they let Isonorm use, and what it chose.
 *
 * <p>It holds for this process. What the system does not say is empty, or the word {@value #UNKNOWN}; nothing fails for that.
 *
 * @param products who multiplies matrices of each type; empty where none could be had
 * @param failure why kernels or products cannot be had at all; empty where they can
 */
public record Machine(
        Host host, Processor processor, List<InstructionSet> instructions, Computing kernels, List<Product> products,
        Optional<String> failure, Memory memory, Native libraries, Jvm jvm) {

    public static final String UNKNOWN = "unknown";

    private static final int SECONDS = 5;

    /** The operating system. */
    public record Host(String name, String version, String architecture) {

        boolean isLinux() {
            return name.equals("Linux");
        }
    }

    /**
     * The processor.
     *
     * @param threads the processors that programs see, of which a core can have two
     * @param available those of them that this JVM may use
     */
    public record Processor(String name, OptionalInt cores, OptionalInt threads, int available) {}

    /**
     * What computes all but matrix products.
     *
     * @param bits the width of its vectors; empty for plain loops
     * @param reason why it is that
     * @param obstacle what speaks against vectors in this JVM, with the remedy
     */
    public record Computing(OptionalInt bits, String reason, Optional<String> obstacle) {}

    /**
     * What multiplies matrices of a type.
     *
     * @param reason why it is nothing better; empty where it is the best there is
     * @param direct whether numbers are multiplied as they are, and not widened first
     */
    public record Product(Type type, String provider, String reason, boolean direct) {}

    /**
     * Memory, and what a container leaves of it and of the processors.
     *
     * @param hugePagesAsked whether weights ask for huge pages
     * @param hugePages the system's own words for how it gives them
     */
    public record Memory(
            OptionalLong physical, OptionalLong limit, OptionalDouble processorLimit, boolean hugePagesAsked, String hugePages) {}

    /**
     * Native code.
     *
     * @param cache where it is unpacked
     * @param oneDnnMaximum what the environment lets oneDNN use at most, {@code ONEDNN_MAX_CPU_ISA}
     */
    public record Native(List<Library> all, Optional<Path> cache, Optional<String> oneDnnMaximum) {

        boolean loaded(String name) {
            return all.stream().anyMatch(library -> library.name().equals(name) && library.place().isPresent());
        }
    }

    /**
     * The JVM.
     *
     * @param arguments its options
     * @param heap the most bytes its heap may have
     * @param useAvx its option; empty but on x86-64
     */
    public record Jvm(
            String name, String version, List<String> arguments, long heap, OptionalInt useAvx) {}

    public Machine {
        instructions = List.copyOf(instructions);
        products = List.copyOf(products);
    }

    /** The one that this process runs on. Loads the native libraries of products, as whatever multiplies does. */
    public static Machine here() {
        return read(SystemFiles.here());
    }

    /** What the processor is called, without loading anything. */
    public static String processorName() {
        return processor(SystemFiles.here(), system()).name;
    }

    private static Host system() {
        return new Host(property("os.name"), property("os.version"), property("os.arch"));
    }

    static Machine read(SystemFiles files) {
        Host host = system();
        Optional<String> failure = Optional.empty();
        Computing kernels = new Computing(OptionalInt.empty(), UNKNOWN, VectorSupport.obstacle());
        List<Product> products = List.of();
        List<Library> libraries = List.of();
        OptionalInt oneDnn = OptionalInt.empty();
        try {
            kernels = new Computing(Kernels.vectorized() ? OptionalInt.of(VectorKernels.bits()) : OptionalInt.empty(), Kernels.reason(),
                    VectorSupport.obstacle());
            products = Products.choices().stream().map(choice ->
                    new Product(choice.type(), choice.provider(), choice.reason(), Products.multiplies(choice.type()))).toList();
            oneDnn = Libraries.oneDnnInstructions();
            libraries = Libraries.here();
        } catch (RuntimeException | LinkageError e) { // an option that says nothing known, or native code that does not load
            Throwable cause = e.getCause() == null ? e : e.getCause();
            failure = Optional.of(cause.getMessage() == null ? cause.getClass().getSimpleName() : cause.getMessage());
        }
        return new Machine(host, processor(files, host), instructions(files, host, oneDnn), kernels, products, failure,
                new Memory(files.memory().isPresent() ? files.memory() : systemMemory(), files.memoryLimit(),
                        files.processorLimit(), LargePages.asked(), files.hugePages().orElse(UNKNOWN)),
                new Native(libraries, Libraries.cache(), Optional.ofNullable(System.getenv("ONEDNN_MAX_CPU_ISA"))),
                new Jvm(property("java.vm.name"), property("java.vm.version"),
                        ManagementFactory.getRuntimeMXBean().getInputArguments(), Runtime.getRuntime().maxMemory(), number("UseAVX")));
    }

    private static Processor processor(SystemFiles files, Host host) {
        Optional<String> name = files.processor();
        OptionalInt cores = files.cores();
        OptionalInt threads = files.processors();
        if (host.name.startsWith("Mac")) {
            name = name.or(() -> sysctl("machdep.cpu.brand_string"));
            cores = sysctlNumber("hw.physicalcpu");
            threads = sysctlNumber("hw.logicalcpu");
        } else if (host.name.startsWith("Windows")) {
            name = name.or(() -> Optional.ofNullable(System.getenv("PROCESSOR_IDENTIFIER")));
            threads = wholeNumber(Optional.ofNullable(System.getenv("NUMBER_OF_PROCESSORS")));
        }
        return new Processor(name.orElse(host.architecture), cores, threads, Runtime.getRuntime().availableProcessors());
    }

    private static List<InstructionSet> instructions(SystemFiles files, Host host, OptionalInt oneDnn) {
        Optional<List<String>> flags = host.name.startsWith("Mac") ? macFlags(host) : files.flags();
        return switch (host.architecture) {
            case "amd64", "x86_64" -> InstructionSet.x86(flags, number("UseAVX"),
                    VectorSupport.option("UseFMA").map(value -> Answer.of(value.equals("true"))).orElse(Answer.UNKNOWN), oneDnn);
            case "aarch64" -> InstructionSet.arm(flags, number("UseSVE"));
            default -> List.of();
        };
    }

    /** By the names that Linux has for them. */
    private static Optional<List<String>> macFlags(Host host) {
        if (host.architecture.equals("aarch64")) {
            return sysctl("hw.optional.arm.FEAT_BF16").map(has -> has.equals("1") ? List.of("bf16") : List.of());
        }
        return sysctl("machdep.cpu.features").map(names -> List.of(
                (names + " " + sysctl("machdep.cpu.leaf7_features").orElse("")).toLowerCase(Locale.ROOT).split("\\s+")));
    }

    private static OptionalInt sysctlNumber(String name) {
        return wholeNumber(sysctl(name));
    }

    private static OptionalInt wholeNumber(Optional<String> word) {
        return word.isPresent() && word.get().matches("\\d{1,9}")
                ? OptionalInt.of(Integer.parseInt(word.get()))
                : OptionalInt.empty();
    }

    /** What macOS says of itself under a name. */
    private static Optional<String> sysctl(String name) {
        try {
            Process process = new ProcessBuilder("sysctl", "-n", name).redirectError(ProcessBuilder.Redirect.DISCARD).start();
            try (InputStream out = process.getInputStream()) {
                String said = new String(out.readAllBytes(), StandardCharsets.UTF_8).strip();
                boolean done = process.waitFor(SECONDS, TimeUnit.SECONDS) && process.exitValue() == 0;
                return done && !said.isEmpty() ? Optional.of(said) : Optional.empty();
            }
        } catch (IOException e) {
            return Optional.empty();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return Optional.empty();
        }
    }

    /** What the JVM takes for the machine's, which in a container is what it leaves. */
    private static OptionalLong systemMemory() {
        OperatingSystemMXBean system = ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
        return system == null ? OptionalLong.empty() : OptionalLong.of(system.getTotalMemorySize());
    }

    private static OptionalInt number(String option) {
        return wholeNumber(VectorSupport.option(option));
    }

    private static String property(String name) {
        return System.getProperty(name, UNKNOWN);
    }

    /** What is wrong or slow here, and what to do; empty where all is well. */
    public List<Hint> hints() {
        return Hints.of(this);
    }

    /** Whether the processor has these instructions. */
    boolean has(String name) {
        return instructions.stream().anyMatch(set -> set.name().equals(name) && set.found() == Answer.YES);
    }

    /** What a figure measured here with so many threads is to be read with, in one line. */
    public String line(int threads) {
        String multiplied = products.stream().map(Machine::inShort).collect(Collectors.joining(", "));
        return line(threads, (kernels.bits.isPresent() ? "kernels of " + kernels.bits.getAsInt() + " bits" : "plain kernels")
                + "; products " + (products.isEmpty() ? UNKNOWN : multiplied));
    }

    /** The same of what another program computes. */
    public String line(int threads, String computedBy) {
        List<String> sets = new ArrayList<>();
        for (String name : List.of(InstructionSet.AVX512, InstructionSet.AVX2, InstructionSet.SVE, InstructionSet.NEON)) {
            if (has(name)) {
                sets.add(name);
                break;
            }
        }
        if (has(InstructionSet.BF16) || has(InstructionSet.NEON_BF16)) {
            sets.add("bf16");
        }
        if (has(InstructionSet.FP16)) {
            sets.add("fp16");
        }
        if (has(InstructionSet.AMX)) {
            sets.add("AMX");
        }
        return processor.name + (sets.isEmpty() ? "" : ", " + listed(sets)) + "; " + computedBy + "; " + threads + (threads == 1 ? " thread" : " threads");
    }

    private static String listed(List<String> words) {
        String last = words.getLast();
        return words.size() == 1 ? last : String.join(", ", words.subList(0, words.size() - 1)) + " and " + last;
    }

    private static String inShort(Product product) {
        String provider = product.direct ? product.provider : "widened to f32";
        return product.type.name().toLowerCase(Locale.ROOT) + " " + provider.replace(", ", " ");
    }
}
