/**
 * How a model uses its depth.
 *
 * <p>A {@link isonorm.depth.DepthSurvey} reads a text with a model and watches the stream; what it gives is a
 * {@link isonorm.depth.Depth}: statistics of {@link isonorm.depth.Activations} at five {@link isonorm.depth.Position positions} of every
 * block, distances between the blocks' inputs, massive activations, and the {@link isonorm.depth.Growth} of the variance. Nothing of the
 * hidden states outlives the tokens that go through the blocks together.
 *
 * {@snippet class="isonorm.train.EngineSnippetsTest" region="depth"}
 */
package isonorm.depth;
