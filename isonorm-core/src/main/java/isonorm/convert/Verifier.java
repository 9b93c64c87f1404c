package isonorm.convert;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.family.LoadedModel;
import java.io.IOException;
import java.util.Optional;

/** Shows that a written checkpoint is equal to the one it came from, before anybody can see it. */
@FunctionalInterface
public interface Verifier {

    /** Shows nothing. */
    Verifier NONE = (_, _) -> Optional.empty();

    /**
     * Compares the source with the rewritten model, before rounding and as it was written.
     *
     * @param plan the source, and the rewritten model before rounding
     * @param result what was written
     * @return what was measured, for the report
     * @throws IOException if they are not equal; nothing is left of the conversion then
     */
    Optional<ObjectNode> verify(Plan plan, LoadedModel result) throws IOException;
}
