/**
 * What strategies do, side by side.
 *
 * <p>A {@link isonorm.compare.Grid} is made of {@link isonorm.compare.Trial trials}: runs that differ in some keys of their configuration and
 * read the same. {@link isonorm.compare.Trials} runs them, each in a folder of its own, and goes on where it was killed; each gives an
 * {@link isonorm.compare.Outcome}, a diverged one too. {@link isonorm.compare.Results} says what they show together.
 *
 * {@snippet class="isonorm.train.EngineSnippetsTest" region="compare"}
 */
package isonorm.compare;
