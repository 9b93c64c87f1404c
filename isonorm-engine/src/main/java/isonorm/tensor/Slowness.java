package isonorm.tensor;

import isonorm.kernel.JvmOptions;
import isonorm.kernel.Kernels;
import isonorm.kernel.Type;
import isonorm.tensor.Products.Choice;
import java.lang.System.Logger;
import java.lang.management.ManagementFactory;
import java.util.Optional;

/**
 * Why everything that computes takes many times as long in this process as it could. The engine says it once, when it first computes, as a
 * warning of the {@link Logger} named {@value #LOGGER}; what an option asks for is no warning.
 */
public final class Slowness {

    /** The name of the engine's logger. */
    public static final String LOGGER = "isonorm";

    private Slowness() {}

    /** The reason with its remedy; nothing where all is well. */
    public static Optional<String> here() {
        return of(Multipliers.here());
    }

    private static Optional<String> of(Multipliers multipliers) {
        if (!Kernels.vectorized()) {
            return Optional.of(Kernels.reason());
        }
        if (!multipliers.byLibrary()) {
            Choice choice = multipliers.choices().stream().filter(each -> each.type() == Type.F32).findFirst().orElseThrow();
            return Optional.of("products by " + choice.provider() + ": " + choice.reason());
        }
        return JvmOptions.inlines(ManagementFactory.getRuntimeMXBean().getInputArguments()) ? Optional.empty() : Optional.of(
                "nothing tells java what to inline, so it may leave vectors as objects; start with java @jvm.args, the file isonorm/jvm.args of the engine's jar");
    }

    /** Says it, unless it was asked for. */
    static void warn(Multipliers multipliers) {
        of(multipliers).filter(_ -> System.getProperty("isonorm.kernels") == null && System.getProperty("isonorm.products") == null)
                .ifPresent(why -> System.getLogger(LOGGER).log(Logger.Level.WARNING, "slow here: " + why));
    }
}
