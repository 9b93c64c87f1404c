package isonorm.convert;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.convert.Conversion.HashedFile;
import java.util.List;

/** What is reported, as the JSON of report.json and of the headers of weight files. */
final class Reports {

    private Reports() {}

    static ObjectNode json(Conversion.Report report) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("isonorm_version", report.version());
        json.put("family", report.family());
        json.put("from", report.from());
        json.put("to", report.to());
        report.rotation().ifPresent(rotation -> put(json.putObject("rotation"), rotation));
        if (report.slice()) {
            json.put("slice", true);
        }
        json.put("parameters_before", report.parametersBefore());
        json.put("parameters_after", report.parametersAfter());
        report.notes().forEach(json.putArray("notes")::add);
        report.leftOut().forEach(json.putArray("left_out")::add);
        json.set("source_files", files(report.sourceFiles()));
        ObjectNode each = json.putObject("tensors");
        for (Conversion.Tensor tensor : report.tensors()) {
            ObjectNode entry = each.putObject(tensor.name());
            entry.put("dtype", tensor.dtype().name());
            tensor.shape().forEach(entry.putArray("shape")::add);
            tensor.steps().forEach(entry.putArray("steps")::add);
        }
        putResult(json, report.resultFiles());
        report.code().ifPresent(code -> put(json, code));
        report.verification().ifPresent(evidence -> json.set("verification", json(evidence)));
        return json;
    }

    static ObjectNode json(Pruning.Report report) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("isonorm_version", report.version());
        json.put("family", report.family());
        report.removed().forEach(json.putArray("removed_blocks")::add);
        json.put("blocks_before", report.blocksBefore());
        json.put("blocks_after", report.blocksAfter());
        json.put("parameters_before", report.parametersBefore());
        json.put("parameters_after", report.parametersAfter());
        json.set("source_files", files(report.sourceFiles()));
        putResult(json, report.resultFiles());
        report.code().ifPresent(code -> put(json, code));
        report.verification().ifPresent(evidence -> json.set("verification", json(evidence)));
        return json;
    }

    private static void put(ObjectNode json, Conversion.Rotation rotation) {
        json.put("kind", rotation.kind()).put("seed", rotation.seed()).put("width", rotation.width().orElseThrow());
        rotation.pad().ifPresent(pad -> json.put("pad", pad));
        if (rotation.heads()) {
            json.put("heads", true);
        }
    }

    private static void put(ObjectNode json, Conversion.Code code) {
        json.putObject("code").put("version", code.version()).put("class", code.modelClass()).set("files", files(code.files()));
    }

    /** No file can hold its own hash, so what the files say of themselves is without. */
    private static void putResult(ObjectNode json, List<HashedFile> files) {
        if (!files.isEmpty()) {
            json.set("result_files", files(files));
        }
    }

    private static ArrayNode files(List<HashedFile> files) {
        ArrayNode list = JsonNodeFactory.instance.arrayNode();
        files.forEach(file -> list.addObject().put("file", file.name()).put("sha256", file.sha256()));
        return list;
    }

    private static ObjectNode json(Evidence evidence) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("reference", "original, f64");
        json.put("compared", evidence.decisive().compared());
        json.put("positions", evidence.decisive().positions());
        json.put("output_deviation", evidence.decisive().outputDeviation());
        json.put("tolerance", evidence.limits().largestError());
        if (evidence.rounding().isPresent()) {
            put(json, "rms_tolerance", evidence.limits().rootMeanSquareError());
            put(json, "kl_tolerance", evidence.limits().kl());
            json.put("rounding", evidence.rounding().get().name());
            put(json, "times_rounding", evidence.timesRounding());
        }
        ArrayNode rows = json.putArray("comparisons");
        for (Evidence.Measured measured : evidence.comparisons()) {
            ObjectNode row = rows.addObject().put("model", measured.model().label()).put("compute", measured.computed());
            Comparison comparison = measured.comparison();
            put(row, "largest_error", comparison.largestError());
            put(row, "rms_error", comparison.rootMeanSquareError());
            put(row, "mean_error", comparison.meanError());
            put(row, "kl", comparison.kl());
            put(row, "top1_agreement", comparison.top1Agreement());
            put(row, "perplexity_a", comparison.perplexityA());
            put(row, "perplexity_b", comparison.perplexityB());
        }
        return json;
    }

    /** JSON has no NaN; what was not measured is left out. */
    private static void put(ObjectNode json, String name, double value) {
        if (Double.isFinite(value)) {
            json.put(name, value);
        }
    }
}
