package isonorm.architecture;

/** Which residual stream of a model something belongs to: most have one, the main stack's. */
public enum Stack {
    /** The only one; the decoder beside an encoder, the tower that reads texts beside one that reads images. */
    MAIN(""),
    /** The encoder whose output a decoder reads. */
    ENCODER("encoder."),
    /** The tower that reads images. */
    IMAGE("image.");

    private final String prefix;

    Stack(String prefix) {
        this.prefix = prefix;
    }

    /** What the names of its tensors begin with in Isonorm's own files. */
    public String prefix() {
        return prefix;
    }

    /** What reports call it. */
    public String title() {
        return this == IMAGE ? "image tower" : label();
    }

    /** The word used in files. */
    public String label() {
        return this == MAIN ? "main" : prefix.substring(0, prefix.length() - 1);
    }
}
