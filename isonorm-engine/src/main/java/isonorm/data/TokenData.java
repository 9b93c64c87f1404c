package isonorm.data;

import isonorm.model.Progress;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.zip.GZIPInputStream;

/**
 * Tokens to learn from, and tokens to validate with.
 *
 * @param vocabulary how many ids there are
 * @param endOfText the id behind every document
 * @param tokenizerJson the tokenizer that gives these ids
 */
public record TokenData(Split train, Split validation, int vocabulary, int endOfText, byte[] tokenizerJson) {

    static final String TOKENIZER = "tokenizer.json";
    static final String TRAIN = "train";
    static final String VALIDATION = "validation";

    /**
     * Maps a folder that {@link TokenDataBuilder} wrote. Nothing but sizes, and the tokenizer, is looked at.
     *
     * @throws IOException naming the file that is missing or is not what {@value Manifest#FILE} says
     */
    public static TokenData open(Path folder) throws IOException {
        Manifest manifest = Manifest.of(folder);
        Path tokenizer = folder.resolve(TOKENIZER);
        requireFile(tokenizer);
        if (!Fingerprint.sha256(tokenizer).equals(manifest.tokenizerSha256())) {
            throw new IOException(tokenizer + " is not the tokenizer the data was made with; build the data again");
        }
        return new TokenData(split(folder, manifest, manifest.splits().train()), split(folder, manifest, manifest.splits().validation()),
                manifest.vocabulary(), manifest.endOfText(), Files.readAllBytes(tokenizer));
    }

    private static Split split(Path folder, Manifest manifest, Manifest.Part part) throws IOException {
        List<String> names = new ArrayList<>();
        List<MemorySegment> parts = new ArrayList<>();
        int width = manifest.width();
        for (Manifest.Shard shard : part.shards()) {
            Path file = folder.resolve(shard.file());
            requireFile(file);
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
                if (channel.size() != shard.tokens() * width) {
                    throw new IOException(file + " is damaged: " + Manifest.FILE + " says " + shard.tokens() * width + " bytes, got " + channel.size()
                            + "; build the data again");
                }
                parts.add(channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto()));
            }
            names.add(file.toString());
        }
        return new Split(names, parts, width, manifest.vocabulary(), part.documents());
    }

    private static void requireFile(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + " is missing; build the data again");
        }
    }

    /**
     * Reads every byte of a folder.
     *
     * @throws IOException naming the first file that is not what it was when it was written
     */
    public static void check(Path folder, Progress progress) throws IOException {
        open(folder);
        Manifest.Splits splits = Manifest.of(folder).splits();
        List<Manifest.Shard> all = new ArrayList<>(splits.train().shards());
        all.addAll(splits.validation().shards());
        for (int i = 0; i < all.size(); i++) {
            progress.step("reading", i, all.size());
            Path file = folder.resolve(all.get(i).file());
            if (!Fingerprint.sha256(file).equals(all.get(i).sha256())) {
                throw new IOException(file + " is damaged: its bytes are not those that were written; build the data again");
            }
        }
    }

    /**
     * A text in memory whose tokens are its bytes.
     *
     * @param validation the share of it, at its end, that is not learned from
     */
    public static TokenData ofBytes(String text, double validation) {
        return ofBytes(text.getBytes(StandardCharsets.UTF_8), validation);
    }

    private static TokenData ofBytes(byte[] text, double validation) {
        if (!(validation >= 0 && validation < 1)) {
            throw new IllegalArgumentException("the share for validation must be 0 or more and below 1, got " + validation);
        }
        long training = (long) (text.length * (1 - validation));
        MemorySegment all = MemorySegment.ofArray(text);
        Vocabulary bytes = Vocabulary.bytes();
        return new TokenData(new Split(List.of("text"), List.of(all.asSlice(0, training)), 1, bytes.size(), 1),
                new Split(List.of("text"), List.of(all.asSlice(training)), 1, bytes.size(), 0), bytes.size(), bytes.endOfText(), bytes.tokenizerJson());
    }

    /** The plays of Shakespeare that come with Isonorm, a megabyte; the last twentieth is for validation. */
    public static TokenData shakespeare() throws IOException {
        return ofBytes(plays(), 0.05);
    }

    /** The SHA-256 of the bytes of {@link #shakespeare}, in hexadecimal digits. */
    public static String shakespeareSha256() throws IOException {
        return HexFormat.of().formatHex(Fingerprint.sha256().digest(plays()));
    }

    private static byte[] plays() throws IOException {
        try (InputStream packed = TokenData.class.getResourceAsStream("shakespeare.txt.gz"); InputStream text = new GZIPInputStream(packed)) {
            return text.readAllBytes();
        }
    }
}
