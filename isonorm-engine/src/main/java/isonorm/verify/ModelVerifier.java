package isonorm.verify;

import static java.util.Objects.requireNonNull;

import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Conversion.Deviation;
import isonorm.convert.Evidence;
import isonorm.convert.Evidence.Limits;
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
 * Reads a written model back and runs it beside its original. Each value must be the rounding of the rewritten one. In float64 the
 * rewritten model, before its values were rounded, must be within {@link Tolerance#REWRITTEN_F64} of the original where 16 bits are written, and
 * the written one within {@link Tolerance#WRITTEN_F32}, or of 16 bits {@link Tolerance#rounded} by what their rounding does to the original itself.
 *
 * <p>Without a text, and of models that are not large, two more comparisons are given: the written model in float32, and the original in
 * its own type, which shows what that type's arithmetic does. Each is one more pass through all weights.
 */
record ModelVerifier(Optional<TokenizedText> text) implements Verifier {

    private static final long MANY_PARAMETERS = 400_000_000;

    /** What is measured of a model, or of several draws of one. */
    private record Row(Subject subject, Compute compute, List<Model> models) {}

    @Override
    public Evidence verify(Transformer source, Transformer originalOne, Transformer rewrittenOne, LoadedModel writtenFiles, Progress progress) throws IOException {
        List<Deviation> deviations = Conversion.deviations(rewrittenOne, writtenFiles, progress);
        if (!deviations.isEmpty()) {
            throw new IOException(deviations.getFirst() + "; nothing was written");
        }
        Model original = Model.of(originalOne);
        Model rewritten = Model.of(rewrittenOne);
        Model written = Model.of(writtenFiles.model());
        Optional<OwnRounding> rounding = OwnRounding.of(original, written);
        List<Row> rows = new ArrayList<>();
        if (rounding.isPresent()) {
            rows.add(new Row(Subject.BEFORE_ROUNDING, Compute.F64, List.of(rewritten)));
        }
        rows.add(new Row(Subject.WRITTEN, Compute.F64, List.of(written)));
        rounding.ifPresent(own -> rows.add(new Row(Subject.ROUNDED, Compute.F32, own.draws())));
        if (text.isEmpty() && original.parameterCount() <= MANY_PARAMETERS) {
            rows.add(new Row(Subject.WRITTEN, Compute.F32, List.of(written)));
            rows.add(new Row(Subject.ORIGINAL, stored(original), List.of(original)));
        }
        if (source != originalOne) {
            rows.add(new Row(Subject.SOURCE, Compute.F64, List.of(Model.of(source))));
        }
        List<Measured> measured = measure(original, rows, progress);
        for (Measured row : measured) {
            if (row.model() == Subject.BEFORE_ROUNDING) {
                requireEqual(original, rewritten, row.comparison(), Limits.ofLargestError(Tolerance.REWRITTEN_F64), "the rewritten model, before rounding,");
            }
        }
        Limits limits = Limits.ofLargestError(rounding.isPresent() ? 0 : Tolerance.written(written.coarsest(), Compute.F64));
        for (Measured row : measured) {
            limits = row.model() == Subject.ROUNDED ? Tolerance.rounded(row.comparison(), original, written) : limits;
        }
        Evidence evidence = new Evidence(measured, limits, rounding.map(OwnRounding::dtype));
        requireEqual(original, written, evidence.decisive(), limits, "the written model");
        return evidence;
    }

    private List<Measured> measure(Model original, List<Row> rows, Progress progress) throws IOException {
        Verification verification = null;
        for (Row row : rows) {
            for (Model model : row.models) {
                verification = verification == null
                        ? Verification.of(original, model).compute(Compute.F64, row.compute)
                        : verification.and(model, row.compute);
            }
        }
        Verification all = requireNonNull(verification, "nothing to compare");
        if (text.isPresent()) {
            all = all.withText(text.get());
        }
        List<Comparison> comparisons = all.runAll((_, done, total) -> progress.step("verifying", done, total));
        List<Measured> measured = new ArrayList<>();
        int at = 0;
        for (Row row : rows) {
            int end = at + row.models.size();
            measured.add(new Measured(row.subject, row.compute.label(), OwnRounding.median(comparisons.subList(at, end))));
            at = end;
        }
        return measured;
    }

    private static Compute stored(Model original) throws IOException {
        return switch (original.coarsest()) {
            case F64, F32 -> Compute.F32;
            case F16 -> Compute.F16;
            default -> Compute.BF16;
        };
    }

    private void requireEqual(Model original, Model other, Comparison comparison, Limits limits, String what) throws IOException {
        if (!limits.allow(comparison)) {
            Verification verification = text.isPresent() ? Verification.of(original, other).withText(text.get()) : Verification.of(original, other);
            String where = Streams.parting(original, other, verification.inputs().getFirst()).map(words -> "; " + words).orElse("");
            throw new IOException(String.format(Locale.ROOT, "%s is not equal to the original: the errors of its %s are up to %.3g of their standard"
                    + " deviation, %.3g on average (RMS), computed in f64, and may be %.1g and %.1g%s; nothing was written",
                    what, comparison.compared(), comparison.largestError(), comparison.rootMeanSquareError(), limits.largestError(),
                    limits.rootMeanSquareError(), where));
        }
    }
}
