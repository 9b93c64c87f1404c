package isonorm.cli.terminal;

import static java.util.Objects.requireNonNull;

import isonorm.compare.Outcome;
import isonorm.compare.Trial;
import isonorm.compare.Trials;
import isonorm.train.Metrics;
import isonorm.words.Escapes;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.BooleanSupplier;

/** Shows the runs of a grid while they run: as a table that changes on a terminal, as a line for each that has ended anywhere else. */
public final class CompareProgress implements Trials.Watcher, AutoCloseable {

    private static final int ROWS = 20;
    private static final int CELLS = 24;
    private static final int WIDTH = 78;
    private static final long REDRAW_NANOS = 200_000_000L;

    /** Where a run is. */
    private static final class State {
        private boolean running;
        private long done;
        private long total = 1;
        private double loss = Double.NaN;
        private double validation = Double.NaN;
        private String ended = "";
    }

    private final Console console;
    private final boolean silent;
    private final BooleanSupplier interrupts;
    private final int jobs;
    private final ProgressBar lines;
    private final Map<Trial, State> states = new LinkedHashMap<>();
    private final long began = System.nanoTime();
    private int width;
    private long steps;
    private int ended;
    private int shown;
    private long shownAt;

    public CompareProgress(Console console, Trials trials, int jobs, boolean silent, BooleanSupplier interrupts) {
        this.console = console;
        this.interrupts = interrupts;
        this.silent = silent;
        this.jobs = jobs;
        this.lines = ProgressBar.on(console, silent || console.live());
        for (Trial trial : trials.all()) {
            State state = new State();
            state.total = trial.steps();
            width = Math.max(width, trial.name().length());
            states.put(trial, state);
        }
    }

    @Override
    public boolean interrupts() {
        return interrupts.getAsBoolean();
    }

    private State state(Trial trial) {
        return requireNonNull(states.get(trial));
    }

    @Override
    public synchronized void begins(Trial trial) {
        state(trial).running = true;
        draw(true);
    }

    @Override
    public synchronized void step(Trial trial, long done, long total) {
        State state = state(trial);
        state.done = done;
        steps++;
        lines.step(overview(), (long) (1000 * part()), 1000);
        draw(false);
    }

    @Override
    public synchronized void metrics(Trial trial, Metrics.Line line) {
        State state = state(trial);
        state.loss = line.loss();
        state.validation = Double.isNaN(line.validation()) ? state.validation : line.validation();
    }

    @Override
    public synchronized void note(Trial trial, String text) {
        if (!silent) {
            erase();
            console.err().println(trial.name() + ": " + text);
        }
    }

    @Override
    public synchronized void ends(Trial trial, Outcome outcome) {
        State state = state(trial);
        state.done = state.total;
        state.ended = ended(outcome, state.running);
        state.running = false;
        ended++;
        if (!silent && !console.live()) {
            console.out().println("  " + ended + "/" + states.size() + "  " + trial.name() + ": " + state.ended);
            console.out().flush();
        }
        draw(true);
    }

    private static String ended(Outcome outcome, boolean now) {
        String what = outcome.whole()
                ? String.format(Locale.ROOT, "validation loss %.4f after %,d steps", outcome.validation(), outcome.steps())
                : String.format(Locale.ROOT, "diverged at step %,d", outcome.steps());
        return what + (now ? ", " + Table.time(outcome.seconds()) : ", kept from before");
    }

    private double part() {
        double all = states.values().stream().mapToLong(state -> state.total).sum();
        return states.values().stream().mapToLong(state -> state.done).sum() / all;
    }

    private String overview() {
        long left = states.values().stream().mapToLong(state -> state.total - state.done).sum();
        double seconds = (System.nanoTime() - began) / 1e9;
        return ended + " of " + states.size() + " runs" + (steps < 2 ? "" : ", " + Table.time(left * seconds / steps) + " left");
    }

    /** The table, if it is time. */
    private void draw(boolean now) {
        if (silent || !console.live() || !now && System.nanoTime() - shownAt < REDRAW_NANOS) {
            return;
        }
        shownAt = System.nanoTime();
        List<String> rows = new ArrayList<>();
        int full = (int) (part() * CELLS);
        rows.add(String.format(Locale.ROOT, "[%s%s] %3.0f %%  %s", "=".repeat(full), " ".repeat(CELLS - full), 100 * part(), overview()));
        List<Map.Entry<Trial, State>> all = List.copyOf(states.entrySet());
        int first = Math.clamp((long) ended + jobs - ROWS + 2, 0, Math.max(0, all.size() - ROWS));
        all.subList(first, Math.min(all.size(), first + ROWS)).forEach(entry -> rows.add(String.format("  %-" + width + "s  %s", entry.getKey().name(), row(entry.getValue()))));
        StringBuilder text = new StringBuilder(shown > 0 ? "\033[" + shown + "A" : "");
        rows.forEach(row -> text.append("\r\033[K").append(Escapes.line(row.substring(0, Math.min(WIDTH, row.length())))).append('\n')); // a longer line would wrap
        console.draw(text);
        shown = rows.size();
    }

    private static String row(State state) {
        if (!state.ended.isEmpty()) {
            return state.ended;
        }
        if (!state.running) {
            return "";
        }
        return String.format(Locale.ROOT, "step %,d of %,d", state.done, state.total)
                + (Double.isNaN(state.loss) ? "" : String.format(Locale.ROOT, ", loss %.3f", state.loss))
                + (Double.isNaN(state.validation) ? "" : String.format(Locale.ROOT, ", validation %.3f", state.validation));
    }

    private void erase() {
        if (shown > 0) {
            console.draw("\033[" + shown + "A\r\033[J");
            shown = 0;
        }
    }

    /** Takes the table away. */
    @Override
    public synchronized void close() {
        erase();
        lines.close();
    }
}
