/**
 * Checkpoints in and out: safetensors files, the folder around them, and what was wrong with either.
 *
 * <p>Three nouns carry the package. A {@link isonorm.checkpoint.SafetensorsFile} is one file of named tensors, of which
 * only the header has been read. A {@link isonorm.checkpoint.Checkpoint} is a folder: a {@code config.json} and one or
 * more such files that act as one. An {@link isonorm.checkpoint.OutputFolder} is a folder nobody can see until it is
 * complete, filled by {@link isonorm.checkpoint.SafetensorsWriter}. In between, a tensor is a
 * {@link isonorm.checkpoint.TensorInfo} (what it is) and a {@link java.lang.foreign.MemorySegment} (its bytes, mapped).
 *
 * {@snippet class="isonorm.convert.ConversionSnippetsTest" region="checkpoint"}
 *
 * <p>Everything that can be wrong with a checkpoint is a {@link isonorm.checkpoint.CheckpointException} with its own
 * {@link isonorm.checkpoint.CheckpointException.Reason}; a caller's mistake is an {@link IllegalArgumentException}.
 *
 * <p>Values are not looked at here: bytes are mapped and copied, and a header says nothing about them. A mapped file
 * that another process cuts short afterwards fails on access with an {@link InternalError}, as every mapping does.
 */
package isonorm.checkpoint;
