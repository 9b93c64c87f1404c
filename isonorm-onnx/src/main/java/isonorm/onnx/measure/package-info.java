/** What norms cost in ONNX Runtime. */
package isonorm.onnx.measure;
