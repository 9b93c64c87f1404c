package isonorm.generate;

/** Why a row was not continued. */
public enum Ending {
    /** The model gave the token that ends a text. */
    END_OF_TEXT,
    /** The text came to a stop string. */
    STOP_STRING,
    /** As many tokens as were asked for. */
    LENGTH,
    /** The model's context is full. */
    CONTEXT,
    /** The listener wanted no more tokens. */
    LISTENER
}
