package isonorm.layer;

import isonorm.architecture.Role;
import isonorm.kernel.Rows;

/** Is shown what linear layers read. */
@FunctionalInterface
public interface InputListener {

    /** Listens to nothing. */
    InputListener NONE = (_, _) -> {};

    /** Some rows that are about to be multiplied with a weight, (tokens, inputs); they are overwritten afterwards. */
    void reads(Role weight, Rows x);
}
