package isonorm.model;

import java.io.IOException;
import java.util.List;

/** A checkpoint that has no exact equal in the form that was asked for, with every reason. */
public final class ConversionRefused extends IOException {

    private final List<String> reasons;

    public ConversionRefused(List<String> reasons) {
        super(String.join("; ", reasons));
        this.reasons = List.copyOf(reasons);
    }

    /** Every reason, a sentence each. */
    public List<String> reasons() {
        return reasons;
    }
}
