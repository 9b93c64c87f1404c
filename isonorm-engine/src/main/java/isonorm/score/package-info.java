/** Multiple-choice questions, scored as lm-evaluation-harness does: {@link isonorm.score.MultipleChoice}. */
package isonorm.score;
