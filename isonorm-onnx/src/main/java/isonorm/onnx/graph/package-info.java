/** Graphs of ONNX, and their files: protobuf's wire format without a library for it, so that tensors are streamed and can be of any size. */
package isonorm.onnx.graph;
