/**
 * What all packages above share of libtorch: its memory, the types of its values, the operations the layers are written in, and who computes.
 */
package isonorm.tensor;
