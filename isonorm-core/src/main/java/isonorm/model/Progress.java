package isonorm.model;

/** Told how far a long piece of work has come. */
@FunctionalInterface
public interface Progress {

    /** Tells nobody. */
    Progress NONE = (_, _, _) -> {};

    /** {@code done} of {@code total} parts of {@code what} are finished. */
    void step(String what, long done, long total);
}
