package isonorm.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.kernel.JvmOptions;
import isonorm.mutation.CleanLine;
import isonorm.mutation.Mutations;
import isonorm.mutation.Mutator;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whatever a tokenizer.json or a text holds, nothing ends the process or makes it stand still. */
class TokenizerMutationTest {

    private static final int FILES = 250;
    private static final int PROMPTS = 2000;
    private static final int PROMPTS_A_FILE = 20;

    /** One of so many files that get a process of their own really gets one, for each takes half a second. */
    private static final int APART = 100;

    private static final long SLOWEST_NANOS = 300_000_000_000L;

    @TempDir
    Path folder;

    /** In a JVM of its own, so that what ends it is found and named. */
    @Test
    void noFileAndNoPromptEndsTheProcess() throws IOException, InterruptedException {
        Path at = folder.resolve("at");
        int first = Mutations.first(FILES);
        int files = Mutations.end(FILES) - first;
        long began = System.nanoTime();
        Process process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:TieredStopAtLevel=1", "-Xmx1g",
                JvmOptions.nativeAccess().getFirst(), "-cp", System.getProperty("java.class.path"), TokenizerMutationTest.class.getName(),
                folder.toString(), first + "-" + (first + files), System.getProperty("isonorm.mutations") == null ? "" : "all").redirectError(folder.resolve("errors").toFile()).redirectOutput(folder.resolve("out").toFile()).start();
        assertTrue(process.waitFor(300 + files / 5, TimeUnit.SECONDS) || process.destroyForcibly() == null, () -> "it stands still at " + last(at));
        String out = Files.readString(folder.resolve("out"));
        assertEquals(0, process.exitValue(), () -> "it ended at " + last(at) + ": " + out + last(folder.resolve("errors")));
        String[] counts = out.strip().split(" ");
        int accepted = Integer.parseInt(counts[0]);
        int apart = Integer.parseInt(counts[1]);
        assertTrue(accepted > files / 10, "few were read, " + accepted);
        assertTrue(apart > 0 || files < APART, "none was read in a process of its own");
        Mutations.tally("tokenizer.json, " + PROMPTS_A_FILE + " prompts each, " + counts[1] + " in processes of their own", files, accepted,
                System.nanoTime() - began);
    }

    private static String last(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            return "its beginning";
        }
    }

    /** Changes, opens and uses the files; says how many could be used. */
    static void main(String... arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        Path at = folder.resolve("at");
        int only = Integer.getInteger("isonorm.mutation", -1);
        List<byte[]> valid = valid();
        List<String> prompts = prompts();
        int accepted = 0;
        int apart = 0;
        int strange = 0;
        for (byte[] each : valid) {
            Path file = Files.write(folder.resolve("tokenizer.json"), each);
            if (TokenizerJson.read(file).strange().isPresent()) {
                throw new IllegalStateException("a published one must not be strange: " + TokenizerJson.read(file).strange());
            }
            Files.writeString(at, "a valid one");
            use(file, arguments[2].equals("all") ? prompts : prompts.subList(0, PROMPTS / 20), new SplittableRandom(0));
        }
        String[] range = arguments[1].split("-");
        for (int i = only < 0 ? Integer.parseInt(range[0]) : only; i < (only < 0 ? Integer.parseInt(range[1]) : only + 1); i++) {
            SplittableRandom random = new SplittableRandom(i);
            Path file = Files.write(folder.resolve("tokenizer.json"), Mutator.json(valid.get(random.nextInt(valid.size())), valid, random));
            long began = System.nanoTime();
            try {
                boolean isStrange = TokenizerJson.read(file).strange().isPresent();
                if (isStrange && strange++ % APART != 0) {
                    continue;
                }
                apart += isStrange ? 1 : 0;
                Files.writeString(at, "file " + i + (isStrange ? ", apart" : ""));
                List<String> some = new ArrayList<>();
                for (int k = 0; k < PROMPTS_A_FILE; k++) {
                    some.add(prompts.get(random.nextInt(prompts.size())));
                }
                accepted += use(file, some, random) ? 1 : 0;
            } catch (IOException e) {
                Optional<String> complaint = CleanLine.complaint(e.getMessage());
                if (complaint.isPresent()) {
                    throw new IllegalStateException("file " + i + ", " + complaint.get() + ": " + e.getMessage(), e);
                }
            }
            if (System.nanoTime() - began > SLOWEST_NANOS) {
                throw new IllegalStateException("file " + i + " took " + (System.nanoTime() - began) + " ns");
            }
        }
        System.out.println(accepted + " " + apart + " " + strange);
        System.out.flush();
    }

    /** Whether at least one of the texts could be read. */
    private static boolean use(Path file, List<String> texts, SplittableRandom random) throws IOException {
        boolean used = false;
        try (Tokenizer tokenizer = Tokenizer.open(file)) {
            for (String text : texts) {
                try {
                    Tokenizer.Encoded encoded = tokenizer.encode(text);
                    long[] ids = encoded.ids();
                    if (ids.length > 0) {
                        encoded.bytes(-1, ids.length - 1);
                    }
                    tokenizer.decode(ids);
                    tokenizer.prompt(text);
                    used = true;
                } catch (IOException e) {
                    Optional<String> complaint = CleanLine.complaint(e.getMessage());
                    if (complaint.isPresent()) {
                        throw e;
                    }
                }
            }
            tokenizer.decode(random.longs(20, 0, 400).toArray());
            tokenizer.decode(random.longs(5).toArray());
        }
        return used;
    }

    private static List<byte[]> valid() throws IOException, URISyntaxException {
        Path folder = Path.of(TokenizerMutationTest.class.getResource("tokenizers/gpt2.json").toURI()).getParent();
        List<byte[]> valid = new ArrayList<>();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.filter(each -> each.toString().endsWith(".json")).sorted().toList()) {
                valid.add(Files.readAllBytes(file));
            }
        }
        return valid;
    }

    /** Words, digits, spaces, marks, halves of characters, and what tokenizers call theirs, once and many times. */
    private static List<String> prompts() {
        List<String> pieces = List.of("a", "A", " ", "  ", "\n", "\r\n", "\t", "\0", "1", "12345", "'s", "don't", "Größe", "你好", "é", "e\u0301", "😀", "👩‍👩‍👧", "\ud800",
                "\udc00", "\uffff", "\ufeff", "\u200b", "\u00a0", "\u3000", "\ufdfa", "İ", "ß", "<s>", "</s>", "<unk>", "[CLS]", "[UNK]", "<0x41>", "▁", "Ġ", "</w>",
                "##a", "the", "quick", ".", ",", "!", "/", "\\", "\"", "{", "\u0301", "\u1100", "\u0600", "\u202e", "ﬁ", "Ⅷ", "ａ", "\u0000\u0001\u0002", "aaaaaaaaaa!");
        List<String> prompts = new ArrayList<>(List.of("", " ", "a"));
        for (int i = prompts.size(); i < PROMPTS; i++) {
            SplittableRandom random = new SplittableRandom(i);
            StringBuilder text = new StringBuilder();
            for (int k = random.nextInt(1 + i % 12); k >= 0; k--) {
                String piece = random.nextInt(5) == 0 ? Character.toString(random.nextInt(Character.MAX_CODE_POINT)) : pieces.get(random.nextInt(pieces.size()));
                text.append(piece.repeat(random.nextInt(10) == 0 ? 1 + random.nextInt(1 << random.nextInt(12)) : 1));
            }
            prompts.add(text.toString());
        }
        return prompts;
    }
}
