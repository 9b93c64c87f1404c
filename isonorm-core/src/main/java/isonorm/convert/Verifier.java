package isonorm.convert;

import isonorm.model.Progress;
import isonorm.model.Transformer;
import java.io.IOException;

/**
 * Shows that a written checkpoint is the function it must be, before anybody can see it. The engine's {@code Verification.verifier()} is one.
 */
@FunctionalInterface
public interface Verifier {

    /**
     * Compares what was written with what it must be equal to.
     *
     * @param source what was read
     * @param original the function that must not change; another object than {@code source} where that was rounded when it was written, and what it
     *     was before has been found again
     * @param rewritten what was written, before its values were rounded
     * @param written what was written, in its temporary folder
     * @return what was measured, for the report
     * @throws IOException if they are not equal, in one line; nothing is left of what was written then
     */
    Evidence verify(Transformer source, Transformer original, Transformer rewritten, LoadedModel written, Progress progress) throws IOException;
}
