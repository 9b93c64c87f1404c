package isonorm.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import isonorm.mutation.CleanLine;
import isonorm.mutation.Mutations;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * Changes valid headers at random and reads them: whatever comes, the reader answers soon, with a file whose tensors cover
 * it or with a {@link CheckpointException}.
 *
 * <p>Input number i depends on i alone, so a failure is repeated by its number; {@link Mutations} says how many there are.
 */
class SafetensorsMutationTest {

    private static final int FEW = 10_000;
    private static final int FIRST = Mutations.first(FEW);
    private static final int INPUTS = Mutations.end(FEW) - FIRST;
    private static final long SLOWEST_NANOS = 5_000_000_000L; // of the processor
    private static final Path NAME = Path.of("fuzz.safetensors");

    private static final Pattern NUMBER = Pattern.compile("\\d+");
    private static final Pattern DTYPE = Pattern.compile("\"dtype\":\"([^\"]*)\"");
    private static final Pattern TENSOR = Pattern.compile("\"[^\"]*\":\\{[^{}]*\\}");
    private static final List<String> NUMBERS = List.of("0", "1", "7", "-1", "4294967296", "9223372036854775807",
            "9223372036854775808", "-9223372036854775808", "18446744073709551616", "1e3", "0.5", "01", "null", "true", "[]",
            "\"1\"", "9".repeat(200));
    private static final List<String> PIECES = List.of("{", "}", "[", "]", ",", ":", "\"", "\\", "\\ud800", "\\u0000", "null",
            "{\"a\":", "[[[[", " ", "\n", "\0", "\"__metadata__\":{\"a\":\"b\"},", "\"__metadata__\":1,", "\"shape\":[1],",
            "\"dtype\":\"F32\",", "\"data_offsets\":[0,0],", "\"F31\"", "\ufeff", "😀");

    /** A valid start of a file, and how many bytes of data follow it. */
    private record Base(byte[] start, long dataLength) {}

    @Test
    void everyInputIsReadOrRefused() throws Exception {
        List<Base> bases = new ArrayList<>(generated());
        bases.addAll(fixtures());
        for (Base base : bases) {
            read(base.start(), base.start().length + base.dataLength()); // valid to begin with
        }
        long began = System.nanoTime();
        Map<CheckpointException.Reason, Integer> refused = new EnumMap<>(CheckpointException.Reason.class);
        int accepted = 0;
        for (int i = FIRST; i < FIRST + INPUTS; i++) {
            SplittableRandom random = new SplittableRandom(i);
            Base base = bases.get(random.nextInt(bases.size()));
            byte[] input = mutated(base, bases, random);
            long length = length(input, base, random);
            long before = Mutations.spent();
            try {
                assertCovers(read(input, length), length);
                accepted++;
            } catch (CheckpointException e) {
                refused.merge(e.reason(), 1, Integer::sum);
                assertEquals(Optional.empty(), CleanLine.complaint(e.getMessage()), () -> e.getMessage());
            } catch (Throwable e) {
                fail("input " + i + " must be read or refused", e);
            }
            long nanos = Mutations.spent() - before;
            assertTrue(nanos < SLOWEST_NANOS, "input " + i + " took " + nanos + " ns");
        }
        Mutations.tally("headers of safetensors", INPUTS, accepted, System.nanoTime() - began);
        if (INPUTS >= FEW) {
            Set<CheckpointException.Reason> reachable = EnumSet.range(
                    CheckpointException.Reason.TRUNCATED, CheckpointException.Reason.SIZE_MISMATCH);
            assertEquals(reachable, refused.keySet(), "the inputs must reach every refusal, and reached " + refused);
            assertTrue(accepted > INPUTS / 100, "few inputs were accepted, " + accepted);
        }
    }

    private static Header read(byte[] input, long length) throws IOException {
        return Header.read(Channels.newChannel(new ByteArrayInputStream(input)), length, NAME);
    }

    private static void assertCovers(Header header, long length) {
        long end = header.dataStart();
        for (Header.Placed tensor : header.tensors()) {
            assertEquals(end, header.dataStart() + tensor.begin());
            end += tensor.info().bytes();
        }
        assertEquals(length, end);
    }

    private static List<Base> generated() throws IOException {
        List<Base> bases = new ArrayList<>();
        for (int seed = 0; seed < 20; seed++) {
            SplittableRandom random = new SplittableRandom(seed);
            List<TensorInfo> tensors = new ArrayList<>();
            long data = 0;
            for (int i = random.nextInt(5); i >= 0; i--) {
                List<Long> shape = random.longs(random.nextInt(4), 0, 5).boxed().toList();
                TensorInfo tensor = new TensorInfo("t." + i, Dtype.values()[random.nextInt(Dtype.values().length)], shape);
                tensors.add(tensor);
                data += tensor.bytes();
            }
            Map<String, String> metadata = seed % 2 == 0 ? Map.of() : Map.of("format", "pt");
            bases.add(new Base(Header.bytes(tensors, metadata).array(), data));
        }
        return bases;
    }

    /** The header of every reference model, of which there must be enough for this to mean anything. */
    private static List<Base> fixtures() throws IOException, URISyntaxException {
        URL resource = SafetensorsMutationTest.class.getResource("/fixtures");
        assertTrue(resource != null, "the reference models must be on the class path under /fixtures");
        List<Path> files;
        try (Stream<Path> paths = Files.walk(Path.of(resource.toURI()))) {
            files = paths.filter(path -> path.toString().endsWith(".safetensors")).sorted().toList();
        }
        long folders = files.stream().map(Path::getParent).distinct().count();
        assertTrue(folders >= 20, "there must be reference models in at least 20 folders, got " + folders);
        List<Base> bases = new ArrayList<>();
        for (Path file : files) {
            try (InputStream input = Files.newInputStream(file)) {
                byte[] prefix = input.readNBytes(Long.BYTES);
                long headerLength = ByteBuffer.wrap(prefix).order(ByteOrder.LITTLE_ENDIAN).getLong();
                byte[] start = Samples.concatenated(prefix, input.readNBytes((int) headerLength));
                bases.add(new Base(start, Files.size(file) - start.length));
            }
        }
        return bases;
    }

    private static byte[] mutated(Base base, List<Base> bases, SplittableRandom random) {
        byte[] input = base.start().clone();
        boolean text = random.nextInt(4) != 0; // changes that stay JSON reach deeper
        for (int changes = 1 + random.nextInt(3); changes > 0 && input.length > Long.BYTES; changes--) {
            input = text ? mutatedText(input, random) : mutatedBytes(input, bases, random);
        }
        if (input.length >= Long.BYTES && random.nextInt(8) != 0) {
            ByteBuffer.wrap(input).order(ByteOrder.LITTLE_ENDIAN).putLong(0, input.length - Long.BYTES);
        }
        return input;
    }

    private static byte[] mutatedBytes(byte[] input, List<Base> bases, SplittableRandom random) {
        int at = random.nextInt(input.length);
        return switch (random.nextInt(4)) {
            case 0 -> {
                input[at] ^= (byte) (1 << random.nextInt(8));
                yield input;
            }
            case 1 -> {
                input[random.nextInt(Long.BYTES)] = (byte) random.nextInt(256); // the length of the header
                yield input;
            }
            case 2 -> Arrays.copyOf(input, at);
            default -> {
                byte[] other = bases.get(random.nextInt(bases.size())).start();
                int from = random.nextInt(other.length);
                yield Samples.concatenated(Arrays.copyOf(input, at), Arrays.copyOfRange(other, from, other.length));
            }
        };
    }

    private static byte[] mutatedText(byte[] input, SplittableRandom random) {
        String header = new String(input, Long.BYTES, input.length - Long.BYTES, StandardCharsets.UTF_8);
        StringBuilder changed = new StringBuilder(header);
        int at = random.nextInt(header.length() + 1);
        switch (random.nextInt(7)) {
            case 0, 1 -> {
                Matcher number = NUMBER.matcher(header);
                Matcher another = NUMBER.matcher(header);
                if (number.find(at)) {
                    String other = random.nextBoolean() && another.find(random.nextInt(header.length()))
                            ? another.group()
                            : NUMBERS.get(random.nextInt(NUMBERS.size()));
                    changed.replace(number.start(), number.end(), other);
                }
            }
            case 2 -> changed.insert(at, PIECES.get(random.nextInt(PIECES.size())));
            case 3 -> {
                Matcher tensor = TENSOR.matcher(header);
                if (tensor.find(at)) {
                    if (random.nextBoolean()) {
                        changed.insert(tensor.start(), tensor.group() + ","); // the key twice
                    } else {
                        changed.delete(tensor.start(), Math.min(tensor.end() + 1, changed.length())); // leaves a hole
                    }
                }
            }
            case 4 -> changed.insert(at, (random.nextBoolean() ? "[" : "{\"a\":").repeat(1 << random.nextInt(13)));
            case 5 -> {
                Matcher dtype = DTYPE.matcher(header);
                if (dtype.find(at)) {
                    Dtype other = Dtype.values()[random.nextInt(Dtype.values().length)];
                    changed.replace(dtype.start(1), dtype.end(1), random.nextInt(3) == 0 ? "F4" : other.name());
                }
            }
            default -> changed.append(" ".repeat(random.nextInt(9)));
        }
        return Samples.concatenated(
                Arrays.copyOf(input, Long.BYTES), changed.toString().getBytes(StandardCharsets.UTF_8));
    }

    private static long length(byte[] input, Base base, SplittableRandom random) {
        long length = input.length + base.dataLength();
        return switch (random.nextInt(16)) {
            case 0 -> random.nextLong(length + 1);
            case 1 -> length + random.nextLong(100);
            case 2 -> Long.MAX_VALUE;
            default -> length;
        };
    }
}
