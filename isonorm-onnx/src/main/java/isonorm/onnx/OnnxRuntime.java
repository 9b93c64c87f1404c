package isonorm.onnx;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/** ONNX Runtime, which runs graphs; it is no part of Isonorm, and is there where its jar is found. */
public interface OnnxRuntime {

    /** Numbers that a graph reads or gives. */
    sealed interface Values {

        long[] shape();

        record Integers(long[] values, long[] shape) implements Values {}

        /**
         * Real numbers.
         *
         * @param half whether the graph has float16 for them
         */
        record Reals(float[] values, long[] shape, boolean half) implements Values {}
    }

    /** A graph that is loaded. */
    interface Session extends AutoCloseable {

        /** All that it gives. */
        Map<String, Values> run(Map<String, Values> inputs) throws IOException;

        /** Puts one output, float32 of a shape, into memory that is there. */
        void run(Map<String, Values> inputs, String output, ByteBuffer into, long... shape) throws IOException;

        @Override
        void close();
    }

    /** Its version. */
    String version();

    /** Loads the graph in a file, to be run by so many threads. */
    Session open(Path model, int threads) throws IOException;

    /**
     * The one whose jar is at {@link #place}.
     *
     * @throws IOException if there is a file that is none
     */
    static Optional<OnnxRuntime> find() throws IOException {
        return RuntimeLibrary.load(place());
    }

    /** The one place that is looked in: the file that the environment names as ISONORM_ONNXRUNTIME, or else .cache/isonorm/onnxruntime.jar below home. */
    static Path place() {
        String named = System.getenv("ISONORM_ONNXRUNTIME");
        return named != null && !named.isEmpty() ? Path.of(named) : Path.of(System.getProperty("user.home"), ".cache", "isonorm", "onnxruntime.jar");
    }

    /** How to get it, in a sentence. */
    static String howToGet() {
        return "put the jar com.microsoft.onnxruntime:onnxruntime:1.29.0 of Maven Central at " + place()
                + ", or name another place as ISONORM_ONNXRUNTIME (docs/onnx.md has the command)";
    }
}
