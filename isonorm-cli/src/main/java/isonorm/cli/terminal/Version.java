package isonorm.cli.terminal;

import java.util.Optional;
import picocli.CommandLine.IVersionProvider;

/** What {@code --version} prints. */
public final class Version implements IVersionProvider {

    /** Isonorm's own version. */
    public static String isonorm() {
        return Optional.ofNullable(Version.class.getPackage().getImplementationVersion()).orElse("0.1.0");
    }

    @Override
    public String[] getVersion() {
        return new String[] {"isonorm " + isonorm() + " (Java " + Runtime.version() + ", " + System.getProperty("os.name") + " "
                + System.getProperty("os.arch") + ")"};
    }
}
