package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.cli.terminal.ProgressBar;
import isonorm.convert.Conversion;
import isonorm.convert.LoadedModel;
import isonorm.measure.StreamBasis;
import isonorm.model.ConversionRefused;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** A stream in the principal components of data: found in three quarters of it, and measured on the last one. */
final class Slicing {

    private static final int LIKED = 32; // kernels take columns in whole vectors of so many

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
        double[] columns = StreamBasis.of(model.model(), parts.found(), rotation.width().orElseThrow(), progress);
        Conversion rotated = Conversion.rotated(model, rotation, columns);
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
        return new Sliced(conversion, measured);
    }
}
