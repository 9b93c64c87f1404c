package isonorm.weights;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.architecture.Stack;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.model.Transformer;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * An architecture with a matrix for each of its parameters. A rewrite takes one and gives another; nothing is read until
 * somebody reads a matrix.
 */
public record Model(Architecture architecture, Map<Role, Matrix> weights) implements Transformer {

    public Model {
        weights = Collections.unmodifiableMap(new LinkedHashMap<>(weights));
        Set<Role> unclaimed = new LinkedHashSet<>(weights.keySet());
        for (Parameter parameter : architecture.parameters()) {
            Matrix matrix = weights.get(parameter.role());
            unclaimed.remove(parameter.role());
            int rows = Math.max(1, parameter.rows());
            if (matrix == null) {
                throw new IllegalArgumentException("the architecture needs " + parameter.role() + ", the weights lack it");
            }
            if (matrix.rows() != rows || matrix.columns() != parameter.columns()) {
                throw new IllegalArgumentException(parameter.role() + " must be " + rows + " x " + parameter.columns() + ", got "
                        + matrix.rows() + " x " + matrix.columns());
            }
        }
        if (!unclaimed.isEmpty()) {
            throw new IllegalArgumentException("the weights have " + unclaimed + ", which the architecture has no use for");
        }
    }

    /** What users of the library are given as no more than a Transformer. */
    public static Model of(Transformer transformer) {
        return switch (transformer) {
            case Model model -> model;
            default -> throw new IllegalArgumentException("a Transformer comes from LoadedModel.open or from Pruning, got a "
                    + transformer.getClass().getName());
        };
    }

    @Override
    public String family() {
        return architecture.family();
    }

    @Override
    public int depth() {
        return architecture.blocks().size();
    }

    @Override
    public int width() {
        return architecture.width();
    }

    @Override
    public int context() {
        return architecture.context();
    }

    @Override
    public long parameterCount() {
        return architecture.parameterCount();
    }

    /** The matrix of one role. */
    public Matrix weight(Role role) {
        Matrix matrix = weights.get(role);
        if (matrix == null) {
            throw new IllegalArgumentException("there is no " + role + " in this model");
        }
        return matrix;
    }

    /** The second stack as a model by itself, if there is one: its parameters under the names of a main stack's, a shared table among them. */
    public Optional<Model> companion() {
        return architecture.companion().map(beside -> {
            Map<Role, Matrix> own = new LinkedHashMap<>();
            for (Parameter parameter : beside.architecture().parameters()) {
                Matrix matrix = weights.get(parameter.role().in(beside.stack()));
                own.put(parameter.role(), matrix == null ? weight(parameter.role()) : matrix);
            }
            return new Model(beside.architecture(), own);
        });
    }

    /** The tower of texts as a model by itself, of two towers. */
    public Model textTower() {
        if (!architecture.comparesTowers()) {
            throw new IllegalStateException("this model has no tower of texts beside one of images");
        }
        Architecture alone = architecture.withoutCompanion();
        Map<Role, Matrix> own = new LinkedHashMap<>();
        alone.parameters().forEach(parameter -> own.put(parameter.role(), weight(parameter.role())));
        return new Model(alone, own);
    }

    /** The same main stack beside another second one, which may have the same table. */
    public Model withCompanion(Model other) {
        Companion beside = architecture.companion().orElseThrow().with(other.architecture);
        Architecture both = architecture.withCompanion(beside);
        Map<Role, Matrix> all = new LinkedHashMap<>();
        for (Parameter parameter : both.parameters()) {
            Role role = parameter.role();
            all.put(role, role.stack() == Stack.MAIN ? weight(role) : other.weight(role.in(Stack.MAIN)));
        }
        return new Model(both, all);
    }

    /** The type with the fewest digits among those that the files store the matrices in; float64 where none is stored. */
    public Dtype coarsest() throws CheckpointException {
        Dtype coarsest = Dtype.F64;
        for (Parameter parameter : architecture.parameters()) {
            if (!parameter.isVector() && weights.get(parameter.role()) instanceof Stored stored && Numbers.digits(stored.dtype()) < Numbers.digits(coarsest)) {
                coarsest = stored.dtype();
            }
        }
        return coarsest;
    }
}
