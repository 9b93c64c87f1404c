package isonorm.embed;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** How the vectors of a text's tokens become one. */
public enum Pooling {
    /** The mean of all tokens, those that the tokenizer puts around a text among them. */
    MEAN("mean"),
    /** The first token. */
    CLS("cls");

    private final String label;

    Pooling(String label) {
        this.label = label;
    }

    /** The word used in files and on the command line. */
    public String label() {
        return label;
    }

    /** The pooling of this label. */
    public static Optional<Pooling> named(String label) {
        return Arrays.stream(values()).filter(pooling -> pooling.label.equals(label)).findFirst();
    }

    /** All labels. */
    public static List<String> labels() {
        return Arrays.stream(values()).map(Pooling::label).toList();
    }
}
