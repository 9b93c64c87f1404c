package isonorm.depth;

import static java.util.Objects.requireNonNull;

import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/** A {@link Depth} in two sentences. */
final class Verdict {

    private Verdict() {}

    static String of(Depth depth) {
        if (!depth.decides()) {
            return String.format(Locale.ROOT, "No verdict from %,d %s, because means over so few say more of the text than of the model: it takes %,d or more.",
                    depth.tokens(), depth.tokens() == 1 ? "token" : "tokens", Depth.FEWEST_TOKENS);
        }
        return growth(depth) + " " + idle(depth);
    }

    private static String growth(Depth depth) {
        Growth growth = depth.growth();
        double first = requireNonNull(depth.activations().getFirst().get(Position.BLOCK_OUTPUT)).variance();
        double last = requireNonNull(depth.activations().getLast().get(Position.BLOCK_OUTPUT)).variance();
        String from = " (" + number(first) + " behind block 0, " + number(last) + " behind block " + (depth.blocks() - 1) + ")";
        String grows = growth.factor() < 1 ? "falls" : "grows";
        return switch (growth.shape()) {
            case UNKNOWN -> depth.blocks() < Growth.POINTS
                    ? "How the residual stream's variance grows cannot be told from " + depth.blocks() + (depth.blocks() == 1 ? " block" : " blocks") + from + "."
                    : "How the residual stream's variance grows cannot be told: it is zero or no finite number behind some block" + from + ".";
            case NORMALIZED -> "A norm stands behind every block, so the residual stream's variance there is what the norm makes it" + from + ", and says nothing of how it grows.";
            case CONSTANT -> "The residual stream's variance stays about the same" + from + "; " + certainty(growth) + ".";
            case LINEAR -> "The residual stream's variance " + grows + " about linearly with depth" + from + ", "
                    + (growth.factor() < 1 ? "which no strategy is known for" : "as with Peri-LN or LayerNorm Scaling") + "; " + certainty(growth) + ".";
            case EXPONENTIAL -> "The residual stream's variance " + grows + " exponentially with depth, times " + String.format(Locale.ROOT, "%.2f", Math.exp(growth.rate()))
                    + " a block" + from + ", " + (growth.factor() < 1 ? "which no strategy is known for" : "as Pre-LN's does in the Curse of Depth")
                    + "; " + certainty(growth) + ".";
        };
    }

    private static String certainty(Growth growth) {
        if (growth.shape() == Growth.Shape.CONSTANT && growth.evidence() == 1) {
            return "this is sure, all of it lies within a factor of " + number(Growth.FLAT);
        }
        String told = String.format(Locale.ROOT, "of the three curves it has %.0f %% of the evidence from %d blocks and explains %.0f %%",
                100 * growth.evidence(), growth.points(), 100 * growth.quality());
        return switch (growth.certainty()) {
            case "sure" -> "this is sure, " + told;
            case "likely" -> "this is likely, " + told;
            default -> "this is not sure, " + told;
        };
    }

    private static String idle(Depth depth) {
        List<Integer> idle = depth.idle();
        List<Integer> still = IntStream.range(0, depth.blocks()).filter(l -> depth.distance(l, 1) < Depth.IDLE).boxed().toList();
        String part = Math.round(100 * Depth.IDLE_PERPLEXITY) + " %";
        if (!idle.isEmpty()) {
            boolean one = idle.size() == 1;
            return blocks(idle) + (one ? " is idle: its angular distance is" : " are idle: their angular distances are") + " below " + Depth.IDLE + (depth.sensitivity().isPresent()
                    ? ", and leaving " + (one ? "it" : "any one of them") + " out was seen to cost no more than " + part + " of perplexity."
                    : ", which is likely to mean that " + (one ? "it" : "each") + " can go, and sure only where the perplexity without "
                            + (one ? "it" : "them") + " agrees.");
        }
        if (!still.isEmpty()) {
            return "No block is idle: " + (still.size() == 1 ? "the angular distance of " : "the angular distances of ") + blocks(still).replaceFirst("B", "b")
                    + (still.size() == 1 ? " is" : " are") + " below " + Depth.IDLE + ", but leaving one out was seen to cost more than " + part + " of perplexity.";
        }
        int least = IntStream.range(0, depth.blocks()).boxed().min(Comparator.comparingDouble(l -> depth.distance(l, 1))).orElseThrow();
        return "No block is idle: every angular distance is " + Depth.IDLE + " or more, the smallest that of block " + least + ", "
                + number(depth.distance(least, 1)) + ".";
    }

    private static String blocks(List<Integer> numbers) {
        return (numbers.size() == 1 ? "Block " : "Blocks ") + ranges(numbers);
    }

    /** 3, 5 to 7. */
    static String ranges(List<Integer> numbers) {
        StringBuilder words = new StringBuilder();
        for (int i = 0; i < numbers.size(); i++) {
            int from = i;
            while (i + 1 < numbers.size() && numbers.get(i + 1) == numbers.get(i) + 1) {
                i++;
            }
            words.append(words.isEmpty() ? "" : ", ").append(numbers.get(from)).append(i > from ? " to " + numbers.get(i) : "");
        }
        return words.toString();
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, "%.3g", value).replaceFirst("(\\.\\d*?)0+$", "$1").replaceFirst("\\.$", "");
    }
}
