/** Serves a model by OpenAI's HTTP interface: {@link isonorm.serve.Server}. */
@org.jspecify.annotations.NullMarked
package isonorm.serve;
