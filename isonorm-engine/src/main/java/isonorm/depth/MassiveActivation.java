package isonorm.depth;

import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * A dimension of the stream in which a few values are enormous: above 100, above 1000 times the median magnitude, in at most three
 * dimensions at once, behind a quarter of the blocks or more. (Sun et al., arXiv 2402.17762)
 *
 * @param dimension counted from 0
 * @param bornIn the block whose output is the first to have it; -1 if the embedding has it
 * @param diesIn the block whose output is the first not to have it again; none if the stream ends with it
 * @param value the largest of its values
 * @param block the block whose output has the largest value
 * @param token whose value that is; none where what is read has no tokens, but patches or frames
 * @param place where in its window that token, patch or frame stands, counted from 0
 * @param tokens how many tokens have a value above 100 there
 */
public record MassiveActivation(
        int dimension, int bornIn, OptionalInt diesIn, double value, int block, OptionalLong token, int place, long tokens) {}
