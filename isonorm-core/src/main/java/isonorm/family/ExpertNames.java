package isonorm.family;

import static isonorm.architecture.Part.*;

import java.util.List;
import java.util.Set;

/** How files name the weights of experts: one by one, as most do, or one tensor for all, gate and up together, as transformers has them in memory. */
final class ExpertNames {

    private ExpertNames() {}

    /**
     * Adds the names of gate, up and down.
     *
     * @param tensors those of the file, which tell; empty for one that is to be written
     * @param experts in front of each name
     * @param names of gate, up and down of one expert
     */
    static Naming of(Naming naming, Set<String> tensors, String experts, List<String> names) {
        if (tensors.stream().anyMatch(name -> name.endsWith("experts.gate_up_proj"))) {
            return naming.experts(MLP_GATE, experts + "gate_up_proj", Naming.Stacking.ROWS, 0, 2)
                    .experts(MLP_UP, experts + "gate_up_proj", Naming.Stacking.ROWS, 1, 2)
                    .experts(MLP_DOWN, experts + "down_proj", Naming.Stacking.ROWS, 0, 1);
        }
        return naming.eachExpert(MLP_GATE, experts + "@." + names.get(0))
                .eachExpert(MLP_UP, experts + "@." + names.get(1))
                .eachExpert(MLP_DOWN, experts + "@." + names.get(2));
    }
}
