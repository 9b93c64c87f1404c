package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Json;
import isonorm.convert.Comparison;
import isonorm.convert.Evidence;
import java.util.Locale;

/** What was compared, as JSON and in words. */
final class Equality {

    /** Up to so many times one rounding is said to be as far; only compressed streams may be equal and farther. */
    private static final double AS_FAR = 2;

    private Equality() {}

    /** A comparison of two models. */
    static void put(ObjectNode json, Comparison comparison) {
        json.put("compared", comparison.compared());
        json.put("positions", comparison.positions());
        json.put("output_deviation", comparison.outputDeviation());
        putErrors(json, comparison);
        Json.put(json, "perplexity_a", comparison.perplexityA());
        Json.put(json, "perplexity_b", comparison.perplexityB());
    }

    private static void putErrors(ObjectNode json, Comparison comparison) {
        Json.put(json, "largest_error", comparison.largestError());
        Json.put(json, "rms_error", comparison.rootMeanSquareError());
        Json.put(json, "mean_error", comparison.meanError());
        Json.put(json, "kl", comparison.kl());
        Json.put(json, "top1_agreement", comparison.top1Agreement());
    }

    /** How far errors may go, and what one rounding makes of the original where that says it. */
    static void putLimits(ObjectNode json, Evidence evidence) {
        json.put("tolerance", evidence.limits().largestError());
        Json.put(json, "rms_tolerance", evidence.limits().rootMeanSquareError());
        Json.put(json, "kl_tolerance", evidence.limits().kl());
        if (evidence.rounding().isPresent()) {
            json.put("rounding", rounding(evidence));
            Json.put(json, "times_rounding", evidence.timesRounding());
            putErrors(json.putObject("original_rounded"), evidence.rounded().orElseThrow());
        }
    }

    /** That models are equal, and up to what. */
    static String words(Evidence evidence) {
        if (evidence.rounding().isEmpty()) {
            return "equal";
        }
        String type = rounding(evidence);
        return evidence.timesRounding() <= AS_FAR
                ? String.format(Locale.ROOT, "equal up to %s rounding: as far from the original as its own rounding to %s (x %.1f)", type, type,
                        evidence.timesRounding())
                : String.format(Locale.ROOT, "equal up to %s rounding, which this form adds up: %.1f times as far from the original as its own rounding"
                        + " to %s; written in f32 (--dtype f32) it is nearer", type, evidence.timesRounding(), type);
    }

    private static String rounding(Evidence evidence) {
        return evidence.rounding().orElseThrow().name().toLowerCase(Locale.ROOT);
    }
}
