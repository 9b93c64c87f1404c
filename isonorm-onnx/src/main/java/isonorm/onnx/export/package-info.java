/** Models as ONNX graphs, written from their architecture: one walk through the blocks, as the engine's layers have it. */
package isonorm.onnx.export;
