/** What is compiled against ONNX Runtime's jar and loaded beside it. */
package isonorm.onnx.bridge;
