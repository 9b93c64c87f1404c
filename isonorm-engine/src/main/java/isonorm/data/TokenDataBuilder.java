package isonorm.data;

import isonorm.checkpoint.OutputFolder;
import isonorm.model.Progress;
import isonorm.weights.Fingerprint;
import java.io.Closeable;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Turns files of text into a folder of tokens.
 *
 * <p>Files are read in their order, a bounded part at a time; parts are tokenized on all cores and written in their order. So memory does
 * not grow with the files, and the folder's bytes do not depend on the number of threads. A document of more than 64 KiB is tokenized in
 * parts that end at lines where there are any.
 *
 * <p>A document is for validation if the SHA-256 of the seed and its first 64 KiB, read as a number from 0 to 1, is below the share. So two
 * equal documents are never on both sides. Where one side has none, the last part of all tokens is for validation instead.
 *
 * @param files text, lines of JSON, or Parquet, by the endings of their names
 * @param key of the text in lines of JSON, or the column of Parquet
 * @param longest the most bytes of a document in JSON, Parquet or something packed
 * @param validation share of the documents that are not learned from, 0 to below 1
 * @param shardTokens tokens a file, at most
 */
public record TokenDataBuilder(
        List<Path> files, Vocabulary vocabulary, String key, int longest, double validation, long seed, int threads, boolean overwrite,
        long shardTokens) {

    private static final long SHARD_TOKENS = 1L << 28;
    private static final int U16 = 1 << 16;
    private static final int PARTS_A_THREAD = 4; // read ahead
    private static final long LONG = 1 << 20; // bytes

    public TokenDataBuilder {
        files = List.copyOf(files);
        if (files.isEmpty()) {
            throw new IllegalArgumentException("there must be a file to read, got none");
        }
        if (!(validation >= 0 && validation < 1)) {
            throw new IllegalArgumentException("the share for validation must be 0 or more and below 1, got " + validation);
        }
        if (threads < 1 || shardTokens < 1 || longest < 1) {
            throw new IllegalArgumentException("threads, tokens a shard and bytes of a document must be 1 or more, got " + threads + ", " + shardTokens
                    + " and " + longest);
        }
    }

    /** The key {@code text}, a hundredth for validation, one thread a processor. */
    public static TokenDataBuilder of(List<Path> files, Vocabulary vocabulary) {
        return new TokenDataBuilder(files, vocabulary, "text", DocumentFile.LONGEST, 0.01, 0, Runtime.getRuntime().availableProcessors(), false, SHARD_TOKENS);
    }

    /** With another key or column. */
    public TokenDataBuilder key(String other) {
        return new TokenDataBuilder(files, vocabulary, other, longest, validation, seed, threads, overwrite, shardTokens);
    }

    /** With another length of the longest document, in bytes; memory allows an eighth of itself. */
    public TokenDataBuilder longest(int bytes) {
        return new TokenDataBuilder(files, vocabulary, key, bytes, validation, seed, threads, overwrite, shardTokens);
    }

    /** With another share for validation, drawn with a seed. */
    public TokenDataBuilder validation(double share, long from) {
        return new TokenDataBuilder(files, vocabulary, key, longest, share, from, threads, overwrite, shardTokens);
    }

    /** With so many threads. */
    public TokenDataBuilder threads(int count) {
        return new TokenDataBuilder(files, vocabulary, key, longest, validation, seed, count, overwrite, shardTokens);
    }

    /** Replacing a folder of tokens that is there. */
    public TokenDataBuilder overwriting() {
        return new TokenDataBuilder(files, vocabulary, key, longest, validation, seed, threads, true, shardTokens);
    }

    /** With files of so many tokens. */
    public TokenDataBuilder shardTokens(long count) {
        return new TokenDataBuilder(files, vocabulary, key, longest, validation, seed, threads, overwrite, count);
    }

    /**
     * Writes the folder, complete or not at all.
     *
     * @return what its {@value Manifest#FILE} says
     * @throws IOException naming the file, and the line, row or byte, that cannot be taken
     */
    public Manifest writeTo(Path folder, Progress progress) throws IOException {
        for (Path file : files) {
            DocumentFile.kind(file);
            if (file.toAbsolutePath().normalize().startsWith(folder.toAbsolutePath().normalize())) {
                throw new IOException(folder + " holds " + file + ", which is to be read; write to another folder");
            }
        }
        try (OutputFolder output = OutputFolder.create(folder, overwrite, Manifest.FILE); Closeable _ = output.closedAtExit()) {
            Manifest manifest = new Writing(output.path()).run(progress);
            output.commit();
            return manifest;
        }
    }

    /** The ids of a part of a document; the last part's with the end of text. */
    private record Encoded(int[] ids, boolean begins, boolean ends, boolean validates) {}

    private Encoded encode(DocumentFile.Part part) throws IOException {
        int[] ids;
        try {
            ids = vocabulary.ids(part.text());
        } catch (CharacterCodingException e) {
            throw new IOException(part.where() + " is not UTF-8: byte " + (part.offset() + broken(part.text())) + " starts no character", e);
        }
        return new Encoded(ids, part.begins(), part.ends(), part.begins() && validation > 0 && draw(part.text()) < validation);
    }

    private static int broken(byte[] text) {
        CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();
        ByteBuffer bytes = ByteBuffer.wrap(text);
        decoder.decode(bytes, CharBuffer.allocate(text.length), true);
        return bytes.position();
    }

    /** A number from 0 to below 1 that depends on the seed and every byte. */
    private double draw(byte[] text) {
        MessageDigest digest = Fingerprint.sha256();
        digest.update(ByteBuffer.allocate(Long.BYTES).putLong(seed).flip());
        return (ByteBuffer.wrap(digest.digest(text)).getLong() >>> 11) * 0x1p-53;
    }

    /** One run. */
    private final class Writing {

        private final Path folder;
        private final int width = vocabulary.size() <= U16 ? Short.BYTES : Integer.BYTES;
        private final ShardWriter train;
        private final ShardWriter validating;
        private final Deque<Future<List<Encoded>>> ahead = new ArrayDeque<>();
        private ShardWriter current;
        private boolean begun;
        private long documents;
        private long empty;

        private Writing(Path folder) {
            this.folder = folder;
            this.train = new ShardWriter(folder, TokenData.TRAIN, width, shardTokens);
            this.validating = new ShardWriter(folder, TokenData.VALIDATION, width, shardTokens);
            this.current = train;
        }

        private Manifest run(Progress progress) throws IOException {
            OutputFolder.write(folder.resolve(TokenData.TOKENIZER), vocabulary.tokenizerJson());
            String tokenizer = Fingerprint.sha256(folder.resolve(TokenData.TOKENIZER));
            boolean cut;
            Manifest.Splits splits;
            try (train; validating; ExecutorService pool = Executors.newFixedThreadPool(threads)) {
                try {
                    readAll(pool, progress);
                } finally {
                    pool.shutdownNow();
                }
                List<Manifest.Shard> learned = train.end();
                List<Manifest.Shard> kept = validating.end();
                if (documents == 0) {
                    throw new IOException("there is no text in " + (files.size() == 1 ? files.getFirst() : "any of the " + files.size() + " files"));
                }
                cut = validation > 0 && (learned.isEmpty() || kept.isEmpty());
                splits = cut ? cut(learned.isEmpty() ? renamed(kept) : learned) : new Manifest.Splits(Manifest.Part.of(learned), Manifest.Part.of(kept));
            }
            Manifest manifest = new Manifest(Manifest.VERSION, width == Short.BYTES ? "u16" : "u32", vocabulary.size(), vocabulary.endOfText(), tokenizer,
                    validation, seed, documents, empty, cut ? "end" : "document", splits);
            JsonRecords.write(folder.resolve(Manifest.FILE), JsonRecords.of(manifest));
            return manifest;
        }

        private void readAll(ExecutorService pool, Progress progress) throws IOException {
            long total = 0;
            for (Path file : files) {
                total += Files.size(file);
            }
            long before = 0;
            for (Path path : files) {
                try (DocumentFile file = DocumentFile.open(path, key, longest)) {
                    for (Optional<DocumentFile.Work> work = file.next(); work.isPresent(); work = file.next()) {
                        submit(pool, work.get());
                        progress.step("tokenizing " + path.getFileName(), before + file.read(), total);
                    }
                }
                before += Files.size(path);
            }
            while (!ahead.isEmpty()) {
                write(ahead.remove());
            }
        }

        /** Long documents are taken apart here, one after the other, so that there is never more than one of them. */
        private void submit(ExecutorService pool, DocumentFile.Work work) throws IOException {
            if (work.bytes() <= LONG) {
                submit(pool, () -> encodeAll(work.parts().call()));
                return;
            }
            List<DocumentFile.Part> parts;
            try {
                parts = new ArrayList<>(work.parts().call());
            } catch (IOException | RuntimeException e) {
                throw e;
            } catch (Exception e) {
                throw new IOException(e);
            }
            for (int i = 0; i < parts.size(); i++) {
                DocumentFile.Part part = parts.set(i, null);
                submit(pool, () -> List.of(encode(part)));
            }
        }

        private void submit(ExecutorService pool, Callable<List<Encoded>> task) throws IOException {
            if (ahead.size() == threads * PARTS_A_THREAD) {
                write(ahead.remove());
            }
            ahead.add(pool.submit(task));
        }

        private List<Encoded> encodeAll(List<DocumentFile.Part> parts) throws IOException {
            List<Encoded> all = new ArrayList<>();
            for (DocumentFile.Part part : parts) {
                all.add(encode(part));
            }
            return all;
        }

        private void write(Future<List<Encoded>> future) throws IOException {
            List<Encoded> all;
            try {
                all = future.get();
            } catch (ExecutionException e) {
                switch (e.getCause()) {
                    case IOException failed -> throw failed;
                    case RuntimeException failed -> throw failed;
                    case Error failed -> throw failed;
                    case null, default -> throw new IOException(e.getCause());
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new InterruptedIOException("interrupted while tokenizing");
            }
            for (Encoded part : all) {
                write(part);
            }
        }

        /** A document begins with its first token, so one that has none is not there. */
        private void write(Encoded part) throws IOException {
            if (part.begins) {
                current = part.validates ? validating : train;
                begun = false;
            }
            if (!begun && part.ids.length > 0) {
                current.begin();
                begun = true;
                documents++;
            }
            for (int id : part.ids) {
                current.add(id);
            }
            if (part.ends) {
                if (begun) {
                    current.add(vocabulary.endOfText());
                } else {
                    empty++;
                }
            }
        }

        /** All documents fell to validation. */
        private List<Manifest.Shard> renamed(List<Manifest.Shard> shards) throws IOException {
            List<Manifest.Shard> renamed = new ArrayList<>();
            for (Manifest.Shard shard : shards) {
                String name = shard.file().replace(TokenData.VALIDATION, TokenData.TRAIN);
                Files.move(folder.resolve(shard.file()), folder.resolve(name));
                renamed.add(new Manifest.Shard(name, shard.tokens(), shard.documents(), shard.sha256()));
            }
            return renamed;
        }

        /** Moves the last part of all tokens to validation. */
        private Manifest.Splits cut(List<Manifest.Shard> shards) throws IOException {
            long total = shards.stream().mapToLong(Manifest.Shard::tokens).sum();
            long from = total - Math.clamp(Math.round(total * validation), 1, Math.max(1, total - 1));
            List<Manifest.Shard> learned = new ArrayList<>();
            long begin = 0;
            try (ShardWriter writer = new ShardWriter(folder, TokenData.VALIDATION, width, shardTokens)) {
                int previous = vocabulary.endOfText();
                for (Manifest.Shard shard : shards) {
                    Path file = folder.resolve(shard.file());
                    long kept = Math.clamp(from - begin, 0, shard.tokens());
                    long moved = 0;
                    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                        Reader tokens = new Reader(channel, width, Math.max(0, kept - 1));
                        if (kept > 0) {
                            previous = tokens.next();
                        }
                        for (long i = kept; i < shard.tokens(); i++) {
                            if (previous == vocabulary.endOfText()) {
                                writer.begin();
                                moved++;
                            }
                            previous = tokens.next();
                            writer.add(previous);
                        }
                        channel.truncate(kept * width);
                    }
                    if (kept == 0) {
                        Files.delete(file);
                    } else {
                        learned.add(kept == shard.tokens() ? shard
                                : new Manifest.Shard(shard.file(), kept, shard.documents() - moved, Fingerprint.sha256(file)));
                    }
                    begin += shard.tokens();
                }
                return new Manifest.Splits(Manifest.Part.of(learned), Manifest.Part.of(writer.end()));
            }
        }
    }

    /** Reads tokens one behind the other. */
    private static final class Reader {

        private final FileChannel channel;
        private final int width;
        private final ByteBuffer buffer = ByteBuffer.allocate(1 << 16).order(ByteOrder.LITTLE_ENDIAN).limit(0);

        private Reader(FileChannel channel, int width, long first) throws IOException {
            this.channel = channel.position(first * width);
            this.width = width;
        }

        private int next() throws IOException {
            if (!buffer.hasRemaining()) {
                buffer.clear();
                while (buffer.position() % width != 0 || buffer.position() == 0) {
                    if (channel.read(buffer) < 0) {
                        throw new IOException("a file of tokens ended while it was read");
                    }
                }
                buffer.flip();
            }
            return width == Short.BYTES ? buffer.getShort() & 0xffff : buffer.getInt();
        }
    }
}
