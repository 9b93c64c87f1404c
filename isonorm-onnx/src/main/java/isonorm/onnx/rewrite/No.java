package isonorm.onnx.rewrite;

/** Why a stream is left as it is. */
final class No extends Exception {
    No(String reason) {
        super(reason);
    }
}
