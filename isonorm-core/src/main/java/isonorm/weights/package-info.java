/**
 * Parameters as matrices that are read tile by tile in float64, however a file stores them.
 *
 * <p>A {@link isonorm.weights.Matrix} is lazy: making one reads nothing. {@link isonorm.weights.Stored} reads from a
 * checkpoint through a {@link isonorm.weights.Source}, which says where a role's rows lie; a {@link isonorm.weights.Model}
 * is an architecture with a matrix for every role.
 */
package isonorm.weights;
