/**
 * Runs a {@link isonorm.weights.Model} to be compared with: one operation after the other, as the papers write them.
 *
 * <p>A {@link isonorm.layer.ForwardPass} takes a {@link isonorm.model.Batch} of tokens or images and gives a
 * {@link isonorm.model.Result}, computed in a type of your choice ({@link isonorm.model.Compute}):
 *
 * <pre>{@code
 * try (var pass = ForwardPass.streaming(model, Compute.F32);
 *         var result = pass.run(Batch.Tokens.of(new long[] {464, 2068, 7586}))) {
 *     double[] logits = result.outputValues();
 * }
 * }</pre>
 *
 * <p>The layers here follow from the architecture's values; none of them knows a model family.
 */
package isonorm.layer;
