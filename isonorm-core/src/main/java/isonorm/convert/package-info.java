/**
 * Opens checkpoints and writes them in another form. A {@link isonorm.convert.LoadedModel} is a checkpoint of a known family; a
 * {@link isonorm.convert.Conversion} writes it in a {@link isonorm.convert.Form}, computing the same, or gives every reason why there is none; a
 * {@link isonorm.convert.Pruning} leaves blocks out. What either writes can be verified before it appears ({@link isonorm.convert.Verifier}).
 *
 * {@snippet class="isonorm.convert.ConversionSnippetsTest" region="convert"}
 */
package isonorm.convert;
