package isonorm.train;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Role;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Parameters.Span;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.OutputFolder;
import isonorm.checkpoint.SafetensorsFile;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.checkpoint.TensorInfo;
import isonorm.data.JsonRecords;
import isonorm.family.RemoteCode;
import isonorm.kernel.Rows;
import isonorm.rewrite.ModelWriter;
import isonorm.weights.Fingerprint;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.words.SystemFault;
import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * The checkpoints of a run, in folders {@code checkpoint-<step>}: the model as any other checkpoint, and beside it, in
 * trainer.safetensors and trainer.json, what a run needs to go on bit for bit. Each appears complete or not at all.
 */
final class RunCheckpoints {

    private static final String PREFIX = "checkpoint-";
    private static final String STATE = "trainer.json";
    private static final String HASHES = "sha256";
    /** Among the hashes, that of what trainer.json says beside them. */
    private static final String POSITION = "position";
    private static final List<String> HASHED = List.of("model.safetensors", "config.json");

    /** What a process that is alone keeps of its parameters, and what a rank of a group does. */
    private static final String TENSORS = "trainer.safetensors";
    private static final Pattern SHARD = Pattern.compile("trainer-(\\d{5,9})-of-(\\d{5,9})\\.safetensors");

    /** Tensors that are weights, not moments, are named so. */
    private static final String WEIGHTS = "weights.";

    /** What stands between the name of a parameter and the number of the value at which a part of it begins. */
    private static final String AT = "@";

    /** Of the mean loss, the weight of what it was before a step. */
    private static final double SMOOTHING = 0.98;

    private final Path run;
    private final Recipe recipe;
    private final Map<String, byte[]> files;
    private final Ranks ranks;

    /**
     * @param files what every checkpoint has beside the model
     * @param ranks who writes them together
     */
    RunCheckpoints(Path run, Recipe recipe, Map<String, byte[]> files, Ranks ranks) {
        this.run = run;
        this.recipe = recipe;
        this.files = files;
        this.ranks = ranks;
    }

    /**
     * Where a run is.
     *
     * @param lowest the lowest loss of an evaluation
     * @param sinceLowest how many evaluations were since
     * @param mean of the losses, the last ones counting most
     * @param calmest the lowest it has been
     * @param unsaid losses since the last line of the metrics, added up
     * @param unsaidNorm the largest norm of a gradient since
     * @param unsaidSteps how many steps
     * @param skipped how many steps were not learned from
     * @param scale of the next step's loss
     */
    record Position(long step, long examples, double lowest, long sinceLowest, double mean, double calmest, double unsaid, double unsaidNorm,
            int unsaidSteps, long skipped, LossScale scale) {

        Position {
            long fewest = LongStream.of(step, examples, sinceLowest, unsaidSteps, skipped).min().getAsLong();
            if (fewest < 0) {
                throw new IllegalArgumentException("nothing can be counted below 0, got " + fewest);
            }
        }

        /** Before the first step. */
        static Position begin(LossScale scale) {
            return new Position(0, 0, Double.POSITIVE_INFINITY, 0, Double.NaN, Double.POSITIVE_INFINITY, 0, 0, 0, 0, scale);
        }

        /** Behind one more step on so many examples. */
        Position after(Learner.Seen seen, long more, LossScale next) {
            double now = Double.isNaN(mean) ? seen.loss() : SMOOTHING * mean + (1 - SMOOTHING) * seen.loss();
            return new Position(step + 1, examples + more, lowest, sinceLowest, now, Math.min(calmest, now), unsaid + seen.loss(),
                    seen.finite() ? Math.max(unsaidNorm, seen.gradientNorm()) : unsaidNorm, unsaidSteps + 1, skipped + (seen.finite() ? 0 : 1), next);
        }

        /** Behind an evaluation. */
        Position evaluated(double loss) {
            boolean better = loss < lowest;
            return new Position(step, examples, better ? loss : lowest, better ? 0 : sinceLowest + 1, mean, calmest, unsaid, unsaidNorm, unsaidSteps,
                    skipped, scale);
        }

        /** Behind a line of the metrics. */
        Position said() {
            return new Position(step, examples, lowest, sinceLowest, mean, calmest, 0, 0, 0, skipped, scale);
        }
    }

    /** The folders there are, the newest first. */
    static List<Path> all(Path run) throws IOException {
        if (!Files.isDirectory(run)) {
            return List.of();
        }
        try (Stream<Path> files = Files.list(run)) {
            return files.filter(file -> file.getFileName().toString().matches(PREFIX + "\\d{1,18}"))
                    .sorted(Comparator.comparingLong(RunCheckpoints::step).reversed()).toList();
        }
    }

    /** Takes away what a run that was killed had begun to write, or to delete. */
    static void clear(Path run) throws IOException {
        try (Stream<Path> files = Files.list(run)) {
            for (Path file : files.filter(each -> each.getFileName().toString().matches("\\.(" + PREFIX + "\\d+|model)\\..*")).toList()) {
                deleteAll(file);
            }
        }
    }

    /** Gives a damaged one a name that no checkpoint has, so that nothing of it is lost, and it is in no one's way. */
    static Path putAside(Path folder) throws IOException {
        Path aside = folder.resolveSibling(folder.getFileName() + ".damaged");
        for (int number = 2; Files.exists(aside, LinkOption.NOFOLLOW_LINKS); number++) {
            aside = folder.resolveSibling(folder.getFileName() + ".damaged-" + number);
        }
        return Files.move(folder, aside);
    }

    private static long step(Path folder) {
        return Long.parseLong(folder.getFileName().toString().substring(PREFIX.length()));
    }

    /** Writes one, each rank its part, and takes away the oldest beyond {@code keep}. */
    void write(Learner learner, Position position, int keep) throws IOException {
        learner.gather();
        Path target = run.resolve(String.format("%s%07d", PREFIX, position.step));
        try (Writing writing = begin(target)) {
            Path folder = writing.folder();
            List<String> shards = ranks.alone() ? List.of() : ranks.texts(ranks.together(() -> writeShard(folder, learner)));
            ranks.leading(() -> {
                writeModel(folder, learner);
                writeState(folder, learner, position, shards);
                writing.commit();
                List<Path> all = all(run);
                for (Path old : all.subList(Math.min(keep, all.size()), all.size())) {
                    delete(old);
                }
            });
        } catch (IOException e) {
            throw notWritten(target, e);
        }
    }

    /**
     * A checkpoint that is being written.
     *
     * @param ours what the leading rank made and renames; the others write into it
     */
    private record Writing(Path folder, Optional<OutputFolder> ours) implements AutoCloseable {

        void commit() throws IOException {
            ours.orElseThrow().commit();
        }

        @Override
        public void close() {
            ours.ifPresent(OutputFolder::close);
        }
    }

    private Writing begin(Path target) throws IOException {
        Optional<OutputFolder> ours = ranks.together(() -> ranks.leads() ? Optional.of(OutputFolder.create(target, true)) : Optional.empty());
        boolean begun = false;
        try {
            String name = ranks.alone() ? "" : ranks.ofFirst(ours.map(folder -> String.valueOf(folder.path().getFileName())).orElse(""));
            Path folder = ours.map(OutputFolder::path).orElseGet(() -> target.resolveSibling(name));
            ranks.all(() -> {
                if (!Files.isDirectory(folder)) {
                    throw new IOException(folder + " is not there; out must be a folder that all ranks share");
                }
            });
            begun = true;
            return new Writing(folder, ours);
        } finally {
            if (!begun) {
                ours.ifPresent(OutputFolder::close);
            }
        }
    }

    private static void delete(Path folder) throws IOException {
        // Under another name first: what is being deleted is no checkpoint any more.
        deleteAll(Files.move(folder, folder.resolveSibling("." + folder.getFileName() + ".old")));
    }

    private static void deleteAll(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    /** The model alone, as any other checkpoint, in the place of one there may be: as the last checkpoint has it, which gathered the weights. */
    void writeModel(Learner learner) throws IOException {
        ranks.leading(() -> writeAlone(learner));
    }

    private void writeAlone(Learner learner) throws IOException {
        try (OutputFolder folder = OutputFolder.create(run.resolve("model"), true)) {
            writeModel(folder.path(), learner);
            folder.commit();
        } catch (IOException e) {
            throw notWritten(run.resolve("model"), e);
        }
    }

    /** What the system says of a full disk names no file. */
    static IOException notWritten(Path file, IOException e) {
        return e instanceof CheckpointException ? e : new IOException(file + " cannot be written: " + SystemFault.of(e), e);
    }

    /** What a learner has trained, as it is now and goes on to be. */
    Model model(Learner learner) {
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        for (Parameters.Entry entry : learner.parameters().all()) {
            weights.put(entry.role(), new Trained(entry.stored(entry.weights()), recipe.constant(entry.role())));
        }
        return new Model(learner.architecture(), weights);
    }

    private void writeModel(Path folder, Learner learner) throws IOException {
        boolean own = RemoteCode.isOwn(recipe.config());
        Config config = own ? RemoteCode.named(recipe.config(), learner.architecture()) : recipe.config();
        ModelWriter.write(folder, model(learner), config, recipe.naming(), dtype(learner));
        if (own) {
            RemoteCode.writeTo(folder);
        }
        for (Map.Entry<String, byte[]> file : files.entrySet()) {
            Files.write(folder.resolve(file.getKey()), file.getValue());
        }
    }

    private static Dtype dtype(Learner learner) {
        return switch (learner.parameters().type()) {
            case F64 -> Dtype.F64;
            case F32 -> Dtype.F32;
            case BF16 -> Dtype.BF16;
            case F16 -> Dtype.F16;
        };
    }

    /** Values of a run as a matrix that is written. */
    private record Trained(Rows values, double factor) implements Matrix {
        @Override
        public int rows() {
            return values.rows();
        }

        @Override
        public int columns() {
            return values.columns();
        }

        @Override
        public void prepare() {}

        @Override
        public void read(Tile tile, double[] into) {
            for (int r = 0; r < tile.rows(); r++) {
                for (int c = 0; c < tile.columns(); c++) {
                    into[r * tile.columns() + c] = factor * values.get(tile.row() + r, tile.column() + c);
                }
            }
        }

        @Override
        public void release() {}

        @Override
        public void describe(List<String> steps) {
            steps.add("trained");
        }
    }

    /** A tensor of a checkpoint: of a whole parameter in its shape, or of a part of one, which is a row. */
    private record Kept(TensorInfo info, MemorySegment values) {}

    private static String moment(int number) {
        return "moment" + number + ".";
    }

    /** What is kept of parameters as a whole: weights and moments. */
    private static List<Kept> whole(Learner learner) {
        List<Kept> kept = new ArrayList<>();
        for (Parameters.Entry entry : learner.parameters().all()) {
            Rows weights = entry.weights();
            keep(kept, learner, entry.role().path(), List.of((long) weights.rows(), (long) weights.columns()), span(entry));
        }
        return kept;
    }

    /** What is kept of the parts of parameters that are this rank's. */
    private static List<Kept> parts(Learner learner) {
        List<Kept> kept = new ArrayList<>();
        for (Parameters.Entry entry : learner.parameters().all()) {
            Span all = span(entry);
            for (Span own : learner.optimizer().own()) {
                long first = Math.max(all.first(), own.first());
                long length = Math.min(all.end(), own.end()) - first;
                if (length > 0) {
                    keep(kept, learner, entry.role().path() + AT + (first - all.first()), List.of(length), new Span(first, length));
                }
            }
        }
        return kept;
    }

    private static Span span(Parameters.Entry entry) {
        Rows weights = entry.weights();
        return new Span(weights.offset(), (long) weights.rows() * weights.columns());
    }

    private static void keep(List<Kept> kept, Learner learner, String name, List<Long> shape, Span span) {
        kept.add(new Kept(new TensorInfo(WEIGHTS + name, dtype(learner), shape), learner.parameters().weights(span)));
        for (int i = 0; i < learner.optimizer().moments(); i++) {
            kept.add(new Kept(new TensorInfo(moment(i) + name, dtype(learner), shape), learner.optimizer().moment(i, span)));
        }
    }

    private static void write(Path file, List<Kept> kept) throws IOException {
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, kept.stream().map(Kept::info).toList(), Map.of())) {
            for (Kept each : kept) {
                writer.write(each.info.name(), 0, each.values);
            }
        }
    }

    /** Writes this rank's part, and gives its hash. */
    private String writeShard(Path folder, Learner learner) throws IOException {
        Path file = folder.resolve(shard(ranks.group().rank(), ranks.group().size()));
        try {
            write(file, parts(learner));
        } catch (IOException e) {
            throw notWritten(file, e);
        }
        return Fingerprint.sha256(file);
    }

    private static String shard(int rank, int ranks) {
        return String.format("trainer-%05d-of-%05d.safetensors", rank, ranks);
    }

    /**
     * @param shards the hashes of what ranks have written; none where there is one process
     */
    private void writeState(Path folder, Learner learner, Position position, List<String> shards) throws IOException {
        Map<String, String> written = new HashMap<>();
        for (int rank = 0; rank < shards.size(); rank++) {
            written.put(shard(rank, shards.size()), shards.get(rank));
        }
        if (shards.isEmpty()) {
            write(folder.resolve(TENSORS), whole(learner));
        }
        ObjectNode json = JsonRecords.of(position);
        Map<String, String> hashes = new LinkedHashMap<>();
        hashes.put(POSITION, Fingerprint.sha256(json.toString()));
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.sorted().toList()) {
                String name = file.getFileName().toString();
                String hash = written.get(name);
                hashes.put(name, hash == null ? Fingerprint.sha256(file) : hash);
            }
        }
        ObjectNode all = json.putObject(HASHES);
        hashes.forEach(all::put);
        JsonRecords.write(folder.resolve(STATE), json);
    }

    /**
     * Brings a learner to where a checkpoint left it, however many ranks wrote it. No tensor is read before all ranks have found every file to be what was
     * written.
     *
     * @throws IOException on all ranks, naming what is damaged; the learner may then hold anything
     */
    Position read(Path folder, Learner learner) throws IOException {
        Position position = ranks.together(() -> position(folder, ranks.group().rank(), ranks.group().size()));
        ranks.all(() -> take(folder, learner));
        return position;
    }

    private static void take(Path folder, Learner learner) throws IOException {
        Taking taking = new Taking(folder, learner);
        for (Path file : tensors(folder)) {
            try (Arena arena = Arena.ofConfined()) {
                taking.all(SafetensorsFile.open(file), arena);
            }
        }
        taking.requireAll();
        learner.begin();
    }

    private static List<Path> tensors(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(file -> file.getFileName().toString().equals(TENSORS) || SHARD.matcher(file.getFileName().toString()).matches()).sorted().toList();
        }
    }

    /** Takes of the tensors of a checkpoint what a learner has room for: all weights, and the moments of those that it changes. */
    private static final class Taking {

        private final Path folder;
        private final Learner learner;
        private final Map<String, Span> spans = new HashMap<>();
        private final long[] taken;

        Taking(Path folder, Learner learner) {
            this.folder = folder;
            this.learner = learner;
            this.taken = new long[1 + learner.optimizer().moments()];
            learner.parameters().all().forEach(entry -> spans.put(entry.role().path(), span(entry)));
        }

        void all(SafetensorsFile file, Arena arena) throws IOException {
            for (Map.Entry<String, TensorInfo> each : file.tensors().entrySet()) {
                String name = each.getKey();
                int dot = name.indexOf('.');
                int at = name.indexOf(AT, Math.max(0, dot));
                Span all = spans.get(name.substring(dot + 1, at < 0 ? name.length() : at));
                int kind = name.startsWith(WEIGHTS) ? 0 : IntStream.range(0, taken.length - 1).filter(i -> name.startsWith(moment(i))).findFirst().orElse(-2) + 1;
                long first = at < 0 ? 0 : offset(name.substring(at + 1));
                long length = each.getValue().elements();
                if (all == null || kind < 0 || each.getValue().dtype() != dtype(learner) || first < 0 || first > all.length() - length
                        || at < 0 && length != all.length()) {
                    throw new IOException(folder + ": " + name + " has another name, type or size than this run's configuration asks for");
                }
                take(file.map(name, arena), kind, new Span(all.first() + first, length));
            }
        }

        /** Below 0 where it is no number. */
        private static long offset(String digits) {
            return digits.matches("\\d{1,18}") ? Long.parseLong(digits) : -1;
        }

        private void take(MemorySegment from, int kind, Span span) {
            long bytes = learner.parameters().type().bytes();
            for (Span own : kind == 0 ? List.of(learner.parameters().whole()) : learner.optimizer().own()) {
                long first = Math.max(span.first(), own.first());
                long length = Math.min(span.end(), own.end()) - first;
                if (length > 0) {
                    Span some = new Span(first, length);
                    MemorySegment to = kind == 0 ? learner.parameters().weights(some) : learner.optimizer().moment(kind - 1, some);
                    to.copyFrom(from.asSlice((first - span.first()) * bytes, length * bytes));
                    taken[kind] += length;
                }
            }
        }

        void requireAll() throws IOException {
            long own = learner.optimizer().own().stream().mapToLong(Span::length).sum();
            for (int kind = 0; kind < taken.length; kind++) {
                long asked = kind == 0 ? learner.parameters().count() : own;
                if (taken[kind] != asked) {
                    throw new IOException(folder + " has " + taken[kind] + " values of " + (kind == 0 ? WEIGHTS : moment(kind - 1)) + ", and this run's configuration asks for "
                            + asked);
                }
            }
        }
    }

    /** What a checkpoint says of itself, once it and all files beside it are found to be what was written. */
    static Position position(Path folder) throws IOException {
        return position(folder, 0, 1);
    }

    /** The same where some ranks share the files out, and each finds its own to be what was written. */
    private static Position position(Path folder, int rank, int ranks) throws IOException {
        Path state = folder.resolve(STATE);
        ObjectNode json = JsonRecords.object(state);
        if (!(json.remove(HASHES) instanceof ObjectNode hashes) || !HASHED.stream().allMatch(hashes::has) || !hasTensors(hashes)) {
            throw new IOException(state + " must have the hashes of " + String.join(", ", HASHED) + " and " + TENSORS + ", or of the parts of all ranks");
        }
        Set<String> there;
        try (Stream<Path> files = Files.list(folder)) {
            there = files.filter(Files::isRegularFile).map(file -> file.getFileName().toString()).collect(Collectors.toSet());
        }
        int number = 0;
        for (Map.Entry<String, JsonNode> hash : hashes.properties()) {
            if (number++ % ranks != rank) {
                continue;
            }
            String name = hash.getKey();
            boolean same = name.equals(POSITION) ? Fingerprint.sha256(json.toString()).equals(hash.getValue().asText())
                    : there.contains(name) && Fingerprint.sha256(folder.resolve(name)).equals(hash.getValue().asText());
            if (!same) {
                throw new IOException((name.equals(POSITION) ? state : folder + File.separator + name) + " is not what was written");
            }
        }
        Position position = JsonRecords.read(state, json, Position.class);
        long counted = Math.max(Math.max(position.sinceLowest, position.unsaidSteps), position.skipped);
        if (position.step != step(folder) || counted > position.step) {
            throw new IOException(state + " must be of step " + step(folder) + ", and count no more of anything, got step " + position.step
                    + " and a count of " + counted);
        }
        return position;
    }

    private static boolean hasTensors(ObjectNode hashes) {
        if (hashes.has(TENSORS)) {
            return true;
        }
        Iterable<String> names = hashes::fieldNames;
        for (String name : names) {
            Matcher shard = SHARD.matcher(name);
            if (shard.matches()) {
                int ranks = Integer.parseInt(shard.group(2));
                return IntStream.range(0, ranks).allMatch(rank -> hashes.has(shard(rank, ranks)));
            }
        }
        return false;
    }
}
