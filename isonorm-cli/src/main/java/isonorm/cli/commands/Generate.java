package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.convert.LoadedModel;
import isonorm.generate.Generator;
import isonorm.generate.Options;
import isonorm.generate.Sampling;
import isonorm.weights.Model;
import isonorm.words.TextFile;
import java.io.IOException;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm generate}: how a checkpoint continues texts. */
@Command(
        name = "generate",
        description = {
            "Continue a text, or several together; with an encoder beside a decoder (BART, Marian, ...), write about a text.",
            "One is printed as it comes, several under headings at the end. Sampling and beams are defined as in Hugging Face transformers; of an "
                    + "encoder-decoder's generation_config.json, what it says of single tokens and n-grams and of how beams are compared is done."
        },
        footer = {
            "  isonorm generate gpt2/ --prompt \"The meaning of life is\"",
            "  isonorm generate gpt2/ --prompt-file story.txt --max-tokens 500 --temperature 0.8 --top-p 0.95",
            "  isonorm generate gpt2/ --prompt \"Once upon\" --prompt \"Twice\" --stop \".\" --json",
            "  isonorm generate nllb/ --input-text \"Hello\" --first-token fra_Latn --beams 4",
            "  isonorm generate marian/ --input-tokens 21,9,44,0",
            "  isonorm generate whisper-tiny/ --input-features sound.safetensors --prompt \"<|en|><|transcribe|><|notimestamps|>\""
        })
public final class Generate extends CheckpointCommand {

    private static final int HEADING = 76; // characters

    /** A prompt of so many tokens takes longer than starting does. */
    private static final int LONG = 512;

    @Parameters(paramLabel = "CHECKPOINT", description = "A folder, a file in it, or owner/name[@revision] in the Hugging Face cache.")
    private String checkpoint;

    @Option(names = {"-p", "--prompt"}, paramLabel = "TEXT", description = "The text to continue. Several make a batch.")
    private List<String> prompts = List.of();

    @Option(names = "--prompt-file", paramLabel = "FILE", description = "The UTF-8 text to continue, without the line break at its end.")
    private @Nullable Path promptFile;

    @Option(names = "--input-text", paramLabel = "TEXT", description = "The text that an encoder reads. Several make a batch.")
    private List<String> inputTexts = List.of();

    @Option(names = "--input-tokens", paramLabel = "ID,...",
            description = "The same as tokens, or a prompt as such, for checkpoints without a tokenizer.json; tokens are what is printed then. Several make a batch.")
    private List<String> inputTokens = List.of();

    @Option(names = "--input-features", paramLabel = "FILE",
            description = "What an encoder of sounds reads (Whisper, Speech2Text): a safetensors file with input_features, as the model's feature extractor makes them. "
                    + "--prompt or --input-tokens then says what stands behind the token that a text begins with: a language and a task, for instance.")
    private @Nullable Path inputFeatures;

    @Option(names = "--first-token", paramLabel = "TOKEN",
            description = "What is written begins with this token, a text or an id, such as the language to translate into. Default: forced_bos_token_id of an "
                    + "encoder-decoder's generation_config.json.")
    private @Nullable String firstToken;

    @Option(names = "--beams", paramLabel = "N", defaultValue = "1",
            description = "Follow the N likeliest texts together, and give the best. Default: ${DEFAULT-VALUE}, one token after the other.")
    private int beams;

    @Option(names = {"-n", "--max-tokens"}, paramLabel = "N", defaultValue = "128",
            description = "How many tokens to generate at most. Default: ${DEFAULT-VALUE}.")
    private int maximum;

    @Option(names = "--temperature", paramLabel = "T", defaultValue = "0",
            description = "0 takes the likeliest token, 1 draws from the model's probabilities. Default: ${DEFAULT-VALUE}.")
    private double temperature;

    @Option(names = "--top-k", paramLabel = "N", defaultValue = "0", description = "Draw from the N likeliest tokens. Default: from all.")
    private int topK;

    @Option(names = "--top-p", paramLabel = "P", defaultValue = "1",
            description = "Draw from the likeliest tokens that have the probability P together. Default: from all.")
    private double topP;

    @Option(names = "--min-p", paramLabel = "P", defaultValue = "0",
            description = "Draw from tokens at least P times as likely as the likeliest. Default: from all.")
    private double minP;

    @Option(names = "--repetition-penalty", paramLabel = "R", defaultValue = "1",
            description = "Divide the logits of tokens that were there already by R. Default: 1, no penalty.")
    private double repetitionPenalty;

    @Option(names = "--seed", paramLabel = "S", description = "What draws begin with; the same draws the same. Default: another each time.")
    private @Nullable Long seed;

    @Option(names = "--stop", paramLabel = "TEXT", description = "End in front of this text. May be given several times.")
    private List<String> stops = List.of();

    @Option(names = "--ignore-end", description = "Go on where the model ends the text.")
    private boolean ignoreEnd;

    @Option(names = "--echo", description = "Print the prompt in front of what was generated.")
    private boolean echo;

    @Option(names = "--bos", paramLabel = "WHEN", defaultValue = "auto", converter = Choice.Beginning.class, description = Beginnings.HELP)
    private String bos;

    @Option(names = "--compute", paramLabel = "TYPE", converter = Choice.Weights.class,
            description = "What to keep weights in: f32, bf16 or f16, or q8 or q4, 8 or 4 bits in groups, rounded on loading. Default: what they are stored in.")
    private @Nullable String compute;

    @Option(names = "--threads", paramLabel = "N", description = "How many threads work. Default: one for each processor.")
    private @Nullable Integer threads;

    public Generate(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        int ways = (prompts.isEmpty() ? 0 : 1) + (promptFile == null ? 0 : 1) + (inputTexts.isEmpty() ? 0 : 1) + (inputTokens.isEmpty() ? 0 : 1);
        if (inputFeatures != null && (ways > 1 || !inputTexts.isEmpty() || promptFile != null || prompts.size() > 1 || inputTokens.size() > 1)) {
            throw wrongUsage("beside --input-features stands --prompt or --input-tokens, once, which says what a text about each sound begins with");
        }
        if (inputFeatures != null && echo) {
            throw wrongUsage("--echo prints a prompt, and beside --input-features there is none; leave it out");
        }
        if (inputFeatures == null && ways != 1) {
            throw wrongUsage(ways == 0 ? "give a text to continue: --prompt TEXT or --prompt-file FILE; or, for an encoder-decoder, --input-text TEXT,"
                    + " --input-tokens ID,... or --input-features FILE" : "--prompt, --prompt-file, --input-text and --input-tokens exclude each other");
        }
        if (!inputTokens.isEmpty() && (!stops.isEmpty() || echo)) {
            throw wrongUsage("--stop and --echo are about texts, and --input-tokens gives none; leave them out");
        }
        if (beams > 1 && temperature > 0) {
            throw wrongUsage("--beams follows the likeliest texts and draws nothing; leave out --temperature");
        }
        if (temperature == 0 && (topK > 0 || topP < 1 && topP > 0 || minP > 0)) {
            throw wrongUsage((topK > 0 ? "--top-k" : minP > 0 ? "--min-p" : "--top-p") + " says what is drawn from, and without --temperature the likeliest token is taken;"
                    + " give --temperature 1, or leave it out");
        }
        List<long[]> tokens = inputTokens.stream().map(this::ids).toList();
        if (maximum < 1 || threads != null && threads < 1) {
            throw wrongUsage("--max-tokens and --threads must be 1 or more");
        }
        boolean draws = temperature > 0;
        long drawn = seed != null ? seed : new SecureRandom().nextInt(Integer.MAX_VALUE);
        Options options;
        try {
            options = new Options(maximum, new Sampling(temperature, topK, topP, minP, repetitionPenalty, drawn), stops, ignoreEnd,
                    Beginnings.named(bos), beams, OptionalLong.empty());
        } catch (IllegalArgumentException e) {
            throw wrongUsage(String.valueOf(e.getMessage()));
        }
        Precision precision = Precision.of(open(checkpoint), compute);
        LoadedModel model = precision.model();
        if (inputFeatures == null) {
            Continued.requirePrediction(model);
        } else {
            Generator.requireSounds(model);
        }
        boolean encodes = inputFeatures != null || requireWay(Model.of(model.model()).architecture());
        if (!quiet && !json && !draws && repetitionPenalty == 1) {
            model.checkpoint().generationConfig().flatMap(config -> SamplingDefaults.remark(config, encodes)).ifPresent(console.err()::println);
        }
        List<String> texts = !inputTexts.isEmpty() ? inputTexts : promptFile == null ? prompts : List.of(TextFile.read(promptFile).replaceFirst("\\R\\z", ""));
        String type = precision.label();
        int workers = threads != null ? threads : Runtime.getRuntime().availableProcessors();
        announceEngine();
        ObjectNode result = Json.object();
        result.put("checkpoint", checkpoint);
        result.put("compute", type);
        result.put("threads", workers);
        if (draws) {
            result.put("seed", drawn);
        }
        if (inputFeatures != null) {
            String beginning = prompts.isEmpty() ? "" : prompts.getFirst();
            long[] behind = tokens.isEmpty() ? new long[0] : tokens.getFirst();
            boolean asText = Continued.hasTokenizer(model);
            result.setAll(Continued.sounds(model, precision.compute(), workers, inputFeatures, beginning, behind, options, Optional.ofNullable(firstToken),
                    Generator.Listener.NONE));
            warnOfPositions(checkpoint, model, longest(result, false));
            return tell(result, asText);
        }
        if (!tokens.isEmpty()) {
            result.setAll(Continued.tokens(model, precision.compute(), workers, tokens, options, Optional.ofNullable(firstToken)));
            return tell(result, false);
        }
        boolean streams = !json && texts.size() == 1;
        long[] pieces = {0};
        try (ProgressBar progress = ProgressBar.on(console, json || quiet || streams)) {
            long most = (long) texts.size() * maximum;
            result.setAll(Continued.texts(model, precision.compute(), workers, texts, options, Optional.ofNullable(firstToken), (_, piece) -> {
                if (streams) {
                    write((pieces[0]++ == 0 && echo ? texts.getFirst() : "") + piece);
                } else {
                    progress.step("generating in " + type, ++pieces[0], most);
                }
            }));
        } catch (ClosedOutput _) {
            return FAILED; // whoever read it, head for instance, has gone
        }
        warnOfPositions(checkpoint, model, longest(result, encodes));
        if (json) {
            console.json(result);
            return DONE;
        }
        if (streams) {
            console.out().println(pieces[0] == 0 && echo ? texts.getFirst() : "");
        } else {
            print(result.path("rows"));
        }
        if (!quiet) {
            console.out().flush();
            console.err().println(speed(result));
        }
        return DONE;
    }

    private long[] ids(String list) {
        try {
            return Arrays.stream(list.strip().split("\\s*,\\s*")).mapToLong(Long::parseLong).toArray();
        } catch (NumberFormatException e) {
            throw wrongUsage("--input-tokens must be ids with commas between them, such as 21,9,44, got " + list);
        }
    }

    /** Whether what is given is read by an encoder. */
    private boolean requireWay(Architecture architecture) {
        boolean encodes = architecture.companion().filter(Companion.Encoder.class::isInstance).isPresent();
        if (encodes && inputTexts.isEmpty() && inputTokens.isEmpty()) {
            throw new IllegalArgumentException("this " + architecture.family() + " model writes about a text that its encoder reads; give --input-text TEXT or"
                    + " --input-tokens ID,... in place of a prompt");
        }
        if (!encodes && !inputTexts.isEmpty()) {
            throw new IllegalArgumentException("this " + architecture.family() + " model has no encoder and continues a text; give --prompt in place of --input-text");
        }
        return encodes;
    }

    /** How many tokens the longest text of a decoder has. */
    private static int longest(JsonNode result, boolean encodes) {
        int longest = 0;
        for (JsonNode row : result.path("rows")) {
            longest = Math.max(longest, (encodes ? 1 : row.path("prompt_tokens").asInt()) + row.path("ids").size());
        }
        return longest;
    }

    /** A line each: texts, or tokens. */
    private int tell(ObjectNode result, boolean asText) {
        if (json) {
            console.json(result);
            return DONE;
        }
        for (JsonNode row : result.path("rows")) {
            console.out().println(asText ? row.path("text").asText() : StreamSupport.stream(row.path("ids").spliterator(), false).map(JsonNode::asText).collect(Collectors.joining(",")));
        }
        if (!quiet) {
            console.out().flush();
            console.err().println(speed(result));
        }
        return DONE;
    }


    /** Where nobody reads any more, nothing more is generated. */
    private void write(String text) throws ClosedOutput {
        console.out().print(text);
        if (console.out().checkError()) {
            throw new ClosedOutput();
        }
    }

    private void print(JsonNode rows) {
        for (int row = 0; row < rows.size(); row++) {
            String prompt = rows.path(row).path("prompt").asText();
            String line = (row + 1) + ": " + prompt.strip().replaceAll("\\s*\\R\\s*", " ");
            console.out().println(console.bold(line.length() > HEADING ? line.substring(0, HEADING) + "..." : line));
            console.out().println((echo ? prompt : "") + rows.path(row).path("text").asText());
            console.out().println();
        }
    }

    private static String speed(JsonNode result) {
        StringBuilder line = new StringBuilder("prompt ").append(reading(result))
                .append(result.path("beginning").isEmpty() ? "" : ", " + Beginnings.named(result)).append("; generated ").append(rate(result, "generated"));
        if (result.has("seed")) {
            line.append("; seed ").append(result.path("seed"));
        }
        if (result.path("rows").findValuesAsText("ending").contains("context")) {
            line.append("; the context is full");
        }
        return line.toString();
    }

    /** What is read first is read while the program still starts, so of a short prompt it says how long that took, and no rate. */
    private static String reading(JsonNode result) {
        return result.path("prompt_tokens").asLong() >= LONG ? rate(result, "prompt") : Table.count(result.path("prompt_tokens").asLong(), "token")
                + String.format(Locale.ROOT, " in %.2f s", result.path("prompt_seconds").asDouble());
    }

    private static String rate(JsonNode result, String what) {
        String tokens = Table.count(result.path(what + "_tokens").asLong(), "token");
        String rate = what + "_tokens_per_second";
        return result.has(rate) ? tokens + String.format(Locale.ROOT, ", %,.1f tokens/s", result.path(rate).asDouble()) : tokens;
    }

    /** Nobody reads what is printed. */
    private static final class ClosedOutput extends IOException {
        private static final long serialVersionUID = 1L;
    }
}
