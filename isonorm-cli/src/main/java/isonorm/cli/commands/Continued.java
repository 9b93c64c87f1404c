package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Json;
import isonorm.convert.LoadedModel;
import isonorm.generate.Generated;
import isonorm.generate.GeneratedTokens;
import isonorm.generate.Generator;
import isonorm.generate.Options;
import isonorm.generate.TextListener;
import isonorm.inference.Inference;
import isonorm.model.Compute;
import isonorm.text.Tokenizer;
import isonorm.verify.Verification;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** Texts that a model continued, as JSON. Apart from the command, so that listing commands loads nothing of the engine. */
final class Continued {

    private Continued() {}

    /** Whatever can be wrong with the model or the prompts is found before the weights are loaded. */
    static ObjectNode texts(LoadedModel model, Compute compute, int threads, List<String> prompts, Options options, TextListener listener)
            throws IOException {
        Verification.requirePrediction(model.model(), 1);
        try (Tokenizer tokenizer = Tokenizer.open(model.checkpoint().folder().resolve("tokenizer.json"))) {
            Generator.tokens(prompts, tokenizer, options.beginning(), model);
            try (Inference inference = Inference.load(model.model(), compute, threads)) {
                ObjectNode result = json(prompts, Generator.of(inference, tokenizer, model).generate(prompts, options, listener));
                Beginnings.put(result, tokenizer.beginning(options.beginning()));
                return result;
            }
        }
    }

    private static ObjectNode json(List<String> prompts, Generated generated) {
        ObjectNode result = Json.object();
        GeneratedTokens tokens = generated.tokens();
        put(result, "prompt", tokens.read(), tokens.read(), tokens.reading());
        // Each row's first token came with its prompt.
        put(result, "generated", tokens.written(), tokens.written() - prompts.size(), tokens.writing());
        ArrayNode rows = result.putArray("rows");
        for (int i = 0; i < prompts.size(); i++) {
            GeneratedTokens.Row row = tokens.rows().get(i);
            ObjectNode one = rows.addObject();
            one.put("prompt", prompts.get(i));
            one.put("text", generated.texts().get(i));
            one.put("ending", row.ending().name().toLowerCase(Locale.ROOT));
            one.put("prompt_tokens", row.prompt());
            ArrayNode ids = one.putArray("ids");
            Arrays.stream(row.ids()).forEach(ids::add);
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
