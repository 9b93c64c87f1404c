package isonorm.hub;

import java.io.IOException;

/** A model cannot be had, for a reason that the message says in one line. */
public final class HubException extends IOException {

    /** Why it cannot be had. */
    public enum Reason {
        /** It is not in the cache, or not all of it, and nothing was to be fetched. */
        NOT_CACHED,
        /** The environment says that nothing may be fetched. */
        OFFLINE,
        /** The hub cannot be reached, or answers too slowly. */
        UNREACHABLE,
        /** There is no such model, or it is one that others may not see. */
        MISSING,
        /** Its owner wants to be asked first. */
        GATED,
        /** The model has no such revision. */
        REVISION,
        /** What the model has is no checkpoint, or names files outside of it. */
        UNUSABLE,
        /** What arrived is not what the hub says it is. */
        DAMAGED,
        /** The hub answered with an error. */
        REFUSED
    }

    private static final long serialVersionUID = 1;

    private final Reason reason;

    HubException(Reason reason, String message) {
        super(message);
        this.reason = reason;
    }

    HubException(Reason reason, String message, Throwable cause) {
        super(message, cause);
        this.reason = reason;
    }

    public Reason reason() {
        return reason;
    }
}
