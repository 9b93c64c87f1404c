package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Json;
import isonorm.convert.LoadedModel;
import isonorm.measure.Generation;
import isonorm.measure.Loaded;
import isonorm.measure.Machine;
import isonorm.measure.NormTimes;
import isonorm.measure.Shape;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.onnx.OnnxRuntime;
import isonorm.onnx.measure.RuntimeEngine;
import isonorm.weights.Model;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/** What the bench commands measured, as JSON. Apart from the commands, so that listing them loads nothing of the engine. */
final class Speeds {

    private Speeds() {}

    /**
     * What runs the models.
     *
     * @param name its name and version; empty for Isonorm's own
     */
    record Engine(Loaded.Engine loads, Optional<String> name) {

        /** Isonorm's own, or ONNX Runtime. */
        static Engine of(boolean onnx) throws IOException {
            if (!onnx) {
                return new Engine(Loaded.Engine.INFERENCE, Optional.empty());
            }
            OnnxRuntime runtime = OnnxRuntime.find().orElseThrow(() -> new IOException("ONNX Runtime was not found; " + OnnxRuntime.howToGet()));
            return new Engine(new RuntimeEngine(runtime), Optional.of("ONNX Runtime " + runtime.version()));
        }
    }

    static ArrayNode norms(
            Engine engine, List<String> models, List<Integer> batches, List<String> dtypes, int runs, Duration warmUp, int threads, int tokens, Progress progress)
            throws IOException {
        NormTimes times = new NormTimes(engine.loads, threads, runs, warmUp, tokens);
        for (String model : models) {
            times.require(model, Shape.named(model).architecture()); // all of them, before the first has taken its minutes
        }
        String machine = engine.name.map(name -> Machine.here().line(threads, name)).orElseGet(() -> Machine.here().line(threads));
        ArrayNode rows = Json.array();
        for (String model : models) {
            for (String dtype : dtypes) {
                times.of(model, Shape.named(model).architecture(), Compute.named(dtype), batches, progress)
                        .forEach(time -> rows.add(row(time, machine)));
            }
        }
        return rows;
    }

    static ObjectNode row(NormTimes.Time time, String machine) {
        return Json.object()
                .put("model", time.model())
                .put("batch", time.batch())
                .put("dtype", time.compute().label())
                .put("form", time.variant().label())
                .put("median_ms", rounded(time.milliseconds().median(), 1e4))
                .put("q25_ms", rounded(time.milliseconds().lower(), 1e4))
                .put("q75_ms", rounded(time.milliseconds().upper(), 1e4))
                .put("ratio_to_pre_ln", rounded(time.toPreLn().median(), 1e4))
                .put("ratio_q25", rounded(time.toPreLn().lower(), 1e4))
                .put("ratio_q75", rounded(time.toPreLn().upper(), 1e4))
                .put("machine", machine);
    }

    static ObjectNode generation(String folder, LoadedModel model, String dtype, int prompt, int tokens, Duration warmUp, int threads, Progress progress)
            throws IOException {
        Generation generation = new Generation(Loaded.Engine.INFERENCE, threads, prompt, tokens, warmUp);
        Precision precision = Precision.of(model, dtype);
        Generation.Speed speed = generation.of(Model.of(precision.model().model()), precision.compute(), progress);
        return generation(folder, dtype, generation, speed, Machine.here().line(threads));
    }

    static ObjectNode generation(String folder, String dtype, Generation generation, Generation.Speed speed, String machine) {
        ObjectNode json = Json.object()
                .put("dir", folder)
                .put("dtype", dtype)
                .put("prompt", generation.prompt())
                .put("tokens", generation.tokens())
                .put("threads", generation.threads())
                .put("warm_up_s", generation.warmUp().toMillis() / 1000.0)
                .put("first_prefill_tokens_per_s", rounded(speed.first(), 10))
                .put("prefill_tokens_per_s", rounded(speed.prefill(), 10))
                .put("prefill_all_logits_tokens_per_s", rounded(speed.prefillAllLogits(), 10))
                .put("decode_tokens_per_s", rounded(speed.decode(), 100))
                .put("peak_mib", mebibytes(speed.peak()));
        return json
                .put("read_bandwidth_gb_per_s", rounded(speed.bandwidth(), 100))
                .put("bytes_per_token", speed.bytesPerToken())
                .put("bandwidth_share", rounded(speed.share(), 1000))
                .put("machine", machine);
    }

    /** The line about this machine, for a command that makes its JSON itself. */
    static String machine(int threads) {
        return Machine.here().line(threads);
    }

    /** Null where nobody says it. */
    private static @Nullable Long mebibytes(OptionalLong bytes) {
        return bytes.isPresent() ? bytes.getAsLong() >> 20 : null;
    }

    private static double rounded(double value, double parts) {
        return Math.round(value * parts) / parts;
    }
}
