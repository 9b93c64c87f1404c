package isonorm.train;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.data.Yaml;
import isonorm.mutation.CleanLine;
import isonorm.mutation.Mutations;
import isonorm.mutation.Mutator;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whatever the files of a run hold, they are read or refused. */
class RunMutationTest {

    @TempDir
    Path folder;

    @Test
    void configurations() throws IOException {
        List<byte[]> valid = List.of("""
                # a run
                out: x
                steps: 20
                model: {preset: gpt2, width: 16, heads: 2, blocks: 2}
                data.path: tokens
                strategy: peri-ln
                rate: 3e-4
                blocks:
                  0-1: {placement: pre, norm: rms}
                """.getBytes(StandardCharsets.UTF_8), """
                out: 'a b'
                eval:
                  every: 10
                dtype: bf16
                grid:
                  strategy: [pre-ln, pre-rmsnorm]
                  rate: [1e-3, 3e-4]
                """.getBytes(StandardCharsets.UTF_8));
        Mutations.run("YAML", 2000, valid, Mutator::text, input -> {
            Yaml yaml = Yaml.parse(new String(input, StandardCharsets.UTF_8), "x.yaml");
            try {
                Configuration.of(yaml.values()).run();
            } catch (IllegalArgumentException e) {
                if (CleanLine.complaint(e.getMessage()).isPresent()) {
                    throw e;
                }
            }
        });
    }

    /** With its hash made again for every second one, so that more than the hash is looked at. */
    @Test
    void whatACheckpointSaysOfItself() throws IOException {
        Path run = folder.resolve("run");
        TrainingRun told = TrainingRun.in(run).withSize(8, 1, 1).withBatch(1).withSequence(4).withSteps(2).withEvaluation(0, 1);
        try (Trainer trainer = Trainer.begin(told, new Trainer.Watcher() {})) {
            trainer.run();
        }
        Path checkpoint = RunCheckpoints.all(run).getFirst();
        Path file = checkpoint.resolve("trainer.json");
        ObjectMapper mapper = new ObjectMapper();
        Mutations.Change change = (valid, others, random) -> hashed(mapper, Mutator.json(valid, others, random), random);
        Mutations.run("trainer.json", 1000, List.of(Files.readAllBytes(file)), change, input -> {
            Files.write(file, input);
            RunCheckpoints.position(checkpoint);
        });
    }

    private static byte[] hashed(ObjectMapper mapper, byte[] changed, SplittableRandom random) {
        try {
            if (random.nextBoolean() && mapper.readTree(changed) instanceof ObjectNode json && json.remove("sha256") instanceof ObjectNode hashes) {
                hashes.put("position", Fingerprint.sha256(json.toString()));
                json.set("sha256", hashes);
                return mapper.writeValueAsBytes(json);
            }
        } catch (IOException e) {
            return changed; // no JSON any more
        }
        return changed;
    }
}
