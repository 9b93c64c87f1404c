package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.NOT_A_CHECKPOINT;
import static isonorm.checkpoint.CheckpointException.Reason.PICKLE_REFUSED;

import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/** The formats that models have and Isonorm does not read, by the names of their files, each with the way to safetensors. */
final class OtherFormats {

    private record Format(Pattern file, String what, String remedy) {}

    /** In the order in which one speaks for a folder that has several. */
    private static final List<Format> FORMATS = List.of(
            format(".*\\.gguf", "GGUF, the format of llama.cpp, and mostly quantized", "take the safetensors that it was made from"),
            format("tf_model.*\\.h5|.*\\.keras|.*\\.ckpt\\.(index|meta|data-.*)|saved_model\\.pb", "TensorFlow's",
                    "have transformers 4 write it again: from_pretrained(DIR, from_tf=True).save_pretrained(OUT)"),
            format("flax_model.*\\.msgpack", "Flax's",
                    "have transformers 4 write it again: from_pretrained(DIR, from_flax=True).save_pretrained(OUT)"),
            format(".*\\.h5", "Keras's", "take the safetensors of the same model"),
            format(".*\\.onnx", "ONNX, a graph and no checkpoint", "take the checkpoint that it was exported from"),
            format(".*\\.tflite|.*\\.mlmodel|.*\\.engine|.*\\.plan", "made for another runtime", "take the checkpoint that it was made from"),
            format(".*\\.npz", "NumPy's, as MLX wrote it", "take the safetensors that it was made from"),
            format("rust_model\\.ot", "rust-bert's", "take the safetensors of the same model"),
            format(".*\\.nemo", "NeMo's", "have NeMo export it for Hugging Face"),
            format(".*\\.distcp", "a distributed checkpoint of PyTorch's", "load it where it was written, and save it whole with save_pretrained"),
            format(".*(_model_states|_optim_states)\\.pt", "DeepSpeed's", "its zero_to_fp32.py makes one file of it"),
            format("consolidated\\..*\\.pth", "Meta's own", "take the same model in Hugging Face's format (-hf)"),
            format("model_index\\.json", "a pipeline of diffusers', of several models", "give the folder of one of them"));

    private static final Format PICKLE = format(".*\\.(bin|bin\\.index\\.json|pt|pth|ckpt)", "a pickle, of which pytorch_model.bin alone is read",
            "write it again with transformers' save_pretrained");

    private OtherFormats() {}

    private static Format format(String file, String what, String remedy) {
        return new Format(Pattern.compile(file), what, remedy);
    }

    /** What to say of one file that was given; empty where its name says nothing. */
    static Optional<CheckpointException> of(Path file) {
        return of(file.getParent() == null ? Path.of("") : file.getParent(), List.of(file.getFileName().toString()));
    }

    /** What to say of a folder with these files and without safetensors; empty where no name says anything. */
    static Optional<CheckpointException> of(Path folder, Collection<String> names) {
        for (Format format : FORMATS) {
            Optional<String> found = names.stream().filter(name -> format.file().matcher(name).matches()).findFirst();
            if (found.isPresent()) {
                return Optional.of(refusal(NOT_A_CHECKPOINT, folder.resolve(found.get()), format));
            }
        }
        return names.stream().filter(name -> PICKLE.file().matcher(name).matches() && !name.matches("(training_args|optimizer|scheduler|rng_state.*)\\..*"))
                .findFirst().map(name -> refusal(PICKLE_REFUSED, folder.resolve(name), PICKLE));
    }

    private static CheckpointException refusal(CheckpointException.Reason reason, Path file, Format format) {
        return new CheckpointException(reason, file + " is " + format.what() + "; safetensors are read: " + format.remedy());
    }
}
