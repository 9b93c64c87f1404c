package isonorm.checkpoint;

import isonorm.words.Escapes;
import java.io.IOException;
import java.util.Objects;

/**
 * Says that a checkpoint cannot be read, converted or written, and for which {@link Reason}.
 *
 * <p>The message is one line that names the file, the tensor and the numbers concerned. Names come from files and may
 * hold anything, so control and formatting characters are escaped and a very long message is cut.
 */
public final class CheckpointException extends IOException {

    /** The ways in which a checkpoint can be wrong. */
    public enum Reason {
        /** A file or folder is not there. */
        MISSING_FILE,
        /** The path holds something else: an empty folder, another kind of file, a Git LFS pointer. */
        NOT_A_CHECKPOINT,
        /** A pickle holds something else than tensors, which could be code, or is not of a form that is read. */
        PICKLE_REFUSED,
        /** A file is there but cannot be read: permissions, a failing disk. */
        READ_FAILED,
        /** A file is no longer what it was when it was opened. */
        CHANGED,
        /** A file ends before its header says it does, or its length changed after it was opened. */
        TRUNCATED,
        /** The header's length is above the format's cap of 100 MB. */
        HEADER_TOO_LONG,
        /** The header is not a UTF-8 JSON object, or has a key twice. */
        HEADER_NOT_JSON,
        /** The header is JSON, but not of the format's form. */
        HEADER_MALFORMED,
        /** A tensor's element type is not known. */
        UNKNOWN_DTYPE,
        /** A tensor's offsets are negative, reversed or too large to be offsets. */
        OFFSETS_OUT_OF_RANGE,
        /** A tensor begins before the one in front of it ends. */
        OFFSETS_OVERLAP,
        /** Bytes between tensors or after the last one belong to no tensor. */
        OFFSETS_HOLE,
        /** A tensor's offsets do not span its shape times its element size. */
        SIZE_MISMATCH,
        /** A tensor that is asked for is not there. */
        MISSING_TENSOR,
        /** A tensor is there that nothing accounts for. */
        UNEXPECTED_TENSOR,
        /** The index of shards is not JSON, not of the index's form, or names a file outside its folder. */
        INDEX_MALFORMED,
        /** The index of shards and the shards do not hold the same tensors. */
        INDEX_DISAGREES,
        /** {@code config.json} or {@code generation_config.json} is not a JSON object. */
        CONFIG_NOT_JSON,
        /** The model type of {@code config.json} is not known. */
        UNKNOWN_MODEL_TYPE,
        /** {@code config.json} asks for something that is not supported. */
        CONFIG_UNSUPPORTED,
        /** {@code config.json} and the weights disagree. */
        CONFIG_DISAGREES,
        /** A tensor has an element type that cannot be used in its place. */
        WRONG_DTYPE,
        /** A value is infinite or not a number. */
        NOT_FINITE,
        /** A value does not fit the element type it is to be written in. */
        OVERFLOW,
        /** The file system has not enough space for the output. */
        NO_SPACE,
        /** The output is already there. */
        OUTPUT_EXISTS,
        /** Writing failed for any other reason. */
        WRITE_FAILED
    }

    private static final long serialVersionUID = 1L;
    private static final int LONGEST_MESSAGE = 4000;

    private final Reason reason;

    public CheckpointException(Reason reason, String message) {
        super(oneLine(message));
        this.reason = Objects.requireNonNull(reason, "reason");
    }

    public CheckpointException(Reason reason, String message, Throwable cause) {
        super(oneLine(message), cause);
        this.reason = Objects.requireNonNull(reason, "reason");
    }

    /** What was wrong. */
    public Reason reason() {
        return reason;
    }

    private static String oneLine(String message) {
        return message.length() > LONGEST_MESSAGE ? Escapes.line(message.substring(0, LONGEST_MESSAGE)) + '…' : Escapes.line(message);
    }
}
