/**
 * Says how equal two models are, by running both on the same inputs.
 *
 * {@snippet class="isonorm.train.EngineSnippetsTest" region="verify"}
 *
 * {@snippet class="isonorm.train.EngineSnippetsTest" region="compared"}
 */
package isonorm.verify;
