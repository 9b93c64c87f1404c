package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.MISSING_FILE;
import static isonorm.checkpoint.CheckpointException.Reason.NOT_A_CHECKPOINT;
import static isonorm.checkpoint.CheckpointException.Reason.PICKLE_REFUSED;
import static isonorm.checkpoint.CheckpointException.Reason.TRUNCATED;
import static isonorm.checkpoint.Samples.assertRefused;
import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.mutation.Mutations;
import isonorm.mutation.Mutator;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What {@code torch.save} wrote is read, and nothing else that a pickle can hold; make_torch.py beside the files made them. */
class TorchFileTest {

    @TempDir
    Path folder;

    private static Path resource(String name) {
        try {
            return Path.of(TorchFileTest.class.getResource("/torch/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new AssertionError(e);
        }
    }

    private Checkpoint checkpoint(String... files) throws IOException {
        Files.writeString(folder.resolve("config.json"), "{}");
        for (int i = 0; i < files.length; i += 2) {
            Files.copy(resource(files[i]), folder.resolve(files[i + 1]));
        }
        return Checkpoint.open(folder);
    }

    private static void assertExpected(Checkpoint read) throws IOException {
        SafetensorsFile expected = SafetensorsFile.open(resource("expected.safetensors"));
        assertEquals(expected.names(), Set.copyOf(read.names()));
        try (Arena arena = Arena.ofConfined()) {
            for (String name : expected.names()) {
                assertEquals(expected.info(name), read.info(name));
                assertArrayEquals(expected.map(name, arena).toArray(ValueLayout.JAVA_BYTE), read.map(name, arena).toArray(ValueLayout.JAVA_BYTE), name);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"zip.bin", "zip4.bin", "old.bin", "dictionary.bin"})
    void whatTorchSaves(String file) throws IOException {
        assertExpected(checkpoint(file, "pytorch_model.bin"));
        assertEquals(List.of(folder.resolve("pytorch_model.bin")), Checkpoint.open(folder.resolve("pytorch_model.bin")).weightFiles());
    }

    @Test
    void shards() throws IOException {
        String one = "pytorch_model-00001-of-00002.bin";
        String two = "pytorch_model-00002-of-00002.bin";
        Path index = folder.resolve("pytorch_model.bin.index.json");
        Files.writeString(index, "{\"weight_map\":{\"half\":\"" + one + "\",\"rows\":\"" + two + "\"}}");
        assertExpected(checkpoint(one, one, two, two));
        Files.delete(folder.resolve(two));
        assertRefused(MISSING_FILE, () -> Checkpoint.open(folder), index, two);
    }

    @ParameterizedTest
    @CsvSource({"module.bin, torch.nn.modules.linear.Linear", "training.bin, under model what is no tensor", "turned.bin, row by row",
            "quantized.bin, torch._utils._rebuild_qtensor", "sparse.bin, torch._utils._rebuild_sparse_tensor", "complex.bin, torch.ComplexFloatStorage",
            "list.bin, no dictionary of tensors"})
    void whatIsNotTensorsAlone(String file, String reason) throws IOException {
        assertRefused(PICKLE_REFUSED, () -> checkpoint(file, "pytorch_model.bin"), folder.resolve("pytorch_model.bin"), reason);
    }

    /** Pickles that call something, take what is not there, or never end; the last two would be compared, or grow, for ever. */
    @Test
    void nothingIsRun() throws IOException {
        String start = "\u0080\u0002";
        for (String[] pickle : new String[][] {
            {"cos\nsystem\nX\u0004\0\0\0true\u0085R.", "names os.system"},
            {"cbuiltins\neval\n.", "names builtins.eval"},
            {"ccollections\nOrderedDict\n)R}X\u0001\0\0\0aK\u0001sb.", "attributes"},
            {"(K\u0001o.", "0x6f"},
            {"(i", "0x69"},
            {"R.", "stack"},
            {"h\u0001.", "remembers"},
            {"t.", "group"},
            {"K\u0001K\u0002s.", "stack"},
            {"}K\u0001)K\u0002u.", "group"},
            {"})K\u0001s.", "neither text nor numbers"},
            {"X\u00ff\u00ff\u00ff\u00ff.", "4294967295"},
            {"\u008a\u00ff", "number of 255"},
            {"]q\u0000h\u0000a", "ends within"},
            {"N".repeat(8_000_001), "operations"}}) {
            Files.write(folder.resolve("pytorch_model.bin"), (start + pickle[0]).getBytes(ISO_8859_1));
            Files.writeString(folder.resolve("config.json"), "{}");
            assertRefused(pickle[1].equals("ends within") ? TRUNCATED : PICKLE_REFUSED, () -> Checkpoint.open(folder), folder.resolve("pytorch_model.bin"), pickle[1]);
        }
    }

    @Test
    void anotherFile() throws IOException {
        for (String content : List.of("", "P", "PK\3\4", "version https://git-lfs.github.com/spec/v1\n", "hello, world", "\u0080\u0002K\u0001.")) {
            Files.write(folder.resolve("pytorch_model.bin"), content.getBytes(ISO_8859_1));
            Files.writeString(folder.resolve("config.json"), "{}");
            assertRefused(content.startsWith("PK") ? TRUNCATED : NOT_A_CHECKPOINT, () -> Checkpoint.open(folder), folder.resolve("pytorch_model.bin"));
        }
    }

    @Test
    void cut() throws IOException {
        for (String file : List.of("zip.bin", "old.bin")) {
            byte[] whole = Files.readAllBytes(resource(file));
            Files.write(folder.resolve("pytorch_model.bin"), Arrays.copyOf(whole, whole.length - 10));
            Files.writeString(folder.resolve("config.json"), "{}");
            assertRefused(TRUNCATED, () -> Checkpoint.open(folder), folder.resolve("pytorch_model.bin"), "download");
        }
    }

    @Test
    void everyInputIsReadOrRefused() throws IOException {
        List<byte[]> valid = new ArrayList<>();
        for (String file : List.of("zip.bin", "zip4.bin", "old.bin", "dictionary.bin")) {
            valid.add(Files.readAllBytes(resource(file)));
        }
        Path file = folder.resolve("pytorch_model.bin");
        Mutations.run("files of torch.save", 300, valid, Mutator::bytes, input -> {
            Files.write(file, input);
            WeightFile read = TorchFile.read(file);
            try (Arena arena = Arena.ofConfined()) {
                for (String name : read.names()) {
                    read.map(name, 0, read.info(name).bytes(), arena).toArray(ValueLayout.JAVA_BYTE);
                }
            }
        });
    }
}
