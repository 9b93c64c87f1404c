package isonorm.backpropagation;

import isonorm.architecture.Norm;
import isonorm.architecture.QueryKeyNorm.Span;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.kernel.Gradients.NormSums;
import isonorm.kernel.Normalization;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;

/**
 * {@code factor * norm(x)} and the backward pass, for rows or for each head in them. The factor is a plain constant: LayerNorm Scaling's
 * 1/sqrt(l), which stands behind the gain (Sun et al., arXiv 2502.05795); it is 1 elsewhere.
 */
final class NormFunction {

    private final Norm norm;
    private final double factor;
    private final Parameters.Entry gain;
    private final Parameters.Entry bias;
    private final Parameters.Entry alpha;
    private final int groups;
    private final boolean shared;
    private final Values ownGain;
    private final Values ownBias;

    private NormFunction(Norm norm, double factor, Role role, Parameters from, int columns, int groups, boolean shared) {
        if (factor != 1 && norm.kind().readsCompressed()) {
            throw new IllegalArgumentException("a CRMSNorm has no gain that could carry a factor, got " + factor + "; take RMSNorm");
        }
        this.norm = norm;
        this.factor = factor;
        this.gain = norm.affine().hasGain() ? from.get(role) : null;
        this.bias = norm.affine().hasBias() ? from.get(role.field(Field.BIAS)) : null;
        this.alpha = norm.kind().hasAlpha() ? from.get(role.field(Field.ALPHA)) : null;
        this.groups = groups;
        this.shared = shared;
        this.ownGain = factor == 1 ? Values.NONE : Values.room(from.type(), columns);
        this.ownBias = factor == 1 || bias == null ? Values.NONE : Values.room(from.type(), columns);
    }

    /** The norm of whole rows whose gain has this role. */
    static NormFunction of(Norm norm, Role gain, Parameters from, int columns, double factor) {
        return new NormFunction(norm, factor, gain, from, columns, 1, true);
    }

    /** The norm of each of so many heads, or of all together. */
    static NormFunction ofHeads(Norm norm, Span span, Role gain, Parameters from, int heads) {
        return new NormFunction(norm, 1, gain, from, 0, span == Span.PROJECTION ? 1 : heads, span != Span.EACH_HEAD);
    }

    /** The norm with its gain and bias as they are now. */
    private Normalization now() {
        Normalization now = new Normalization(norm.kind(), norm.epsilon(), scaled(gain, ownGain), scaled(bias, ownBias));
        return alpha == null ? now : now.withAlpha(alpha.values().get(0));
    }

    /** A norm without a gain has the factor for one. */
    private Values scaled(Parameters.Entry entry, Values own) {
        if (!own.present()) {
            return entry == null ? Values.NONE : entry.values();
        }
        for (int i = 0; i < own.count(); i++) {
            own.set(i, factor * (entry == null ? 1 : entry.values().get(i)));
        }
        return own;
    }

    private Normalization group(Normalization all, int g, int width) {
        return shared ? all : all.withGain(all.gain().slice(g * width, width)).withBias(all.bias().slice(g * width, width));
    }

    /** {@code out = norm(x)}, every row; the two may be the same rows. */
    void forward(Rows x, Rows out, Step step) {
        Normalization normalization = now();
        int width = x.columns() / groups;
        step.each(x.rows(), (first, rows) -> {
            for (int g = 0; g < groups; g++) {
                step.kernels().norm(x.slice(first, rows).sliceColumns(g * width, width), group(normalization, g, width),
                        out.slice(first, rows).sliceColumns(g * width, width));
            }
        });
    }

    /** {@code sum = stream + branch + branchBias} and {@code out = norm(sum)}, in one pass over memory. */
    void forward(Rows stream, Rows branch, Values branchBias, Rows sum, Rows out, Step step) {
        Normalization normalization = now();
        step.each(stream.rows(), (first, rows) -> {
            Rows some = sum.slice(first, rows);
            step.kernels().copy(stream.slice(first, rows), some);
            step.kernels().addNorm(some, branch.slice(first, rows), branchBias, normalization, out.slice(first, rows));
        });
    }

    /** {@code dx = J^T dy}; the two may be the same rows. */
    void backward(Rows x, Rows dy, Rows dx, Step step) {
        boolean inPlace = switch (norm.kind()) {
            case LAYER, RMS, CRMS -> true;
            case DYNAMIC_TANH -> false;
        };
        if (inPlace) {
            back(step, x, (first, rows, g, width, normalization, sums, _) -> step.gradients().norm(
                    part(x, first, rows, g, width), normalization, part(dy, first, rows, g, width), part(dx, first, rows, g, width), sums));
        } else {
            Rows given = step.copied(dy);
            step.scale(dx, 0);
            addBackward(x, given, dx, step);
        }
    }

    /** {@code dx += J^T dy}. */
    void addBackward(Rows x, Rows dy, Rows dx, Step step) {
        back(step, x, switch (norm.kind()) {
            case LAYER, RMS, CRMS -> (first, rows, g, width, normalization, sums, _) -> step.gradients().addNorm(
                    part(x, first, rows, g, width), normalization, part(dy, first, rows, g, width), part(dx, first, rows, g, width), sums);
            case DYNAMIC_TANH -> (first, rows, g, width, normalization, sums, alphas) -> step.gradients().addDynamicTanh(
                    part(x, first, rows, g, width), normalization, part(dy, first, rows, g, width), part(dx, first, rows, g, width), sums, alphas);
        });
    }

    private static Rows part(Rows x, int first, int rows, int g, int width) {
        return x.slice(first, rows).sliceColumns(g * width, width);
    }

    private interface Kernel {
        void run(int first, int rows, int g, int width, Normalization normalization, NormSums sums, Rows alphas);
    }

    private void back(Step step, Rows x, Kernel kernel) {
        Normalization normalization = now();
        int width = x.columns() / groups;
        Rows gains = own(gain, step);
        Rows biases = own(bias, step);
        step.summing(x.rows(), new Rows[] {gains, biases, alpha == null ? null : alpha.gradient()}, (first, rows, sums) -> {
            for (int g = 0; g < groups; g++) {
                NormSums into = new NormSums(group(sums[0], g, width), group(sums[1], g, width));
                kernel.run(first, rows, g, width, group(normalization, g, width), into, sums[2]);
            }
        });
        if (factor != 1) {
            add(gains, gain, step);
            add(biases, bias, step);
        }
    }

    private Rows group(Rows sums, int g, int width) {
        return sums == null || shared ? sums : sums.sliceColumns(g * width, width);
    }

    /** The gradient itself, or room for what is yet to be multiplied with the factor. */
    private Rows own(Parameters.Entry entry, Step step) {
        if (entry == null || factor == 1) {
            return entry == null ? null : entry.gradient();
        }
        Rows own = step.pad().rows(entry.gradient().type(), 1, entry.gradient().columns());
        Parameters.zero(own);
        return own;
    }

    private void add(Rows own, Parameters.Entry entry, Step step) {
        if (entry != null) {
            step.gradients().add(own, factor, entry.gradient());
        }
    }
}
