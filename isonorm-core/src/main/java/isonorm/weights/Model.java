package isonorm.weights;

import isonorm.architecture.Architecture;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/**
 * An architecture with a matrix for each of its parameters. A rewrite takes one and gives another; nothing is read until
 * somebody reads a matrix.
 */
public record Model(Architecture architecture, Map<Role, Matrix> weights) {

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

    /** The matrix of one role. */
    public Matrix weight(Role role) {
        Matrix matrix = weights.get(role);
        if (matrix == null) {
            throw new IllegalArgumentException("there is no " + role + " in this model");
        }
        return matrix;
    }
}
