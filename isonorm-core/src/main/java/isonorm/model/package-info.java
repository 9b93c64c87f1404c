/**
 * What a model is to who uses it: a {@link isonorm.model.Transformer}, which reads a {@link isonorm.model.Batch}, computes in a type
 * ({@link isonorm.model.Compute}) and gives a {@link isonorm.model.Result}.
 *
 * {@snippet class="isonorm.convert.ConversionSnippetsTest" region="model"}
 */
package isonorm.model;
