package isonorm.cli;

import isonorm.cli.terminal.Console;
import java.io.OutputStream;
import java.io.PrintStream;

/** Runs what a start should be fast for, while the JVM records for its ahead-of-time cache; the launcher calls it. */
final class Rehearsal {

    private Rehearsal() {}

    public static void main(String[] args) {
        PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream());
        Console console = new Console(nowhere, nowhere, true, true);
        String checkpoint = args[0];
        Main.run(console, "--help");
        Main.run(console, "--version");
        Main.run(console, "convert", "--help");
        Main.run(console, "info", checkpoint);
        Main.run(console, "info", checkpoint, "--json");
        Main.run(console, "info", checkpoint + "/nothing");
        Main.run(console, "inof");
    }
}
