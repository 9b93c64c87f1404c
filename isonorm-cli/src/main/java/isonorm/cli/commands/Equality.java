package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Json;
import isonorm.convert.Comparison;

/** What was compared, as JSON. */
final class Equality {

    private Equality() {}

    /** A comparison of two models. */
    static void put(ObjectNode json, Comparison comparison) {
        json.put("compared", comparison.compared());
        json.put("positions", comparison.positions());
        json.put("output_deviation", comparison.outputDeviation());
        Json.put(json, "largest_error", comparison.largestError());
        Json.put(json, "mean_error", comparison.meanError());
        Json.put(json, "kl", comparison.kl());
        Json.put(json, "top1_agreement", comparison.top1Agreement());
        Json.put(json, "perplexity_a", comparison.perplexityA());
        Json.put(json, "perplexity_b", comparison.perplexityB());
    }
}
