/** Graphs of any origin made equal ones with RMSNorm: streams are found by what is added to what, and no family is known by name. */
package isonorm.onnx.rewrite;
