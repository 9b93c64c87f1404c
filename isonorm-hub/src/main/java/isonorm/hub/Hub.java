package isonorm.hub;

import static isonorm.hub.HubException.Reason.NOT_CACHED;
import static isonorm.hub.HubException.Reason.OFFLINE;
import static isonorm.hub.HubException.Reason.REFUSED;
import static isonorm.hub.HubException.Reason.UNUSABLE;
import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.databind.JsonNode;
import isonorm.model.Progress;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.CompletionService;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;

/**
 * The Hugging Face hub and its cache on this machine, which Python's tools share: what one of them fetched the other finds. Where both are is told by the
 * same variables of the environment: HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE and a few more.
 */
public final class Hub {

    private static final int TOGETHER = 8;
    private static final int PAGES = 10_000;

    private final Settings settings;

    /**
     * What was fetched.
     *
     * @param folder with the files, to be opened as a checkpoint
     * @param commit which version of the model it is
     * @param renamed what the hub calls the model now, where that is another name
     * @param files those that were asked for, by path, with their sizes
     * @param fetched how many bytes came; the others were there
     */
    public record Fetched(Path folder, String commit, Optional<String> renamed, Map<String, Long> files, long fetched) {}

    private Hub(Settings settings) {
        this.settings = settings;
    }

    /**
     * The hub and the cache that variables of the environment name.
     *
     * @throws IllegalArgumentException for a variable that makes no sense
     */
    public static Hub of(Map<String, String> environment) throws IOException {
        return new Hub(Settings.of(environment));
    }

    /** The same with less patience, for tests. */
    Hub hurried(Duration patience) {
        return new Hub(settings.hurried(patience));
    }

    /** Where the cache is. */
    public Path cache() {
        return settings.cache();
    }

    /**
     * The folder of a model in the cache, with all that a checkpoint is read from. Nothing is asked of the hub.
     *
     * @throws HubException if it is not there
     */
    public Path cached(ModelName name) throws IOException {
        Cache cache = Cache.of(settings, name);
        Optional<String> commit = cache.commit(name);
        if (commit.isEmpty() && name.revision().equals(ModelName.MAIN)) {
            commit = cache.newest();
        }
        Optional<Path> snapshot = commit.map(cache::snapshot).filter(Files::isDirectory);
        if (snapshot.isEmpty()) {
            throw new HubException(NOT_CACHED, name + " is not in the Hugging Face cache " + settings.cache());
        }
        Optional<String> missing = missing(name, snapshot.get(), Listing.read(cache.tree(commit.orElseThrow())));
        if (missing.isPresent()) {
            throw new HubException(NOT_CACHED, name + " is not whole in the Hugging Face cache, " + missing.get() + " is missing from " + snapshot.get());
        }
        return snapshot.get();
    }

    /** A file that a snapshot lacks; where nobody kept what it should have, its configuration alone is looked for. */
    private static Optional<String> missing(ModelName name, Path snapshot, Optional<Listing> listing) throws IOException {
        List<String> needed = new ArrayList<>(List.of("config.json"));
        if (listing.isPresent()) {
            Needed known;
            try {
                known = Needed.of(name, listing.get());
            } catch (HubException e) {
                return Optional.empty(); // what is wrong with it, who opens it says
            }
            needed.addAll(known.first());
            if (known.index().isPresent() && Files.isRegularFile(snapshot.resolve(known.index().get()))) {
                needed.addAll(Needed.shards(name, snapshot.resolve(known.index().get()), listing.get()));
            }
        }
        return needed.stream().filter(file -> !Files.exists(snapshot.resolve(file))).findFirst();
    }

    /**
     * Fetches a model as it is now, but for what is in the cache.
     *
     * @param include globs of the files to fetch; where there are none, those that a checkpoint is read from
     * @throws HubException if it cannot be had
     */
    public Fetched fetch(ModelName name, List<String> include, Progress progress) throws IOException {
        if (settings.offline()) {
            throw new HubException(OFFLINE, name + " is not fetched while HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set");
        }
        Cache cache = Cache.of(settings, name);
        try (Web web = new Web(settings)) {
            progress.step("asking for " + name, 0, 1);
            JsonNode model = web.json(name, web.hub("/api/models/" + name.id() + "/revision/" + Web.encoded(name.revision(), false))).json();
            String commit = model.path("sha").asText();
            if (!ModelName.COMMIT.matcher(commit).matches()) {
                throw new HubException(REFUSED, "what " + settings.endpoint() + " answered about " + name + " names no commit; is HF_ENDPOINT a hub?");
            }
            Optional<String> called = Optional.ofNullable(model.path("id").textValue()).filter(id -> !id.equals(name.id()));
            Listing listing = listing(web, cache, name, commit);
            Needed needed = include.isEmpty() ? Needed.of(name, listing) : new Needed(Needed.matching(include, listing), Optional.empty());
            if (needed.first().isEmpty()) {
                throw new HubException(UNUSABLE, name + " has no file that " + String.join(" or ", include) + " matches");
            }
            cache.prepare();
            Cache.write(cache.tree(commit), listing.text());
            Fetching fetching = new Fetching(web, name, commit, cache, listing, progress);
            List<String> all = new ArrayList<>(needed.first());
            fetching.fetch(needed.first());
            if (needed.index().isPresent()) {
                List<String> shards = Needed.shards(name, cache.snapshot(commit).resolve(needed.index().get()), listing);
                fetching.fetch(shards);
                all.addAll(shards);
            }
            if (!name.isPinned()) {
                cache.refer(name.revision(), commit);
            }
            Map<String, Long> files = new TreeMap<>();
            all.forEach(file -> files.put(file, requireNonNull(listing.files().get(file)).size()));
            return new Fetched(cache.snapshot(commit), commit, called, files, fetching.fetched.sum());
        }
    }

    private static Listing listing(Web web, Cache cache, ModelName name, String commit) throws IOException {
        Optional<Listing> kept = Listing.read(cache.tree(commit));
        if (kept.isPresent()) {
            return kept.get();
        }
        List<JsonNode> pages = new ArrayList<>();
        Optional<URI> next = Optional.of(web.hub("/api/models/" + name.id() + "/tree/" + commit + "?recursive=true&expand=false"));
        while (next.isPresent()) {
            if (pages.size() == PAGES) {
                throw new HubException(UNUSABLE, name + " lists files without end");
            }
            Web.Page page = web.json(name, next.get());
            pages.add(page.json());
            next = page.next();
        }
        return Listing.of(name, pages);
    }

    /** Several files at a time. */
    private final class Fetching {

        private final Web web;
        private final ModelName name;
        private final String commit;
        private final Cache cache;
        private final Listing listing;
        private final Progress progress;
        private final AtomicLong total = new AtomicLong();
        private final AtomicLong done = new AtomicLong();
        private final LongAdder fetched = new LongAdder();

        Fetching(Web web, ModelName name, String commit, Cache cache, Listing listing, Progress progress) {
            this.web = web;
            this.name = name;
            this.commit = commit;
            this.cache = cache;
            this.listing = listing;
            this.progress = progress;
        }

        void fetch(Collection<String> paths) throws IOException {
            List<Listing.Entry> files = paths.stream().map(path -> requireNonNull(listing.files().get(path))).toList();
            requireRoom(files);
            total.addAndGet(files.stream().mapToLong(Listing.Entry::size).sum());
            Semaphore together = new Semaphore(TOGETHER);
            try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
                CompletionService<Void> all = new ExecutorCompletionService<>(threads);
                for (Listing.Entry file : files) {
                    all.submit(() -> {
                        together.acquire();
                        try {
                            new Download(web, settings, name, commit, file, cache, this::arrived, fetched).run();
                        } finally {
                            together.release();
                        }
                        return null;
                    });
                }
                try {
                    for (int i = 0; i < files.size(); i++) {
                        all.take().get();
                    }
                } catch (ExecutionException e) {
                    threads.shutdownNow(); // of several that fail, the first one says why
                    switch (e.getCause()) {
                        case IOException failed -> throw failed;
                        case UncheckedIOException disk -> throw requireNonNull(disk.getCause());
                        case null, default -> throw new IllegalStateException(e.getCause());
                    }
                } catch (InterruptedException e) {
                    threads.shutdownNow();
                    Thread.currentThread().interrupt();
                    throw new InterruptedIOException("interrupted");
                }
            }
        }

        private void arrived(long bytes) {
            progress.step("fetching " + name, Math.max(0, done.addAndGet(bytes)), total.get());
        }

        private void requireRoom(List<Listing.Entry> files) throws IOException {
            long needed = files.stream().filter(file -> !Files.exists(cache.blob(file.etag()))).mapToLong(Listing.Entry::size).sum();
            long room = cache.folder().toFile().getUsableSpace();
            if (needed > room && cache.folder().toFile().getTotalSpace() > 0) {
                throw new IOException(cache.hub() + " has room for " + room + " bytes, and " + name + " needs " + needed);
            }
        }
    }
}
