package isonorm.data;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.github.luben.zstd.Zstd;
import isonorm.model.Progress;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TokenDataBuilderTest {

    private static final Path GPT2 = Path.of("..", "examples", "shakespeare-gpt2");
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path folder;

    /** Documents of different lengths, one of them longer than a part. */
    private static List<String> documents() {
        Random random = new Random(3);
        List<String> documents = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            StringBuilder text = new StringBuilder("Document " + i + ".\n");
            int words = i == 17 ? 20_000 : random.nextInt(200);
            for (int word = 0; word < words; word++) {
                text.append(Long.toString(random.nextLong(1_000_000), 36)).append(word % 11 == 10 ? "\n" : random.nextInt(9) == 0 ? " é𝄞 " : " ");
            }
            documents.add(text.toString());
        }
        return documents;
    }

    private Path lines(String name, List<String> documents) throws IOException {
        List<String> lines = new ArrayList<>();
        for (String text : documents) {
            lines.add(JSON.writeValueAsString(Map.of("text", text, "id", lines.size())));
        }
        return Files.write(folder.resolve(name), lines);
    }

    private TokenDataBuilder bytes(Path... files) {
        return TokenDataBuilder.of(List.of(files), Vocabulary.bytes()).threads(1);
    }

    private TokenData built(TokenDataBuilder builder) throws IOException {
        Path out = Files.createTempDirectory(folder, "out").resolve("tokens");
        builder.writeTo(out, Progress.NONE);
        return TokenData.open(out);
    }

    /** The texts of a split, which end with the end of text. */
    private static List<String> texts(Split split) {
        List<String> texts = new ArrayList<>();
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        for (int id : split.read(0, (int) split.tokens())) {
            if (id == 256) {
                texts.add(text.toString(StandardCharsets.UTF_8));
                text.reset();
            } else {
                text.write(id);
            }
        }
        assertEquals(0, text.size(), "the last document ends too");
        return texts;
    }

    private static Map<String, byte[]> files(Path folder) throws IOException {
        Map<String, byte[]> files = new TreeMap<>();
        try (var all = Files.list(folder)) {
            for (Path file : all.toList()) {
                files.put(file.getFileName().toString(), Files.readAllBytes(file));
            }
        }
        return files;
    }

    private static String shakespeare() throws IOException {
        try (InputStream packed = TokenData.class.getResourceAsStream("shakespeare.txt.gz"); InputStream text = new GZIPInputStream(packed)) {
            return new String(text.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    @Test
    void everyDocumentIsThereOnceWithItsEndBehindIt() throws IOException {
        List<String> documents = documents();
        TokenData data = built(bytes(lines("a.jsonl", documents)).validation(0.2, 1).shardTokens(5000));
        List<String> train = texts(data.train());
        List<String> validation = texts(data.validation());
        assertEquals(train.size(), data.train().documents());
        assertEquals(validation.size(), data.validation().documents());
        assertTrue(validation.size() >= 4 && validation.size() <= 22, validation.size() + " of 60 for a share of 0.2");
        assertEquals(documents.stream().filter(text -> !validation.contains(text)).toList(), train, "in their order");
        assertEquals(new HashSet<>(documents), new HashSet<>(concatenated(train, validation)));
    }

    private static List<String> concatenated(List<String> a, List<String> b) {
        List<String> all = new ArrayList<>(a);
        all.addAll(b);
        return all;
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 8})
    void bytesDoNotDependOnTheNumberOfThreads(int threads) throws IOException {
        Path long_ = Files.writeString(folder.resolve("long.txt"), String.join("", documents()));
        Path lines = lines("a.jsonl", documents());
        try (Vocabulary vocabulary = Vocabulary.open(GPT2, Optional.empty())) {
            TokenDataBuilder builder = TokenDataBuilder.of(List.of(long_, lines), vocabulary).validation(0.3, 5).shardTokens(16_000);
            builder.threads(1).writeTo(folder.resolve("one"), Progress.NONE);
            builder.threads(threads).writeTo(folder.resolve("many"), Progress.NONE);
        }
        Map<String, byte[]> one = files(folder.resolve("one"));
        Map<String, byte[]> many = files(folder.resolve("many"));
        assertEquals(one.keySet(), many.keySet());
        assertTrue(one.size() > 6, one.keySet().toString());
        one.forEach((name, content) -> assertArrayEquals(content, many.get(name), name));
    }

    /** As Llama 3 splits words: line feeds belong to what is before them. */
    private static final String LLAMA = """
            {"type": "Sequence", "pretokenizers": [{"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
              "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"}},
              {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}""";

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aLongDocumentHasTheTokensOfTheWholeText(boolean llama) throws IOException {
        String play = shakespeare();
        int empty = play.indexOf("\n\n", Blocks.SIZE);
        String text = play.substring(empty + 3 - Blocks.SIZE, 300_000); // an empty line is the last place for a cut, but not the best
        Path plain = Files.writeString(folder.resolve("a.txt"), text);
        ObjectNode json = (ObjectNode) JSON.readTree(GPT2.resolve("tokenizer.json").toFile());
        if (llama) {
            json.set("pre_tokenizer", JSON.readTree(LLAMA));
        }
        Path tokenizer = folder.resolve("tokenizer.json");
        JSON.writeValue(tokenizer.toFile(), json);
        try (Vocabulary vocabulary = Vocabulary.open(tokenizer, Optional.empty())) {
            int[] whole = vocabulary.ids(text.getBytes(StandardCharsets.UTF_8));
            for (Path file : List.of(plain, lines("b.jsonl", List.of(text)))) {
                TokenData data = built(TokenDataBuilder.of(List.of(file), vocabulary).validation(0, 0).threads(2));
                assertEquals(whole.length + 1, data.train().tokens());
                assertArrayEquals(whole, data.train().read(0, whole.length));
                assertArrayEquals(new int[] {vocabulary.endOfText()}, data.train().read(whole.length, 1));
            }
        }
    }

    @Test
    void textsWithoutLinesAreCutBetweenCharacters() throws IOException {
        for (String text : List.of("𝄞".repeat(50_000), "a" + "é".repeat(100_000), "word ".repeat(40_000), "a\n\n".repeat(60_000))) {
            Path file = Files.writeString(folder.resolve("a.txt"), text);
            assertEquals(List.of(text), texts(built(bytes(file).validation(0, 0)).train()));
        }
    }

    @Test
    void theEndOfASingleDocumentIsForValidation() throws IOException {
        String text = shakespeare().substring(0, 20_000);
        Path file = Files.writeString(folder.resolve("a.txt"), text);
        for (double share : new double[] {0.1, 0.995}) { // the second draws the document for validation
            TokenData data = built(bytes(file).validation(share, 0).shardTokens(3000));
            int train = 20_001 - (int) Math.round(20_001 * share);
            assertEquals(train, data.train().tokens());
            assertEquals(20_001 - train, data.validation().tokens());
            assertEquals(1, data.train().documents() + data.validation().documents());
            int[] all = new int[20_001];
            System.arraycopy(data.train().read(0, train), 0, all, 0, train);
            System.arraycopy(data.validation().read(0, 20_001 - train), 0, all, train, 20_001 - train);
            assertArrayEquals(text.getBytes(StandardCharsets.UTF_8), texts(new Split(List.of("all"),
                    List.of(MemorySegment.ofArray(all)), 4, 257, 1)).getFirst().getBytes(StandardCharsets.UTF_8));
        }
    }

    @Test
    void whatTheFolderSaysHoldsAfterTheEndWasCut() throws IOException {
        Path out = folder.resolve("out");
        bytes(lines("a.jsonl", documents().subList(0, 12))).validation(1e-6, 0).shardTokens(700).writeTo(out, Progress.NONE);
        TokenData.check(out, Progress.NONE);
        bytes(lines("a.jsonl", documents().subList(0, 12))).validation(0.9999999, 0).shardTokens(700).overwriting().writeTo(out, Progress.NONE);
        TokenData.check(out, Progress.NONE);
        TokenData data = TokenData.open(out);
        assertEquals(12, data.train().documents() + data.validation().documents());
        assertTrue(data.validation().documents() > 9, "nearly all begin in what is nearly all tokens");
        assertEquals("end", Manifest.of(out).validationBy());
    }

    @Test
    void aDocumentIsOnOneSideWhereverItStands() throws IOException {
        List<String> twice = concatenated(documents(), documents());
        TokenData data = built(bytes(lines("a.jsonl", twice)).validation(0.3, 1));
        assertTrue(Collections.disjoint(texts(data.train()), texts(data.validation())));
        TokenData other = built(bytes(lines("a.jsonl", twice)).validation(0.3, 2));
        assertNotEquals(texts(data.validation()), texts(other.validation()), "another seed draws others");
    }

    @ParameterizedTest
    @ValueSource(strings = {"snappy", "zstd", "gzip", "lz4", "brotli", "uncompressed"})
    void parquetIsReadARowADocument(String codec) throws IOException {
        Path file = resource(codec + ".parquet");
        List<String> rows = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            if (i != 3 && i != 5) {
                rows.add("Row " + i + ": naïve 𝄞\n" + "word ".repeat(i % 7));
            }
        }
        Path out = folder.resolve("out");
        Manifest manifest = bytes(file).validation(0, 0).writeTo(out, Progress.NONE);
        assertEquals(rows, texts(TokenData.open(out).train()));
        assertEquals(2, manifest.emptyDocuments());
    }

    @Test
    void columnsAreFoundByTheirNameOrTheNamesThatLeadThere() throws IOException {
        for (String[] pair : new String[][] {{"meta.text", "inner"}, {"my.text", "dotted"}, {"other.text", "outer"}}) {
            Path out = folder.resolve(pair[0]);
            bytes(resource("names.parquet")).key(pair[0]).validation(0, 0).writeTo(out, Progress.NONE);
            assertEquals(List.of(pair[1] + " 0", pair[1] + " 1", pair[1] + " 2"), texts(TokenData.open(out).train()));
        }
    }

    private static Path resource(String name) {
        return Path.of("src/test/resources/isonorm/data", name);
    }

    @Test
    void packedFilesAreUnpacked() throws IOException {
        Path plain = lines("a.jsonl", documents());
        Path packed = folder.resolve("a.jsonl.gz");
        try (GZIPOutputStream out = new GZIPOutputStream(Files.newOutputStream(packed))) {
            Files.copy(plain, out);
        }
        assertEquals(texts(built(bytes(plain)).train()), texts(built(bytes(packed)).train()));
    }

    private static byte[] gzip(String text) throws IOException {
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (GZIPOutputStream out = new GZIPOutputStream(packed)) {
            out.write(text.getBytes(StandardCharsets.UTF_8));
        }
        return packed.toByteArray();
    }

    private static byte[] joined(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    private List<String> read(String name, byte[] content, String key) throws IOException {
        Path out = folder.resolve("read");
        bytes(Files.write(folder.resolve(name), content)).key(key).validation(0, 0).overwriting().writeTo(out, Progress.NONE);
        return texts(TokenData.open(out).train());
    }

    private List<String> read(String name, String content, String key) throws IOException {
        return read(name, content.getBytes(StandardCharsets.UTF_8), key);
    }

    @ParameterizedTest
    @ValueSource(strings = {"c4-train.00000-of-01024.json.gz", "a.jsonl.gz", "A.NDJSON.GZ", "a.jsonl.zst", "a.json", "a.ndjson"})
    void corporaAreReadUnderTheirOwnNames(String name) throws IOException {
        String lines = "{\"text\": \"abc\"}\n{\"text\": \"de\"}\n";
        byte[] content = name.endsWith(".zst") ? Zstd.compress(lines.getBytes(StandardCharsets.UTF_8))
                : name.toLowerCase(Locale.ROOT).endsWith(".gz") ? gzip(lines) : lines.getBytes(StandardCharsets.UTF_8);
        assertEquals(List.of("abc", "de"), read(name, content, "text"));
    }

    @Test
    void allMembersOfAGzipFileAreReadOrItIsRefused() throws IOException {
        byte[] first = gzip("{\"text\": \"abc\"}\n");
        byte[] second = gzip("{\"text\": \"de\"}\n");
        byte[] both = joined(first, second);
        assertEquals(List.of("abc", "de"), read("a.jsonl.gz", both, "text"));
        assertEquals(List.of("abc", "de"), read("a.jsonl.gz", joined(both, new byte[512]), "text"));
        byte[] named = second.clone();
        named[3] = 2 + 4 + 8 + 16; // with the sum of its header, a field, a name and a comment
        byte[] header = joined(Arrays.copyOf(named, 10), new byte[] {2, 0, 'x', 'y', 'n', 0, 'c', 0, 1, 2}, Arrays.copyOfRange(named, 10, named.length));
        assertEquals(List.of("abc", "de"), read("a.jsonl.gz", joined(first, header), "text"));
        Path file = folder.resolve("a.jsonl.gz");
        for (int length = 0; length < both.length; length++) {
            if (length != first.length) {
                Files.write(file, Arrays.copyOf(both, length));
                assertTrue(refusal(file).startsWith(file + (length == 0 ? " is empty" : " is damaged, or not packed as its name says: it is cut off within ")),
                        length + " of " + both.length + ": " + refusal(file));
            }
        }
        Files.write(file, joined(first, "PK".getBytes(StandardCharsets.UTF_8)));
        assertEquals(file + " is damaged, or not packed as its name says: behind part 1 stands something else", refusal(file));
        both[both.length - 6] ^= 1;
        Files.write(file, both);
        assertEquals(file + " is damaged, or not packed as its name says: part 2 is damaged: it is not what its sum says", refusal(file));
    }

    @Test
    void whatIsPackedWithZstdIsReadWholeOrRefused() throws IOException {
        byte[] first = Zstd.compress("{\"text\": \"abc\"}\n".getBytes(StandardCharsets.UTF_8));
        byte[] both = joined(first, Zstd.compress("{\"text\": \"de\"}\n".getBytes(StandardCharsets.UTF_8)));
        assertEquals(List.of("abc", "de"), read("a.jsonl.zst", both, "text"));
        Path file = folder.resolve("a.jsonl.zst");
        for (int length = 1; length < both.length; length++) {
            if (length != first.length) {
                Files.write(file, Arrays.copyOf(both, length));
                assertTrue(refusal(file).startsWith(file + " is damaged, or not packed as its name says: "), length + ": " + refusal(file));
            }
        }
    }

    @Test
    void aByteOrderMarkIsNoText() throws IOException {
        assertEquals(List.of("abc"), read("a.txt", "\ufeffabc", "text"));
        assertEquals(List.of("abc", "de"), read("a.jsonl", "\ufeff{\"text\": \"abc\"}\r\n{\"text\": \"de\"}", "text"));
        assertEquals(List.of("abc"), read("a.txt.gz", gzip("\ufeffabc"), "text"));
        Path broken = Files.write(folder.resolve("broken.txt"), joined("\ufeffab".getBytes(StandardCharsets.UTF_8), new byte[] {(byte) 0xff}));
        assertEquals(broken + " is not UTF-8: byte 5 starts no character", refusal(broken));
    }

    @Test
    void linesAreWhatPythonReads() throws IOException {
        assertEquals(List.of("abc", "de"), read("a.jsonl", "{\"text\": \"abc\", \"score\": NaN}\n{\"score\": -Infinity, \"text\": \"de\", \"n\": Infinity}\n", "text"));
        assertEquals(List.of("b"), read("a.jsonl", "{\"text\": \"a\", \"text\": \"b\"}", "text"), "the last of a key counts");
        assertEquals(List.of("a"), read("a.jsonl", "{\"text\": \"a\", \"n\": " + "9".repeat(100_000) + "}", "text"), "no number is looked at");
        assertEquals(List.of("\ud83d\ude00"), read("a.jsonl", "{\"text\": \"\\ud83d\\ude00\"}", "text"));
    }

    @Test
    void keysLeadIntoWhatIsNested() throws IOException {
        assertEquals(List.of("a"), read("a.jsonl", "{\"n\": {\"text\": \"z\"}, \"meta\": {\"x\": [{\"text\": \"y\"}], \"text\": \"a\"}}", "meta.text"));
        assertEquals(List.of("b", "c"), read("a.jsonl", "{\"meta\": {\"text\": \"a\"}, \"meta.text\": \"b\"}\n{\"meta.text\": \"c\", \"meta\": {\"text\": \"a\"}}",
                "meta.text"), "a key of that name comes first");
        assertEquals(List.of("a"), read("a.jsonl", "{\"a.b\": {\"c\": {\"d\": \"a\"}}}", "a.b.c.d"));
        Path lines = Files.writeString(folder.resolve("a.jsonl"), "{\"meta\": {\"text\": \"a\"}}");
        assertEquals(lines + " line 1 has no key meta.body; its keys are meta",
                assertThrows(IOException.class, () -> bytes(lines).key("meta.body").writeTo(folder.resolve("out"), Progress.NONE)).getMessage());
        assertEquals(lines + " line 1: meta must be a text, got object",
                assertThrows(IOException.class, () -> bytes(lines).key("meta").writeTo(folder.resolve("out"), Progress.NONE)).getMessage());
    }

    @Test
    void aDocumentOfMoreThanTheBoundIsRefusedAndNamed() throws IOException {
        String bound = " has more than 500000 bytes of text, the most that one document may have; --longest takes longer ones, or cut it";
        String line = "{\"text\": \"" + "x".repeat(499_000) + "\"}\n";
        assertEquals(3, read("a.jsonl.gz", gzip(line + line + line), "text").size());
        Path file = Files.write(folder.resolve("a.jsonl.gz"), gzip("{\"text\": \"a\"}\n{\"text\": \"" + "x".repeat(3_000_000) + "\"}\n"));
        assertEquals(file + " line 2" + bound, assertThrows(IOException.class,
                () -> bytes(file).longest(500_000).writeTo(folder.resolve("out"), Progress.NONE)).getMessage());
        Path text = Files.write(folder.resolve("a.txt.gz"), gzip("x ".repeat(300_000)));
        assertEquals(text + " is one document, which" + bound, assertThrows(IOException.class,
                () -> bytes(text).longest(500_000).writeTo(folder.resolve("out"), Progress.NONE)).getMessage());
        Path parquet = resource("zstd.parquet");
        String message = assertThrows(IOException.class, () -> bytes(parquet).longest(49).writeTo(folder.resolve("out"), Progress.NONE)).getMessage();
        assertEquals(parquet + " row 13 has more than 49 bytes of text, the most that one document may have; --longest takes longer ones, or cut it", message);
        Path plain = Files.writeString(folder.resolve("a.txt"), "x ".repeat(300_000));
        bytes(plain).longest(1).writeTo(folder.resolve("out"), Progress.NONE); // as long as its file, and never there at once
    }

    @Test
    void aLongDocumentHasTheTokensOfItsParts() throws IOException {
        String text = "word\n\nother ".repeat(300_000);
        assertEquals(List.of(text, "a"), read("a.jsonl", JSON.writeValueAsString(Map.of("text", text)) + "\n{\"text\": \"a\"}", "text"));
    }

    @Test
    void largeVocabulariesTakeFourBytes() throws IOException {
        Path file = Files.writeString(folder.resolve("tokenizer.json"), """
                {"version": "1.0", "added_tokens": [{"id": 70000, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
                  "normalized": false, "special": true}], "pre_tokenizer": {"type": "Whitespace"},
                 "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 69999, "?": 1}, "unk_token": "?"}}""");
        try (Vocabulary vocabulary = Vocabulary.open(file, Optional.empty())) {
            assertEquals(70_001, vocabulary.size());
            TokenData data = built(TokenDataBuilder.of(List.of(Files.writeString(folder.resolve("a.txt"), "a b b c")), vocabulary).validation(0, 0));
            assertArrayEquals(new int[] {0, 69_999, 69_999, 1, 70_000}, data.train().read(0, 5));
        }
    }

    @Test
    void whatCannotBeTakenIsRefusedByWhereItStands() throws IOException {
        Path missing = folder.resolve("missing.txt");
        assertEquals(missing + " does not exist", refusal(missing));
        Path empty = Files.createFile(folder.resolve("empty.txt"));
        assertEquals(empty + " is empty", refusal(empty));
        Path table = Files.writeString(folder.resolve("a.tsv"), "a");
        assertEquals(table + " is of no kind that is read; names must end in .txt, .md, .csv, .jsonl, .ndjson, .json (of lines) or .parquet; "
                + "all but the last may be packed as .gz or .zst", refusal(table));
        byte[] text = "naïve\n".repeat(20_000).getBytes(StandardCharsets.UTF_8);
        text[100_000] = (byte) 0xff;
        Path broken = Files.write(folder.resolve("broken.txt"), text);
        assertEquals(broken + " is not UTF-8: byte 100000 starts no character", refusal(broken));
        Path lines = folder.resolve("a.jsonl");
        Files.writeString(lines, "{\"text\": \"a\"}\n\n{\"body\": \"b\", \"id\": 1}\n");
        assertEquals(lines + " line 3 has no key text; its keys are body, id", refusal(lines));
        Files.writeString(lines, "{\"text\": \"a\"}\n".repeat(9000) + "{\"text\": \"b\n");
        assertTrue(refusal(lines).startsWith(lines + " line 9001 is not JSON: "), refusal(lines));
        Files.writeString(lines, "{\"text\": \"a\"} {}\n");
        assertTrue(refusal(lines).startsWith(lines + " line 1 is not JSON: "), refusal(lines));
        Files.writeString(lines, "[1]\n");
        assertEquals(lines + " line 1 must be a JSON object, got array; write each of its objects into a line", refusal(lines));
        Files.writeString(lines, "{\"text\": 3}\n");
        assertEquals(lines + " line 1: text must be a text, got number", refusal(lines));
        Files.writeString(lines, "{\"text\": \"\\ud834\"}\n");
        assertEquals(lines + " line 1: text has half a surrogate pair, which is no character", refusal(lines));
        Files.write(lines, "{\"text\": \"\u00e9\"}\n".getBytes(StandardCharsets.ISO_8859_1));
        assertTrue(refusal(lines).startsWith(lines + " line 1 is not"), refusal(lines));
        Files.writeString(lines, "{\"text\": \"\"}\n");
        assertEquals("there is no text in " + lines, refusal(lines));
        Path gzip = Files.writeString(folder.resolve("a.txt.gz"), "not packed");
        assertEquals(gzip + " is damaged, or not packed as its name says: it does not begin as one", refusal(gzip));
        Path parquet = resource("snappy.parquet");
        assertEquals(parquet + " has no column body; its columns are id, text, list.list.element",
                assertThrows(IOException.class, () -> bytes(parquet).key("body").writeTo(folder.resolve("out"), Progress.NONE)).getMessage());
        assertEquals(parquet + ": column id must hold a text a row, got INT64",
                assertThrows(IOException.class, () -> bytes(parquet).key("id").writeTo(folder.resolve("out"), Progress.NONE)).getMessage());
        Path damaged = Files.writeString(folder.resolve("damaged.parquet"), "PAR1 and nothing PAR1");
        assertTrue(refusal(damaged).startsWith(damaged + " is no Parquet file that can be read: "), refusal(damaged));
        byte[] whole = Files.readAllBytes(resource("uncompressed.parquet"));
        for (int i = 4; i < 900; i++) {
            whole[i] = 0x55;
        }
        Files.write(damaged, whole);
        assertTrue(refusal(damaged).startsWith(damaged + " "), refusal(damaged));
    }

    @Test
    void aTableIsADocumentARow() throws IOException {
        String quoted = "one, \"two\"\r\nand three é";
        String rows = "\uFEFFid,\"body, of it\",text\r\n1,,plain\r\n\r\n\"2\",x,\"" + quoted.replace("\"", "\"\"") + "\"\n3,a\"b,\n4,y,last";
        Path table = Files.writeString(folder.resolve("a.csv"), rows);
        TokenData data = built(bytes(table).validation(0, 0));
        assertEquals(List.of("plain", quoted, "last"), texts(data.train()));
        assertEquals(List.of("x", "a\"b", "y"), texts(built(bytes(table).key("body, of it").validation(0, 0)).train()));
        assertEquals(List.of("1", "2", "3", "4"), texts(built(bytes(table).key("id").validation(0, 0)).train()), "behind the byte order mark");
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (GZIPOutputStream out = new GZIPOutputStream(packed)) {
            out.write(("text\n" + "\"long\n\"\n".repeat(50_000)).getBytes(StandardCharsets.UTF_8));
        }
        List<String> many = texts(built(bytes(Files.write(folder.resolve("a.csv.gz"), packed.toByteArray())).validation(0, 0)).train());
        assertEquals(Collections.nCopies(50_000, "long\n"), many);
    }

    @Test
    void aTableThatIsNoneIsRefusedByItsRow() throws IOException {
        Path table = folder.resolve("a.csv");
        Files.writeString(table, "id,body\n1,a\n");
        assertEquals(table + " has no column text; its columns are id, body", refusal(table));
        Files.writeString(table, "id,text\n1,a\n2,b,c\n");
        assertEquals(table + " row 3 must have 2 fields, as the first, got 3; a field with a comma or a line break stands in quotes", refusal(table));
        Files.writeString(table, "id,text\n1,\"a\n2,b\n");
        assertEquals(table + " row 2 is not CSV: a quote that begins a field does not end it", refusal(table));
        Files.writeString(table, "id,text\n1,\"a\"b\n");
        assertEquals(table + " row 2 is not CSV: something stands behind the quote that ends a field", refusal(table));
        Files.writeString(table, "\n\n");
        assertEquals(table + " has no row; the first must name the columns", refusal(table));
        Files.writeString(table, "text\n" + "a".repeat(11) + "\n");
        assertTrue(assertThrows(IOException.class, () -> bytes(table).longest(10).writeTo(folder.resolve("no"), Progress.NONE)).getMessage()
                .startsWith(table + " row 2 has more than 10 bytes of text"));
    }

    private String refusal(Path file) throws IOException {
        Path out = folder.resolve("refused/tokens");
        String message = assertThrows(IOException.class, () -> bytes(file).threads(2).writeTo(out, Progress.NONE)).getMessage();
        assertFalse(Files.exists(folder.resolve("refused")), "nothing is left");
        return message;
    }

    @Test
    void onlyFoldersOfTokensAreReplaced() throws IOException {
        Path file = Files.writeString(folder.resolve("a.txt"), "some text");
        Path out = Files.createDirectory(folder.resolve("out"));
        Files.writeString(out.resolve("config.json"), "{}");
        assertTrue(assertThrows(IOException.class, () -> bytes(file).overwriting().writeTo(out, Progress.NONE)).getMessage().contains("dataset.json"));
        Files.delete(out.resolve("config.json"));
        bytes(file).writeTo(out, Progress.NONE);
        assertEquals(out + " exists already; replace it with --overwrite",
                assertThrows(IOException.class, () -> bytes(file).writeTo(out, Progress.NONE)).getMessage());
        bytes(file).overwriting().writeTo(out, Progress.NONE);
        Path inside = Files.copy(file, out.resolve("a.txt"));
        assertTrue(assertThrows(IOException.class, () -> bytes(inside).overwriting().writeTo(out, Progress.NONE)).getMessage()
                .endsWith("which is to be read; write to another folder"));
    }
}
