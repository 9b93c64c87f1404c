package isonorm.convert;

import java.util.Arrays;
import java.util.Optional;

/** The forms of one function that a checkpoint can be written in. */
public enum Form {
    /** The family's own format with LayerNorms, the stream centred: every other tool loads it. */
    CENTRED("centred"),
    /** A centred stream with RMSNorms that apply nothing before linear layers. */
    PRE_RMSNORM("pre-rmsnorm"),
    /** A centred stream carried in d - 1 values, with CRMSNorms. */
    PRE_CRMSNORM("pre-crmsnorm"),
    /** Post-LN with RMSNorms and explicit recentring. */
    RMSNORM("rmsnorm"),
    /** An ordinary checkpoint of the family, from one of Isonorm's Pre- forms. */
    PRE_LN("pre-ln");

    private final String label;

    Form(String label) {
        this.label = label;
    }

    /** The word used in files and on the command line. */
    public String label() {
        return label;
    }

    /** The form with this label. */
    public static Optional<Form> named(String label) {
        return Arrays.stream(values()).filter(form -> form.label.equals(label)).findFirst();
    }

    /** Whether files of this form are the family's own, which other tools load. */
    public boolean isFamilyFormat() {
        return this == CENTRED || this == PRE_LN;
    }

    @Override
    public String toString() {
        return label;
    }
}
