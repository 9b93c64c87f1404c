/**
 * What all packages above share: libtorch's memory, the types of its values, the operations the layers are written in, matrix products, and
 * who computes.
 */
package isonorm.tensor;
