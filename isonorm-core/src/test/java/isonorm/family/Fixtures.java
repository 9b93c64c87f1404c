package isonorm.family;

import isonorm.convert.LoadedModel;
import isonorm.weights.SampleCheckpoint;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** The reference checkpoints under src/test/resources/fixtures; their README says where they come from. */
public final class Fixtures {

    /** The one fixture that asks for what no forward pass here does. */
    public static final String UNSUPPORTED = "bloom-postln-residual";

    private Fixtures() {}

    /** The folder of one fixture. */
    public static Path folder(String name) {
        try {
            return Path.of(Fixtures.class.getResource("/fixtures/README.md").toURI()).resolveSibling(name);
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Every fixture that can be opened. */
    public static List<String> all() {
        try (Stream<Path> folders = Files.list(folder("."))) {
            return folders.filter(Files::isDirectory).map(folder -> folder.getFileName().toString())
                    .filter(name -> !name.equals(UNSUPPORTED)).sorted().toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static LoadedModel open(String name) throws IOException {
        return LoadedModel.open(folder(name));
    }

    /** A copy of one fixture to be changed. */
    public static SampleCheckpoint sample(String name) throws IOException {
        return SampleCheckpoint.of(folder(name));
    }

    /** The inputs and outputs of the reference implementation. */
    public static Map<String, SampleCheckpoint.Tensor> golden(String name) throws IOException {
        return SampleCheckpoint.read(folder(name).resolve("golden.safetensors"));
    }
}
