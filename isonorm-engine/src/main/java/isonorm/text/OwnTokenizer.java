package isonorm.text;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.djl.huggingface.tokenizers.jni.LibUtils;
import isonorm.tensor.Libraries;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** In this process, which ends where the native code panics. */
record OwnTokenizer(HuggingFaceTokenizer tokenizer) implements NativeTokenizer {

    /** Options, and what the tokenizers' library reads of system properties while it is loaded and whenever it opens a file. */
    private static final Map<String, String> OPTIONS = Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false");
    static final Map<String, String> PROPERTIES = properties();

    /**
     * Left alone, the library would ask the network where it runs, look there for a build of itself for CUDA, and write about logging to stderr.
     * The properties that keep it from all that are the process's, so those that nobody has set are set for no longer than this takes.
     */
    static synchronized OwnTokenizer open(String json) throws IOException {
        List<String> own = PROPERTIES.keySet().stream().filter(name -> System.getProperty(name) == null).toList();
        own.forEach(name -> System.setProperty(name, PROPERTIES.get(name)));
        try (InputStream bytes = new ByteArrayInputStream(json.getBytes(StandardCharsets.UTF_8))) {
            requireLibrary();
            return new OwnTokenizer(HuggingFaceTokenizer.newInstance(bytes, OPTIONS));
        } catch (RuntimeException e) {
            throw new IOException(said(e), e);
        } finally {
            own.forEach(System::clearProperty);
        }
    }

    /** Where the library lies unpacked already, it is told so. */
    private static Map<String, String> properties() {
        Map<String, String> properties = new HashMap<>(Map.of("ai.djl.offline", "true", "RUST_FLAVOR", "cpu", "slf4j.internal.verbosity", "ERROR"));
        Libraries.unpacked("tokenizers/" + System.mapLibraryName("tokenizers"))
                .ifPresent(file -> properties.put("RUST_LIBRARY_PATH", file.toAbsolutePath().toString()));
        return Map.copyOf(properties);
    }

    private static void requireLibrary() throws NotLoaded {
        try {
            LibUtils.checkStatus();
        } catch (RuntimeException | LinkageError e) {
            throw new NotLoaded(e);
        }
    }

    /** The native library, and not the file, is what cannot be used. */
    static final class NotLoaded extends IOException {
        private NotLoaded(Throwable cause) {
            super("the native library of the tokenizers cannot be unpacked and loaded; it needs a folder with room, which DJL_CACHE_DIR may name", cause);
        }
    }

    @Override
    public Pieces encode(String text, boolean around) throws IOException {
        try {
            Encoding encoding = tokenizer.encode(text, around, false);
            return new Pieces(encoding.getIds(), encoding.getSpecialTokenMask(), encoding.getCharTokenSpans());
        } catch (RuntimeException e) {
            throw new IOException(said(e), e);
        }
    }

    @Override
    public String decode(long... ids) throws IOException {
        try {
            return tokenizer.decode(ids, true);
        } catch (RuntimeException e) {
            throw new IOException(said(e), e);
        }
    }

    private static String said(RuntimeException e) {
        return e.getMessage() == null ? "the library gives no reason" : e.getMessage();
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
