package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.checkpoint.TensorInfo;
import isonorm.cli.report.OutputFile;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.convert.LoadedModel;
import isonorm.embed.Pooling;
import isonorm.embed.SentenceEmbedder;
import isonorm.embed.SentenceSettings;
import isonorm.model.Compute;
import isonorm.weights.Numbers;
import isonorm.words.TextFile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm embed}: the embeddings of sentences. */
@Command(
        name = "embed",
        description = {
            "Embed sentences with an encoder (BERT, RoBERTa, ModernBERT, ...), as sentence-transformers does.",
            "Each line of FILE is a text, whose tokens' last hidden states are pooled. How, whether embeddings get length 1, and how many tokens of a "
                    + "text are read, modules.json and the files it names say where they are beside the checkpoint. "
                    + "OUT gets embeddings (texts x width), F64 when computed in f64, else F32."
        },
        footer = {
            "  isonorm embed all-MiniLM-L6-v2/ --text sentences.txt --output out.safetensors",
            "  isonorm embed bert/ --text sentences.txt --pooling cls --normalize --json"
        })
public final class Embed extends CheckpointCommand {

    /** So many lines are embedded before they are written: memory does not grow with the file. */
    private static final int LINES = 1024;

    private static final String NAME = "embeddings";

    @Parameters(paramLabel = "CHECKPOINT", description = "A folder, a file in it, or owner/name[@revision] in the Hugging Face cache.")
    private String checkpoint;

    @Option(names = "--text", paramLabel = "FILE", required = true, description = "The UTF-8 text, a sentence a line; empty lines are texts too.")
    private Path text;

    @Option(names = "--output", paramLabel = "OUT", description = "The safetensors file to write. With --json it may be left out, and embeddings are printed.")
    private @Nullable Path output;

    @Option(names = "--pooling", paramLabel = "HOW", converter = Choice.Poolings.class,
            description = "mean of all tokens, or cls, the first. Default: what the checkpoint's files say, else mean.")
    private @Nullable Pooling pooling;

    @Option(names = "--normalize", description = "Give embeddings length 1, whether the checkpoint's files say so or not.")
    private boolean normalize;

    @Option(names = "--compute", paramLabel = "TYPE", defaultValue = "f32", converter = Choice.Computes.class,
            description = "The type to compute in: f64, f32 or bf16. Default: ${DEFAULT-VALUE}.")
    private String compute;

    @Option(names = "--overwrite", description = "Replace OUT if it exists.")
    private boolean overwrite;

    public Embed(Console console) {
        super(console);
    }

    /** What was read. */
    private record Counted(long tokens, int cut) {}

    @Override
    public Integer call() throws IOException {
        if (output == null && !json) {
            throw wrongUsage("--output says where embeddings go; or print them with --json");
        }
        LoadedModel model = open(checkpoint);
        if (output != null) {
            if (Files.exists(output) && !overwrite) {
                throw new IOException(output + " exists already; replace it with --overwrite");
            }
            OutputFile.require(output);
        }
        List<String> lines = TextFile.read(text).lines().toList();
        SentenceSettings settings = SentenceSettings.read(model.checkpoint().folder());
        settings = pooling != null ? settings.withPooling(pooling) : settings;
        announceEngine();
        ObjectNode result = Json.object();
        try (SentenceEmbedder embedder = SentenceEmbedder.open(model, normalize ? settings.normalized() : settings, Compute.named(compute))) {
            long start = System.nanoTime();
            Counted counted = output != null ? write(embedder, lines, output) : put(embedder, lines, result.putArray(NAME));
            describe(result, embedder, lines.size(), counted, (System.nanoTime() - start) / 1e9);
        }
        if (json) {
            console.json(result);
        } else {
            print(result);
        }
        return DONE;
    }

    private void describe(ObjectNode result, SentenceEmbedder embedder, int texts, Counted counted, double seconds) {
        result.put("checkpoint", checkpoint);
        result.put("text", text.toString());
        result.put("compute", compute);
        result.put("pooling", embedder.settings().pooling().orElse(Pooling.MEAN).label());
        result.put("normalized", embedder.settings().normalizes());
        result.put("texts", texts);
        result.put("width", embedder.width());
        result.put("tokens", counted.tokens());
        result.put("longest", embedder.longest());
        result.put("cut", counted.cut());
        result.put("seconds", seconds);
        if (output != null) {
            result.put("file", output.toString());
        }
    }

    /** Gets embeddings in the lines' order. */
    @FunctionalInterface
    private interface Taker {
        void take(int line, double[] embedding) throws IOException;
    }

    private Counted each(SentenceEmbedder embedder, List<String> lines, Taker taker) throws IOException {
        long tokens = 0;
        int cut = 0;
        try (ProgressBar progress = progress()) {
            for (int first = 0; first < lines.size(); first += LINES) {
                int before = first;
                int line = first;
                for (SentenceEmbedder.Embedded one : embedder.embed(lines.subList(first, Math.min(first + LINES, lines.size())),
                        (what, done, _) -> progress.step(what + " in " + compute, (long) before + done, lines.size()))) {
                    tokens += one.tokens();
                    cut += one.cut() ? 1 : 0;
                    taker.take(line++, one.vector());
                }
            }
        }
        return new Counted(tokens, cut);
    }

    private Counted put(SentenceEmbedder embedder, List<String> lines, ArrayNode embeddings) throws IOException {
        boolean exact = compute.equals("f64");
        return each(embedder, lines, (_, vector) -> {
            ArrayNode values = embeddings.addArray();
            for (double value : vector) {
                if (exact) {
                    values.add(value);
                } else {
                    values.add((float) value);
                }
            }
        });
    }

    private Counted write(SentenceEmbedder embedder, List<String> lines, Path file) throws IOException {
        Dtype dtype = compute.equals("f64") ? Dtype.F64 : Dtype.F32;
        int width = embedder.width();
        TensorInfo info = new TensorInfo(NAME, dtype, List.of((long) lines.size(), (long) width));
        Counted[] counted = new Counted[1];
        OutputFile.write(file, temporary -> {
            try (SafetensorsWriter writer = SafetensorsWriter.create(temporary, List.of(info), Map.of("format", "pt", "compute", compute));
                    Arena arena = Arena.ofConfined()) {
                MemorySegment row = arena.allocate((long) width * dtype.bytes());
                counted[0] = each(embedder, lines, (line, vector) -> {
                    Numbers.encode(vector, 0, width, row, dtype, 0);
                    writer.write(NAME, (long) line * width * dtype.bytes(), row);
                });
            }
        });
        return counted[0];
    }

    private void print(JsonNode result) {
        console.out().println(console.bold(NAME) + " " + result.path("texts").asText() + " x " + result.path("width").asText() + " in "
                + result.path("file").asText() + ", computed in " + compute);
        console.out().println();
        Table.ofFacts()
                .row("pooling", result.path("pooling").asText() + (result.path("normalized").asBoolean() ? ", of length 1" : ""))
                .row("tokens", Table.count(result.path("tokens").asLong()) + ", of a text " + Table.count(result.path("longest").asLong()) + " at most, "
                        + (result.path("cut").asInt() == 0 ? "none was cut" : Table.count(result.path("cut").asLong(), "text") + " cut"))
                .row("time", String.format(Locale.ROOT, "%.2f s, ", result.path("seconds").asDouble())
                        + Table.count(Math.round(result.path("texts").asLong() / result.path("seconds").asDouble())) + " texts/s")
                .print(console.out());
    }
}
