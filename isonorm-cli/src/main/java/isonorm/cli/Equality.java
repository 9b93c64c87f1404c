package isonorm.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.convert.Comparison;

/** What was compared, as JSON. */
final class Equality {

    private Equality() {}

    /** A comparison of two models. */
    static void put(ObjectNode json, Comparison comparison) {
        json.put("compared", comparison.compared());
        json.put("positions", comparison.positions());
        json.put("output_deviation", comparison.outputDeviation());
        put(json, "largest_error", comparison.largestError());
        put(json, "mean_error", comparison.meanError());
        put(json, "kl", comparison.kl());
        put(json, "top1_agreement", comparison.top1Agreement());
        put(json, "perplexity_a", comparison.perplexityA());
        put(json, "perplexity_b", comparison.perplexityB());
    }

    /** JSON has no NaN; what was not measured is left out. */
    static void put(ObjectNode json, String name, double value) {
        if (Double.isFinite(value)) {
            json.put(name, value);
        }
    }
}
