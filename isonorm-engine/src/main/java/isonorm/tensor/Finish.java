package isonorm.tensor;

import isonorm.architecture.Activation;
import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import java.util.Optional;

/**
 * What is done with the values of a product before they are rounded and written: {@code y = activation(scales[row] * (x w) + bias[column]) * times}.
 *
 * @param scales one a row, or none
 * @param bias one a column, or none
 * @param times of the shape of y
 */
public record Finish(Values scales, Values bias, Optional<Activation> activation, Optional<Rows> times) {

    /** Nothing. */
    public static final Finish NOTHING = new Finish(Values.NONE, Values.NONE, Optional.empty(), Optional.empty());

    private static final Kernels KERNELS = Kernels.provider();

    public Finish {
        if (times.isPresent() && activation.isEmpty()) {
            throw new IllegalArgumentException("what a product is multiplied with has an activation beside it, got none");
        }
    }

    /** {@code y = x w + bias}. */
    public static Finish of(Values bias) {
        return new Finish(Values.NONE, bias, Optional.empty(), Optional.empty());
    }

    /** {@code y = activation(x w + bias)}. */
    public static Finish of(Values bias, Activation activation) {
        return new Finish(Values.NONE, bias, Optional.of(activation), Optional.empty());
    }

    /** The same with rows scaled. */
    public Finish scaled(Values rows) {
        return new Finish(rows, bias, activation, times);
    }

    /** The same with the result multiplied, value by value. */
    public Finish times(Rows factors) {
        return new Finish(scales, bias, activation, Optional.of(factors));
    }

    /** For some rows of y. */
    public Finish rows(int first, int count) {
        return new Finish(scales.slice(first, count), bias, activation, times.map(factors -> factors.slice(first, count)));
    }

    /** For some columns of y. */
    public Finish columns(int first, int count) {
        return new Finish(scales, bias.slice(first, count), activation, times.map(factors -> factors.sliceColumns(first, count)));
    }

    boolean nothing() {
        return !scales.present() && !bias.present() && activation.isEmpty();
    }

    /** The same to a product that is written. */
    public void apply(Rows y) {
        apply(y, y);
    }

    /** The same to a product that is overwritten, rounded into y, which may be the product or rows of another type. */
    void apply(Rows product, Rows y) {
        if (times.isEmpty() && activation.isPresent()) {
            KERNELS.activate(product, scales, bias, activation.get(), y);
            return;
        }
        if (scales.present() || bias.present()) {
            KERNELS.scaleRowsAddBias(product, scales, bias);
        }
        if (times.isPresent()) {
            KERNELS.gate(product, times.get(), Values.NONE, Values.NONE, Values.NONE, activation.orElseThrow(), y);
        } else if (y != product) {
            KERNELS.copy(product, y);
        }
    }
}
