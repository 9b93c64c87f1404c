package isonorm.train;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Block;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.backpropagation.Parameters;
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
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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
    private static final List<String> HASHED = List.of("trainer.safetensors", "model.safetensors", "config.json");
    private static final double SMOOTHING = 0.98;

    private final Path run;
    private final Recipe recipe;
    private final Map<String, byte[]> files;

    /**
     * @param files what every checkpoint has beside the model
     */
    RunCheckpoints(Path run, Recipe recipe, Map<String, byte[]> files) {
        this.run = run;
        this.recipe = recipe;
        this.files = files;
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

    /** Writes one, and takes away the oldest beyond {@code keep}. */
    void write(Learner learner, Position position, int keep) throws IOException {
        Path target = run.resolve(String.format("%s%07d", PREFIX, position.step));
        try (OutputFolder folder = OutputFolder.create(target, true)) {
            writeModel(folder.path(), learner);
            writeState(folder.path(), learner, position);
            folder.commit();
        } catch (IOException e) {
            throw notWritten(target, e);
        }
        List<Path> all = all(run);
        for (Path old : all.subList(Math.min(keep, all.size()), all.size())) {
            delete(old);
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

    /** The model alone, as any other checkpoint, in the place of one there may be. */
    void writeModel(Learner learner) throws IOException {
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
            weights.put(entry.role(), new Trained(entry.stored(entry.weights()), factor(entry.role())));
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

    /** LayerNorm Scaling's constant goes into the gain and the bias of its norm, or into what writes last in a branch. */
    private double factor(Role role) {
        if (role.block() < 0 || role.field() == Role.Field.ALPHA) {
            return 1;
        }
        Block block = recipe.architecture().blocks().get(role.block());
        boolean writes = switch (role.part()) {
            case ATTENTION_OUTPUT -> !block.attentionPlacement().normalizesBranch();
            case ATTENTION_OUTPUT_NORM -> block.attentionPlacement().normalizesBranch();
            case MLP_DOWN -> !block.mlpPlacement().normalizesBranch();
            case MLP_OUTPUT_NORM -> block.mlpPlacement().normalizesBranch();
            default -> false;
        };
        boolean reads = role.part() == Part.ATTENTION_NORM || role.part() == Part.MLP_NORM;
        return reads ? recipe.scales().norm(role.block()) : writes ? recipe.scales().branch(role.block()) : 1;
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

    /** What is kept of each parameter, by the name of its tensor. */
    private static Map<String, Rows> state(Learner learner) {
        Map<String, Rows> state = new LinkedHashMap<>();
        for (Parameters.Entry entry : learner.parameters().all()) {
            state.put("weights." + entry.role().path(), entry.weights());
            for (int i = 0; i < learner.optimizer().moments(); i++) {
                state.put("moment" + i + "." + entry.role().path(), learner.optimizer().moment(i, entry));
            }
        }
        return state;
    }

    private static MemorySegment bytes(Rows rows) {
        long size = rows.type().bytes();
        return rows.data().asSlice(rows.offset() * size, (long) rows.rows() * rows.columns() * size);
    }

    private void writeState(Path folder, Learner learner, Position position) throws IOException {
        Map<String, Rows> state = state(learner);
        List<TensorInfo> infos = new ArrayList<>();
        state.forEach((name, rows) -> infos.add(new TensorInfo(name, dtype(learner), List.of((long) rows.rows(), (long) rows.columns()))));
        Path tensors = folder.resolve("trainer.safetensors");
        try (SafetensorsWriter writer = SafetensorsWriter.create(tensors, infos, Map.of())) {
            for (Map.Entry<String, Rows> each : state.entrySet()) {
                writer.write(each.getKey(), 0, bytes(each.getValue()));
            }
        }
        ObjectNode json = JsonRecords.of(position);
        Map<String, String> hashes = new LinkedHashMap<>();
        hashes.put(POSITION, Fingerprint.sha256(json.toString()));
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.sorted().toList()) {
                hashes.put(file.getFileName().toString(), Fingerprint.sha256(file));
            }
        }
        ObjectNode all = json.putObject(HASHES);
        hashes.forEach(all::put);
        JsonRecords.write(folder.resolve(STATE), json);
    }

    /**
     * Brings a learner to where a checkpoint left it.
     *
     * @throws IOException naming what is damaged; the learner may then hold anything
     */
    Position read(Path folder, Learner learner) throws IOException {
        Position position = position(folder);
        try (Arena arena = Arena.ofConfined()) {
            SafetensorsFile file = SafetensorsFile.open(folder.resolve("trainer.safetensors"));
            for (Map.Entry<String, Rows> each : state(learner).entrySet()) {
                MemorySegment to = bytes(each.getValue());
                MemorySegment from = file.map(each.getKey(), arena);
                if (from.byteSize() != to.byteSize()) {
                    throw new IOException(folder + ": " + each.getKey() + " has another size than this run's configuration asks for");
                }
                to.copyFrom(from);
            }
        }
        learner.begin();
        return position;
    }

    /** What a checkpoint says of itself, once it and all files beside it are found to be what was written. */
    static Position position(Path folder) throws IOException {
        Path state = folder.resolve(STATE);
        ObjectNode json = JsonRecords.object(state);
        if (!(json.remove(HASHES) instanceof ObjectNode hashes) || !HASHED.stream().allMatch(hashes::has)) {
            throw new IOException(state + " must have the hashes of " + String.join(", ", HASHED));
        }
        for (Map.Entry<String, JsonNode> hash : hashes.properties()) {
            Path file = folder.resolve(hash.getKey());
            boolean same = hash.getKey().equals(POSITION)
                    ? Fingerprint.sha256(json.toString()).equals(hash.getValue().asText())
                    : Files.isRegularFile(file) && Fingerprint.sha256(file).equals(hash.getValue().asText());
            if (!same) {
                throw new IOException((hash.getKey().equals(POSITION) ? state : file) + " is not what was written");
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
}
