/** Embeddings of sentences: {@link isonorm.embed.SentenceEmbedder}. */
package isonorm.embed;
