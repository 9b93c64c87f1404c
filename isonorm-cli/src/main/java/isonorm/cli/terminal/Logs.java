package isonorm.cli.terminal;

import isonorm.tensor.Slowness;
import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * What libraries log, which is not for who uses the command line: that the engine is slow the commands say in a line of their own, and the
 * reader of Parquet would say which of its parts are in use.
 */
public final class Logs {

    /** Kept, because a logger that nobody holds forgets its level. */
    private static final List<Logger> HUSHED = List.of(Logger.getLogger(Slowness.LOGGER), Logger.getLogger("dev.hardwood"));

    private Logs() {}

    /** Keeps them quiet in this process, from before their libraries are used. */
    public static void hush() {
        HUSHED.forEach(logger -> logger.setLevel(Level.SEVERE));
    }
}
