/**
 * Trains models with any normalization strategy.
 *
 * <p>A {@link isonorm.train.TrainingRun} is all that a run is told, a value whose {@code with} methods give others; a
 * {@link isonorm.train.Strategy} says where and how blocks normalize. A {@link isonorm.train.Trainer} begins a run in a folder, or goes on with one
 * that was killed, and leaves an ordinary checkpoint in {@code model}:
 *
 * {@snippet class="isonorm.train.EngineSnippetsTest" region="train"}
 *
 * <p>{@link isonorm.train.Configuration} is the text form of a run, YAML or {@code key=value}, as the command line takes it and as the folder keeps it:
 *
 * {@snippet class="isonorm.train.EngineSnippetsTest" region="text-form"}
 *
 * <p>{@link isonorm.train.Healing} goes on training what {@link isonorm.convert.Pruning} made:
 *
 * {@snippet class="isonorm.train.EngineSnippetsTest" region="prune"}
 */
package isonorm.train;
