package isonorm.mutation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;

/**
 * Reads valid files with random changes: each is read, or refused in one clean line, soon.
 *
 * <p>Input number i of a reader depends on i alone, so a failure is repeated by its number, {@code -Disonorm.mutation=i}; {@code -Disonorm.mutations=n} gives
 * each reader n times as many, and then what came of them is appended to {@code target/mutations.txt}; with {@code -Disonorm.mutations.from=m} those of the
 * first m times are left out, because they were tried before.
 */
public final class Mutations {

    /** Of the processor, which a machine that stands still for a while does not spend. */
    private static final long SLOWEST_NANOS = 5_000_000_000L;

    private Mutations() {}

    /** Changes a valid input. */
    public interface Change {
        byte[] made(byte[] valid, List<byte[]> others, SplittableRandom random);
    }

    /** Reads what it is given, and throws what its users are told of. */
    public interface Reader {
        void read(byte[] input) throws IOException;
    }

    /** The number behind the last input's: few, or so many times as many. */
    public static int end(int few) {
        return few * Integer.getInteger("isonorm.mutations", 1);
    }

    /** The first input's number. */
    public static int first(int few) {
        return few * Integer.getInteger("isonorm.mutations.from", 0);
    }

    /** Gives a reader so many inputs, made of valid ones, each of which it must accept as it is. */
    public static void run(String what, int few, List<byte[]> valid, Change change, Reader reader) throws IOException {
        for (byte[] each : valid) {
            reader.read(each);
        }
        long began = System.nanoTime();
        int only = Integer.getInteger("isonorm.mutation", -1);
        int accepted = 0;
        int first = only < 0 ? first(few) : only;
        int end = only < 0 ? end(few) : only + 1;
        for (int i = first; i < end; i++) {
            SplittableRandom random = new SplittableRandom(i);
            byte[] input = change.made(valid.get(random.nextInt(valid.size())), valid, random);
            long before = spent();
            try {
                reader.read(input);
                accepted++;
            } catch (IOException | IllegalArgumentException | UncheckedIOException e) {
                Optional<String> complaint = CleanLine.complaint(e.getMessage());
                if (complaint.isPresent() || only >= 0) {
                    fail(what + ", input " + i + " is refused, and " + complaint.orElse("all is well") + ": " + e.getMessage(), e);
                }
            } catch (Throwable e) {
                fail(what + ", input " + i + " must be read or refused, and is " + e + ": " + shown(input), e);
            }
            long nanos = spent() - before;
            assertTrue(nanos < SLOWEST_NANOS, what + ", input " + i + " took " + nanos + " ns");
        }
        tally(what, end - first, accepted, System.nanoTime() - began);
    }

    /** What this thread has had of a processor. */
    public static long spent() {
        return ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
    }

    private static String shown(byte[] input) {
        String text = new String(input, StandardCharsets.UTF_8);
        return text.length() > 2000 ? text.substring(0, 2000) : text;
    }

    /** Where many were wanted, what came of them. */
    public static void tally(String what, int inputs, int accepted, long nanos) throws IOException {
        assertEquals(inputs > 0, accepted <= inputs);
        if (System.getProperty("isonorm.mutations") != null) {
            Files.createDirectories(Path.of("target"));
            Files.writeString(Path.of("target", "mutations.txt"), String.format("%s: %,d inputs, %,d read, %,d refused, %,d s%n", what, inputs, accepted,
                    inputs - accepted, nanos / 1_000_000_000L), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        }
    }
}
