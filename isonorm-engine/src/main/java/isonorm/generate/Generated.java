package isonorm.generate;

import java.util.List;

/**
 * The texts that continue each of several prompts.
 *
 * @param texts without stop strings, and without a character that the last token only began
 * @param tokens the tokens of each text, those of a stop string included
 */
public record Generated(List<String> texts, GeneratedTokens tokens) {}
