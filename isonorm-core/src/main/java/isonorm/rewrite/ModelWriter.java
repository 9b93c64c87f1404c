package isonorm.rewrite;

import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.checkpoint.TensorInfo;
import isonorm.family.Naming;
import isonorm.weights.Model;
import isonorm.weights.Source;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** Writes a model as a checkpoint of a family: config.json and model.safetensors in a folder that is there. */
public final class ModelWriter {

    private ModelWriter() {}

    /**
     * Writes the files and syncs the weights. Values are computed in float64 and rounded once.
     *
     * @param config of the family, which describes the model's architecture
     * @param naming of the same family
     * @param type of all tensors
     */
    public static void write(Path folder, Model model, Config config, Naming naming, Dtype type) throws IOException {
        Map<Role, Source> sources = naming.sources(model.architecture());
        List<TensorPlan> tensors = TensorPlan.all(model.architecture(), model.weights(), sources, (Parameter _) -> type);
        List<TensorInfo> infos = tensors.stream().map(TensorPlan::info).toList();
        try (SafetensorsWriter writer = SafetensorsWriter.create(folder.resolve("model.safetensors"), infos, Map.of("format", "pt"))) {
            for (TensorPlan tensor : tensors) {
                TensorWriting.write(tensor, writer);
            }
        }
        config.writeTo(folder.resolve("config.json"));
    }
}
