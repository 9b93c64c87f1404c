package isonorm.hub;

import static isonorm.hub.HubException.Reason.DAMAGED;
import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.LongConsumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Brings one file into the cache. What has come of it is kept, under a name that says so, and fetched on from there: after a cut within the same
 * version ({@code If-Range}), and by a later run, since the hash of the whole says whether it fits together. Only a file whose hash is right gets its name.
 *
 * @param commit what the file belongs to
 * @param arrived is told of bytes that are there, and, with a negative number, of such that turned out to be of no use
 * @param fetched counts those that came
 */
record Download(Web web, Settings settings, ModelName name, String commit, Listing.Entry file, Cache cache, LongConsumer arrived, LongAdder fetched) {

    private static final Pattern RANGE = Pattern.compile("bytes (\\d{1,18})-\\d{1,18}/(\\d{1,18}|\\*)");
    private static final int BUFFER = 1 << 17;

    /** So much that came makes a try worth another one. */
    private static final long WORTH = 1 << 20;

    /** Fetches the file unless it is there. */
    void run() throws IOException {
        Path blob = cache.blob(file.etag());
        Path shown = cache.snapshot(commit).resolve(file.path());
        if (!Files.exists(blob) && !Files.exists(shown)) {
            try (Cache.Lock lock = cache.lock(file.etag())) {
                if (!Files.exists(blob)) {
                    boolean alone = lock.held().isPresent();
                    Path part = blob.resolveSibling(file.etag() + (alone ? "" : "." + UUID.randomUUID()) + ".isonorm.incomplete");
                    try {
                        fetch(part, blob);
                    } finally {
                        if (!alone) {
                            Files.deleteIfExists(part);
                        }
                    }
                }
                cache.show(commit, file);
            }
        } else {
            arrived.accept(file.size());
            try (Cache.Lock _ = cache.lock(file.etag())) {
                cache.show(commit, file);
            }
        }
    }

    private void fetch(Path part, Path blob) throws IOException {
        long before = Files.exists(part) ? Files.size(part) : 0;
        if (before > file.size()) {
            Files.delete(part);
            before = 0;
        }
        arrived.accept(before);
        complete(part);
        Optional<String> wrong = wrong(part);
        if (wrong.isPresent() && before > 0) { // of an earlier run, and it may have been that part
            restart(part);
            complete(part);
            wrong = wrong(part);
        }
        if (wrong.isPresent()) {
            restart(part);
            throw new HubException(DAMAGED, file.path() + " of " + name + " came with another hash than the hub says it has, " + file.etag() + " and not " + wrong.get()
                    + "; it was not kept");
        }
        Files.move(part, blob, StandardCopyOption.ATOMIC_MOVE);
    }

    private void restart(Path part) throws IOException {
        arrived.accept(-Files.size(part));
        Files.delete(part);
    }

    /** Until all bytes are there. */
    private void complete(Path part) throws IOException {
        AtomicReference<Optional<String>> version = new AtomicReference<>(Optional.empty());
        Duration pause = settings.pause();
        int tries = 0;
        try (FileChannel out = FileChannel.open(part, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            while (out.size() < file.size()) {
                long before = out.size();
                try {
                    transfer(out, version);
                } catch (HubException e) {
                    throw e;
                } catch (IOException e) {
                    tries = out.size() - before >= WORTH ? 1 : tries + 1;
                    pause = tries == 1 ? settings.pause() : pause.multipliedBy(2);
                    if (tries >= Web.TRIES || Web.isFinal(e)) {
                        HubException failed = web.failed(name, e);
                        throw new HubException(failed.reason(), failed.getMessage() + "; what has come of " + file.path() + " is kept, and the next time goes on from there", e);
                    }
                    Web.pause(e, pause);
                }
            }
            out.force(true);
        }
    }

    /**
     * One answer's bytes, behind those that are there.
     *
     * @param version what names the version that they are of
     */
    private void transfer(FileChannel out, AtomicReference<Optional<String>> version) throws IOException {
        long have = out.size();
        Map<String, String> headers = new HashMap<>();
        if (have > 0) {
            headers.put("Range", "bytes=" + have + "-");
            requireNonNull(version.get()).ifPresent(etag -> headers.put("If-Range", etag));
        }
        URI address = web.hub("/" + name.id() + "/resolve/" + commit + "/" + Web.encoded(file.path(), true));
        try (Web.Answer answer = web.get(address, headers)) {
            if (answer.status() == 416) {
                arrived.accept(-have);
                out.truncate(0);
                return;
            }
            web.require(name, answer);
            long from = answer.status() == 206 ? start(answer, have) : 0;
            long length = answer.headers().firstValueAsLong("Content-Length").orElse(file.size() - from);
            if (from + length != file.size() || !answer.header("Content-Encoding").orElse("identity").equals("identity")) {
                throw size(from + length);
            }
            arrived.accept(from - have);
            out.truncate(from);
            version.set(answer.header("ETag").filter(etag -> etag.startsWith("\"")));
            receive(answer.body(), out, from);
        }
    }

    /** Where the bytes of a part begin, which must be where ours end. */
    private long start(Web.Answer answer, long have) throws HubException {
        Matcher range = RANGE.matcher(answer.header("Content-Range").orElse(""));
        if (!range.matches() || Long.parseLong(range.group(1)) != have || !range.group(2).equals("*") && Long.parseLong(range.group(2)) != file.size()) {
            throw new HubException(DAMAGED, "asked for " + file.path() + " of " + name + " from byte " + have + " on, the hub sent other bytes");
        }
        return have;
    }

    private HubException size(long size) {
        return new HubException(DAMAGED, file.path() + " of " + name + " came with another size than the hub says it has: " + file.size() + " bytes, got " + size);
    }

    private void receive(InputStream body, FileChannel out, long from) throws IOException {
        byte[] buffer = new byte[BUFFER];
        long at = from;
        try (Patient patient = new Patient(body, settings.patience())) {
            for (int n; (n = patient.read(buffer)) >= 0;) {
                if (at + n > file.size()) {
                    throw size(at + n);
                }
                write(out, at, ByteBuffer.wrap(buffer, 0, n));
                at += n;
                arrived.accept(n);
                fetched.add(n);
                if (Thread.currentThread().isInterrupted()) {
                    throw new InterruptedIOException("interrupted");
                }
            }
        }
        if (at < file.size()) {
            throw new IOException("the connection broke off");
        }
    }

    /** What fails here is no fault of the net, and trying again does not help. */
    private static void write(FileChannel out, long at, ByteBuffer bytes) {
        try {
            out.position(at);
            while (bytes.hasRemaining()) {
                out.write(bytes);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The hash that a file has where it should have another: SHA-256 of a large one, of others SHA-1 as git computes it. */
    private Optional<String> wrong(Path part) throws IOException {
        try (InputStream in = Files.newInputStream(part)) {
            MessageDigest digest = MessageDigest.getInstance(file.sha256().isPresent() ? "SHA-256" : "SHA-1");
            if (file.sha256().isEmpty()) {
                digest.update(("blob " + file.size() + "\0").getBytes(StandardCharsets.US_ASCII));
            }
            byte[] buffer = new byte[BUFFER];
            for (int n; (n = in.read(buffer)) >= 0;) {
                digest.update(buffer, 0, n);
            }
            return Optional.of(HexFormat.of().formatHex(digest.digest())).filter(hash -> !hash.equals(file.etag()));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
