package isonorm.kernel;

import isonorm.architecture.Activation;
import isonorm.architecture.NormKind;
import java.util.List;

/**
 * The memory-bound work of a forward pass, over rows in native memory.
 *
 * <p>Everything is read exactly, computed in float32 or better, and rounded once where it is stored. Sums of squares neither
 * overflow nor vanish, whatever finite values they are of. Every call runs on the caller's thread; to use several, give each its
 * {@link Rows#slice slice}. Arguments marked in place are overwritten; no other two may overlap unless it is said.
 *
 * <p>There are two implementations: {@link PlainKernels} is the specification, {@link VectorKernels} is the fast one, and they
 * agree but for the order of summation. {@link #provider()} gives the one for this JVM.
 */
public sealed interface Kernels permits PlainKernels, VectorKernels {

    /** The implementation for this JVM, chosen once. */
    static Kernels provider() {
        return Provider.CHOSEN.kernels();
    }

    /** The implementation for activations of a type: only the plain one computes in float64. */
    static Kernels of(Type type) {
        return type == Type.F64 ? Provider.PLAIN : provider();
    }

    /** Why it is that one. */
    static String reason() {
        return Provider.CHOSEN.reason();
    }

    /** Whether it computes with vectors; where it does not, it is many times slower. */
    static boolean vectorized() {
        return provider() instanceof VectorKernels;
    }

    /** {@code out = norm(x)}. The two may be the same rows. */
    void norm(Rows x, Normalization norm, Rows out);

    /**
     * {@code stream += branch + branchBias} in place, rounded, and {@code out = norm(stream)} of what was rounded.
     *
     * <p>For {@link NormKind#CRMS} the stream has d - 1 columns, best in rows of stride d. A free slot behind a row's last column,
     * which a stride above the columns says there is, is set to zero, in {@code out} too where it has as many columns.
     */
    void addNorm(Rows stream, Rows branch, Values branchBias, Normalization norm, Rows out);

    /**
     * {@code scales[row] = 1 / sqrt(q + epsilon)}, with the q of {@link Normalization}: all that is left of a norm before a linear
     * layer, since scaling a row commutes with the layer. Not for {@link NormKind#LAYER}, which also subtracts, nor for
     * {@link NormKind#DYNAMIC_TANH}, which scales nothing. Without an epsilon the scale of a row of zeros, or of values below 1e-38,
     * is infinite.
     */
    void squares(Rows x, NormKind kind, double epsilon, Values scales);

    /** {@code stream += branch + branchBias} as {@link #addNorm} does it, and the scales of {@link #squares}. */
    void addSquares(Rows stream, Rows branch, Values branchBias, NormKind kind, double epsilon, Values scales);

    /** {@code y = scales[row] * y + bias[column]} in place; either may be none. */
    void scaleRowsAddBias(Rows y, Values scales, Values bias);

    /** {@code y += bias[column]} in place. */
    default void addBias(Rows y, Values bias) {
        scaleRowsAddBias(y, Values.NONE, bias);
    }

    /** {@code y = activation(scales[row] * x + bias[column])}, rounded once; scales and bias may be none, and y may be x. */
    void activate(Rows x, Values scales, Values bias, Activation activation, Rows y);

    /** The same in place. */
    default void activate(Rows y, Values scales, Values bias, Activation activation) {
        activate(y, scales, bias, activation, y);
    }

    /**
     * {@code out = activation(scales[row] * gate + gateBias) * (scales[row] * up + upBias)}; scales and biases may be none. The
     * rows of {@code out} may be those of {@code gate} or {@code up}.
     */
    void gate(Rows gate, Rows up, Values scales, Values gateBias, Values upBias, Activation activation, Rows out);

    /**
     * {@code out[r] = softmax(score(scores[r]) + keyBias)} over the keys that row r reaches, zero elsewhere.
     *
     * <p>A key bias of minus infinity hides a key. A row that sees no key gives all of them the same weight, as transformers' eager
     * attention does, and never NaN. Each row of {@code out} may lie in the memory of the same row of {@code scores}.
     *
     * @param scores products of queries and keys, (rows, keys)
     * @param keyBias one value a key, such as slope times position (ALiBi), or none
     */
    void softmax(Rows scores, Scoring scoring, Values keyBias, Reach reach, Rows out);

    /**
     * Turns the first {@link Turns#width() width} values of every head, in place, row r by the angles of position
     * {@code first + r}.
     *
     * @param x (rows, heads * head width)
     */
    void rotary(Rows x, int heads, Turns turns, int first);

    /**
     * {@code out = x}, rounded if out's type holds less.
     *
     * @param x infinity and NaN stay what they are
     */
    void copy(Rows x, Rows out);

    /** {@code out[i] = scale * table[ids[i]]}. */
    void gather(Rows table, int[] ids, double scale, Rows out);

    /** {@code out[i] = scale * table[ids[i]] + positions[first + i]}. */
    void gather(Rows table, int[] ids, double scale, Rows positions, int first, Rows out);

    /**
     * {@code y = x weights^T}, for few rows of x: each row of weights is read once for four rows of x.
     *
     * @param weights (out, in), of any type
     * @param x (n, in)
     * @param y (n, out)
     */
    void matrixVectors(Rows weights, Rows x, Rows y);

    /**
     * {@code y = x weights}, for few rows of x: each row of weights is read once for four rows of x.
     *
     * @param x (n, in)
     * @param weights (in, out), of any type; a part of the columns is a slice of weights and y
     * @param y (n, out)
     */
    void vectorMatrices(Rows x, Rows weights, Rows y);

    /**
     * {@code y = x weights}, for any number of rows of x.
     *
     * <p>A row of y depends on that row of x and the weights alone, to the last bit: not on how many other rows are computed with it, nor
     * on which {@link Panels#outputs part} of the outputs is asked for, nor on whether code was compiled yet. The products of an output are
     * added input by input, whatever is beside it. Weights are finite; infinity and NaN in x give what they give in these sums.
     *
     * <p>To use several threads give each a part of the outputs, or of the rows where there are hundreds: the weights are read once for some
     * hundred rows.
     *
     * @param x (n, in)
     * @param weights (in, out), of any type; of float64 if x and y are, and only then
     * @param y (n, out)
     */
    void product(Rows x, Panels weights, Rows y);

    /** The same with weights of few bits; x and y are not of float64. The bits of a row are those that {@link #widen widened} weights give. */
    void product(Rows x, QuantizedPanels weights, Rows y);

    /**
     * Copies a matrix into panels, exactly or rounded once if their type holds less: outputs {@code firstOutput} and on, with the zeros
     * behind their inputs. What has the last output also makes zeros of the rest of the last panel, so the panels' memory need not be
     *
     * @param w (in, outputs that are copied)
     * @param transposed whether w is (outputs that are copied, in) instead
     */
    void pack(Rows w, boolean transposed, int firstOutput, Panels into);

    /**
     * The same matrix, of float32; exact.
     *
     * @param from finite, of 16 bits
     */
    void widen(Panels from, Panels into);

    /** The same matrix, of float32; exact. */
    void widen(QuantizedPanels from, Panels into);

    /** Where a row's largest value is, the first if there are several; NaN is never the largest. */
    int argmax(Rows x, int row);

    /**
     * Adds what {@code scales[row] * x + bias[column]} is like to a profile with room for as many rows; scales and bias may be none.
     * The values are rounded to float32, everything is summed up in float64.
     *
     * @param implied whether a row has one value more than x, minus the sum of the others, as in a compressed stream
     */
    void profile(Rows x, Values scales, Values bias, boolean implied, Profile into);

    /** The sum of each row's squares, in float64, as {@link #profile} has it. */
    void sumsOfSquares(Rows x, boolean implied, double[] sums);

    /**
     * The products of each row with each, in float64: {@code products[r * rows + other]}.
     *
     * @param products room for the rows' square
     */
    void gram(Rows x, double[] products);

    /** Where {@link #angles} puts number {@code one} and the {@code other} before it. */
    static int pair(int one, int other) {
        return one * (one - 1) / 2 + other;
    }

    /**
     * The cosine and the angle, 0 to pi, between the same row of each two of x, in float64; an angle near zero has all its digits, which
     * the arc cosine has not. Both are NaN where one of the two rows is all zeros.
     *
     * @param x of one shape
     * @param first how many rows the results of these stand behind
     * @param cosines a row's are together, each at its {@link #pair}; as angles
     */
    void angles(List<Rows> x, int first, double[] cosines, double[] angles);
}
