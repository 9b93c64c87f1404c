/**
 * Says how equal two models are, by running both on the same inputs.
 *
 * <pre>{@code
 * Conversion.of(original, Form.PRE_RMSNORM).verifiedBy(Verification.verifier()).writeTo(folder);
 *
 * Comparison comparison = Verification.of(original, converted)
 *         .withText(TokenizedText.read(tokenizerJson, textFile, 128, 100_000))
 *         .compute(Compute.F64, Compute.F64)
 *         .run(Progress.NONE);
 * }</pre>
 */
package isonorm.verify;
