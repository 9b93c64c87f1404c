/**
 * Exact rewrites between normalizations. A {@link isonorm.convert.Rewrite} takes a model and gives an equal one; a
 * {@link isonorm.convert.Plan} is the list of them that leads to a {@link isonorm.convert.Form}, or every reason why there is
 * none; a {@link isonorm.convert.Conversion} carries a plan out and reports what it did.
 *
 * <p>Rewrites work on lazy matrices in float64, so a chain of them rounds once, when a tensor is written.
 *
 * {@snippet class="isonorm.convert.ConversionSnippetsTest" region="convert"}
 */
package isonorm.convert;
