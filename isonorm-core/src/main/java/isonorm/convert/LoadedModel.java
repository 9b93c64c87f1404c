package isonorm.convert;


import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.Mlp;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Config;
import isonorm.family.Families;
import isonorm.family.Family;
import isonorm.family.Isonorm;
import isonorm.family.LanguagePart;
import isonorm.family.Naming;
import isonorm.family.Repetition;
import isonorm.model.Transformer;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Quantization;
import isonorm.weights.Quantized;
import isonorm.weights.QuantizedParts;
import isonorm.weights.Source;
import isonorm.weights.Stored;
import isonorm.weights.StoredCodes;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * A checkpoint of a known family, opened: its tensors are the parameters of its architecture, no more and no less. Of a model of several, such as LLaVA,
 * it is the language model alone. Opening reads headers and config.json; weights are read when somebody reads a matrix.
 *
 * @param config the model's own, which in a model of several is a part of the file
 * @param unused tensors that hold nothing the architecture needs, buffers for instance
 */
public record LoadedModel(Checkpoint checkpoint, Config config, Transformer model, List<String> unused) {

    /** How classes call heads other than a language model's. */
    private static final Pattern OTHER_HEAD =
            Pattern.compile("(score|classifier|classification_head|qa_outputs|v_head|value_head|multiple_choice_head|visual_projection|summary)\\..*");

    /** How configs call the number of blocks. */
    private static final Set<String> BLOCKS = Set.of("num_hidden_layers", "n_layer", "n_layers", "num_layers");

    /**
     * Opens the checkpoint in {@code folder}.
     *
     * @throws CheckpointException naming what is wrong with a file, which tensor is missing or unexpected, or which key of the
     *     config asks for something unsupported
     */
    public static LoadedModel open(Path folder) throws IOException {
        return of(Checkpoint.open(folder));
    }

    /** The model in an open checkpoint. */
    public static LoadedModel of(Checkpoint checkpoint) throws IOException {
        Optional<LanguagePart> part = part(checkpoint);
        Config config = part.map(LanguagePart::config).orElse(checkpoint.config());
        Family.Description description = describe(checkpoint, config, part);
        Architecture architecture = description.architecture();
        requireValues(checkpoint, architecture);
        List<Parameter> parameters = parameters(checkpoint, architecture);
        Map<Role, Source> sources = description.naming().sources(architecture);
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        Set<String> used = new HashSet<>();
        Optional<QuantizedParts> quantized = quantizedParts(checkpoint, config);
        if (quantized.isPresent()) {
            addQuantized(checkpoint, parameters, quantized.get(), weights, used);
            sources.keySet().removeAll(weights.keySet());
        }
        MissingTensors.require(checkpoint, description.naming(), architecture, sources.values());
        for (Parameter parameter : parameters) {
            if (weights.containsKey(parameter.role())) {
                continue;
            }
            Optional<Matrix> computed = description.naming().computed(parameter);
            if (computed.isPresent()) {
                weights.put(parameter.role(), computed.get());
                continue;
            }
            Source source = requireNonNull(sources.get(parameter.role()));
            used.addAll(source.tensors());
            weights.put(parameter.role(), Stored.open(checkpoint, source, parameter.rows(), parameter.columns()));
        }
        List<String> unused = checkpoint.names().stream().filter(name -> !used.contains(name)).toList();
        requireRepetitions(checkpoint, description.naming(), architecture, unused);
        return new LoadedModel(checkpoint, config, new Model(architecture, weights), unused);
    }

    private static Optional<QuantizedParts> quantizedParts(Checkpoint checkpoint, Config config) throws CheckpointException {
        try {
            return Isonorm.quantized(config);
        } catch (CheckpointException e) {
            throw new CheckpointException(e.reason(), checkpoint.folder() + ": " + e.getMessage(), e);
        }
    }

    /** The matrices that are in few bits, and the names of their two tensors each. */
    private static void addQuantized(Checkpoint checkpoint, List<Parameter> parameters, QuantizedParts parts, Map<Role, Matrix> weights, Set<String> used)
            throws CheckpointException {
        for (Parameter parameter : parameters) {
            Optional<Quantization> quantization = parts.of(parameter.role());
            if (quantization.isPresent()) {
                String name = StoredCodes.name(parameter.role());
                used.add(StoredCodes.codes(name));
                used.add(StoredCodes.scales(name));
                weights.put(parameter.role(), StoredCodes.open(checkpoint, name, quantization.get(), parameter.rows(), parameter.columns()));
            }
        }
    }

    /** What no role claims must say once more what is known already. */
    private static void requireRepetitions(Checkpoint checkpoint, Naming naming, Architecture architecture, List<String> unused) throws IOException {
        Repetitions repetitions = Repetitions.of(checkpoint, architecture);
        for (String name : unused) {
            Optional<Repetition> repetition = naming.repetition(name);
            Optional<String> original = naming.original(name, architecture);
            if (repetition.isPresent()) {
                repetitions.require(name, repetition.get());
            } else if (original.isPresent()) {
                repetitions.require(name, original.get(), naming.head().filter(name::equals).isPresent() || name.endsWith(".decoder.weight")
                        ? "set tie_word_embeddings to false to use them" : "take one of them out of the file");
            } else {
                throw new CheckpointException(Reason.UNEXPECTED_TENSOR, checkpoint.folder() + ": tensor " + name
                        + " has no place in the architecture that config.json describes (" + architecture.family() + ")" + (OTHER_HEAD.matcher(name).matches()
                        ? "; it is of a head that is not read, save what is in front of it alone: AutoModel.from_pretrained(DIR).save_pretrained(OUT)" : ""));
            }
        }
    }

    /**
     * The model with its linear layers, head and table rounded to few bits in groups of 32 inputs when they are read, to the nearest; a head and a
     * table to 8 bits at the least. It is another function, near to this one.
     *
     * @param bits 8 or 4
     */
    public LoadedModel quantized(int bits) {
        return new LoadedModel(checkpoint, config, QuantizedParts.of(Quantization.of(bits)).applyTo(Model.of(model)), unused);
    }

    /** How few bits a value of its matrices has at the least; empty where they are in floating point. */
    public OptionalInt bits() {
        return Model.of(model).weights().values().stream().filter(Quantized.class::isInstance).mapToInt(matrix -> ((Quantized) matrix).quantization().bits()).min();
    }

    /** The keys of config.json of which nothing is known, so that they were not used. */
    public List<String> unknownKeys() throws CheckpointException {
        return Families.unknownKeys(config);
    }

    /** The model_type of the whole whose language model this is, where its checkpoint holds one of several. */
    public Optional<String> whole() {
        String type = checkpoint.config().textOr("", "model_type");
        return type.equals(config.textOr("", "model_type")) ? Optional.empty() : Optional.of(type);
    }

    /** The names that show how the family's are written here; none where they lie in a whole, and its class tells. */
    Set<String> names() {
        return whole().isPresent() ? Set.of() : checkpoint.names();
    }

    private static Optional<LanguagePart> part(Checkpoint checkpoint) throws CheckpointException {
        try {
            return LanguagePart.of(checkpoint.config(), checkpoint.names());
        } catch (CheckpointException e) {
            throw new CheckpointException(e.reason(), checkpoint.folder() + ": " + e.getMessage(), e);
        }
    }

    private static Family.Description describe(Checkpoint checkpoint, Config config, Optional<LanguagePart> part) throws CheckpointException {
        requireTensors(checkpoint, config.values());
        try {
            return part.isPresent() ? part.get().describe(checkpoint.names()) : Families.describe(config, checkpoint.names());
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw apart(checkpoint, e);
        } catch (CheckpointException e) {
            throw new CheckpointException(e.reason(), checkpoint.folder() + ": " + e.getMessage(), e);
        }
    }

    private static List<Parameter> parameters(Checkpoint checkpoint, Architecture architecture) throws CheckpointException {
        try {
            return architecture.parameters();
        } catch (IllegalArgumentException e) {
            throw apart(checkpoint, e);
        }
    }

    private static CheckpointException apart(Checkpoint checkpoint, RuntimeException e) {
        return new CheckpointException(Reason.CONFIG_UNSUPPORTED, checkpoint.folder() + ": config.json does not fit together: " + e.getMessage(), e);
    }

    /** Nothing is built an expert, or a convolution, before there are known to be as many values. */
    private static void requireValues(Checkpoint checkpoint, Architecture architecture) throws CheckpointException {
        long parts = parts(architecture) + architecture.companion().map(beside -> parts(beside.architecture())).orElse(0L);
        if (parts <= checkpoint.names().size()) {
            return;
        }
        double values = 0;
        for (String name : checkpoint.names()) {
            values += checkpoint.info(name).elements();
        }
        if (parts > values) {
            throw new CheckpointException(Reason.CONFIG_UNSUPPORTED, checkpoint.folder() + ": config.json says that there are " + parts
                    + " blocks, experts and convolutions, and there are " + (long) values + " values in its tensors, fewer than one each");
        }
    }

    private static long parts(Architecture architecture) {
        long parts = switch (architecture.embedding()) {
            case Embedding.Tokens _, Embedding.Patches _ -> 0;
            case Embedding.Sound sound -> sound.convolutions().size() + (sound.places() instanceof Embedding.Sound.Places.Convolved convolved ? convolved.count() : 0L);
        };
        for (Block block : architecture.blocks()) {
            parts += switch (block.feedForward()) {
                case Mlp _ -> 1;
                case Experts experts -> experts.count();
            };
        }
        return parts;
    }

    /** Nothing is built a block before there is known to be a tensor for each: what a file counts is only what it says. */
    private static void requireTensors(Checkpoint checkpoint, Map<?, ?> config) throws CheckpointException {
        for (Map.Entry<?, ?> entry : config.entrySet()) {
            if (entry.getValue() instanceof Map<?, ?> part) {
                requireTensors(checkpoint, part);
            } else if (BLOCKS.contains(entry.getKey()) && entry.getValue() instanceof Number count && count.doubleValue() > checkpoint.names().size()) {
                throw new CheckpointException(Reason.CONFIG_UNSUPPORTED, checkpoint.folder() + ": config.json says " + entry.getKey() + " " + count
                        + ", and there are " + checkpoint.names().size() + " tensors, fewer than one a block");
            }
        }
    }
}
