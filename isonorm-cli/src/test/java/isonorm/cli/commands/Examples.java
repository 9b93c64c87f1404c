package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.cli.Run;
import isonorm.weights.Seed;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SplittableRandom;
import java.util.stream.Stream;

/** The GPT-2 of the examples, changed. */
final class Examples {

    private static final Path EXAMPLE = Run.HOME.resolve("examples/shakespeare-gpt2");

    private Examples() {}

    /** As if the positions from one on had never been trained: they are what a table begins with. */
    static Path trainedOn(int positions, Path folder) throws IOException {
        Files.createDirectories(folder);
        try (Stream<Path> files = Files.list(EXAMPLE)) {
            for (Path file : files.toList()) {
                Files.copy(file, folder.resolve(file.getFileName()));
            }
        }
        Path weights = folder.resolve("model.safetensors");
        ByteBuffer file = ByteBuffer.wrap(Files.readAllBytes(weights)).order(ByteOrder.LITTLE_ENDIAN);
        int header = Math.toIntExact(file.getLong(0));
        JsonNode table = new ObjectMapper().readTree(new String(file.array(), Long.BYTES, header, StandardCharsets.UTF_8)).path("transformer.wpe.weight");
        int begin = Long.BYTES + header + table.path("data_offsets").get(0).asInt();
        int end = Long.BYTES + header + table.path("data_offsets").get(1).asInt();
        SplittableRandom random = Seed.of(1).random();
        for (int at = begin + positions * table.path("shape").get(1).asInt() * Float.BYTES; at < end; at += Float.BYTES) {
            file.putFloat(at, (float) (0.02 * random.nextGaussian()));
        }
        Files.write(weights, file.array());
        return folder;
    }
}
