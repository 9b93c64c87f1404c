package isonorm.onnx;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.onnxruntime.OrtEnvironment;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Path;

/** ONNX Runtime for tests, on every platform that its jar has a library for. */
public final class Here {

    private Here() {}

    /** Loaded once. */
    private static final class Loaded {
        private static final OnnxRuntime RUNTIME = found();
    }

    /** The runtime as it is found: by its jar. */
    public static OnnxRuntime runtime() {
        boolean old = System.getProperty("os.name").startsWith("Mac") && !System.getProperty("os.arch").equals("aarch64");
        assumeTrue(!old, "ONNX Runtime has no library for this platform");
        return Loaded.RUNTIME;
    }

    private static OnnxRuntime found() {
        try {
            return RuntimeLibrary.load(Path.of(OrtEnvironment.class.getProtectionDomain().getCodeSource().getLocation().toURI())).orElseThrow();
        } catch (IOException | URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }
}
