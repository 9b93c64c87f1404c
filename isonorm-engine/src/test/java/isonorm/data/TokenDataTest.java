package isonorm.data;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.model.Progress;
import isonorm.weights.Independence;
import isonorm.weights.Seed;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenDataTest {

    @TempDir
    Path folder;

    private Path data;

    @BeforeEach
    void build() throws IOException {
        data = folder.resolve("tokens");
        Path file = Files.writeString(folder.resolve("a.txt"), "0123456789".repeat(20));
        TokenDataBuilder.of(List.of(file), Vocabulary.bytes()).validation(0.1, 0).threads(1).shardTokens(32).writeTo(data, Progress.NONE);
    }

    @Test
    void tokensAreReadAcrossFiles() throws IOException {
        TokenData read = TokenData.open(data);
        assertEquals(257, read.vocabulary());
        assertEquals(256, read.endOfText());
        assertEquals(181, read.train().tokens());
        for (int from = 0; from < 181; from += 7) {
            for (int count = 0; count <= 181 - from; count += 13) {
                int[] ids = read.train().read(from, count);
                for (int i = 0; i < count; i++) {
                    assertEquals('0' + (from + i) % 10, ids[i]);
                }
            }
        }
        assertArrayEquals(new int[] {'9', 256}, read.validation().read(18, 2));
        assertThrows(IndexOutOfBoundsException.class, () -> read.train().read(180, 2));
    }

    @Test
    void damagedFoldersAreRefusedByTheFile() throws IOException {
        Path shard = data.resolve("train-00001.bin");
        byte[] bytes = Files.readAllBytes(shard);
        Files.write(shard, Arrays.copyOf(bytes, 62));
        assertEquals(shard + " is damaged: dataset.json says 64 bytes, got 62; build the data again", refusal());
        bytes[9] ^= 1;
        Files.write(shard, bytes);
        TokenData read = TokenData.open(data);
        assertEquals(shard + " is damaged: token 4 is " + ('0' + 36 % 10 + 256) + ", and the vocabulary has 257; build the data again",
                assertThrows(UncheckedIOException.class, () -> read.train().read(30, 20)).getCause().getMessage());
        bytes[9] ^= 1;
        bytes[8] ^= 1;
        Files.write(shard, bytes);
        assertEquals(shard + " is damaged: its bytes are not those that were written; build the data again",
                assertThrows(IOException.class, () -> TokenData.check(data, Progress.NONE)).getMessage());
        Files.delete(shard);
        assertEquals(shard + " is missing; build the data again", refusal());
    }

    @Test
    void whatTheFolderSaysOfItselfIsChecked() throws IOException {
        Path manifest = data.resolve("dataset.json");
        String json = Files.readString(manifest);
        requireRefused(manifest, json, "\"format_version\" : 1", "\"format_version\" : 9", ": format_version must be 1, got 9");
        requireRefused(manifest, json, "u16", "u8", ": type must be u16 or u32, got u8");
        requireRefused(manifest, json, "\"vocabulary\" : 257", "\"vocabulary\" : \"257\"", " must have vocabulary, a whole number, got \"257\"");
        requireRefused(manifest, json, "\"vocabulary\" : 257", "\"vocabulary\" : 256", ": end_of_text must be below the vocabulary, got 256 of 256");
        requireRefused(manifest, json, "\"shards\"", "\"files\"", " must have shards, a list, got none");
        requireRefused(manifest, json, "\"seed\"", "\"seeds\" : 1, \"seed\"", " has seeds, which Isonorm does not write there");
        requireRefused(manifest, json, "\"empty_documents\" : 0", "\"empty_documents\" : -1", ": documents must be 0 or more, got ");
        requireRefused(manifest, json, "\"tokens\" : ", "\"tokens\" : 1", ": documents and tokens must be those of the files, ");
        for (String other : List.of("/", "..", "", "../train-00000.bin", "\\u0000")) {
            Files.writeString(manifest, json.replace("train-00000.bin", other));
            assertTrue(refusal().startsWith(manifest + ": a file must be the name of one in the folder, got "), refusal());
        }
        Files.writeString(manifest, "{");
        assertTrue(refusal().startsWith(manifest + " is not JSON"), refusal());
        Files.writeString(manifest, json);
        Path tokenizer = data.resolve("tokenizer.json");
        Files.writeString(tokenizer, Files.readString(tokenizer) + " ");
        assertEquals(tokenizer + " is not the tokenizer the data was made with; build the data again", refusal());
        Files.delete(manifest);
        assertEquals(data + " has no dataset.json; isonorm data build makes such a folder", refusal());
        data = folder.resolve("nothing");
        assertEquals(data + " does not exist", refusal());
    }

    private void requireRefused(Path manifest, String json, String from, String to, String said) throws IOException {
        assertTrue(json.contains(from), json);
        Files.writeString(manifest, json.replaceFirst(from, to));
        assertTrue(refusal().startsWith(manifest + said), refusal());
    }

    private String refusal() {
        return assertThrows(IOException.class, () -> TokenData.open(data)).getMessage();
    }

    @Test
    void theEmbeddedTextIsWholeAndItsEndIsForValidation() throws IOException {
        TokenData text = TokenData.shakespeare();
        assertEquals(1_115_394, text.train().tokens() + text.validation().tokens());
        assertEquals(55_770, text.validation().tokens());
        assertArrayEquals(new int[] {'F', 'i', 'r', 's', 't'}, text.train().read(0, 5));
        assertArrayEquals(new int[] {0xc3, 0xa9}, TokenData.ofBytes("é", 0).train().read(0, 2));
    }

    @Test
    void everyWindowComesOnceAnEpochInAnotherOrderAndCutElsewhere() {
        int[] places = IntStream.range(0, 270).toArray();
        Split split = new Split(List.of("places"), List.of(MemorySegment.ofArray(places)), Integer.BYTES, 270, 1);
        Batches batches = new Batches(split, 16, 7);
        assertEquals(15, batches.windows());
        Set<List<Integer>> orders = new HashSet<>();
        Set<Integer> shifts = new HashSet<>();
        for (long epoch = 0; epoch < 16; epoch++) {
            List<Integer> first = new ArrayList<>();
            for (int[] row : batches.rows(epoch * 15, 15)) {
                assertArrayEquals(IntStream.rangeClosed(row[0], row[0] + 16).toArray(), row);
                first.add(row[0]);
            }
            int shift = Collections.min(first);
            assertTrue(shift < 16, "windows are moved by less than their length, got " + shift);
            assertEquals(IntStream.range(0, 15).map(i -> shift + 16 * i).boxed().toList(), first.stream().sorted().toList());
            shifts.add(shift);
            orders.add(first.stream().map(place -> place - shift).toList());
        }
        assertEquals(16, shifts.size());
        assertEquals(16, orders.size());
        assertArrayEquals(batches.rows(20, 9)[4], batches.rows(24, 1)[0]);
        assertFalse(Arrays.deepEquals(batches.rows(0, 15), new Batches(split, 16, 8).rows(0, 15)));
    }

    @Test
    void validationIsReadInOrder() {
        TokenData text = TokenData.ofBytes("0123456789".repeat(30), 0.1);
        assertEquals(1, Batches.inOrder(text.validation(), 16));
        assertEquals(9, Batches.inOrder(text.validation(), 3));
        assertArrayEquals(new int[] {'3', '4', '5', '6'}, Batches.inOrder(text.validation(), 3, 1, 2)[0]);
    }

    @Test
    void aTextShorterThanTwoSequencesIsRefused() {
        TokenData text = TokenData.ofBytes("0123456789", 0);
        assertEquals(1, new Batches(text.train(), 4, 0).windows());
        assertEquals("the data must be longer than two sequences, got 10 tokens for sequences of 5; make sequence smaller",
                assertThrows(IllegalArgumentException.class, () -> new Batches(text.train(), 5, 0)).getMessage());
    }

    @Test
    void ordersOfSeedsAndEpochsHaveNothingInCommon() {
        int count = 20_000;
        Independence.require("seeds", order(count, 1, 0), order(count, 2, 0));
        Independence.require("epochs", order(count, 1, 0), order(count, 1, 1));
        Independence.require("an epoch and the next seed's", order(count, 1, 1), order(count, 2, 0));
        // Random letters, so that windows have as much in common as their places.
        byte[] letters = new byte[80_000];
        Seed.of(9).random().nextBytes(letters);
        TokenData text = TokenData.ofBytes(new String(letters, StandardCharsets.ISO_8859_1), 0);
        Independence.require("windows", windows(text, 1), windows(text, 2));
    }

    private static double[] order(int count, long seed, int epoch) {
        return LongStream.range(0, count).mapToDouble(place -> Permutation.endless(count, Seed.of(seed), (long) epoch * count + place)).toArray();
    }

    private static double[] windows(TokenData text, long seed) {
        Batches batches = new Batches(text.train(), 8, seed);
        return Arrays.stream(batches.rows(0, (int) batches.windows())).mapToDouble(window -> window[0]).toArray();
    }

    @Test
    void anOrderIsAPermutationOfAnySize() {
        for (long count : new long[] {1, 2, 3, 4, 5, 100, 4096, 4097}) {
            for (long seed = 0; seed < 3; seed++) {
                Permutation order = new Permutation(count, Seed.of(seed));
                assertEquals(count, LongStream.range(0, count).map(order::at).filter(x -> x >= 0 && x < count).distinct().count());
            }
        }
    }
}
