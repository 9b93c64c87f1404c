package isonorm.data;

/**
 * A file of tokens.
 *
 * @param file its name
 * @param tokens how many it has
 * @param documents how many begin in it
 * @param sha256 of its bytes
 */
record Shard(String file, long tokens, long documents, String sha256) {}
