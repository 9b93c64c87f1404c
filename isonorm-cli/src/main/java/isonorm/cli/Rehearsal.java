package isonorm.cli;

import isonorm.cli.terminal.Console;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Runs what a start should be fast for, while the JVM records for a cache; launchers are given caches of it, one of what ends in a moment
 * ({@code start}) and one of what computes ({@code engine}).
 */
final class Rehearsal {

    private Rehearsal() {}

    public static void main(String[] args) throws IOException {
        PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream());
        Console console = new Console(nowhere, nowhere, true, true);
        String checkpoint = args[1];
        switch (args[0]) {
            case "start" -> {
                Main.run(console, "--help");
                Main.run(console, "--version");
                Main.run(console, "convert", "--help");
                Main.run(console, "info", checkpoint);
                Main.run(console, "info", checkpoint, "--json");
                Main.run(console, "info", checkpoint + "/nothing");
                Main.run(console, "inof");
            }
            case "engine" -> {
                Path text = Files.createTempFile("isonorm", ".txt");
                try {
                    Files.writeString(text, "What a start reads, and says what it is.\n");
                    run(console, "generate", checkpoint, "--prompt", "ROMEO:", "--max-tokens", "4");
                    run(console, "generate", checkpoint, "--prompt", "ROMEO:", "--max-tokens", "4", "--temperature", "1", "--top-p", "0.9", "--json");
                    run(console, "eval", checkpoint, "--text", text.toString());
                    run(console, "verify", checkpoint, checkpoint, "--text", text.toString());
                    run(console, "doctor");
                } finally {
                    Files.delete(text);
                }
            }
            default -> throw new IllegalArgumentException("start or engine, got " + args[0]);
        }
    }

    private static void run(Console console, String... command) {
        if (Main.run(console, command) != 0) {
            throw new IllegalStateException("failed: isonorm " + String.join(" ", command));
        }
    }
}
