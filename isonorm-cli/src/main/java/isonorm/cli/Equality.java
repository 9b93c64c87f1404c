package isonorm.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Plan;
import isonorm.convert.Verifier;
import isonorm.family.LoadedModel;
import isonorm.layer.Tolerance;
import isonorm.tensor.Compute;
import isonorm.verify.Comparison;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import isonorm.weights.Progress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;

/** Measures how equal two models are, with the engine. */
final class Equality implements Verifier {

    /** Above it only float64 is run by default: each further row of the table is two more passes through all weights. */
    private static final long MANY_PARAMETERS = 400_000_000;

    private final Progress progress;
    private final Optional<TokenizedText> text;

    private Equality(Progress progress, Optional<TokenizedText> text) {
        this.progress = progress;
        this.text = text;
    }

    /** On the engine's own inputs, always the same. */
    static Equality measured(Progress progress) {
        return new Equality(progress, Optional.empty());
    }

    /** On a text, as the tokenizer splits it. */
    static Equality onText(Path tokenizer, Path text, int window, long tokens, Progress progress) throws IOException {
        return new Equality(progress, Optional.of(TokenizedText.read(tokenizer, text, window, tokens)));
    }

    /**
     * Runs the converted model in float64 and float32 against the original in float64; and the original in its own type against
     * itself in float64, which shows what rounding alone does. The first must be within the tolerance. Where 16-bit weights are
     * written, rounding would hide a wrong rewrite, so the rewritten model is also compared before it is rounded.
     */
    @Override
    public Optional<ObjectNode> verify(Plan plan, LoadedModel result) throws IOException {
        LoadedModel source = plan.source();
        double tolerance = tolerance(Checkpoints.coarsest(result.checkpoint()), "f64");
        Model original = source.model();
        Model converted = result.model();
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        ArrayNode rows = JsonNodeFactory.instance.arrayNode();
        if (Checkpoints.coarsest(result.checkpoint()).bytes() < Dtype.F32.bytes()) {
            Comparison rewritten = compare("verifying before rounding", original, plan.result(), Compute.F64, Compute.F64);
            rows.add(row("before rounding", Compute.F64, rewritten));
            requireEqual(rewritten, Tolerance.REWRITTEN_F64, "the rewritten model, before rounding,");
        }
        Comparison exact = compare("verifying in f64", original, converted, Compute.F64, Compute.F64);
        json.put("reference", "original, f64");
        describe(json, exact);
        json.put("tolerance", tolerance);
        rows.add(row("converted", Compute.F64, exact));
        requireEqual(exact, tolerance, "the converted model");
        if (original.architecture().parameterCount() <= MANY_PARAMETERS) {
            Compute stored = stored(source);
            rows.add(row("converted", Compute.F32, compare("verifying in f32", original, converted, Compute.F64, Compute.F32)));
            rows.add(row("original", stored, compare("the original in " + stored.label(), original, original, Compute.F64, stored)));
        }
        json.set("comparisons", rows);
        return Optional.of(json);
    }

    private static void requireEqual(Comparison comparison, double tolerance, String what) throws IOException {
        if (!comparison.within(tolerance)) {
            throw new IOException(String.format(Locale.ROOT, "%s is not equal to the original: the largest error of its %s is %.3g of their"
                    + " standard deviation, computed in f64, and the tolerance is %.1g; nothing was written",
                    what, comparison.compared(), comparison.largestError(), tolerance));
        }
    }

    /** Compares B with A, both computed in one type. */
    ObjectNode compare(LoadedModel a, LoadedModel b, String compute, double tolerance) throws IOException {
        Compute type = Compute.named(compute);
        Comparison comparison = compare("verifying in " + compute, a.model(), b.model(), type, type);
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("compute", compute);
        describe(json, comparison);
        measurements(json, comparison);
        json.put("tolerance", tolerance);
        json.put("equal", comparison.within(tolerance));
        return json;
    }

    private Comparison compare(String what, Model a, Model b, Compute ofA, Compute ofB) throws IOException {
        Verification verification = Verification.of(a, b).compute(ofA, ofB);
        if (text.isPresent()) {
            verification = verification.withText(text.get());
        }
        return verification.run((_, done, total) -> progress.step(what, done, total));
    }

    private void describe(ObjectNode json, Comparison comparison) {
        json.put("compared", comparison.compared());
        json.put("positions", comparison.positions());
        json.put("output_deviation", comparison.outputDeviation());
        text.ifPresent(words -> json.put("window", words.window()));
    }

    private static ObjectNode row(String model, Compute compute, Comparison comparison) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("model", model);
        json.put("compute", compute.label());
        measurements(json, comparison);
        return json;
    }

    private static void measurements(ObjectNode json, Comparison comparison) {
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

    private static Compute stored(LoadedModel source) throws IOException {
        return switch (Checkpoints.coarsest(source.checkpoint())) {
            case F64, F32 -> Compute.F32;
            case F16 -> Compute.F16;
            default -> Compute.BF16;
        };
    }

    /** How large the largest error may be when weights were rounded to {@code stored} and outputs computed in {@code compute}. */
    static double tolerance(Dtype stored, String compute) {
        double written = Tolerance.written(stored);
        return compute.equals("f64") ? written : Math.max(written, Tolerance.original(Compute.named(compute)));
    }
}
