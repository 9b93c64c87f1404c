package isonorm.cli.terminal;

import isonorm.family.Isonorm;
import picocli.CommandLine.IVersionProvider;

/** What {@code --version} prints. */
public final class Version implements IVersionProvider {

    /** Isonorm's own version. */
    public static String isonorm() {
        return Isonorm.VERSION;
    }

    @Override
    public String[] getVersion() {
        return new String[] {"isonorm " + isonorm() + " (Java " + Runtime.version() + ", " + System.getProperty("os.name") + " "
                + System.getProperty("os.arch") + ")"};
    }
}
