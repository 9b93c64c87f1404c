package isonorm.verify;

import isonorm.architecture.Stream;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Conversion.Remade;
import isonorm.convert.Evidence;
import isonorm.convert.Evidence.Limits;
import isonorm.convert.Evidence.Measured;
import isonorm.convert.Evidence.Subject;
import isonorm.convert.LoadedModel;
import isonorm.layer.Tolerance;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.verify.Verification.Judgement;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/** Decides whether two checkpoints are equal, as {@link Verification#judge} says. */
final class Judging {

    private Judging() {}

    static Judgement judge(LoadedModel a, LoadedModel b, Compute compute, Optional<TokenizedText> text, OptionalDouble tolerance, Progress progress)
            throws IOException {
        Model original = Model.of(a.model());
        Model written = Model.of(b.model());
        Verification verification = Verification.of(original, written).compute(compute, compute);
        verification = text.isPresent() ? verification.withText(text.get()) : verification;
        Optional<Remade> remade = Conversion.again(a, b, progress);
        Optional<OwnRounding> rounding = rounding(original, written, compute, remade.map(Remade::source).orElse(false));
        List<Model> draws = rounding.map(OwnRounding::draws).orElse(List.of());
        for (Model draw : draws) {
            verification = verification.and(draw, Compute.F32);
        }
        List<Comparison> comparisons = verification.runAll(progress);
        List<Measured> measured = new ArrayList<>();
        measured.add(new Measured(Subject.WRITTEN, compute.label(), comparisons.getFirst()));
        Limits limits;
        if (rounding.isPresent()) {
            Comparison own = OwnRounding.median(comparisons.subList(1, comparisons.size()));
            measured.add(new Measured(Subject.ROUNDED, Compute.F32.label(), own));
            limits = Tolerance.rounded(own, original, written);
        } else {
            limits = Limits.ofLargestError(Math.max(written(original, compute), written(written, compute)));
        }
        limits = tolerance.isPresent() ? Limits.ofLargestError(tolerance.getAsDouble()) : limits;
        Evidence evidence = new Evidence(measured, limits, rounding.map(OwnRounding::dtype));
        boolean asMade = remade.map(made -> made.deviations().isEmpty()).orElse(true);
        boolean equal = evidence.equal() && (asMade || tolerance.isPresent());
        Optional<String> where = equal ? Optional.empty() : Streams.parting(original, written, verification.inputs().getFirst());
        return new Judgement(equal, evidence, remade, where);
    }

    /**
     * What rounding must be allowed for: to the types of B; to those of A where B has wider ones and was not made from it, or from
     * what A was before it was rounded; or to the type
     * that is computed in.
     */
    private static Optional<OwnRounding> rounding(Model a, Model b, Compute compute, boolean source) throws IOException {
        Optional<OwnRounding> rounding = OwnRounding.of(a, b);
        boolean recentred = source && a.architecture().stream() != Stream.FREE;
        rounding = rounding.isEmpty() && (!source || recentred) ? OwnRounding.of(a, a) : rounding;
        return rounding.isEmpty() && compute.bytes() == Short.BYTES ? Optional.of(new OwnRounding(compute.dtype(), List.of(a))) : rounding;
    }

    /** What the type of wide weights may make, and of narrow ones that were widened nothing more than float32. */
    private static double written(Model model, Compute compute) throws IOException {
        return Tolerance.written(model.coarsest() == Dtype.F64 ? Dtype.F64 : Dtype.F32, compute);
    }
}
