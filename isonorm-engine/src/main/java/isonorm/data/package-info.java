/**
 * What is learned from: texts as memory-mapped shards of tokens, pairs of prompt and completion, folders of images.
 *
 * <p>{@link isonorm.data.TokenDataBuilder} turns files of text into a folder, {@link isonorm.data.TokenData} reads it, and
 * {@link isonorm.data.Batches} gives windows of it. {@link isonorm.data.Completions} and {@link isonorm.data.ImageFolder} read their files
 * as they are. All three are asked by position: the same position gives the same examples, in an order that is computed from a seed and
 * never stored, so a position is all that a run has to keep.
 *
 * {@snippet class="isonorm.train.EngineSnippetsTest" region="data"}
 */
package isonorm.data;
