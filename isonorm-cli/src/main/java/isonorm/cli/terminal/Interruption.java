package isonorm.cli.terminal;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/**
 * Ctrl-C and SIGTERM while something works that can end well: the first is remembered, the second ends the program at once. From when this is closed on both
 * do again what they did before.
 */
public final class Interruption implements AutoCloseable, BooleanSupplier {

    private static final Map<String, Integer> SIGNALS = Map.of("INT", 130, "TERM", 143);

    private final Map<Object, Object> before = new LinkedHashMap<>();
    private volatile int code;

    private Interruption() {}

    /**
     * Listens from now on.
     *
     * @param first is run at the first signal, on a thread of its own
     */
    public static Interruption listen(Runnable first) {
        Interruption interruption = new Interruption();
        SIGNALS.forEach((name, code) -> interruption.handle(name, () -> interruption.heard(code, first)));
        return interruption;
    }

    /** Whether there was a signal. */
    @Override
    public boolean getAsBoolean() {
        return code != 0;
    }

    /** What the program ends with where there was one: 128 and the signal's number, as shells have it. */
    public int code() {
        return code;
    }

    private synchronized void heard(int signal, Runnable first) {
        if (code != 0) {
            System.exit(signal);
        }
        code = signal;
        first.run();
    }

    /** The JDK's only way to signals is no part of its language's API, so a runtime may be without it, and signals then end the program as ever. */
    private void handle(String name, Runnable heard) {
        try {
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Object own = Proxy.newProxyInstance(handler.getClassLoader(), new Class<?>[] {handler}, (proxy, method, arguments) -> switch (method.getName()) {
                case "handle" -> {
                    heard.run();
                    yield null;
                }
                case "equals" -> proxy == arguments[0];
                case "hashCode" -> System.identityHashCode(proxy);
                default -> name;
            });
            Object signal = Class.forName("sun.misc.Signal").getConstructor(String.class).newInstance(name);
            replaced(signal, own).ifPresent(old -> before.put(signal, old));
        } catch (ReflectiveOperationException | IllegalArgumentException e) {
            return; // none, or another program has taken it
        }
    }

    private static Optional<Object> replaced(Object signal, Object handler) throws ReflectiveOperationException {
        Class<?> type = Class.forName("sun.misc.SignalHandler");
        Method handle = signal.getClass().getMethod("handle", signal.getClass(), type);
        try {
            return Optional.ofNullable(handle.invoke(null, signal, handler));
        } catch (InvocationTargetException e) {
            return Optional.empty(); // the JVM was told to leave signals alone
        }
    }

    @Override
    public void close() {
        before.forEach((signal, old) -> {
            try {
                replaced(signal, old);
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException("a signal could be taken and cannot be given back", e);
            }
        });
    }
}
