package isonorm.rewrite;

import isonorm.architecture.Architecture;
import isonorm.architecture.Role;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.UnaryOperator;

/** The weights of a model while they are being replaced. */
final class Edit {

    private final Map<Role, Matrix> matrices;

    private Edit(Map<Role, Matrix> matrices) {
        this.matrices = matrices;
    }

    static Edit of(Model model) {
        return new Edit(new LinkedHashMap<>(model.weights()));
    }

    boolean has(Role role) {
        return matrices.containsKey(role);
    }

    Optional<Matrix> find(Role role) {
        return Optional.ofNullable(matrices.get(role));
    }

    /** The matrix of a role that must be there. */
    Matrix get(Role role) {
        return find(role).orElseThrow(() -> new IllegalStateException("there is no " + role + " to rewrite"));
    }

    void put(Role role, Matrix matrix) {
        matrices.put(role, matrix);
    }

    /** Takes the matrix of a role away, if there is one, and gives it back. */
    Optional<Matrix> take(Role role) {
        return Optional.ofNullable(matrices.remove(role));
    }

    /** Changes the matrix of a role, if there is one. */
    void change(Role role, UnaryOperator<Matrix> change) {
        matrices.computeIfPresent(role, (_, matrix) -> change.apply(matrix));
    }

    Model model(Architecture architecture) {
        return new Model(architecture, matrices);
    }
}
