package isonorm.text;

import ai.djl.huggingface.tokenizers.jni.CharSpan;
import java.io.IOException;

/** What turns text into tokens: native code, in this process or in one of its own. */
sealed interface NativeTokenizer extends AutoCloseable permits OwnTokenizer, TokenizerProcess {

    /**
     * A text's tokens.
     *
     * @param special 1 for what stands around a text and not for it
     * @param spans where each stands, in code points; null where nowhere
     */
    record Pieces(long[] ids, long[] special, CharSpan[] spans) {}

    /** The tokens of a text, or of it between those that the tokenizer puts around one. */
    Pieces encode(String text, boolean around) throws IOException;

    /** The text of tokens, without the special ones. */
    String decode(long... ids) throws IOException;

    @Override
    void close();
}
