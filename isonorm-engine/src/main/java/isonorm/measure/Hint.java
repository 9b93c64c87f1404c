package isonorm.measure;

/**
 * Something about a machine that makes Isonorm wrong or slow.
 *
 * @param problem what it is and what it costs
 * @param remedy what to do
 */
public record Hint(String problem, String remedy) {}
