package isonorm.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import isonorm.measure.Machine;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The README's commands, in their order, print what stands behind them. What takes long is left out unless {@code -Disonorm.test.long=true} asks for
 * it. Durations and hashes may be any, numbers may differ by as much as processors do, and generated text is that of the processor named there.
 */
class ReadmeCommandsTest {

    private static final String COMMAND = "$ ./isonorm ";
    private static final String PROCESSOR = "AMD EPYC";

    /** What is looked up in the checkout; all else that a command names is where it works. */
    private static final Set<String> OF_CHECKOUT = Set.of("examples");

    /** Minutes, or waits for somebody. What a watch says is tried where it stands by itself. */
    private static final Set<String> LONG = Set.of("train", "compare", "depth", "prune");
    private static final Set<String> ENDLESS = Set.of("watch");

    private static final Path OLMO2 = Run.fixture("olmo2");
    private static final double FAR = 2e-3; // of a number, between processors
    private static final double ROUNDING = 1e-5; // smaller errors are of the order that sums are in alone, and may be ten times larger or smaller

    private static final String HASH = "[0-9a-f]{64}";
    private static final Pattern NUMBER = Pattern.compile("(?<before>[(+-]*)(?<number>[0-9][0-9,]*\\.(?<fraction>[0-9]+)(?<exponent>e-[0-9]+)?)(?<behind>[),;]*)");

    @TempDir
    private Path work;

    /** A command and what stands behind it. */
    private record Sample(int line, List<String> words, List<String> printed) {

        String name() {
            return "line " + line + ": isonorm " + String.join(" ", words);
        }

        boolean takesLong() {
            return LONG.contains(words.getFirst()) || words.stream().anyMatch(word -> word.startsWith("run/"));
        }

        boolean isDrawn() {
            return words.contains("generate") && words.contains("--temperature");
        }
    }

    private static List<Sample> samples() throws IOException {
        List<Sample> samples = new ArrayList<>();
        List<String> printed = new ArrayList<>();
        int at = 0;
        boolean code = false;
        for (String line : Files.readAllLines(Run.HOME.resolve("README.md"))) {
            at++;
            if (line.startsWith("```")) {
                code = !code;
                printed = new ArrayList<>();
            } else if (code && line.startsWith(COMMAND)) {
                printed = new ArrayList<>();
                samples.add(new Sample(at, words(line.substring(COMMAND.length())), printed));
            } else if (code) {
                printed.add(line);
            }
        }
        return samples;
    }

    private static List<String> words(String line) {
        Matcher word = Pattern.compile("\"([^\"]*)\"|(\\S+)").matcher(line);
        return word.results().map(each -> each.group(1) == null ? each.group(2) : each.group(1)).toList();
    }

    /** As a terminal of 80 columns has it. */
    @BeforeEach
    void beEightyColumnsWide() {
        assumeTrue(System.getenv("COLUMNS") == null, "COLUMNS says how wide output is");
        System.setProperty("isonorm.columns", "80");
    }

    @AfterEach
    void beAsWideAsBefore() {
        System.clearProperty("isonorm.columns");
    }

    @TestFactory
    Stream<DynamicTest> everyCommandPrintsWhatStandsBehindIt() throws IOException {
        return samples().stream().map(sample -> dynamicTest(sample.name(), () -> {
            assumeTrue(!ENDLESS.contains(sample.words.getFirst()), "it does not end");
            assumeTrue(!sample.takesLong() || Boolean.getBoolean("isonorm.test.long"), "it takes long; -Disonorm.test.long=true runs it");
            Run run = Run.of(sample.words.stream().map(this::placed).toArray());
            String all = run.out() + run.err();
            String printed = all.replace(OLMO2.toString(), "olmo2-checkpoint").replace(work + "/", "").replace(Run.HOME + "/", "");
            assertEquals(all.contains("cannot convert") ? 1 : 0, run.code(), all);
            if (sample.isDrawn() && !Machine.here().processor().name().contains(PROCESSOR)) {
                assertTrue(printed.length() > 100, printed);
            } else {
                compare(sample.printed, printed);
            }
        }));
    }

    /** A word whose path begins with what the checkout has, or with what an earlier command wrote. */
    private String placed(String word) {
        String key = word.replaceFirst("^([a-z]+=)?.*$", "$1");
        String value = word.substring(key.length());
        String first = value.split("/")[0];
        boolean file = Set.of("small", "six", "run", "grid", "out").contains(first);
        if (first.equals("olmo2-checkpoint")) {
            return OLMO2.toString();
        }
        return OF_CHECKOUT.contains(first) ? key + Run.HOME.resolve(value) : file ? key + work.resolve(value) : word;
    }

    /** Parts between lines of three dots follow each other in what was printed. */
    private static void compare(List<String> expected, String printed) {
        List<String> given = tokens(printed);
        int from = 0;
        List<String> part = new ArrayList<>();
        boolean anywhere = false;
        for (String line : Stream.concat(expected.stream(), Stream.of("...")).toList()) {
            if (!line.equals("...")) {
                part.addAll(tokens(line));
                continue;
            }
            if (!part.isEmpty()) {
                int at = from;
                while (anywhere && at + part.size() < given.size() && !matches(part, given.subList(at, at + part.size()))) {
                    at++;
                }
                assertTrue(at + part.size() <= given.size() && matches(part, given.subList(at, at + part.size())),
                        "not printed: " + String.join(" ", part) + "\nbut: " + printed);
                from = at + part.size();
            }
            anywhere = true;
            part = new ArrayList<>();
        }
        List<String> said = expected.stream().filter(line -> !line.isBlank()).toList();
        if (!said.isEmpty() && !said.getLast().equals("...")) {
            assertEquals(List.of(), given.subList(from, given.size()), "nothing more stands in the README");
        }
    }

    private static List<String> tokens(String text) {
        return Stream.of(text.strip().split("\\s+")).filter(token -> !token.isEmpty()).toList();
    }

    private static boolean matches(List<String> expected, List<String> given) {
        for (int i = 0; i < expected.size(); i++) {
            if (!matches(expected.get(i), given.get(i))) {
                return false;
            }
        }
        return true;
    }

    /** Equal, but for hashes, the last digits of numbers, and how large a rounding error is, all with the same signs and in the same place. */
    private static boolean matches(String expected, String given) {
        if (expected.equals(given) || expected.matches(HASH) && given.matches(HASH)) {
            return true;
        }
        Matcher one = NUMBER.matcher(expected);
        Matcher other = NUMBER.matcher(given);
        if (!one.matches() || !other.matches() || !around(one).equals(around(other))) {
            return false;
        }
        double value = number(one);
        double error = Math.abs(value - number(other));
        if (one.group("exponent") == null) {
            return error <= FAR * value + Math.pow(10, -one.group("fraction").length());
        }
        return error <= Math.min(value, number(other)) * (value < ROUNDING ? 9 : 0.1);
    }

    /** A number's sign and what else stands before it and behind it, and whether it has an exponent. */
    private static List<String> around(Matcher number) {
        return List.of(number.group("before"), number.group("behind"), number.group("exponent") == null ? "" : "e");
    }

    private static double number(Matcher number) {
        return Double.parseDouble(number.group("number").replace(",", ""));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            12.345 | 12.346 | true
            12.345 | 12.445 | false
            (+5.7 | (+5.7 | true
            (+5.7 | (-5.7 | false
            5.7 | -5.7 | false
            5.7 | 5.7) | false
            1,234.5 | 1,234.6 | true
            1,234.5 | 1,334.5 | false
            1,234 | 1,235 | false
            8.6e-15 | 1.9e-14 | true
            8.6e-15 | 8.6e-05 | false
            1.7e-02 | 1.8e-02 | true
            1.7e-02 | 3.4e-02 | false
            8.6e-15 | 8.6 | false
            8.6e-15 | -8.6e-15 | false
            8.6e-15 | 0 | false
            """)
    void numbersAreCompared(String expected, String given, boolean match) {
        assertEquals(match, matches(expected, given));
    }

    /** What the last test would not notice: a command that is not found, or a sample that is not compared. */
    @Test
    void theReadmeHasItsSamples() throws IOException {
        List<Sample> samples = samples();
        assertTrue(samples.size() >= 9, samples.toString());
        for (Sample sample : samples) {
            assertTrue(Main.COMMANDS.containsKey(sample.words.getFirst()), sample.name());
        }
        assertTrue(Files.readString(Run.HOME.resolve("README.md")).contains(PROCESSOR), "the processor whose text it is");
    }

    /** It has no key that is not one, and wants nothing but its data. */
    @Test
    void theRecipeLacksItsDataAlone() {
        Path recipe = Run.HOME.resolve("docs/experiments/llama-130m.yaml");
        Run run = Run.of("train", recipe, "out=" + work.resolve("pre-130m"), "data=" + work.resolve("c4")).ended(1);
        assertTrue(run.err().contains("c4, which does not exist"), run.err());
        Run.of("train", recipe, "stepps=3").ended(2);
    }
}
