package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.cli.terminal.Json;
import isonorm.convert.LoadedModel;
import isonorm.generate.Generated;
import isonorm.generate.GeneratedTokens;
import isonorm.generate.Generator;
import isonorm.generate.Options;
import isonorm.inference.Inference;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.text.Tokenizer;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** Texts that a model continued, as JSON. Apart from the command, so that listing commands loads nothing of the engine. */
final class Continued {

    private Continued() {}

    /** Whatever can be wrong with the model or the prompts is found before the weights are loaded. */
    static ObjectNode texts(
            LoadedModel model, Compute compute, int threads, List<String> prompts, Options wanted, Optional<String> first, Generator.Listener listener) throws IOException {
        requirePrediction(model);
        try (Tokenizer tokenizer = Tokenizer.open(model.checkpoint().folder().resolve("tokenizer.json"))) {
            Options options = first.isPresent() ? wanted.first(id(first.get(), Optional.of(tokenizer))) : wanted;
            Generator.tokens(prompts, tokenizer, options.beginning(), model);
            try (Inference inference = Inference.load(model.model(), compute, threads)) {
                ObjectNode result = json(prompts, Generator.of(inference, tokenizer, model).generate(prompts, options, listener));
                if (!encodes(model)) {
                    Beginnings.put(result, tokenizer.beginning(options.beginning()));
                }
                return result;
            }
        }
    }

    /** The same of tokens, without a tokenizer. */
    static ObjectNode tokens(LoadedModel model, Compute compute, int threads, List<long[]> read, Options wanted, Optional<String> first) throws IOException {
        requirePrediction(model);
        Options options = first.isPresent() ? wanted.first(id(first.get(), Optional.empty())) : wanted;
        try (Inference inference = Inference.load(model.model(), compute, threads)) {
            GeneratedTokens tokens = Generator.generateTokens(inference, model, read, options);
            ObjectNode result = speeds(tokens);
            ArrayNode rows = result.putArray("rows");
            for (int i = 0; i < read.size(); i++) {
                ObjectNode one = rows.addObject();
                Arrays.stream(read.get(i)).forEach(one.putArray("input_ids")::add);
                row(tokens.rows().get(i), one);
            }
            return result;
        }
    }

    /**
     * The same about the sounds of a file: as texts where there is a tokenizer, and as tokens.
     *
     * @param beginning what stands behind the token that a text begins with: a text, or tokens where {@code behind} has any
     */
    static ObjectNode sounds(LoadedModel model, Compute compute, int threads, Path features, String beginning, long[] behind, Options wanted, Optional<String> first,
            Generator.Listener listener) throws IOException {
        Generator.requireSounds(model);
        Architecture encoder = Model.of(model.model()).architecture().companion().orElseThrow().architecture();
        Batch.Sounds sounds = ForwardFiles.sounds(features, (Embedding.Sound) encoder.embedding());
        Generator.start(model);
        if (!hasTokenizer(model)) {
            if (!beginning.isEmpty() || !wanted.stops().isEmpty()) {
                throw new IOException(model.checkpoint().folder() + " has no tokenizer.json, which --prompt and --stop need; give --input-tokens ID,... in place of a prompt");
            }
            Options options = first.isPresent() ? wanted.first(id(first.get(), Optional.empty())) : wanted;
            try (Inference inference = Inference.load(model.model(), compute, threads)) {
                GeneratedTokens tokens = Generator.generateAbout(inference, model, sounds, behind, options);
                ObjectNode result = speeds(tokens);
                ArrayNode rows = result.putArray("rows");
                tokens.rows().forEach(each -> row(each, rows.addObject()));
                return result;
            }
        }
        try (Tokenizer tokenizer = Tokenizer.open(model.checkpoint().folder().resolve("tokenizer.json"))) {
            Options options = first.isPresent() ? wanted.first(id(first.get(), Optional.of(tokenizer))) : wanted;
            long[] begun = beginning.isEmpty() ? behind : tokenizer.ids(beginning);
            try (Inference inference = Inference.load(model.model(), compute, threads)) {
                Generated generated = Generator.generateAbout(inference, model, tokenizer, sounds, begun, options, listener);
                ObjectNode result = speeds(generated.tokens());
                ArrayNode rows = result.putArray("rows");
                for (int i = 0; i < sounds.count(); i++) {
                    ObjectNode one = rows.addObject();
                    one.put("text", generated.texts().get(i));
                    row(generated.tokens().rows().get(i), one);
                }
                return result;
            }
        }
    }

    static boolean hasTokenizer(LoadedModel model) {
        return Files.exists(model.checkpoint().folder().resolve("tokenizer.json"));
    }

    private static boolean encodes(LoadedModel model) {
        return Model.of(model.model()).architecture().companion().filter(Companion.Encoder.class::isInstance).isPresent();
    }

    /** Refuses a model that writes nothing, or nothing about a text. */
    static void requirePrediction(LoadedModel model) {
        Architecture architecture = Model.of(model.model()).architecture();
        if (!encodes(model) || !(architecture.output() instanceof Output.Words)) {
            Verification.requirePrediction(model.model(), 1);
        } else {
            Generator.requireTexts(model);
        }
    }

    /** The id of a token, which is given as that or as its text. */
    private static long id(String token, Optional<Tokenizer> tokenizer) throws IOException {
        if (token.matches("\\d{1,9}")) {
            return Long.parseLong(token);
        }
        long[] ids = tokenizer.isPresent() ? tokenizer.get().ids(token) : new long[0];
        if (ids.length != 1) {
            throw new IllegalArgumentException("--first-token must be one token's text or its id, got " + token + ", which is " + (tokenizer.isPresent()
                    ? ids.length + " tokens" : "no id, and there is no tokenizer beside --input-tokens"));
        }
        return ids[0];
    }

    private static ObjectNode speeds(GeneratedTokens tokens) {
        ObjectNode result = Json.object();
        put(result, "prompt", tokens.read(), tokens.reading().isZero() ? 0 : tokens.read(), tokens.reading());
        // Each row's first token came with its prompt.
        put(result, "generated", tokens.written(), tokens.written() - tokens.rows().size(), tokens.writing());
        return result;
    }

    private static void row(GeneratedTokens.Row row, ObjectNode into) {
        into.put("ending", row.ending().name().toLowerCase(Locale.ROOT));
        into.put("prompt_tokens", row.prompt());
        ArrayNode ids = into.putArray("ids");
        Arrays.stream(row.ids()).forEach(ids::add);
    }

    private static ObjectNode json(List<String> prompts, Generated generated) {
        GeneratedTokens tokens = generated.tokens();
        ObjectNode result = speeds(tokens);
        ArrayNode rows = result.putArray("rows");
        for (int i = 0; i < prompts.size(); i++) {
            ObjectNode one = rows.addObject();
            one.put("prompt", prompts.get(i));
            one.put("text", generated.texts().get(i));
            row(tokens.rows().get(i), one);
        }
        return result;
    }

    private static void put(ObjectNode result, String what, long tokens, long timed, Duration time) {
        double seconds = time.toNanos() / 1e9;
        result.put(what + "_tokens", tokens);
        result.put(what + "_seconds", seconds);
        if (timed > 0) {
            result.put(what + "_tokens_per_second", timed / seconds);
        }
    }
}
