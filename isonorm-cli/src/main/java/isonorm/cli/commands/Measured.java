package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Json;
import isonorm.depth.Sensitivity;
import isonorm.score.Accuracy;
import isonorm.score.Answered;
import isonorm.verify.Likelihood;
import isonorm.verify.TokenizedText;
import java.util.List;

/** What eval and score measured, as JSON. Apart from the commands, so that listing them loads nothing of the engine. */
final class Measured {

    private Measured() {}

    static ObjectNode likelihood(TokenizedText words, Likelihood likelihood, double seconds) {
        ObjectNode result = Json.object();
        result.put("window", words.window());
        result.put("stride", words.stride());
        result.put("tokens", words.ids().length);
        result.put("predicted_tokens", likelihood.predicted());
        result.put("predicted_bytes", likelihood.bytes());
        Json.put(result, "perplexity", likelihood.perplexity());
        Json.put(result, "nats_per_token", likelihood.nats());
        Json.put(result, "bits_per_byte", likelihood.bitsPerByte());
        result.put("seconds", seconds);
        result.put("tokens_per_second", likelihood.predicted() / seconds);
        return result;
    }

    static Sensitivity.Accuracy right(List<Answered> answered) {
        return new Sensitivity.Accuracy(Accuracy.of(answered, Answered::chosen).value(), Accuracy.of(answered, Answered::chosenByLength).value());
    }

    static ObjectNode accuracy(List<Answered> answered) {
        Accuracy accuracy = Accuracy.of(answered, Answered::chosen);
        Accuracy normalized = Accuracy.of(answered, Answered::chosenByLength);
        ObjectNode result = Json.object();
        result.put("questions", answered.size());
        result.put("choices", answered.stream().mapToLong(one -> one.logLikelihoods().size()).sum());
        result.put("accuracy", accuracy.value());
        Json.put(result, "accuracy_standard_error", accuracy.standardError());
        result.put("normalized_accuracy", normalized.value());
        Json.put(result, "normalized_accuracy_standard_error", normalized.standardError());
        return result;
    }

    /** The mean of tasks, each counted once; its standard error is that of a sum of what is independent. */
    static ObjectNode mean(JsonNode tasks) {
        ObjectNode mean = Json.object();
        for (String name : List.of("accuracy", "normalized_accuracy")) {
            double sum = 0;
            double squares = 0;
            for (JsonNode task : tasks) {
                sum += task.path(name).asDouble();
                squares += Math.pow(task.path(name + "_standard_error").asDouble(Double.NaN), 2);
            }
            mean.put(name, sum / tasks.size());
            Json.put(mean, name + "_standard_error", Math.sqrt(squares) / tasks.size());
        }
        return mean;
    }
}
