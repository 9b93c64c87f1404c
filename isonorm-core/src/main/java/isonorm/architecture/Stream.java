package isonorm.architecture;

/** What is known of the residual stream's mean. */
public enum Stream {
    /** Nothing: it has the full width and any mean. */
    FREE("free"),
    /** Every vector in it sums to zero, because everything that writes to it does. */
    CENTRED("centred"),
    /** Centred, and carried in width - 1 values: the last one is minus the sum of the others. */
    COMPRESSED("compressed");

    private final String label;

    Stream(String label) {
        this.label = label;
    }

    /** The word used in files. */
    public String label() {
        return label;
    }
}
