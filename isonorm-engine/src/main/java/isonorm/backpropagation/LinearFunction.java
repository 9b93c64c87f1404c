package isonorm.backpropagation;

import isonorm.kernel.Rows;
import isonorm.tensor.Products;
import isonorm.tensor.Products.Stack;

/**
 * {@code y = x W^T}, without a bias, and the backward pass: {@code dx = dy W} and {@code dW += dy^T x}.
 *
 * <p>Activations are rounded to their type once; the gradient of the weights is in the type of the weights, and so is what several
 * batches add to it.
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
        step.split(x.rows(), (first, rows) -> Products.productsInAnyOrder(Stack.of(x.slice(first, rows)), Stack.of(weights).transpose(), Stack.of(y.slice(first, rows))));
    }

    /** {@code dx}, and what belongs to the gradient of the weights is added to it. */
    Rows backward(Rows x, Rows dy, Step step) {
        Rows dx = step.pad().rows(step.type(), x.rows(), weights.columns());
        backward(x, dy, dx, step);
        return dx;
    }

    void backward(Rows x, Rows dy, Rows dx, Step step) {
        int shares = step.team().size();
        boolean begins = begins();
        step.team().each(2 * shares, part -> {
            int share = part % shares;
            if (part < shares) {
                int first = share(share, shares, weights.rows());
                weightGradient(x, dy, first, share(share + 1, shares, weights.rows()) - first, begins);
            } else {
                int first = share(share, shares, x.rows());
                int rows = share(share + 1, shares, x.rows()) - first;
                Products.productsInAnyOrder(Stack.of(dy.slice(first, rows)), Stack.of(weights), Stack.of(dx.slice(first, rows)));
            }
        });
    }

    /** Where nobody asks for the gradient of the input. */
    void backwardWeights(Rows x, Rows dy, Step step) {
        boolean begins = begins();
        step.split(weights.rows(), (first, rows) -> weightGradient(x, dy, first, rows, begins));
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

    private void weightGradient(Rows x, Rows dy, int first, int rows, boolean begins) {
        Stack some = Stack.of(dy.sliceColumns(first, rows)).transpose();
        Stack into = Stack.of(gradient.slice(first, rows));
        if (begins) {
            Products.productsInAnyOrder(some, Stack.of(x), into);
        } else {
            Products.addProductsInAnyOrder(some, Stack.of(x), into);
        }
    }
}
