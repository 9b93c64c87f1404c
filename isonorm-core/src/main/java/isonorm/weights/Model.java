package isonorm.weights;

import isonorm.architecture.Architecture;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * An architecture with a matrix for each of its parameters. A rewrite takes one and gives another; nothing is read until
 * somebody reads a matrix.
 */
public record Model(Architecture architecture, Map<Role, Matrix> weights) {

    public Model {
        weights = new LinkedHashMap<>(weights);
        for (Parameter parameter : architecture.parameters()) {
            Matrix matrix = weights.get(parameter.role());
            int rows = Math.max(1, parameter.rows());
            if (matrix == null) {
                throw new IllegalArgumentException("the architecture needs " + parameter.role() + ", the weights lack it");
            }
            if (matrix.rows() != rows || matrix.columns() != parameter.columns()) {
                throw new IllegalArgumentException(parameter.role() + " must be " + rows + " x " + parameter.columns() + ", got "
                        + matrix.rows() + " x " + matrix.columns());
            }
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
