package isonorm.backpropagation;

import static isonorm.architecture.Part.FINAL_NORM;
import static isonorm.architecture.Part.HEAD;
import static isonorm.architecture.Part.TOKEN_EMBEDDING;
import static isonorm.architecture.Role.Field.BIAS;
import static isonorm.architecture.Role.Field.GAIN;
import static isonorm.architecture.Role.Field.WEIGHT;

import isonorm.architecture.Architecture;
import isonorm.architecture.Output;
import isonorm.architecture.Role;
import isonorm.architecture.Stream;
import isonorm.kernel.Rows;
import isonorm.tensor.Pad;
import java.util.Arrays;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * The final norm, the head, and the cross-entropy of its logits, whose gradient is computed at once: logits are never kept, some rows
 * at a time are in memory.
 */
public final class HeadFunction {

    /** The bytes of the logits that are in memory at once. */
    private static final long LOGITS = 32L << 20;

    private final Optional<NormFunction> norm;
    private final LinearFunction head;
    private final Optional<Parameters.Entry> bias;
    private final double scale;
    private final double softcap;
    private final boolean dual;
    private final boolean differences;

    HeadFunction(Parameters from, Architecture architecture) {
        this.norm = architecture.finalNorm().map(each -> NormFunction.of(each, Role.of(FINAL_NORM, GAIN), from, architecture.streamWidth(), 1));
        this.dual = architecture.dual();
        if (architecture.stream() == Stream.COMPRESSED && architecture.finalWidth() == architecture.width()) {
            throw new IllegalArgumentException("a CRMSNorm with a gain gives more values than it takes and is not trained; train the original, or convert"
                    + " it with --untie");
        }
        this.differences = architecture.tied() && architecture.stream() == Stream.COMPRESSED;
        switch (architecture.output()) {
            case Output.Words words when words.projectedWidth() == 0 && words.transform().isEmpty() -> {
                head = LinearFunction.of(from.get(Role.of(words.tied() ? TOKEN_EMBEDDING : HEAD, WEIGHT)));
                bias = words.bias() ? Optional.of(from.get(Role.of(HEAD, BIAS))) : Optional.empty();
                scale = words.scale();
                softcap = words.softcap().orElse(0);
            }
            case Output.Labels shape when shape.pooling() == Output.Pooling.FIRST && shape.transform().isEmpty() -> {
                head = LinearFunction.of(from.get(Role.of(HEAD, WEIGHT)));
                bias = shape.bias() ? Optional.of(from.get(Role.of(HEAD, BIAS))) : Optional.empty();
                scale = 1;
                softcap = 0;
            }
            case Output.Words _, Output.Labels _, Output.Hidden _ -> throw new IllegalArgumentException(
                    "training needs a head over tokens, or over labels read from the class token; this model has another output");
        }
    }

    /**
     * What a batch gave.
     *
     * @param loss the sum of the losses of all targets
     * @param right how many images were given their class; tokens are not counted
     */
    public record Scored(double loss, int right) {}

    /** The losses of all targets; in the backward pass each is multiplied with {@code factor}. */
    Scored forward(TracedResidual h, TracedResidual second, Examples examples, double factor, Step step) {
        Traced read = dual ? ofBoth(h, second, step) : norm.isPresent() ? ofNormed(h, step) : ofBare(h, step);
        Rows gradient = step.learning() ? step.room(h.width()) : null;
        if (differences) {
            addSums(h.carried(read.value()), step);
        }
        Scored scored = switch (examples) {
            case Examples.Tokens tokens -> new Scored(cross(read.value(),
                    Arrays.stream(tokens.following()).flatMapToInt(Arrays::stream).toArray(), factor, gradient, Optional.empty(), Optional.empty(), step), 0);
            case Examples.Images images -> ofLabels(read.value(), images, factor, gradient, step);
        };
        step.back(() -> {
            if (differences) {
                addSums(h.carried(gradient), step);
            }
            read.back().apply(gradient);
        });
        return scored;
    }

    /**
     * {@code x_j += sum(x)}: a tied head multiplies d values with a table of d - 1 columns, {@code sum_j (x_j - x_d) E_j}, x_d being
     * the implied {@code -sum(x)}. It is its own transpose.
     */
    private static void addSums(Rows x, Step step) {
        step.split(x.rows(), (first, rows) -> {
            for (int r = first; r < first + rows; r++) {
                double sum = 0;
                for (int c = 0; c < x.columns(); c++) {
                    sum += x.get(r, c);
                }
                for (int c = 0; c < x.columns(); c++) {
                    x.set(r, c, x.get(r, c) + sum);
                }
            }
        });
    }

    private Traced ofNormed(TracedResidual h, Step step) {
        TracedResidual.Normed n = h.read(norm.get());
        return new Traced(n.value(), dn -> {
            norm.get().backward(h.carried(n.h()), h.carried(dn), h.carried(h.gradient()), step);
            return h.gradient();
        });
    }

    private Traced ofBare(TracedResidual h, Step step) {
        return new Traced(step.narrow(h.settled()), dn -> begin(h, dn, step));
    }

    /** ResiDual: {@code x + norm(y)} (arXiv 2304.14802). */
    private Traced ofBoth(TracedResidual h, TracedResidual second, Step step) {
        Rows y = second.settled();
        Rows sum = step.wideRoom(h.width());
        norm.orElseThrow().forward(second.carried(y), second.carried(sum), step);
        step.add(h.settled(), 1, sum);
        return new Traced(step.narrow(sum), dn -> {
            norm.get().backward(second.carried(y), second.carried(dn), second.carried(second.gradient()), step);
            return begin(h, dn, step);
        });
    }

    private static Rows begin(TracedResidual h, Rows gradient, Step step) {
        step.split(gradient.rows(), (first, rows) -> step.kernels().copy(gradient.slice(first, rows), h.gradient().slice(first, rows)));
        return h.gradient();
    }

    /** Only the first row of each image is read. */
    private Scored ofLabels(Rows read, Examples.Images images, double factor, Rows gradient, Step step) {
        int[] rows = IntStream.range(0, images.count()).map(image -> image * step.length()).toArray();
        Rows first = step.pad().rows(step.type(), rows.length, read.columns());
        step.kernels().gather(read, rows, 1, first);
        Rows dFirst = step.learning() ? step.pad().rows(step.type(), rows.length, read.columns()) : null;
        int[] likeliest = new int[rows.length];
        double loss = cross(first, images.labels(), factor, dFirst, Optional.of(likeliest), images.soft(), step);
        if (step.learning()) {
            Parameters.zero(gradient);
            for (int image = 0; image < rows.length; image++) {
                step.kernels().copy(dFirst.slice(image, 1), gradient.slice(rows[image], 1));
            }
        }
        return new Scored(loss, (int) IntStream.range(0, rows.length).filter(image -> likeliest[image] == images.labels()[image]).count());
    }

    private double cross(Rows read, int[] targets, double factor, Rows gradient, Optional<int[]> likeliest, Optional<Examples.SoftLabels> soft, Step step) {
        int vocabulary = head.outputs();
        int rows = Math.clamp(LOGITS / ((long) vocabulary * step.type().bytes()), 1, read.rows());
        int parts = Math.ceilDiv(read.rows(), rows);
        double[] losses = new double[read.rows()];
        for (int part = 0; part < parts; part++) {
            int first = (int) ((long) read.rows() * part / parts);
            int count = (int) ((long) read.rows() * (part + 1) / parts) - first;
            Pad.Mark mark = step.pad().mark();
            Rows some = read.slice(first, count);
            Rows logits = head.forward(some, step);
            step.each(count, (from, number) -> cross(logits.slice(from, number), targets, first + from, factor, losses, likeliest, soft, step));
            if (step.learning()) {
                bias.ifPresent(added -> step.addColumnSums(logits, added.gradient()));
                head.backward(some, logits, gradient.slice(first, count), step);
            }
            step.pad().release(mark);
        }
        return Arrays.stream(losses).sum();
    }

    /** Logits become their gradient: that of the products. */
    private void cross(Rows logits, int[] targets, int first, double factor, double[] losses, Optional<int[]> likeliest, Optional<Examples.SoftLabels> soft, Step step) {
        if (bias.isPresent()) {
            step.kernels().addBias(logits, bias.get().values());
        }
        if (scale != 1) {
            step.gradients().scale(logits, scale);
        }
        likeliest.ifPresent(found -> {
            for (int r = 0; r < logits.rows(); r++) {
                found[first + r] = step.kernels().argmax(logits, r);
            }
        });
        double[][] slopes = softcap > 0 ? capped(logits) : null;
        double[] own = new double[logits.rows()];
        double[] gains = soft.map(labels -> gains(logits, targets, first, labels)).orElse(own.clone());
        step.gradients().crossEntropy(logits, Arrays.copyOfRange(targets, first, first + logits.rows()), factor, own);
        for (int r = 0; r < own.length; r++) {
            losses[first + r] = own[r] - gains[r];
        }
        soft.ifPresent(labels -> soften(logits, targets, first, factor, labels));
        if (slopes != null) {
            for (int r = 0; r < logits.rows(); r++) {
                for (int c = 0; c < logits.columns(); c++) {
                    logits.set(r, c, logits.get(r, c) * slopes[r][c]);
                }
            }
        }
        if (scale != 1) {
            step.gradients().scale(logits, scale);
        }
    }

    /** How much less the loss is where labels are soft: the mean of logits that they ask for, without the logit of the class. */
    private static double[] gains(Rows logits, int[] targets, int first, Examples.SoftLabels soft) {
        double[] gains = new double[logits.rows()];
        for (int r = 0; r < gains.length; r++) {
            for (int c = 0; c < logits.columns(); c++) {
                gains[r] += soft.of(targets[first + r], first + r, c, logits.columns()) * logits.get(r, c);
            }
            gains[r] -= logits.get(r, targets[first + r]);
        }
        return gains;
    }

    /** The gradient for the class becomes that for soft labels. */
    private static void soften(Rows gradient, int[] targets, int first, double factor, Examples.SoftLabels soft) {
        for (int r = 0; r < gradient.rows(); r++) {
            for (int c = 0; c < gradient.columns(); c++) {
                double hard = targets[first + r] == c ? 1 : 0;
                gradient.set(r, c, gradient.get(r, c) + factor * (hard - soft.of(targets[first + r], first + r, c, gradient.columns())));
            }
        }
    }

    /** {@code softcap * tanh(x / softcap)} in place, and its derivative. */
    private double[][] capped(Rows logits) {
        double[][] slopes = new double[logits.rows()][logits.columns()];
        for (int r = 0; r < logits.rows(); r++) {
            for (int c = 0; c < logits.columns(); c++) {
                double tanh = Math.tanh(logits.get(r, c) / softcap);
                logits.set(r, c, softcap * tanh);
                slopes[r][c] = 1 - tanh * tanh;
            }
        }
        return slopes;
    }
}
