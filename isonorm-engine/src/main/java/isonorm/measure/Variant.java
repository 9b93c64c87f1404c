package isonorm.measure;

import isonorm.architecture.Architecture;
import isonorm.architecture.Block;
import isonorm.architecture.NormKind;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Role;
import isonorm.rewrite.Rewrite;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** What is made of one Pre-LN model to see what its norms cost. All but {@link #NONE} are one function. */
public enum Variant {
    /** Its norms left out: another function, and the least that its other work can take. */
    NONE("none"),
    /** As it is. */
    PRE_LN("pre-ln"),
    /** Centred and folded, each norm an RMSNorm that applies nothing. */
    PRE_RMSNORM("pre-rmsnorm"),
    /** The same in d - 1 values. */
    PRE_CRMSNORM("pre-crmsnorm");

    private static final Set<Part> NORMS = Set.of(Part.ATTENTION_NORM, Part.MLP_NORM, Part.FINAL_NORM);

    private final String label;

    Variant(String label) {
        this.label = label;
    }

    /** The word used on the command line and in results. */
    public String label() {
        return label;
    }

    /** A Pre-LN architecture of this shape: LayerNorms where it has RMSNorms, applying what they apply. */
    public static Architecture preLn(Architecture shape) {
        if (shape.blocks().stream().anyMatch(block -> !block.both(Placement.PRE)) || shape.finalNorm().isEmpty()) {
            throw new IllegalArgumentException("norms are measured in models that have them before each sub-layer and behind the last block, got "
                    + shape.family());
        }
        return shape
                .withBlocks(shape.blocks().stream().map(block -> block.withNorm(block.norm().withKind(NormKind.LAYER))).toList())
                .withFinalNorm(shape.finalNorm().map(norm -> norm.withKind(NormKind.LAYER)));
    }

    /** This variant of a Pre-LN model. */
    public Model of(Model preLn) {
        List<Rewrite> steps = new ArrayList<>();
        switch (this) {
            case NONE -> {
                return withoutNorms(preLn);
            }
            case PRE_LN -> {}
            case PRE_RMSNORM, PRE_CRMSNORM -> {
                steps.addAll(List.of(new Rewrite.Centre(false), new Rewrite.ToRmsNorm(), new Rewrite.Fold()));
                if (this == PRE_CRMSNORM) {
                    steps.add(new Rewrite.Compress());
                }
            }
        }
        return Rewrite.all(preLn, steps);
    }

    private static Model withoutNorms(Model model) {
        Architecture architecture = model.architecture();
        Map<Role, Matrix> others = new LinkedHashMap<>(model.weights());
        others.keySet().removeIf(role -> NORMS.contains(role.part()));
        return new Model(architecture.withBlocks(architecture.blocks().stream().map(Block::withoutNorms).toList())
                .withFinalNorm(Optional.empty()), others);
    }
}
