package isonorm.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.checkpoint.TensorInfo;
import isonorm.family.Config;
import isonorm.family.Families;
import isonorm.family.Family;
import isonorm.weights.Numbers;
import isonorm.weights.Slabs;
import isonorm.weights.Source;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Writes a checkpoint of a known shape with random weights, for measuring.
 *
 * <pre>MakeCheckpoint SHAPE DTYPE SHARDS FOLDER</pre>
 *
 * where SHAPE is gpt2-small, gpt2-xl or llama-134m. Values depend on the tensor's name and position alone, so two runs write the
 * same bytes.
 */
public final class MakeCheckpoint {

    private static final int CHUNK = 1 << 20;

    private MakeCheckpoint() {}

    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 4) {
            System.err.println("usage: MakeCheckpoint gpt2-small|gpt2-xl|llama-134m f32|f16|bf16 SHARDS FOLDER");
            System.exit(2);
        }
        write(config(arguments[0]), Dtype.named(arguments[1].toUpperCase()).orElseThrow(), Integer.parseInt(arguments[2]), Path.of(arguments[3]));
    }

    private static ObjectNode config(String shape) {
        ObjectNode json = new ObjectMapper().createObjectNode();
        return switch (shape) {
            case "gpt2-small" -> gpt2(json, 768, 12, 12);
            case "gpt2-xl" -> gpt2(json, 1600, 48, 25);
            case "llama-134m" -> {
                json.putArray("architectures").add("LlamaForCausalLM");
                yield json.put("model_type", "llama").put("hidden_size", 768).put("num_hidden_layers", 12).put("num_attention_heads", 12)
                        .put("num_key_value_heads", 12).put("intermediate_size", 2048).put("vocab_size", 32000)
                        .put("max_position_embeddings", 2048).put("rms_norm_eps", 1e-6).put("rope_theta", 10000.0)
                        .put("tie_word_embeddings", false).put("hidden_act", "silu");
            }
            default -> throw new IllegalArgumentException("unknown shape " + shape + "; known are gpt2-small, gpt2-xl, llama-134m");
        };
    }

    private static ObjectNode gpt2(ObjectNode json, int width, int blocks, int heads) {
        json.putArray("architectures").add("GPT2LMHeadModel");
        return json.put("model_type", "gpt2").put("n_embd", width).put("n_layer", blocks).put("n_head", heads).put("n_positions", 1024)
                .put("vocab_size", 50257).put("activation_function", "gelu_new").put("layer_norm_epsilon", 1e-5)
                .put("tie_word_embeddings", true);
    }

    private static void write(ObjectNode config, Dtype dtype, int shards, Path folder) throws IOException {
        config.put("dtype", Map.of(Dtype.F32, "float32", Dtype.F16, "float16", Dtype.BF16, "bfloat16").get(dtype));
        Family.Description description = Families.describe(Config.of(config), Set.of());
        Map<String, TensorInfo> tensors = new LinkedHashMap<>();
        Map<String, Role> roles = new LinkedHashMap<>();
        Map<Role, Source> sources = description.naming().sources(description.architecture());
        for (Parameter parameter : description.architecture().parameters()) {
            Source source = sources.get(parameter.role());
            for (String name : source.tensors()) {
                tensors.put(name, new TensorInfo(name, dtype, source.shapeOf(name, parameter.columns(), parameter.isVector())));
                roles.put(name, parameter.role());
            }
        }
        Files.createDirectories(folder);
        long total = tensors.values().stream().mapToLong(TensorInfo::bytes).sum();
        List<List<TensorInfo>> files = new ArrayList<>();
        long done = 0;
        for (TensorInfo tensor : tensors.values()) {
            if (done * shards >= total * files.size()) {
                files.add(new ArrayList<>());
            }
            files.getLast().add(tensor);
            done += tensor.bytes();
        }
        ObjectNode index = config.objectNode();
        index.putObject("metadata").put("total_size", total);
        Map<String, String> places = new TreeMap<>();
        for (int f = 0; f < files.size(); f++) {
            String name = files.size() == 1 ? "model.safetensors" : String.format("model-%05d-of-%05d.safetensors", f + 1, files.size());
            try (SafetensorsWriter writer = SafetensorsWriter.create(folder.resolve(name), files.get(f), Map.of("format", "pt"))) {
                for (TensorInfo tensor : files.get(f)) {
                    fill(writer, tensor, roles.get(tensor.name()));
                    places.put(tensor.name(), name);
                }
            }
        }
        if (files.size() > 1) {
            ObjectNode map = index.putObject("weight_map");
            places.forEach(map::put);
            new ObjectMapper().writeValue(folder.resolve("model.safetensors.index.json").toFile(), index);
        }
        new ObjectMapper().writeValue(folder.resolve("config.json").toFile(), config);
    }

    private static void fill(SafetensorsWriter writer, TensorInfo tensor, Role role) throws IOException {
        double centre = role.field() == Role.Field.GAIN ? 1 : 0;
        double spread = role.field() == Role.Field.WEIGHT ? 0.02 : 0.1;
        long seed = tensor.name().hashCode() * 0x9E3779B97F4A7C15L;
        int chunks = (int) Math.ceilDiv(tensor.elements(), (long) CHUNK);
        Slabs.parallel(chunks, chunk -> {
            long first = (long) chunk * CHUNK;
            int count = (int) Math.min(CHUNK, tensor.elements() - first);
            double[] values = new double[count];
            for (int i = 0; i < count; i++) {
                values[i] = centre + spread * normal(seed + first + i);
            }
            MemorySegment bytes = MemorySegment.ofArray(new byte[count * tensor.dtype().bytes()]);
            Numbers.encode(values, 0, count, bytes, tensor.dtype(), 0);
            writer.write(tensor.name(), first * tensor.dtype().bytes(), bytes);
        });
    }

    /** The sum of four uniform values of 16 bits, scaled to variance one: near enough to normal for weights. */
    private static double normal(long counter) {
        long z = counter * 0x9E3779B97F4A7C15L;
        z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9L;
        z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
        z ^= z >>> 31;
        long sum = (z & 0xffff) + (z >>> 16 & 0xffff) + (z >>> 32 & 0xffff) + (z >>> 48);
        return (sum - 2 * 65535) / 37837.2;
    }
}
