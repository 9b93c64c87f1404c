package isonorm.architecture;

/** Which residual stream of a model something belongs to: most have one, the main stack's. */
public enum Stack {
    /** The only one, or the decoder beside an encoder. */
    MAIN(""),
    /** The encoder whose output a decoder reads. */
    ENCODER("encoder.");

    private final String prefix;

    Stack(String prefix) {
        this.prefix = prefix;
    }

    /** What the names of its tensors begin with in Isonorm's own files. */
    public String prefix() {
        return prefix;
    }

    /** The word used in files and reports. */
    public String label() {
        return this == MAIN ? "main" : prefix.substring(0, prefix.length() - 1);
    }
}
