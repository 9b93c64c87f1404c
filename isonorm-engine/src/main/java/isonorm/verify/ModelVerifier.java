package isonorm.verify;

import isonorm.checkpoint.Dtype;
import isonorm.convert.Comparison;
import isonorm.convert.Evidence;
import isonorm.convert.Evidence.Measured;
import isonorm.convert.Evidence.Subject;
import isonorm.convert.LoadedModel;
import isonorm.convert.Verifier;
import isonorm.layer.Tolerance;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Transformer;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * Runs a written model and its original. In float64 the largest error must be within {@link Tolerance#written}. Where weights of 16 bits
 * are written, their rounding would hide a wrong rewrite, so the rewritten model is compared before it was rounded too, within
 * {@link Tolerance#REWRITTEN_F64}.
 *
 * <p>Without a text, and of models that are not large, two more comparisons are given: the written model in float32, and the original in
 * its own type with itself in float64, which shows what rounding alone does. Each is two more passes through all weights.
 */
record ModelVerifier(Optional<TokenizedText> text) implements Verifier {

    private static final long MANY_PARAMETERS = 400_000_000;

    @Override
    public Evidence verify(Transformer original, Transformer rewritten, LoadedModel written, Progress progress) throws IOException {
        Dtype coarsest = Model.of(written.model()).coarsest();
        double tolerance = Tolerance.written(coarsest);
        List<Measured> rows = new ArrayList<>();
        if (coarsest.bytes() < Dtype.F32.bytes()) {
            Comparison before = compare("verifying before rounding", original, rewritten, Compute.F64, progress);
            rows.add(new Measured(Subject.BEFORE_ROUNDING, Compute.F64.label(), before));
            requireEqual(before, Tolerance.REWRITTEN_F64, "the rewritten model, before rounding,");
        }
        Comparison exact = compare("verifying in f64", original, written.model(), Compute.F64, progress);
        rows.add(new Measured(Subject.WRITTEN, Compute.F64.label(), exact));
        requireEqual(exact, tolerance, "the written model");
        if (text.isEmpty() && original.parameterCount() <= MANY_PARAMETERS) {
            Compute stored = stored(original);
            rows.add(new Measured(Subject.WRITTEN, Compute.F32.label(),
                    compare("verifying in f32", original, written.model(), Compute.F32, progress)));
            rows.add(new Measured(Subject.ORIGINAL, stored.label(),
                    compare("the original in " + stored.label(), original, original, stored, progress)));
        }
        return new Evidence(rows, tolerance);
    }

    private Comparison compare(String what, Transformer original, Transformer other, Compute compute, Progress progress) throws IOException {
        Verification verification = Verification.of(original, other).compute(Compute.F64, compute);
        if (text.isPresent()) {
            verification = verification.withText(text.get());
        }
        return verification.run((_, done, total) -> progress.step(what, done, total));
    }

    private static Compute stored(Transformer original) throws IOException {
        return switch (Model.of(original).coarsest()) {
            case F64, F32 -> Compute.F32;
            case F16 -> Compute.F16;
            default -> Compute.BF16;
        };
    }

    private static void requireEqual(Comparison comparison, double tolerance, String what) throws IOException {
        if (!comparison.within(tolerance)) {
            throw new IOException(String.format(Locale.ROOT, "%s is not equal to the original: the largest error of its %s is %.3g of their"
                    + " standard deviation, computed in f64, and the tolerance is %.1g; nothing was written",
                    what, comparison.compared(), comparison.largestError(), tolerance));
        }
    }
}
