/** A checkpoint as an ONNX graph: {@link isonorm.onnx.OnnxExport}, and {@link isonorm.onnx.OnnxRuntime}, which verifies it where it is found. */
package isonorm.onnx;
