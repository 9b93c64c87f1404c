package isonorm.convert;

/** A file of a checkpoint by its name, and the SHA-256 of its bytes in hexadecimal digits. */
public record HashedFile(String name, String sha256) {}
