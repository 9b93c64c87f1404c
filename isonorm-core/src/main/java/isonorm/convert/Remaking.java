package isonorm.convert;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import isonorm.architecture.Architecture;
import isonorm.architecture.Output;
import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.convert.Conversion.Deviation;
import isonorm.convert.Conversion.HashedFile;
import isonorm.convert.Conversion.Remade;
import isonorm.family.Families;
import isonorm.family.Isonorm;
import isonorm.family.Stock;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.weights.Model;
import isonorm.weights.Rotation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** Makes a checkpoint again from what may be its source, by what is written down of how it was converted. */
final class Remaking {

    /**
     * Where no hash tells what a file was made from, tensors count as wrong that are farther off than this many roundings. Two of them,
     * one behind the other, make less than two.
     */
    private static final double TIMES = 3;

    /** A report has some hundred bytes a tensor; nobody's has as many as this. */
    private static final long LONGEST = 100_000_000;

    private static final ObjectMapper JSON = new ObjectMapper();

    private Remaking() {}

    /** Makes {@code written} from {@code source} again; empty where nothing says that it was converted, or from another form or model. */
    static Optional<Remade> remade(LoadedModel source, LoadedModel written, Progress progress) throws IOException {
        if (Plan.isQuantized(written)) {
            return Optional.empty(); // It is another function.
        }
        JsonNode report = report(written.checkpoint());
        Optional<Model> model = model(source, written, report);
        if (model.isEmpty()) {
            return Optional.empty();
        }
        List<Deviation> deviations = Roundings.deviations(model.get(), written, progress);
        if (deviations.isEmpty() || isSource(source, report, progress)) {
            return Optional.of(new Remade(true, deviations));
        }
        long inThem = deviations.stream().mapToLong(Deviation::values).sum();
        boolean most = 2 * inThem < Model.of(written.model()).architecture().parameterCount();
        return Optional.of(new Remade(most, most ? deviations.stream().filter(deviation -> deviation.times() > TIMES).toList() : List.of()));
    }

    /** What {@code source} becomes in the form that {@code written} says it is in. */
    private static Optional<Model> model(LoadedModel source, LoadedModel written, JsonNode report) throws IOException {
        Optional<Form> form = Plan.currentForm(written).or(() -> Form.named(report.path("to").asText()));
        String from = report.path("from").asText();
        Optional<Stock> stock = Families.stocks().stream().filter(each -> each.type().equals(report.path("to").asText())).findFirst();
        Optional<Rotation> rotation = Isonorm.rotation(written.config());
        if (rotation.isEmpty() && stock.isPresent() && report.path("rotation").isObject()) {
            rotation = Isonorm.rotationOf(Config.parse(report.path("rotation").toString()));
        }
        if (rotation.isPresent()) {
            return model(source, written, rotation.get(), Isonorm.rotation(written.config()).isPresent() ? Optional.empty() : stock);
        }
        if (stock.isPresent()) {
            return model(source, written, stock.get());
        }
        if (form.isEmpty() || !from.isEmpty() && !from.equals(Plan.formOf(source)) || !Plan.refusals(source, form.get()).isEmpty()) {
            return Optional.empty();
        }
        Architecture result = Model.of(written.model()).architecture();
        try {
            boolean untie = !form.get().isFamilyFormat() && ties(Model.of(source.model()).architecture()) && !ties(result);
            Model model = Plan.of(source, form.get(), untie, new LeftOut.Known(Isonorm.leftOut(written.config(), result.width()))).result();
            boolean same = new HashSet<>(model.architecture().parameters()).equals(new HashSet<>(result.parameters()));
            return same ? Optional.of(model) : Optional.empty();
        } catch (ConversionRefused | CheckpointException e) {
            return Optional.empty(); // It was made from something else.
        }
    }

    private static Optional<Model> model(LoadedModel source, LoadedModel written, Stock stock) throws IOException {
        if (!Plan.refusals(source, stock).isEmpty()) {
            return Optional.empty();
        }
        Architecture result = Model.of(written.model()).architecture();
        Model model = Plan.of(source, stock, !ties(result)).result();
        return model.architecture().equals(result) ? Optional.of(model) : Optional.empty();
    }

    private static Optional<Model> model(LoadedModel source, LoadedModel written, Rotation rotation, Optional<Stock> stock) throws IOException {
        if (!(stock.isPresent() ? Rotating.refusals(source, rotation, false, stock.get()) : Rotating.refusals(source, rotation, false)).isEmpty()) {
            return Optional.empty(); // Of principal components too, which come of data that are not here.
        }
        Architecture result = Model.of(written.model()).architecture();
        Model model = Rotating.plan(source, rotation, List.of(), !ties(result), stock).result();
        boolean same = new HashSet<>(model.architecture().parameters()).equals(new HashSet<>(result.parameters()));
        return same ? Optional.of(model) : Optional.empty();
    }

    private static boolean ties(Architecture architecture) {
        return architecture.output() instanceof Output.Words words && words.tied();
    }

    /** What was written down of a conversion, beside the files or in the first of them. */
    private static JsonNode report(Checkpoint checkpoint) throws IOException {
        Path file = checkpoint.folder().resolve("report.json");
        try {
            JsonNode report = Files.isRegularFile(file) && Files.size(file) <= LONGEST ? JSON.readTree(file.toFile()) : JSON.readTree(checkpoint.metadata().getOrDefault("isonorm", ""));
            return report.isObject() ? report : MissingNode.getInstance();
        } catch (JsonProcessingException e) {
            return MissingNode.getInstance(); // Of another tool, then.
        }
    }

    /** Whether a report has the hashes of these files, and of no others. */
    private static boolean isSource(LoadedModel source, JsonNode report, Progress progress) throws IOException {
        Set<String> written = new HashSet<>();
        report.path("source_files").forEach(file -> written.add(file.path("sha256").asText()));
        return !written.isEmpty() && written.equals(
                ModelFiles.hashed(source.checkpoint().weightFiles(), progress).stream().map(HashedFile::sha256).collect(Collectors.toSet()));
    }
}
