package isonorm.backpropagation;

import isonorm.kernel.Rows;
import java.util.function.UnaryOperator;

/**
 * What a function of a layer's input gave, and the backward pass: from the gradient of the loss with respect to the value to that with
 * respect to the input. The backward pass adds the gradients of the function's parameters to them; it is gone once, and may overwrite what
 * the way forward has kept.
 */
record Traced(Rows value, UnaryOperator<Rows> back) {}
