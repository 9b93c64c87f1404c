package isonorm.train;

import isonorm.kernel.Rows;
import isonorm.tensor.Products;
import isonorm.tensor.Products.Stack;

/**
 * {@code y = x W^T}, without a bias, and the way back: {@code dx = dy W} and {@code dW += dy^T x}.
 *
 * <p>Products with bfloat16 are rounded to it once, as everywhere; what several batches add to a gradient is added in the type of the
 * weights.
 *
 * @param weights (out, in), as they are multiplied
 * @param gradient of the same shape
 * @param entries whose they are
 */
record LinearFunction(Rows weights, Rows gradient, Parameters.Entry... entries) {

    static LinearFunction of(Parameters.Entry entry) {
        return new LinearFunction(entry.used(), entry.gradient(), entry);
    }

    /** Two layers that read the same, as one with the outputs of both. */
    static LinearFunction of(Parameters.Entry first, Parameters.Entry second) {
        return new LinearFunction(Parameters.together(first.used(), second.used()),
                Parameters.together(first.gradient(), second.gradient()), first, second);
    }

    int outputs() {
        return weights.rows();
    }

    Rows forward(Rows x, Step step) {
        Rows y = step.pad().rows(step.type(), x.rows(), weights.rows());
        forward(x, y, step);
        return y;
    }

    void forward(Rows x, Rows y, Step step) {
        step.split(x.rows(), (first, rows) -> Products.product(x.slice(first, rows), weights, true, y.slice(first, rows)));
    }

    /** {@code dx}, and what belongs to the gradient of the weights is added to it. */
    Rows backward(Rows x, Rows dy, Step step) {
        Rows dx = step.pad().rows(step.type(), x.rows(), weights.columns());
        backward(x, dy, dx, step);
        return dx;
    }

    void backward(Rows x, Rows dy, Rows dx, Step step) {
        int shares = step.team().size();
        Rows product = room(step);
        boolean begins = begins();
        step.team().each(2 * shares, part -> {
            int share = part % shares;
            if (part < shares) {
                int first = share(share, shares, weights.rows());
                weightGradient(x, dy, first, share(share + 1, shares, weights.rows()) - first, product, begins, step);
            } else {
                int first = share(share, shares, x.rows());
                int rows = share(share + 1, shares, x.rows()) - first;
                Products.product(dy.slice(first, rows), weights, false, dx.slice(first, rows));
            }
        });
    }

    /** Where nobody asks for the gradient of the input. */
    void backwardWeights(Rows x, Rows dy, Step step) {
        Rows product = room(step);
        boolean begins = begins();
        step.split(weights.rows(), (first, rows) -> weightGradient(x, dy, first, rows, product, begins, step));
    }

    private boolean begins() {
        boolean begins = true;
        for (Parameters.Entry entry : entries) {
            begins &= entry.begins();
        }
        return begins;
    }

    private static int share(int share, int shares, int total) {
        return (int) ((long) total * share / shares);
    }

    private Rows room(Step step) {
        return step.type() == gradient.type() ? null : step.pad().rows(step.type(), gradient.rows(), gradient.columns());
    }

    private void weightGradient(Rows x, Rows dy, int first, int rows, Rows product, boolean begins, Step step) {
        Stack some = Stack.of(dy.sliceColumns(first, rows)).transpose();
        Rows into = gradient.slice(first, rows);
        if (product != null) {
            Rows rounded = product.slice(first, rows);
            Products.products(some, Stack.of(x), Stack.of(rounded));
            if (begins) {
                step.kernels().copy(rounded, into);
            } else {
                step.gradients().add(rounded, 1, into);
            }
        } else if (begins) {
            Products.products(some, Stack.of(x), Stack.of(into));
        } else {
            Products.addProducts(some, Stack.of(x), Stack.of(into));
        }
    }
}
