/** Models in GGUF, the format of llama.cpp: {@link isonorm.gguf.GgufExport}. */
package isonorm.gguf;
