package isonorm.depth;

import isonorm.model.Compute;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.stream.IntStream;

/**
 * How a model uses its depth, as measured on a text. Blocks are counted from 0, as their tensors are.
 *
 * @param width how many dimensions the stream has
 * @param tokens how many tokens were read; of images their patches, of sounds their frames behind the convolutions
 * @param activations block after block; a position that a block does not have is missing
 * @param angular the angular distance {@code arccos(cos(x, y)) / pi} between the inputs x of block l and y of block l + n, at
 *     {@code [l][n - 1]}, the mean over all tokens; the input of the block behind the last is the end of the stream
 * @param lastToken the same of the last token of each window alone, as Gromov et al. have it (arXiv 2403.17887)
 * @param cosine the cosine of the same as {@code angular}
 * @param cka their linear CKA, of up to 32 tokens a window: 1 where the tokens stand to each other as before; NaN where windows have fewer
 *     than four tokens
 * @param withoutDirection how many tokens these leave out, because one of their vectors was zero or not finite
 * @param experts how often each expert is chosen, of the blocks that have experts
 * @param sensitivity what removing blocks does, where that was measured
 * @param gradients of the blocks' parameters, where these were measured
 * @param companion the same of the stack beside this one, of a model that has two: an encoder's or an image tower's
 */
public record Depth(
        int width,
        long tokens,
        Compute compute,
        List<Map<Position, Activations>> activations,
        double[][] angular,
        double[][] lastToken,
        double[][] cosine,
        double[][] cka,
        long withoutDirection,
        List<MassiveActivation> massive,
        Growth growth,
        SortedMap<Integer, ExpertLoad> experts,
        Optional<Sensitivity> sensitivity,
        Optional<GradientNorms> gradients,
        Optional<Depth> companion) {

    /** A block that rotates the stream by a smaller angular distance than this is idle. */
    public static final double IDLE = 0.05;

    /** A block without which the perplexity grows by more than this part is not idle, however little it rotates the stream. */
    public static final double IDLE_PERPLEXITY = 0.01;

    /** Fewer tokens give no verdict: means over them say more of the text than of the model. Over so many they are known to some 3 %. */
    public static final int FEWEST_TOKENS = 1000;

    /** How many blocks there are. */
    public int blocks() {
        return activations.size();
    }

    /** The angular distance between the inputs of blocks {@code block} and {@code block + span}. */
    public double distance(int block, int span) {
        return angular[block][span - 1];
    }

    /** Block Influence: one minus the mean cosine of a block's input and output. (Men et al., ShortGPT, arXiv 2403.03853) */
    public double influence(int block) {
        return 1 - cosine[block][0];
    }

    /** The blocks that do next to nothing. */
    public List<Integer> idle() {
        return IntStream.range(0, blocks()).filter(this::idle).boxed().toList();
    }

    /** So many blocks that follow each other, of which the first's input and the end are closest. (Gromov et al., arXiv 2403.17887) */
    public List<Integer> closest(int count) {
        int first = IntStream.rangeClosed(0, blocks() - count).boxed().min(Comparator.comparingDouble(l -> distance(l, count))).orElseThrow();
        return IntStream.range(first, first + count).boxed().toList();
    }

    /** So many blocks, those with the least {@link #influence}. */
    public List<Integer> leastInfluence(int count) {
        return IntStream.range(0, blocks()).boxed().sorted(Comparator.comparingDouble(this::influence)).limit(count).sorted().toList();
    }

    private boolean idle(int block) {
        return distance(block, 1) < IDLE
                && sensitivity.map(each -> each.increase(block) <= IDLE_PERPLEXITY).orElse(true);
    }

    /** The same with what removing blocks does. */
    public Depth withSensitivity(Sensitivity measured) {
        return new Depth(width, tokens, compute, activations, angular, lastToken, cosine, cka, withoutDirection, massive, growth, experts,
                Optional.of(measured), gradients, companion);
    }

    /** The same with gradients. */
    public Depth withGradients(GradientNorms measured) {
        return new Depth(width, tokens, compute, activations, angular, lastToken, cosine, cka, withoutDirection, massive, growth, experts,
                sensitivity, Optional.of(measured), companion);
    }

    /** Whether there are enough tokens for a verdict. */
    public boolean decides() {
        return tokens >= FEWEST_TOKENS;
    }

    /** In two sentences: how the variance of the stream grows, and which blocks are idle; and how sure that is. None of too few tokens, in one. */
    public String verdict() {
        return Verdict.of(this);
    }

    /**
     * How the tokens of a text are spread over the experts of a block.
     *
     * @param chosen how many tokens chose each expert
     * @param tokens how many tokens there were
     */
    public record ExpertLoad(long[] chosen, long tokens) {

        /** How many experts there are. */
        public int experts() {
            return chosen.length;
        }

        /** The part of the tokens that chose an expert; all experts' add up to how many one token chooses. */
        public double share(int expert) {
            return chosen[expert] / (double) tokens;
        }

        /** The expert that most tokens chose. */
        public int most() {
            return IntStream.range(0, chosen.length).reduce((a, b) -> chosen[b] > chosen[a] ? b : a).orElseThrow();
        }

        /** The expert that fewest tokens chose. */
        public int least() {
            return IntStream.range(0, chosen.length).reduce((a, b) -> chosen[b] < chosen[a] ? b : a).orElseThrow();
        }

        /** How many experts are never chosen. */
        public long unused() {
            return Arrays.stream(chosen).filter(count -> count == 0).count();
        }

        /** How many experts that are chosen equally often would be as even: {@code exp(entropy)} of the choices, so all of them at most. */
        public double effective() {
            double all = Arrays.stream(chosen).sum();
            return Math.exp(Arrays.stream(chosen).filter(count -> count > 0).mapToDouble(count -> -count / all * Math.log(count / all)).sum());
        }
    }
}
