package isonorm.cli.terminal;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/** Undoes what the launcher did to stderr to keep the JVM's warning of the Vector API out of it. */
public final class Stderr {

    private static final int STDERR = 2;

    private Stderr() {}

    /** Makes the descriptor that the launcher names stderr again; what native code writes goes there as well. */
    @SuppressWarnings("restricted")
    public static void takeBack() {
        Integer real = Integer.getInteger("isonorm.stderr");
        if (real == null) {
            return;
        }
        Linker linker = Linker.nativeLinker();
        MethodHandle dup2 = linker.downcallHandle(linker.defaultLookup().findOrThrow("dup2"),
                FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));
        try {
            int _ = (int) dup2.invokeExact(real.intValue(), STDERR); // where it fails, the filter goes on passing lines
        } catch (Throwable e) {
            throw new IllegalStateException("dup2 takes two descriptors", e);
        }
    }
}
