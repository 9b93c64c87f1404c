/**
 * What all packages above share: types, matrix products and who makes them, memory that is handed out and taken back, weights read into it, and
 * threads.
 */
package isonorm.tensor;
