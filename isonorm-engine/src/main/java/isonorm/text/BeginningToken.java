package isonorm.text;

/**
 * Whether a text begins with the token that its tokenizer puts in front of one, which many models (Gemma, Llama, Mistral) have never been
 * without in training: "beginning of sequence", BOS. Whatever a tokenizer puts behind a text is never added.
 */
public enum BeginningToken {

    /** As the tokenizer does of itself: {@code add_bos_token} of its tokenizer_config.json, else the template of its tokenizer.json. */
    AUTO,

    /** Where the tokenizer does not of itself, too: then with the {@code bos_token} of its tokenizer_config.json. */
    ALWAYS,

    /** Not. */
    NEVER
}
