/**
 * Lets a model write: token after token, each chosen from what the model says of all.
 *
 * {@snippet class="isonorm.train.EngineSnippetsTest" region="generate"}
 */
package isonorm.generate;
