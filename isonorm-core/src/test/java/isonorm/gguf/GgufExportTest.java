package isonorm.gguf;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Conversion;
import isonorm.convert.LoadedModel;
import isonorm.family.Fixtures;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.mutation.Mutations;
import isonorm.mutation.Mutator;
import isonorm.weights.Numbers;
import isonorm.weights.SampleCheckpoint;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Files that are read back here by the format's words, and hold the checkpoint's tensors under llama.cpp's names and in its order. */
class GgufExportTest {

    private static final Path SHAKESPEARE = Path.of("..", "examples", "shakespeare-gpt2");

    @TempDir
    private Path folder;

    private static final int Q4 = 2;
    private static final int Q8 = 8;

    /** The values of blocks as ggml defines them: a scale d, then q d of 8 bits, or of 4 bits (q - 8) d, of a byte's lower half for the first 16 values. */
    private static double[] blocks(ByteBuffer in, int at, int type, int count) {
        double[] values = new double[count];
        for (int i = 0; i < count; i++) {
            int block = at + i / 32 * (type == Q8 ? 34 : 18);
            double d = Float.float16ToFloat(in.getShort(block));
            int j = i % 32;
            values[i] = d * (type == Q8 ? in.get(block + 2 + j) : (in.get(block + 2 + j % 16) >> 4 * (j / 16) & 15) - 8);
        }
        return values;
    }

    /** A Llama whose widths are multiples of 32. */
    private LoadedModel wide() throws IOException {
        SampleCheckpoint model = Fixtures.sample("llama");
        SplittableRandom random = new SplittableRandom(2);
        Map<Long, Long> wider = Map.of(48L, 64L, 24L, 32L);
        Map.copyOf(model.tensors).forEach((name, tensor) -> {
            List<Long> shape = tensor.shape().stream().map(each -> wider.getOrDefault(each, each)).toList();
            model.put(name, Dtype.F32, shape, random.doubles(shape.stream().reduce(1L, Math::multiplyExact), -1, 1).toArray());
        });
        model.config.put("hidden_size", 64).put("head_dim", 16);
        return LoadedModel.open(model.save(Files.createDirectory(folder.resolve("wide"))));
    }

    @ParameterizedTest
    @CsvSource({"4, 8", "8, 4"})
    void whatIsInFewBitsKeepsItsCodes(int bits, int ends) throws IOException {
        Path few = folder.resolve("few");
        Conversion.quantized(wide(), new Conversion.Bits(bits, ends, 32, List.of("blocks.1.mlp.down")), Map.of(), "rtn").writeTo(few);
        Path file = folder.resolve("few.gguf");
        new GgufExport(LoadedModel.open(few), Optional.empty()).writeTo(file, Progress.NONE);
        Path numbers = folder.resolve("numbers.gguf");
        new GgufExport(LoadedModel.open(few), Optional.of(Dtype.F32)).writeTo(numbers, Progress.NONE);
        Read read = Read.of(file);
        Read.of(numbers).tensors.forEach((name, values) -> assertArrayEquals(values, read.tensors.get(name), name));
        assertEquals(bits == 8 ? Q8 : Q4, read.types.get("blk.0.attn_q.weight"));
        assertEquals(ends == 8 ? Q8 : Q4, read.types.get("token_embd.weight"));
        assertEquals(0, read.types.get("blk.1.ffn_down.weight"));
        assertEquals(bits == 8 ? 7 : 2, read.metadata.get("general.file_type"));
    }

    @Test
    void groupsOfAnotherSizeAreRefused() throws IOException {
        Path few = folder.resolve("few");
        Conversion.quantized(wide(), new Conversion.Bits(8, 8, 64, List.of()), Map.of(), "rtn").writeTo(few);
        GgufExport export = new GgufExport(LoadedModel.open(few), Optional.empty());
        assertTrue(assertThrows(ConversionRefused.class, () -> export.writeTo(folder.resolve("few.gguf"), Progress.NONE)).getMessage().contains("groups of 32 alone"));
    }

    /** A file read back: GGUF's tensors have their dimensions from the inside out. */
    private record Read(Map<String, Object> metadata, Map<String, List<Long>> shapes, Map<String, double[]> tensors, Map<String, Integer> types) {

        static Read of(Path file) throws IOException {
            ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
            assertEquals(0x46554747, in.getInt());
            assertEquals(3, in.getInt());
            long tensors = in.getLong();
            long keys = in.getLong();
            Read read = new Read(new LinkedHashMap<>(), new LinkedHashMap<>(), new LinkedHashMap<>(), new LinkedHashMap<>());
            for (int k = 0; k < keys; k++) {
                String key = text(in);
                read.metadata.put(key, value(in, in.getInt()));
            }
            Map<String, Long> offsets = new LinkedHashMap<>();
            for (int t = 0; t < tensors; t++) {
                String name = text(in);
                List<Long> shape = new ArrayList<>();
                int dimensions = in.getInt();
                for (int d = 0; d < dimensions; d++) {
                    shape.addFirst(in.getLong());
                }
                read.shapes.put(name, shape);
                read.types.put(name, in.getInt());
                offsets.put(name, in.getLong());
            }
            int data = Math.ceilDiv(in.position(), 32) * 32;
            offsets.forEach((name, offset) -> {
                assertEquals(0, offset % 32, name);
                if (read.types.get(name) == Q8 || read.types.get(name) == Q4) {
                    read.tensors.put(name, blocks(in, data + offset.intValue(), read.types.get(name), read.shapes.get(name).stream().mapToInt(Long::intValue).reduce(1, (a, b) -> a * b)));
                    return;
                }
                Dtype dtype = Map.of(0, Dtype.F32, 1, Dtype.F16, 30, Dtype.BF16).get(read.types.get(name));
                double[] values = new double[read.shapes.get(name).stream().mapToInt(Long::intValue).reduce(1, (a, b) -> a * b)];
                Numbers.decode(MemorySegment.ofArray(in.array()).asSlice(data + offset, (long) values.length * dtype.bytes()), dtype, 0, values.length, values, 0);
                read.tensors.put(name, values);
            });
            return read;
        }

        private static String text(ByteBuffer in) {
            byte[] bytes = new byte[(int) in.getLong()];
            in.get(bytes);
            return new String(bytes, StandardCharsets.UTF_8);
        }

        private static Object value(ByteBuffer in, int type) {
            return switch (type) {
                case 4, 5 -> in.getInt();
                case 6 -> in.getFloat();
                case 7 -> in.get() == 1;
                case 8 -> text(in);
                case 9 -> {
                    int of = in.getInt();
                    List<Object> all = new ArrayList<>();
                    for (long left = in.getLong(); left > 0; left--) {
                        all.add(value(in, of));
                    }
                    yield all;
                }
                default -> throw new IllegalStateException("type " + type);
            };
        }
    }

    private Read export(Path checkpoint, Dtype dtype) throws IOException {
        Path file = folder.resolve("out.gguf");
        Files.deleteIfExists(file);
        new GgufExport(LoadedModel.open(checkpoint), Optional.of(dtype)).writeTo(file, Progress.NONE);
        return Read.of(file);
    }

    private static double[] stored(Path checkpoint, String name) throws IOException {
        Checkpoint open = Checkpoint.open(checkpoint);
        double[] values = new double[(int) open.info(name).elements()];
        try (Arena arena = Arena.ofConfined()) {
            Numbers.decode(open.map(name, arena), open.info(name).dtype(), 0, values.length, values, 0);
        }
        return values;
    }

    /** As convert_hf_to_gguf.py permutes: the rows of a head are two halves there, and here each pair lies together. */
    private static double[] neighbours(double[] matrix, int columns, int width) {
        double[] moved = new double[matrix.length];
        for (int row = 0; row < matrix.length / columns; row++) {
            int head = row / width;
            int half = row % width / (width / 2);
            int pair = row % (width / 2);
            System.arraycopy(matrix, row * columns, moved, (head * width + 2 * pair + half) * columns, columns);
        }
        return moved;
    }

    private static void assertNear(double[] expected, double[] given, double part, String what) {
        assertEquals(expected.length, given.length, what);
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], given[i], part * Math.abs(expected[i]) + (part > 0 ? 6e-8 : 0), what + " " + i);
        }
    }

    @ParameterizedTest
    @CsvSource({"llama, F32, 0", "llama, BF16, .004", "llama, F16, .0005", "qwen2, F32, 0", "llama3-rope, F32, 0"})
    void tensorsAreTheCheckpointsInLlamaCppsOrder(String fixture, Dtype dtype, double rounding) throws IOException {
        Path checkpoint = Fixtures.folder(fixture);
        Config config = LoadedModel.open(checkpoint).config();
        Read read = export(checkpoint, dtype);
        int d = config.integer("hidden_size");
        int width = config.integerOr(d / config.integer("num_attention_heads"), "head_dim");
        for (int l = 0; l < config.integer("num_hidden_layers"); l++) {
            String from = "model.layers." + l + ".";
            String to = "blk." + l + ".";
            assertNear(neighbours(stored(checkpoint, from + "self_attn.q_proj.weight"), d, width), read.tensors.get(to + "attn_q.weight"), rounding, "q");
            assertNear(neighbours(stored(checkpoint, from + "self_attn.k_proj.weight"), d, width), read.tensors.get(to + "attn_k.weight"), rounding, "k");
            if (fixture.equals("qwen2")) {
                assertNear(neighbours(stored(checkpoint, from + "self_attn.k_proj.bias"), 1, width), read.tensors.get(to + "attn_k.bias"), 0, "bias of k");
                assertNear(stored(checkpoint, from + "self_attn.v_proj.bias"), read.tensors.get(to + "attn_v.bias"), 0, "bias of v");
            }
            for (Map.Entry<String, String> each : Map.of("self_attn.v_proj", "attn_v", "self_attn.o_proj", "attn_output", "mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up",
                    "mlp.down_proj", "ffn_down").entrySet()) {
                assertNear(stored(checkpoint, from + each.getKey() + ".weight"), read.tensors.get(to + each.getValue() + ".weight"), rounding, each.getKey());
            }
            assertNear(stored(checkpoint, from + "input_layernorm.weight"), read.tensors.get(to + "attn_norm.weight"), 0, "norm");
            assertNear(stored(checkpoint, from + "post_attention_layernorm.weight"), read.tensors.get(to + "ffn_norm.weight"), 0, "norm");
        }
        assertNear(stored(checkpoint, "model.norm.weight"), read.tensors.get("output_norm.weight"), 0, "last norm");
        assertNear(stored(checkpoint, "model.embed_tokens.weight"), read.tensors.get("token_embd.weight"), rounding, "table");
        assertEquals(List.of((long) config.integer("vocab_size"), (long) d), read.shapes.get("token_embd.weight"));
        assertEquals(config.flagOr(false, "tie_word_embeddings"), !read.tensors.containsKey("output.weight"));
        assertEquals(fixture.equals("llama3-rope"), read.tensors.containsKey("rope_freqs.weight"));
        assertEquals(dtype == Dtype.F32 ? 0 : dtype == Dtype.F16 ? 1 : 32, read.metadata.get("general.file_type"));
        assertEquals(config.integer("num_key_value_heads"), read.metadata.get("llama.attention.head_count_kv"));
        assertEquals(width, read.metadata.get("llama.rope.dimension_count"));
        assertEquals((float) config.numberOr(0, "rms_norm_eps"), read.metadata.get("llama.attention.layer_norm_rms_epsilon"));
        assertEquals("none", read.metadata.get("tokenizer.ggml.model"));
    }

    /** Norms without gains have ones. */
    @Test
    void anOlmoIsOneWhenItIsALlama() throws IOException {
        Path llama = folder.resolve("llama");
        Conversion.as(LoadedModel.open(Fixtures.folder("olmo")), "llama").writeTo(llama);
        Read read = export(llama, Dtype.F32);
        assertEquals("llama", read.metadata.get("general.architecture"));
        for (double gain : read.tensors.get("output_norm.weight")) {
            assertEquals(1, gain);
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "gpt2 | it adds learned positions to its tokens", "olmo | its norms are layernorm; isonorm convert --as llama says whether it can become a Llama",
        "mistral | its attention has a window", "qwen3 | norms or scales stand inside its attention", "gemma | its MLP's activation is none of SiLU",
        "llama-proportional-rope | leave values as they are", "llama-yarn-rope | scale queries", "llama-dynamic-rope | depend on the length", "mixtral | it has experts",
        "bart | it has two stacks", "vit | it reads no tokens"})
    void whatLlamaHasNoPlaceForIsRefused(String fixture, String reason) throws IOException {
        List<String> reasons = assertThrows(ConversionRefused.class, () -> export(Fixtures.folder(fixture), Dtype.F32)).reasons();
        assertTrue(reasons.stream().anyMatch(each -> each.contains(reason)), reasons::toString);
        assertFalse(Files.exists(folder.resolve("out.gguf")));
    }

    private static Config ids() {
        return Config.parse("{\"bos_token_id\": 0, \"eos_token_id\": [0, 5]}");
    }

    @Test
    void theTokenizerGoesAlong() throws IOException {
        Path beside = Files.createDirectories(folder.resolve("tokenizer"));
        String json = Files.readString(SHAKESPEARE.resolve("tokenizer.json"));
        Files.writeString(beside.resolve("tokenizer.json"), json);
        Files.writeString(beside.resolve("tokenizer_config.json"), "{\"add_bos_token\": true, \"chat_template\": \"{{ messages }}\"}");
        GgufTokenizer tokenizer = GgufTokenizer.read(beside, ids(), 1030).orElseThrow();
        Map<String, Object> metadata = tokenizer.metadata();
        assertEquals("gpt-2", tokenizer.kind());
        assertEquals("gpt2", metadata.get("tokenizer.ggml.model"));
        List<?> tokens = (List<?>) metadata.get("tokenizer.ggml.tokens");
        int[] types = (int[]) metadata.get("tokenizer.ggml.token_type");
        assertEquals("<|endoftext|>", tokens.getFirst());
        assertEquals("[PAD1029]", tokens.getLast());
        assertEquals(List.of(3, 1, 5), List.of(types[0], types[1], types[1029]));
        assertEquals("\u0120 t", ((List<?>) metadata.get("tokenizer.ggml.merges")).getFirst());
        assertEquals(0, metadata.get("tokenizer.ggml.eos_token_id"));
        assertEquals(true, metadata.get("tokenizer.ggml.add_bos_token"));
        assertEquals("{{ messages }}", metadata.get("tokenizer.chat_template"));
        assertTrue(tokenizer.notes().getFirst().contains("of the 2 tokens of eos_token_id the first"), tokenizer.notes().toString());
        refused(beside, json, 100, "while the model has 100 tokens");
        refused(beside, json.replace("\"ByteLevel\"", "\"Whitespace\""), 1030, "a splitting of texts by Whitespace");
        refused(beside, json.replaceFirst("\"type\": ?\"BPE\"", "\"type\": \"Unigram\""), 1030, "a tokenizer of type Unigram");
        refused(beside, json.replaceFirst("\"byte_fallback\": ?false", "\"byte_fallback\": true"), 1030, "pieces that fall back to bytes");
        refused(beside, json.replaceFirst("\"ignore_merges\": ?false", "\"ignore_merges\": true"), 1030, "ignore_merges true beside");
    }

    private static void refused(Path beside, String json, int vocabulary, String message) throws IOException {
        Files.writeString(beside.resolve("tokenizer.json"), json);
        String said = assertThrows(IOException.class, () -> GgufTokenizer.read(beside, ids(), vocabulary)).getMessage();
        assertTrue(said.contains(message), said);
    }

    @Test
    void whateverATokenizerJsonSaysItIsWrittenOrRefused() throws IOException {
        byte[] valid = """
                {"added_tokens": [{"id": 2, "content": "<s>", "special": true}], "normalizer": {"type": "NFC"},
                 "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}]},
                 "post_processor": {"type": "Sequence", "processors": [{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}]},
                 "model": {"type": "BPE", "byte_fallback": false, "ignore_merges": false, "vocab": {"a": 0, "b": 1, "ab": 3}, "merges": ["a b", ["a", "b"]]}}"""
                .getBytes(StandardCharsets.UTF_8);
        Mutations.run("tokenizer.json for GGUF", 300, List.of(valid), Mutator::json, input -> {
            Files.write(folder.resolve("tokenizer.json"), input);
            GgufTokenizer.read(folder, ids(), 4);
        });
    }
}
