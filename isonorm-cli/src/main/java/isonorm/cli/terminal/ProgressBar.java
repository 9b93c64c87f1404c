package isonorm.cli.terminal;

import isonorm.model.Progress;
import isonorm.words.Escapes;
import java.util.Locale;

/** Shows how far long work is: a bar on a terminal, a line now and then anywhere else. */
public final class ProgressBar implements Progress, AutoCloseable {

    private static final int CELLS = 24;
    private static final long REDRAW_NANOS = 80_000_000L;
    private static final long LINE_NANOS = 10_000_000_000L;

    private final Console console;
    private final boolean silent;
    private long shownAt = System.nanoTime();
    private int shownLength;
    private String shownWork = "";

    private ProgressBar(Console console, boolean silent) {
        this.console = console;
        this.silent = silent;
    }

    public static ProgressBar on(Console console, boolean silent) {
        return new ProgressBar(console, silent);
    }

    @Override
    public synchronized void step(String what, long done, long total) {
        if (silent) {
            return;
        }
        long now = System.nanoTime();
        double part = total <= 0 ? 1 : Math.clamp((double) done / total, 0, 1);
        if (!console.live()) {
            if (now - shownAt > LINE_NANOS) {
                shownAt = now;
                console.err().printf(Locale.ROOT, "%s, %.0f %%%n", what, 100 * part);
            }
            return;
        }
        if (now - shownAt < REDRAW_NANOS && what.equals(shownWork) && done < total) {
            return;
        }
        shownAt = now;
        shownWork = what;
        int full = (int) (part * CELLS);
        draw(String.format(Locale.ROOT, "[%s%s] %3.0f %%  %s", "=".repeat(full), " ".repeat(CELLS - full), 100 * part, Escapes.line(what)));
    }

    private void draw(String line) {
        String cut = line.length() > 78 ? line.substring(0, 78) : line; // a longer line would wrap and stay on the screen
        console.draw("\r" + cut + " ".repeat(Math.max(0, shownLength - cut.length())));
        shownLength = cut.length();
    }

    /** Takes the bar away. */
    @Override
    public synchronized void close() {
        if (shownLength > 0) {
            console.draw("\r" + " ".repeat(shownLength) + "\r");
            shownLength = 0;
        }
    }
}
