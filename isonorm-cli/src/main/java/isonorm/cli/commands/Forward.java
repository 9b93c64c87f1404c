package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.report.OutputFile;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.ProgressBar;
import isonorm.convert.LoadedModel;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm forward}: runs a checkpoint on the inputs of a file. */
@Command(
        name = "forward",
        description = {
            "Run a checkpoint on the inputs of a file.",
            "IN holds input_ids (int64 or int32, batch x tokens), with attention_mask "
                    + "beside it where rows are padded, or pixel_values (float, batch x channels x height x width), or input_values "
                    + "of sound; a decoder beside an encoder reads decoder_input_ids, and two towers input_ids and pixel_values. OUT gets "
                    + "output: logits, or scores, or the last hidden state where there is no head; and pooled where the model "
                    + "pools, encoder what an encoder gives; of two towers output is how near each image is to each text, beside text_embeds and image_embeds. They are F64 when computed in f64, else F32."
        },
        footer = {"  isonorm forward gpt2/ --inputs in.safetensors --output out.safetensors --compute f32"})
public final class Forward extends CheckpointCommand {

    @Parameters(paramLabel = "CHECKPOINT", description = "A folder, a file in it, or owner/name[@revision] in the Hugging Face cache.")
    private String checkpoint;

    @Option(names = "--inputs", paramLabel = "IN", required = true, description = "The safetensors file to read.")
    private Path inputs;

    @Option(names = "--output", paramLabel = "OUT", required = true, description = "The safetensors file to write.")
    private Path output;

    @Option(names = "--compute", paramLabel = "TYPE", defaultValue = "f64", converter = Choice.Computes.class,
            description = "The type to compute in: f64, f32 or bf16. Default: ${DEFAULT-VALUE}.")
    private String compute;

    @Option(names = "--overwrite", description = "Replace OUT if it exists.")
    private boolean overwrite;

    public Forward(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        LoadedModel model = open(checkpoint);
        if (Files.exists(output) && !overwrite) {
            throw new IOException(output + " exists already; replace it with --overwrite");
        }
        OutputFile.require(output);
        announceEngine();
        ObjectNode result;
        try (ProgressBar progress = progress()) {
            result = ForwardFiles.run(Model.of(model.model()), inputs, output, compute, progress);
        }
        result.put("file", output.toString());
        if (json) {
            console.json(result);
        } else {
            result.path("tensors").properties().forEach(entry -> console.out().println(
                    console.bold(entry.getKey()) + " " + shape(entry.getValue()) + " in " + output + ", computed in " + compute));
        }
        return DONE;
    }

    private static String shape(JsonNode dimensions) {
        StringBuilder words = new StringBuilder();
        dimensions.forEach(dimension -> words.append(words.isEmpty() ? "" : " x ").append(dimension.asText()));
        return words.toString();
    }
}
