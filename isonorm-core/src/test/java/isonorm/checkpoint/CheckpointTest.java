package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.CONFIG_NOT_JSON;
import static isonorm.checkpoint.CheckpointException.Reason.HEADER_NOT_JSON;
import static isonorm.checkpoint.CheckpointException.Reason.INDEX_DISAGREES;
import static isonorm.checkpoint.CheckpointException.Reason.INDEX_MALFORMED;
import static isonorm.checkpoint.CheckpointException.Reason.MISSING_FILE;
import static isonorm.checkpoint.CheckpointException.Reason.MISSING_TENSOR;
import static isonorm.checkpoint.CheckpointException.Reason.NOT_A_CHECKPOINT;
import static isonorm.checkpoint.CheckpointException.Reason.PICKLE_REFUSED;
import static isonorm.checkpoint.Samples.assertRefused;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CheckpointTest {

    private static final String INDEX = "model.safetensors.index.json";

    @TempDir
    Path temporary;

    private Path folder;

    @BeforeEach
    void makeFolder() throws IOException {
        folder = Files.createDirectory(temporary.resolve("model"));
    }

    private Path put(String name, String content) throws IOException {
        return Files.writeString(folder.resolve(name), content);
    }

    /** Two shards, tensors a and b in the first and c in the second, and this map of them. */
    private void sharded(String weightMap) throws IOException {
        put("config.json", "{}");
        Samples.shard(folder.resolve("model-1.safetensors"), "a", "b");
        Samples.shard(folder.resolve("model-2.safetensors"), "c");
        put(INDEX, "{\"metadata\":{\"total_size\":1},\"weight_map\":" + weightMap + "}");
    }

    private static final String RIGHT =
            "{\"c\":\"model-2.safetensors\",\"a\":\"model-1.safetensors\",\"b\":\"model-1.safetensors\"}";

    @Test
    void whatIsNoPlainFileIsRefusedByName() throws IOException {
        assumeTrue(Files.exists(Path.of("/dev/null")), "a system with devices and links");
        Path config = folder.resolve("config.json");
        Files.createSymbolicLink(config, config.getFileName());
        assertEquals(config + " is a link that leads to no file", assertThrows(CheckpointException.class, () -> Checkpoint.open(folder)).getMessage());
        Files.delete(config);
        Files.createSymbolicLink(config, Path.of("/dev/null"));
        assertEquals(config + " is a pipe or a device; a plain file is needed",
                assertThrows(CheckpointException.class, () -> Checkpoint.open(folder)).getMessage());
        Files.delete(config);
        put("config.json", "{}");
        Path tokenizer = Files.createSymbolicLink(folder.resolve("tokenizer.json"), Path.of("/dev/null"));
        assertEquals(tokenizer + " is a pipe or a device; a plain file is needed",
                assertThrows(CheckpointException.class, () -> Checkpoint.open(folder)).getMessage());
    }

    @Test
    void oneFileIsACheckpoint() throws IOException {
        Samples.checkpoint(folder, "a", "b");
        Checkpoint checkpoint = Checkpoint.open(folder);

        assertEquals(folder, checkpoint.folder());
        assertEquals("sample", checkpoint.config().textOr("", "model_type"));
        assertEquals(List.of("a", "b"), List.copyOf(checkpoint.names()));
        assertTrue(checkpoint.has("a"));
        assertFalse(checkpoint.has("c"));
        assertEquals(new TensorInfo("b", Dtype.F32, List.of(2L)), checkpoint.info("b"));
        assertEquals(List.of(folder.resolve("model.safetensors")), checkpoint.weightFiles());
        try (Arena arena = Arena.ofConfined()) {
            assertArrayEquals(new byte[] {8, 9, 10, 11, 12, 13, 14, 15}, Samples.bytes(checkpoint.map("b", arena)));
            assertArrayEquals(new byte[] {10, 11}, Samples.bytes(checkpoint.map("b", 2, 2, arena)));
        }
    }

    @Test
    void shardsAreOneCheckpoint() throws IOException {
        sharded(RIGHT);
        Checkpoint checkpoint = Checkpoint.open(folder);

        assertEquals(List.of("a", "b", "c"), List.copyOf(checkpoint.names()));
        assertEquals(
                List.of(folder.resolve("model-1.safetensors"), folder.resolve("model-2.safetensors")), checkpoint.weightFiles());
        try (Arena arena = Arena.ofConfined()) {
            assertArrayEquals(Samples.counting(8), Samples.bytes(checkpoint.map("c", arena)));
        }
    }

    @Test
    void fileInTheFolderMeansTheFolder() throws IOException {
        Samples.checkpoint(folder, "a");
        for (String name : List.of("config.json", "model.safetensors")) {
            assertEquals(List.of("a"), List.copyOf(Checkpoint.open(folder.resolve(name)).names()));
        }
    }

    @Test
    void onlySafetensorsFileMayHaveAnyName() throws IOException {
        put("config.json", "{}");
        Samples.shard(folder.resolve("diffusion_pytorch_model.safetensors"), "a");
        assertTrue(Checkpoint.open(folder).has("a"));
    }

    @Test
    void modelFileIsTakenBeforeOthersAndBeforeAnIndex() throws IOException {
        sharded(RIGHT);
        Samples.shard(folder.resolve("model.safetensors"), "whole");
        assertEquals(List.of("whole"), List.copyOf(Checkpoint.open(folder).names()));
    }

    @Test
    void metadataIsThatOfTheFirstFile() throws IOException {
        put("config.json", "{}");
        Samples.write(folder.resolve("model.safetensors"), "{\"__metadata__\":{\"format\":\"pt\"}}", 0);
        assertEquals("pt", Checkpoint.open(folder).metadata().get("format"));
    }

    @Test
    void whatIsChangedInAConfigIsAnotherConfig() throws IOException {
        Samples.checkpoint(folder, "a");
        Checkpoint checkpoint = Checkpoint.open(folder);
        Config other = checkpoint.config().with("model_type", "changed").with("list", List.of(1, 2));
        assertEquals("changed", other.textOr("", "model_type"));
        assertEquals("sample", checkpoint.config().textOr("", "model_type"));
        assertEquals(checkpoint.config(), other.with("model_type", "sample").without("list"));
        assertEquals(other, Config.parse(other.toString()));
        assertThrows(UnsupportedOperationException.class, () -> other.values().put("a", 1));
        assertThrows(UnsupportedOperationException.class, () -> other.list("list").clear());
    }

    @Test
    void numbersThatOnlyPythonWritesAreRead() throws IOException {
        Samples.checkpoint(folder, "a");
        put("config.json", "{\"limit\": Infinity, \"none\": NaN, \"low\": -Infinity}");
        assertEquals(Double.POSITIVE_INFINITY, Checkpoint.open(folder).config().numberOr(0, "limit"));
    }

    @Test
    void ofAKeyThatComesTwiceTheLastCountsAsInPythonAndIsSaid() throws IOException {
        Samples.checkpoint(folder, "a");
        assertEquals(List.of(), Checkpoint.open(folder).remarks());
        put("config.json", "{\"a\": 1, \"b\": {\"c\": 1, \"a\": 5, \"c\": 2}, \"a\": 3, \"a\": 4}");
        Checkpoint checkpoint = Checkpoint.open(folder);
        assertEquals(4, checkpoint.config().integer("a"));
        assertEquals(2, checkpoint.config().object("b").integer("c"));
        assertEquals(List.of(folder.resolve("config.json") + " has the key c more than once; the last counts, as in Python",
                folder.resolve("config.json") + " has the key a more than once; the last counts, as in Python"), checkpoint.remarks());
    }

    @Test
    void companionsAreWhatACopyNeeds() throws IOException {
        Samples.checkpoint(folder, "a");
        List<String> carried = List.of(
                "added_tokens.json", "chat_template.jinja", "generation_config.json", "merges.txt", "preprocessor_config.json",
                "sentencepiece.bpe.model", "special_tokens_map.json", "spiece.vocab", "tokenizer.json", "tokenizer.model",
                "tokenizer_config.json", "vocab.json", "vocab.txt");
        for (String name : carried) {
            put(name, "");
        }
        for (String name : List.of("README.md", "training.json", "golden.json", "optimizer.bin", "my_tokenizer.json", "amerges.txt")) {
            put(name, "");
        }
        Files.createDirectory(folder.resolve("tokenizer"));
        assertEquals(carried, Checkpoint.open(folder).companionFiles().stream().map(p -> p.getFileName().toString()).toList());
    }

    // One test for each way a folder can be wrong.

    @Test
    void missingFolder() {
        Path missing = folder.resolve("not here");
        assertRefused(MISSING_FILE, () -> Checkpoint.open(missing), missing);
    }

    @Test
    void emptyFolder() {
        assertRefused(NOT_A_CHECKPOINT, () -> Checkpoint.open(folder), folder, "config.json");
    }

    @Test
    void anotherKindOfFile() throws IOException {
        Path file = put("model.gguf", "GGUF");
        assertRefused(NOT_A_CHECKPOINT, () -> Checkpoint.open(file), file);
    }

    @Test
    void missingConfig() throws IOException {
        Samples.shard(folder.resolve("model.safetensors"), "a");
        assertRefused(MISSING_FILE, () -> Checkpoint.open(folder), folder.resolve("config.json"));
    }

    @Test
    void adapterWithoutItsModel() throws IOException {
        Samples.shard(folder.resolve("adapter_model.safetensors"), "a");
        put("adapter_config.json", "{}");
        assertRefused(MISSING_FILE, () -> Checkpoint.open(folder), folder.resolve("config.json"), "adapter");
    }

    @Test
    void anAdapterBesideAModelIsRefusedBecauseTransformersWouldApplyIt() throws IOException {
        Samples.checkpoint(folder, "a");
        Samples.shard(folder.resolve("adapter_model.safetensors"), "b");
        put("adapter_config.json", "{}");
        assertRefused(NOT_A_CHECKPOINT, () -> Checkpoint.open(folder), folder.resolve("adapter_config.json"), "merge_and_unload");
    }

    @Test
    void aModelsFolderInTheCacheNamesItsSnapshots() throws IOException {
        Files.createDirectories(folder.resolve("snapshots/aaa"));
        assertRefused(NOT_A_CHECKPOINT, () -> Checkpoint.open(folder), folder.resolve("snapshots"), "owner/name");
    }

    @ParameterizedTest
    @CsvSource({"model-q4.gguf, GGUF", "tf_model.h5, TensorFlow", "bert_model.ckpt.index, TensorFlow", "flax_model.msgpack, Flax", "weights.h5, Keras",
        "model.onnx, ONNX", "weights.npz, NumPy", "rust_model.ot, rust-bert", "model.nemo, NeMo", "__0_0.distcp, distributed",
        "zero_pp_rank_0_mp_rank_00_optim_states.pt, DeepSpeed", "consolidated.00.pth, Meta", "model_index.json, diffusers", "model.tflite, another runtime"})
    void anotherFormatIsNamedWithTheWayOut(String name, String format) throws IOException {
        Path file = put(name, "");
        assertRefused(NOT_A_CHECKPOINT, () -> Checkpoint.open(folder), file, format, "safetensors");
        assertRefused(NOT_A_CHECKPOINT, () -> Checkpoint.open(file), file, format, "safetensors");
        put("config.json", "{}");
        assertRefused(NOT_A_CHECKPOINT, () -> Checkpoint.open(folder), file, format, "safetensors");
        Samples.shard(folder.resolve("model.safetensors"), "a");
        assertTrue(Checkpoint.open(folder).has("a"), "what is beside safetensors does not matter");
    }

    @Test
    void missingWeights() throws IOException {
        put("config.json", "{}");
        assertRefused(MISSING_FILE, () -> Checkpoint.open(folder), folder.resolve("model.safetensors"));
    }

    @Test
    void severalFilesWithoutAnIndex() throws IOException {
        sharded(RIGHT);
        Files.delete(folder.resolve(INDEX));
        assertRefused(MISSING_FILE, () -> Checkpoint.open(folder), folder.resolve(INDEX), "2");
    }

    @Test
    void missingShard() throws IOException {
        sharded(RIGHT);
        Files.delete(folder.resolve("model-2.safetensors"));
        assertRefused(MISSING_FILE, () -> Checkpoint.open(folder), folder.resolve(INDEX), "model-2.safetensors");
    }

    @Test
    void brokenShard() throws IOException {
        sharded(RIGHT);
        Samples.write(folder.resolve("model-2.safetensors"), "[]", 0);
        assertRefused(HEADER_NOT_JSON, () -> Checkpoint.open(folder), folder.resolve("model-2.safetensors"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"pytorch_model-00001-of-00002.bin", "model.bin", "model.pt"})
    void weightsOnlyInAPickleOfAnotherName(String name) throws IOException {
        put("config.json", "{}");
        Path pickle = put(name, "");
        String remedy = "save_pretrained";
        assertRefused(PICKLE_REFUSED, () -> Checkpoint.open(folder), pickle, remedy);
        assertRefused(PICKLE_REFUSED, () -> Checkpoint.open(pickle), pickle, remedy);
    }

    @Test
    void pickleBesideSafetensorsIsIgnored() throws IOException {
        Samples.checkpoint(folder, "a");
        put("pytorch_model.bin", "");
        assertTrue(Checkpoint.open(folder).has("a"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "{", "[]", "3", "{} {}", "\"text\""})
    void configThatIsNotAJsonObject(String config) throws IOException {
        Samples.checkpoint(folder, "a");
        put("config.json", config);
        assertRefused(CONFIG_NOT_JSON, () -> Checkpoint.open(folder), folder.resolve("config.json"));
    }

    @Test
    void theParserDoesNotTalkOfItself() throws IOException {
        Files.writeString(folder.resolve("config.json"), "{\"model_type\":\"gpt2\"");
        String message = assertThrows(CheckpointException.class, () -> Checkpoint.open(folder)).getMessage();
        assertTrue(message.contains("is not JSON: it ends too soon") && !message.contains("REDACTED"), message);
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "1", "{}", "{\"a\":1}", "{\"a\":null}", "{\"a\":\"../model.safetensors\"}", "{\"a\":\"/model.safetensors\"}",
        "{\"a\":\"sub/model.safetensors\"}", "{\"a\":\"sub\\\\model.safetensors\"}", "{\"a\":\"..\"}", "{\"a\":\"\"}",
        "{\"a\":\"x\\n\\n/y.safetensors\"}", "{\"a\":\"C:m.safetensors\"}", "{\"a\":\"config.json\"}"
    })
    void indexNotOfItsForm(String weightMap) throws IOException {
        sharded(weightMap);
        assertRefused(INDEX_MALFORMED, () -> Checkpoint.open(folder), folder.resolve(INDEX));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "[]", "{}", "nonsense"})
    void indexThatIsNotAnIndex(String index) throws IOException {
        sharded(RIGHT);
        put(INDEX, index);
        assertRefused(INDEX_MALFORMED, () -> Checkpoint.open(folder), folder.resolve(INDEX));
    }

    @ParameterizedTest
    @ValueSource(strings = {"x\\u0000.safetensors", "x\\n\\n.safetensors", "\\ud800.safetensors"})
    void shardNamesNoFileCanHaveAreMissing(String shard) throws IOException {
        sharded("{\"a\":\"" + shard + "\"}");
        assertRefused(MISSING_FILE, () -> Checkpoint.open(folder), folder.resolve(INDEX));
    }

    @Test
    void tensorThatIsNotInItsShard() throws IOException {
        sharded(RIGHT.replace("}", ",\"d.weight\":\"model-2.safetensors\"}"));
        assertRefused(INDEX_DISAGREES, () -> Checkpoint.open(folder), INDEX, "d.weight", "model-2.safetensors");
    }

    @Test
    void whatAnIndexLeavesOutIsReadAsTransformersReadsIt() throws IOException {
        sharded("{\"c\":\"model-2.safetensors\",\"a\":\"model-1.safetensors\"}");
        Checkpoint checkpoint = Checkpoint.open(folder);
        assertEquals(List.of("a", "b", "c"), List.copyOf(checkpoint.names()));
        try (Arena arena = Arena.ofConfined()) {
            assertArrayEquals(new byte[] {8, 9, 10, 11, 12, 13, 14, 15}, Samples.bytes(checkpoint.map("b", arena)));
        }
    }

    @Test
    void tensorThatIsInTwoShardsAndNotInTheIndex() throws IOException {
        sharded("{\"c\":\"model-2.safetensors\",\"a\":\"model-1.safetensors\"}");
        Samples.shard(folder.resolve("model-2.safetensors"), "c", "b");
        assertRefused(INDEX_DISAGREES, () -> Checkpoint.open(folder), INDEX, "tensor b", "model-1", "model-2");
    }

    @Test
    void tensorThatIsInTwoShards() throws IOException {
        sharded(RIGHT);
        Samples.shard(folder.resolve("model-2.safetensors"), "c", "a");
        assertRefused(INDEX_DISAGREES, () -> Checkpoint.open(folder), INDEX, "tensor a", "model-1", "model-2");
    }

    @Test
    void missingTensorSuggestsTheNearest() throws IOException {
        Samples.checkpoint(folder, "h.0.ln_1.weight", "h.0.ln_1.bias");
        Checkpoint checkpoint = Checkpoint.open(folder);
        assertRefused(MISSING_TENSOR, () -> checkpoint.info("h.0.ln1.weight"), folder, "h.0.ln1.weight",
                "did you mean h.0.ln_1.weight?");
        try (Arena arena = Arena.ofConfined()) {
            assertRefused(MISSING_TENSOR, () -> checkpoint.map("nothing like it", arena), "nothing like it");
        }
    }

    /** An index and a configuration with random bytes changed open or are refused, and do nothing else. */
    @Test
    void mutatedIndexAndConfigAreRefusedOrRead() throws IOException {
        sharded(RIGHT);
        byte[] index = Files.readAllBytes(folder.resolve(INDEX));
        byte[] config = "{\"model_type\":\"gpt2\",\"n_embd\":768,\"a\":[1,2.5e-3,{\"b\":null}]}".getBytes(StandardCharsets.UTF_8);
        int refused = 0;
        for (int i = 0; i < 500; i++) {
            SplittableRandom random = new SplittableRandom(i);
            Files.write(folder.resolve(INDEX), mutated(index, random));
            Files.write(folder.resolve("config.json"), mutated(config, random));
            try {
                Checkpoint.open(folder);
            } catch (CheckpointException e) {
                refused++;
            }
        }
        assertTrue(refused > 100 && refused < 500, "refused " + refused);
    }

    private static byte[] mutated(byte[] bytes, SplittableRandom random) {
        byte[] mutated = bytes.clone();
        if (random.nextInt(3) == 0) {
            mutated[random.nextInt(mutated.length)] = (byte) random.nextInt(256);
        }
        return mutated;
    }
}
