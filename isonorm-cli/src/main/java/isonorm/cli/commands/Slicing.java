package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.convert.Conversion;
import isonorm.convert.LoadedModel;
import isonorm.fused.FusedModel;
import isonorm.layer.Runner;
import isonorm.measure.StreamBasis;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.ConversionRefused;
import isonorm.model.Transformer;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** A stream in the principal components of data: found in three quarters of it, and measured on the last one. */
final class Slicing {

    private static final int LIKED = 32; // kernels take columns in whole vectors of so many

    private static final int BATCHES = 16; // of what is held back, which are read to see how fast that is

    private static final int ROUNDS = 5;

    private final LoadedModel model;
    private final Path data;
    private final Conversion.Rotation rotation;
    private final Optional<String> family;
    private final long tokens;

    Slicing(LoadedModel model, Path data, Conversion.Rotation rotation, Optional<String> family, long tokens) {
        this.model = model;
        this.data = data;
        this.rotation = rotation;
        this.family = family;
        this.tokens = tokens;
    }

    /** What is carried out, and what was measured before it. */
    record Sliced(Conversion conversion, ObjectNode measured) {}

    Sliced measured(ProgressBar progress) throws IOException {
        List<String> reasons = family.isPresent() ? Conversion.refusals(model, rotation, family.get()) : Conversion.refusals(model, rotation);
        if (!reasons.isEmpty()) {
            throw new ConversionRefused(reasons);
        }
        StreamBasis.require(model.model());
        Architecture architecture = Model.of(model.model()).architecture();
        Calibration parts = Calibration.of(model, data, tokens);
        int k = rotation.width().orElseThrow();
        double[] one = StreamBasis.of(model.model(), parts.found(), k, progress);
        boolean perBlock = !rotation.basis().equals(Choice.Extents.ONE);
        List<double[]> columns = perBlock ? StreamBasis.ofSubLayers(model.model(), parts.found(), k, progress) : List.of(one);
        Conversion rotated = perBlock ? Conversion.rotated(model, rotation, columns) : Conversion.rotated(model, rotation, one);
        Conversion conversion = family.map(rotated::inFormatOf).orElse(rotated);
        ObjectNode measured = parts.told();
        ArrayNode kept = measured.putArray("kept_by_block");
        for (double part : StreamBasis.kept(model.model(), parts.held(), columns, progress)) {
            kept.add(part);
        }
        int width = rotation.pad().orElse(rotation.width().orElseThrow());
        if (width % LIKED != 0) {
            ArrayNode liked = measured.putArray("fast_widths");
            for (int near : new int[] {width / LIKED * LIKED, width / LIKED * LIKED + LIKED}) {
                if (near >= LIKED && near <= architecture.width()) {
                    liked.add(near);
                }
            }
        }
        parts.measure(conversion.result(), measured, progress);
        if (perBlock) {
            compare(parts, Conversion.rotated(model, rotation, one).result(), conversion.result(), measured, progress);
        }
        return new Sliced(conversion, measured);
    }

    /** What one basis and several cost, in what they lose, in parameters, and in the time that reading takes. */
    private void compare(Calibration parts, Transformer one, Transformer several, ObjectNode measured, ProgressBar progress) throws IOException {
        ObjectNode lost = Json.object();
        parts.measure(one, lost, progress);
        List<Transformer> models = List.of(model.model(), one, several);
        double[] speeds = speeds(models, parts.held(), progress);
        ArrayNode rows = measured.putArray("bases");
        for (int i = 0; i < models.size(); i++) {
            ObjectNode row = rows.addObject().put("basis", List.of("none, the source", "one", "per-block").get(i)).put("parameters", models.get(i).parameterCount());
            ObjectNode from = i == 1 ? lost : measured;
            if (measured.has("perplexity_after")) {
                row.set("perplexity", from.get(i == 0 ? "perplexity_before" : "perplexity_after"));
            } else if (i > 0) {
                row.set("kl", from.get("kl"));
                row.set("top1_agreement", from.get("top1_agreement"));
            }
            Json.put(row, "tokens_per_second", speeds[i]);
        }
    }

    /** How many tokens each reads a second, in turn; the medians of some rounds. */
    private static double[] speeds(List<Transformer> models, StreamBasis.Inputs inputs, ProgressBar progress) throws IOException {
        int batches = Math.min(BATCHES, inputs.count());
        double[][] seconds = new double[models.size()][ROUNDS];
        List<Runner> runners = new ArrayList<>();
        try {
            for (Transformer each : models) {
                runners.add(FusedModel.orLayers(Model.of(each), Compute.F32));
            }
            for (int round = -1; round < ROUNDS; round++) { // one that is not counted
                for (int i = 0; i < runners.size(); i++) {
                    long start = System.nanoTime();
                    for (int number = 0; number < batches; number++) {
                        runners.get(i).run(inputs.batch(number)).close();
                    }
                    if (round >= 0) {
                        seconds[i][round] = (System.nanoTime() - start) / 1e9;
                    }
                }
                progress.step("measuring how fast it reads", round + 2L, ROUNDS + 1L);
            }
        } finally {
            runners.forEach(Runner::close);
        }
        long tokens = 0;
        Architecture architecture = Model.of(models.getFirst()).architecture();
        for (int number = 0; number < batches; number++) {
            Batch batch = inputs.batch(number);
            tokens += batch instanceof Batch.Tokens text ? (long) text.count() * text.length() : (long) batch.count() * architecture.longestSequence();
        }
        double all = tokens;
        return Arrays.stream(seconds).mapToDouble(each -> all / Arrays.stream(each).sorted().toArray()[ROUNDS / 2]).toArray();
    }
}
