package isonorm.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.checkpoint.TensorInfo;
import isonorm.family.Families;
import isonorm.family.Family;
import isonorm.measure.RandomWeights;
import isonorm.measure.Shape;
import isonorm.weights.Numbers;
import isonorm.weights.Seed;
import isonorm.weights.Slabs;
import isonorm.weights.Source;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Writes a checkpoint of a known shape with random weights, for measuring.
 *
 * <pre>MakeCheckpoint SHAPE DTYPE SHARDS FOLDER</pre>
 *
 * where SHAPE is one of {@link Shape#names}. Values depend on the tensor's name and position alone, so two runs write the
 * same bytes.
 */
public final class MakeCheckpoint {

    private static final int CHUNK = 1 << 20;

    private MakeCheckpoint() {}

    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 4) {
            System.err.println("usage: MakeCheckpoint " + String.join("|", Shape.names()) + " f32|f16|bf16 SHARDS FOLDER");
            System.exit(2);
        }
        write(Shape.named(arguments[0]).config(), Dtype.named(arguments[1].toUpperCase(Locale.ROOT)).orElseThrow(), Integer.parseInt(arguments[2]), Path.of(arguments[3]));
    }

    private static void write(Config shape, Dtype dtype, int shards, Path folder) throws IOException {
        Config config = shape.with("dtype", Map.of(Dtype.F32, "float32", Dtype.F16, "float16", Dtype.BF16, "bfloat16").get(dtype));
        Family.Description description = Families.describe(config, Set.of());
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
        ObjectNode index = JsonNodeFactory.instance.objectNode();
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
        config.writeTo(folder.resolve("config.json"));
    }

    private static void fill(SafetensorsWriter writer, TensorInfo tensor, Role role) throws IOException {
        RandomWeights values = RandomWeights.of(role, 1, Math.toIntExact(tensor.elements()), Seed.of(0).at(tensor.name()));
        int chunks = (int) Math.ceilDiv(tensor.elements(), (long) CHUNK);
        Slabs.parallel(chunks, chunk -> {
            long first = (long) chunk * CHUNK;
            int count = (int) Math.min(CHUNK, tensor.elements() - first);
            double[] chosen = new double[count];
            for (int i = 0; i < count; i++) {
                chosen[i] = values.at(first + i);
            }
            MemorySegment bytes = MemorySegment.ofArray(new byte[count * tensor.dtype().bytes()]);
            Numbers.encode(chosen, 0, count, bytes, tensor.dtype(), 0);
            writer.write(tensor.name(), first * tensor.dtype().bytes(), bytes);
        });
    }
}
