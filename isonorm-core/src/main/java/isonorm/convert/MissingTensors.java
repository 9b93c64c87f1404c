package isonorm.convert;

import isonorm.architecture.Architecture;
import isonorm.architecture.Output;
import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.family.Naming;
import isonorm.weights.Source;
import isonorm.words.Names;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/** Says why tensors that a model needs are not there: a wrapper's prefix, quantized weights, a head that is not stored, or a name that is nearly right. */
final class MissingTensors {

    /** What is stored of a quantized weight. */
    private static final Pattern QUANTIZED = Pattern.compile(".*(\\.(qweight|qzeros|g_idx|scales|SCB|weight_format|weight_packed|weight_shape)"
            + "|\\.weight_scale(_inv|_2)?|\\.weight\\.(absmax|quant_map|nested_absmax|quant_state.*)|\\._(data|scale)|\\.(input|output)_scale)");

    /** More names than models have; where there are still more, these tell why as well, and soon. */
    private static final int LOOKED_AT = 100_000;

    private MissingTensors() {}

    static void require(Checkpoint checkpoint, Naming naming, Architecture architecture, Collection<Source> sources) throws CheckpointException {
        Set<String> needed = new LinkedHashSet<>();
        sources.forEach(source -> needed.addAll(source.tensors()));
        List<String> missing = needed.stream().filter(name -> !checkpoint.has(name)).toList();
        if (missing.isEmpty()) {
            return;
        }
        List<String> names = checkpoint.names().stream().limit(LOOKED_AT).toList();
        Optional<String> code = names.stream().filter(name -> QUANTIZED.matcher(name).matches()).findFirst();
        if (code.isPresent()) {
            throw new CheckpointException(Reason.CONFIG_UNSUPPORTED, checkpoint.folder() + " is quantized: tensor " + code.get() + " belongs to codes and scales,"
                    + " and only weights of F64, F32, F16 or BF16 are read; take the checkpoint that it was made from");
        }
        // A tensor with a place of its own is never what was meant.
        List<String> others = names.stream().filter(name -> !needed.contains(name) && naming.repetition(name).isEmpty()).toList();
        throw new CheckpointException(Reason.MISSING_TENSOR, checkpoint.folder() + " has no tensor " + missing.getFirst()
                + (missing.size() > 1 ? " and " + (missing.size() - 1) + " more of the " + needed.size() + " that " + architecture.family() + " needs"
                : " among its " + checkpoint.names().size()) + why(architecture, naming, needed, missing, others));
    }

    private static String why(Architecture architecture, Naming naming, Set<String> needed, List<String> missing, List<String> others) {
        Optional<String> prefix = prefix(needed, others);
        if (prefix.isPresent()) {
            return ": its tensors' names begin with " + prefix.get() + ", " + wrapper(prefix.get());
        }
        if (naming.head().filter(missing::contains).isPresent() && missing.stream().allMatch(name -> beside(naming.head().get(), name))) {
            return "; with " + (architecture.output() instanceof Output.Words ? "tie_word_embeddings true in config.json the head is the token table, and with " : "")
                    + "a class without a head in architectures there is none";
        }
        return Names.nearest(missing.getFirst(), others).map(near -> "; did you mean " + near + "?").orElse(others.isEmpty() ? ""
                : "; what it has beside it: " + String.join(", ", others.subList(0, Math.min(3, others.size()))) + (others.size() > 3 ? ", ..." : ""));
    }

    /** Whether two tensors are of one layer. */
    private static boolean beside(String one, String other) {
        return one.substring(0, one.lastIndexOf('.')).equals(other.substring(0, Math.max(0, other.lastIndexOf('.'))));
    }

    /** What stands in front of the names of most tensors that are needed. */
    private static Optional<String> prefix(Set<String> needed, List<String> others) {
        String first = needed.iterator().next();
        Set<String> there = Set.copyOf(others);
        return others.stream().filter(name -> name.endsWith("." + first)).map(name -> name.substring(0, name.length() - first.length()))
                .filter(prefix -> needed.stream().filter(name -> there.contains(prefix + name)).count() > needed.size() / 2).findFirst();
    }

    private static String wrapper(String prefix) {
        String remedy = "; take it off every name, or save the model inside with its save_pretrained";
        if (prefix.contains("_orig_mod.")) {
            return "which torch.compile adds" + remedy;
        }
        if (prefix.contains("base_model.model.")) {
            return "which PEFT adds; merge the adapter (merge_and_unload) and save that model";
        }
        if (prefix.startsWith("module.")) {
            return "which DataParallel adds" + remedy;
        }
        return "which this model has not" + remedy;
    }
}
