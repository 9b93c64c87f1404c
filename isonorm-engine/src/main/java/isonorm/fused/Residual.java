package isonorm.fused;

import isonorm.architecture.NormKind;
import isonorm.kernel.Kernels;
import isonorm.kernel.Normalization;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import isonorm.layer.Observer;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The residual stream of one forward pass, h, and what was written to it last and is not yet added.
 *
 * <p>Adding waits for the next norm, so that the sum is read from memory once: {@code h += branch + bias} and the statistics of h
 * are one pass. Where a norm is nothing but {@code h / rms(h)}, the quotients need not be written: 1/rms is one number a row
 * and commutes with the linear layer that reads it, {@code W (h / rms) = (W h) / rms}, which is what a LayerNorm or a DyT cannot do.
 * (Jiang et al., arXiv 2305.14858, section 3, is why every Pre-LN model can.)
 *
 * <p>A compressed stream of d - 1 values lies in rows of d whose last slot is zero, so that products keep their aligned shape.
 */
final class Residual {

    /** What a linear layer reads: {@code scales[row] * x[row]}, where there are scales. */
    record Read(Rows x, Values scales) {

        Read slice(int first, int count) {
            return new Read(x.slice(first, count), scales.slice(first, count));
        }
    }

    private static final Kernels KERNELS = Kernels.provider();

    private final Pass pass;
    private final Rows stream;
    private final Optional<Rows> second;
    private final Rows normalized;
    private final Values scales;
    private final int carried;

    private @Nullable Rows branch;
    private Values bias = Values.NONE;

    /**
     * @param stream whole rows, (tokens, width)
     * @param second the second stream of dual blocks, of the same size
     * @param normalized room for as much
     * @param carried how many values of a row are carried: width, or width - 1
     */
    Residual(Pass pass, Rows stream, Optional<Rows> second, Rows normalized, int carried) {
        this.pass = pass;
        this.stream = stream;
        this.second = second;
        this.normalized = normalized;
        this.scales = Values.room(stream.rows());
        this.carried = carried;
    }

    /** The stream with everything added, (tokens, width). */
    Rows settled() {
        Rows added = branch;
        if (added != null) {
            branch = null;
            Values addedBias = bias;
            // No kernel only adds: few models need it. The squares are not used.
            NormKind kind = carried < stream.columns() ? NormKind.CRMS : NormKind.RMS;
            rows((h, first) -> KERNELS.addSquares(h, part(added, first, h.rows()), addedBias, kind, 1, scales.slice(first, h.rows())));
        }
        return stream;
    }

    /**
     * {@code norm(h)}.
     *
     * @param biased whether what reads it adds a bias: products do that before they scale rows, so the quotients are written
     */
    Read read(Normalization norm, boolean biased) {
        Rows added = branch;
        branch = null;
        Values addedBias = bias;
        boolean commutes = norm.kind().scalesRows() && !norm.affine() && !biased;
        rows((h, first) -> {
            int count = h.rows();
            Values each = scales.slice(first, count);
            Rows out = part(normalized, first, count);
            if (added == null) {
                if (commutes) {
                    KERNELS.squares(h, norm.kind(), norm.epsilon(), each);
                } else {
                    KERNELS.norm(h, norm, out);
                }
            } else if (commutes) {
                KERNELS.addSquares(h, part(added, first, count), addedBias, norm.kind(), norm.epsilon(), each);
            } else {
                KERNELS.addNorm(h, part(added, first, count), addedBias, norm, out);
            }
        });
        return commutes ? new Read(stream, scales) : new Read(normalized, Values.NONE);
    }

    /** {@code h += branch + bias}, done later; the branch must stay as it is until then. */
    void add(Rows written, Values writtenBias) {
        settled();
        branch = written;
        bias = writtenBias;
    }

    /** {@code h = norm(h + branch + bias)}. */
    void addThenNormalize(Rows written, Values writtenBias, Normalization norm) {
        rows((h, first) -> KERNELS.addNorm(h, part(written, first, h.rows()), writtenBias, norm, h));
    }

    /** {@code y += branch + bias}, y being the second stream. */
    void addToSecond(Rows written, Values writtenBias) {
        Rows y = second.orElseThrow();
        pass.rows((first, count) -> KERNELS.addSquares(part(y, first, count), part(written, first, count), writtenBias, NormKind.RMS, 1,
                scales.slice(first, count)));
    }

    /** {@code h *= factor}. */
    void scale(double factor) {
        if (factor == 1) {
            return;
        }
        settled();
        rows((h, _) -> KERNELS.scaleRowsAddBias(h, Values.constant(h.rows(), (float) factor), Values.NONE));
    }

    /** {@code h = M h}. */
    void changeBasis(Weight basis) {
        Rows changed = pass.room().rows(Workspace.Use.CHANGED_BASIS, stream.rows(), stream.columns());
        pass.linear(settled(), basis, changed);
        rows((h, first) -> KERNELS.copy(part(changed, first, h.rows()), h));
    }

    /** {@code h -= mean(h)}. */
    void recentre() {
        rows((h, _) -> recentre(h));
    }

    static void recentre(Rows h) {
        for (int r = 0; r < h.rows(); r++) {
            double sum = 0;
            for (int c = 0; c < h.columns(); c++) {
                sum += h.get(r, c);
            }
            double mean = sum / h.columns();
            for (int c = 0; c < h.columns(); c++) {
                h.set(r, c, h.get(r, c) - mean);
            }
        }
    }

    /** {@code norm(branch + bias)} in place, a thread's share of the rows at a time. */
    void normalize(Rows written, Values writtenBias, Normalization norm) {
        rows((h, first) -> {
            Rows some = part(written, first, h.rows());
            if (writtenBias.present()) {
                KERNELS.addBias(some, writtenBias);
            }
            KERNELS.norm(some, norm, some);
        });
    }

    /** Shows the stream before a block, once everything is added. */
    void showStream(int block) {
        pass.show((observer, first, count) -> observer.stream(block, part(stream, first, count), first));
    }

    /** Shows what attention's norm gives. */
    void showNormalized(int block, Read read) {
        pass.show((observer, first, count) ->
                observer.normalized(block, part(read.x, first, count), read.scales.slice(first, count), first));
    }

    /** Shows what a branch will add, {@code factor * (written + bias)}, beside the stream it found. */
    void showWritten(int block, Observer.Branch which, Rows written, Values writtenBias, double factor) {
        Values added = factor == 1 ? writtenBias.slice(0, carried) : writtenBias.slice(0, carried).times(factor);
        pass.show((observer, first, count) -> observer.written(block, which, part(written, first, count),
                factor == 1 ? Values.NONE : Values.constant(count, (float) factor), added, part(stream, first, count), first));
    }

    private interface Body {
        void run(Rows h, int first);
    }

    private void rows(Body body) {
        pass.rows((first, count) -> body.run(part(stream, first, count), first));
    }

    private Rows part(Rows x, int first, int count) {
        return x.slice(first, count).sliceColumns(0, carried);
    }
}
