/**
 * Text as models read and write it: files of UTF-8, and tokens there and back, all at once or as they come.
 *
 * {@snippet class="isonorm.train.EngineSnippetsTest" region="text"}
 */
package isonorm.text;
