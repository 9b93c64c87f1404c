/**
 * Runs a model that is wholly in memory: an {@link isonorm.inference.Inference} is the model, for any number of threads, and an
 * {@link isonorm.inference.Sequence} is what it has read so far of one text.
 *
 * {@snippet class="isonorm.train.EngineSnippetsTest" region="inference"}
 */
package isonorm.inference;
