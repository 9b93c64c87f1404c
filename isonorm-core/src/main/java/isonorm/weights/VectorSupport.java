package isonorm.weights;

import com.sun.management.HotSpotDiagnosticMXBean;
import java.lang.management.ManagementFactory;
import java.util.Optional;

/**
 * Whether operations of the Vector API are instructions in this JVM: where they are not, each is a call and an allocation, and plain loops
 * are many times faster.
 */
public final class VectorSupport {

    /** The option of java with which there is a Vector API. */
    public static final String MODULE = "--add-modules=jdk.incubator.vector";

    /** The compiler that knows vectors. */
    private static final int OPTIMIZING = 4;

    /** The first instructions of x86 that do with vectors of integers and of float32 all that kernels ask for. */
    private static final int AVX2 = 2;

    private static final Optional<String> OBSTACLE = find();

    private VectorSupport() {}

    /** Why vectors would be slow, with the remedy where there is one; empty where nothing speaks against them. */
    public static Optional<String> obstacle() {
        return OBSTACLE;
    }

    private static Optional<String> find() {
        if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
            return Optional.of("the Vector API is missing; add " + MODULE + " to java's options");
        }
        String mode = System.getProperty("java.vm.info", "");
        if (!System.getProperty("java.vm.name", "").contains("Server VM") || mode.contains("interpreted") || mode.contains("emulated-client")
                || option("UseCompiler").filter("false"::equals).isPresent()
                || option("TieredStopAtLevel").map(Integer::parseInt).filter(level -> level < OPTIMIZING).isPresent()) {
            return Optional.of("this JVM runs without its optimizing compiler (" + System.getProperty("java.vm.name") + ", " + mode
                    + "); take -Xint, -XX:TieredStopAtLevel, -XX:CompilationMode, -XX:+NeverActAsServerClassMachine and -XX:-UseCompiler out of java's options");
        }
        if (option("EnableVectorSupport").filter("false"::equals).isPresent()) {
            return Optional.of("-XX:-EnableVectorSupport is among java's options");
        }
        if (option("UseAVX").map(Integer::parseInt).filter(level -> level < AVX2).isPresent() || option("UseFMA").filter("false"::equals).isPresent()) {
            return Optional.of("this processor has no AVX2 and FMA, or java's options keep the JVM from using them");
        }
        return Optional.empty();
    }

    /** The value of an option of HotSpot, where this JVM is one and has it. */
    public static Optional<String> option(String name) {
        HotSpotDiagnosticMXBean options = ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class);
        try {
            return options == null ? Optional.empty() : Optional.of(options.getVMOption(name).getValue());
        } catch (IllegalArgumentException e) { // an option of another processor's JVM
            return Optional.empty();
        }
    }
}
