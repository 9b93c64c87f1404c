package isonorm.onnx;

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** Loads ONNX Runtime's jar, and the class here that speaks to it, by a class loader of their own. */
final class RuntimeLibrary extends URLClassLoader {

    private static final String BRIDGE = "isonorm.onnx.bridge.";

    private RuntimeLibrary(Path jar) throws IOException {
        super("onnxruntime", new URL[] {jar.toUri().toURL()}, RuntimeLibrary.class.getClassLoader());
    }

    static Optional<OnnxRuntime> load(Path jar) throws IOException {
        if (!Files.exists(jar)) {
            return Optional.empty();
        }
        try {
            RuntimeLibrary library = new RuntimeLibrary(jar); // which stays open: classes are loaded when they are needed
            return Optional.of((OnnxRuntime) library.loadClass(BRIDGE + "Bridge").getConstructor().newInstance());
        } catch (ReflectiveOperationException | LinkageError e) {
            throw new IOException(jar + " is no ONNX Runtime for this machine: " + cause(e), e);
        }
    }

    private static String cause(Throwable e) {
        Throwable cause = e;
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        if (cause instanceof ClassNotFoundException) {
            return "it has no " + cause.getMessage();
        }
        return String.valueOf(cause.getMessage()).lines().findFirst().orElse(cause.getClass().getSimpleName());
    }

    /** What speaks to the jar is defined here, and everything else of Isonorm where it always is. */
    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        if (!name.startsWith(BRIDGE)) {
            return super.loadClass(name, resolve);
        }
        synchronized (getClassLoadingLock(name)) {
            Class<?> loaded = findLoadedClass(name);
            return loaded != null ? loaded : define(name);
        }
    }

    private Class<?> define(String name) throws ClassNotFoundException {
        try (InputStream in = RuntimeLibrary.class.getResourceAsStream('/' + name.replace('.', '/') + ".class")) {
            if (in == null) {
                throw new ClassNotFoundException(name);
            }
            byte[] bytes = in.readAllBytes();
            return defineClass(name, bytes, 0, bytes.length);
        } catch (IOException e) {
            throw new ClassNotFoundException(name, e);
        }
    }
}
