package isonorm.train;

import isonorm.words.SystemFault;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;

/**
 * What a rank of a group says, in {@code rank-<number>.log} in the run's folder: there others read why it failed, for a connection that is closed does
 * not say so.
 *
 * @param ranks how many there are
 */
record RankLog(Path run, int rank, int ranks) {

    private static final String FAILED = " failed: ";
    private static final String LOST = " lost others: ";
    private static final String BEGAN = " began as rank ";

    /** How long others are given to say why they failed: longer than a folder that machines share takes to show it. */
    private static final long PATIENCE_MILLIS = 3_000;

    private static final long LOOK_MILLIS = 50;

    static boolean isName(String name) {
        return name.matches("rank-\\d+\\.log");
    }

    private static Path file(Path run, int rank) {
        return run.resolve("rank-" + rank + ".log");
    }

    /** Begins one, behind what earlier processes said. */
    static RankLog begin(Path run, ProcessGroup group) throws IOException {
        Files.createDirectories(run);
        RankLog log = new RankLog(run, group.rank(), group.size());
        log.append(BEGAN + group.rank() + " of " + group.size() + " at " + group.address(group.rank()) + ", process " + ProcessHandle.current().pid());
        return log;
    }

    private void append(String text) throws IOException {
        Files.writeString(file(run, rank), Instant.now().truncatedTo(ChronoUnit.SECONDS) + text + "\n", StandardCharsets.UTF_8, StandardOpenOption.CREATE,
                StandardOpenOption.APPEND);
    }

    void note(String text) {
        try {
            append(" " + text);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Says why this rank ends. A disk may be full, and then nobody can be told. */
    void failed(Throwable e) {
        said(FAILED + reason(e));
    }

    private void said(String text) {
        try {
            append(text);
        } catch (IOException e) {
            return; // what went wrong before is thrown
        }
    }

    /** In a line, as users are told. */
    static String reason(Throwable e) {
        String reason = switch (e) {
            case IOException failed -> SystemFault.named(failed);
            case UncheckedIOException failed when failed.getCause() != null -> SystemFault.named(failed.getCause());
            case IllegalArgumentException refused when refused.getMessage() != null -> refused.getMessage();
            case OutOfMemoryError memory -> "out of memory: " + memory.getMessage();
            default -> e.toString();
        };
        return reason.lines().findFirst().orElse("");
    }

    /**
     * Why a group broke, as far as others say or their silence does.
     *
     * @param seconds how long they were waited for
     */
    String explain(ProcessGroup group, ProcessGroup.Broken broken, long seconds) {
        said(LOST + String.valueOf(broken.getMessage()).lines().findFirst().orElse(""));
        List<Integer> silent = List.of();
        for (long waited = 0; waited <= PATIENCE_MILLIS; waited += LOOK_MILLIS) {
            silent = new ArrayList<>();
            for (int other = 0; other < ranks; other++) {
                String last = other == rank ? LOST : last(other);
                if (last.startsWith(FAILED)) {
                    return named(group, other) + FAILED + last.substring(FAILED.length());
                }
                if (!last.startsWith(LOST)) {
                    silent.add(other);
                }
            }
            try {
                Thread.sleep(LOOK_MILLIS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                break;
            }
        }
        String who = silent.isEmpty() ? "another rank" : String.join(" and ", silent.stream().map(other -> named(group, other)).toList());
        return who + (broken.silent() ? " gave no answer within " + seconds + " s" : silent.size() > 1 ? " were lost, their connections are closed"
                : " was lost, its connection is closed") + "; start the same command again, which goes on from the last checkpoint";
    }

    static String named(ProcessGroup group, int rank) {
        return "rank " + rank + " (" + group.address(rank) + ")";
    }

    /** What a rank said last, behind the instant. */
    private String last(int other) {
        try {
            List<String> lines = Files.readAllLines(file(run, other));
            String last = lines.isEmpty() ? "" : lines.getLast();
            return last.substring(Math.max(0, last.indexOf(' ')));
        } catch (IOException e) {
            return "";
        }
    }
}
