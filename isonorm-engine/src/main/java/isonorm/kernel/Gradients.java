package isonorm.kernel;

import isonorm.architecture.Activation;
import isonorm.weights.Seed;

/**
 * The memory-bound work of a backward pass and of an optimizer's step, over rows in native memory.
 *
 * <p>Names: {@code dy} is the gradient of the loss with respect to y. What is read is read exactly, computed in float32 or better (in
 * float64 where the rows are), and rounded once where it is stored. Every call runs on the caller's thread and gives the same bits
 * for the same arguments; to use several threads, give each its slice, and each its own sums. Arguments marked in place are
 * overwritten; no other two may overlap unless it is said.
 *
 * <p>Two implementations as for {@link Kernels}: {@link PlainGradients} is the specification and computes in float64 throughout,
 * {@link VectorGradients} is the fast one, for F32, BF16 and F16.
 */
public sealed interface Gradients permits PlainGradients, VectorGradients {

    /** The implementation for activations of a type: only the plain one computes in float64. */
    static Gradients of(Type type) {
        return type == Type.F64 || Kernels.provider() instanceof PlainKernels ? Provider.PLAIN_GRADIENTS : Provider.VECTOR_GRADIENTS;
    }

    /**
     * Back through {@code y = norm(x)}: {@code dx = J^T dy}. With n = x / r behind the norm's centring, r = sqrt(q + epsilon) and
     * g = gain * dy,
     *
     * <pre>
     * RMS     dx = (g - n mean(g n)) / r
     * LAYER   dx = (g - mean(g) - n mean(g n)) / r
     * CRMS    dx = (g - (n + sum(n)) sum(g n) / (columns + 1)) / r
     * </pre>
     *
     * Not for a CRMS with a gain or a bias, which gives more values than it takes.
     *
     * @param x what the norm read; its statistics are computed again
     * @param dy may be the rows of dx
     * @param dx overwritten, in a type of its own; a free slot behind a row of a CRMS is set to zero
     * @param sums where the gradients of gain and bias are added
     */
    void norm(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums);

    /** The same, {@code dx += J^T dy}: the gradient of a stream that both skips the norm and enters it. */
    void addNorm(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums);

    /**
     * Gradients of a gain and a bias, (1, columns) of F32 or F64 each, or null where the norm has none. A call adds to them.
     */
    record NormSums(Rows gain, Rows bias) {

        /** For a norm without gain and bias. */
        public static final NormSums NONE = new NormSums(null, null);
    }

    /** The same for a DYNAMIC_TANH, {@code dx += gain (1 - n^2) alpha dy} with n = tanh(alpha x); {@code alphaSum} (1, 1) is added to. */
    void addDynamicTanh(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums, Rows alphaSum);

    /** {@code sums += column sums of x}: the gradient of a bias, (1, columns) of F32 or F64. */
    void addColumnSums(Rows x, Rows sums);

    /** {@code out = activation(x + bias)}; bias may be none. */
    void activate(Rows x, Values bias, Activation activation, Rows out);

    /**
     * Back through {@code y = activation(x + bias)}: {@code dx = dy * activation'(x + bias)}.
     *
     * @param dx may be the rows of x or of dy
     * @param biasSums {@code += column sums of dx} as stored, (1, columns) of F32 or F64; null without a bias
     */
    void activation(Rows x, Values bias, Activation activation, Rows dy, Rows dx, Rows biasSums);

    /**
     * Back through {@code y = activation(gate + gateBias) * (up + upBias)}, in place: {@code gate} becomes its gradient, and so does
     * {@code up}.
     *
     * @param gateSums as {@code biasSums} of {@link #activation}, and {@code upSums}; null without biases
     */
    void gate(Rows gate, Rows up, Values gateBias, Values upBias, Activation activation, Rows dy, Rows gateSums, Rows upSums);

    /**
     * Back through {@code p = softmax(score(products))}: {@code dp} becomes the gradient of the products,
     * {@code scale * (1 - (s / softcap)^2) * p * (dp - sum(p * dp))}, the middle factor only where there is a softcap, s being the
     * capped score.
     *
     * @param p the weights, as {@link Kernels#softmax} gave them, zero where a row does not reach; the gradient is zero there too,
     *     whatever dp holds
     * @param products of queries and keys before scale and softcap; read only where there is a softcap, else may be null
     * @param dp in place
     */
    void softmax(Rows p, Rows products, Scoring scoring, Reach reach, Rows dp);

    /**
     * The cross-entropy of rows of logits, and its gradient in place: for a row with a target t, {@code losses[r] = log(sum(exp(x)))
     * - x[t]}, and the row becomes {@code factor * (softmax(x) - one(t))}. A row with a target below zero has no loss and becomes
     * zero.
     *
     * @param losses one a row, computed in float64 of float32 parts
     */
    void crossEntropy(Rows logits, int[] targets, double factor, double[] losses);

    /** {@code table[ids[i]] += scale * dy[i]}, one row after the other; the table is F32 or F64. */
    void scatter(Rows dy, int[] ids, double scale, Rows table);

    /** {@code y += factor * x}, rounded once; the types may differ. */
    void add(Rows x, double factor, Rows y);

    /** {@code y = x * factors[column]}: LayerScale. */
    void multiplyColumns(Rows x, Values factors, Rows y);

    /** Back through it: {@code sums += column sums of x * dy}, then {@code dy *= factors[column]} in place. */
    void columnFactors(Rows x, Values factors, Rows dy, Rows sums);

    /**
     * {@code x[r, c] = 0} with a probability, and divided by its complement elsewhere, in place. Which, is a function of seed, row and
     * column only, so a backward pass draws the same again.
     *
     * @param firstRow the number of the first row, for slices
     */
    void dropout(Rows x, double probability, Seed seed, long firstRow);

    /** The sum of the squares of all values, in float64. */
    double sumOfSquares(Rows x);

    /** {@code x *= factor} in place. */
    void scale(Rows x, double factor);

    /**
     * One step of AdamW with the moments' bias corrected: {@code m = b1 m + (1 - b1) g}, {@code v = b2 v + (1 - b2) g^2},
     * {@code w = w - rate (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon) + decay w)} with {@code g = factor * gradient}
     * (Loshchilov and Hutter, arXiv 1711.05101). All rows are of one size; weights and moments of one type, F64, F32 or BF16.
     */
    void adamW(Rows weights, Rows gradient, Rows first, Rows second, AdamW step);

    /**
     * The numbers of one step.
     *
     * @param step t, from 1
     * @param factor what the gradients are multiplied with first: clipping, and the mean over accumulated batches
     */
    record AdamW(double rate, double beta1, double beta2, double epsilon, double decay, long step, double factor) {}

    /** SGD with momentum: {@code m = momentum m + g + decay w}, {@code w = w - rate m}, with {@code g = factor * gradient}. */
    void sgd(Rows weights, Rows gradient, Rows first, double rate, double momentum, double decay, double factor);

    /** {@code out = x} without the mean over each column; the two may be the same rows. What enters a centred stream is so. */
    void centreColumns(Rows x, Rows out);

    /** {@code out = x} without the mean over each row; the two may be the same rows. */
    void centreRows(Rows x, Rows out);
}
