package isonorm.depth;

import java.util.List;
import java.util.Locale;

/** A {@link Depth} in two sentences. */
final class Verdict {

    private Verdict() {}

    static String of(Depth depth) {
        return growth(depth) + " " + idle(depth);
    }

    private static String growth(Depth depth) {
        Growth growth = depth.growth();
        double first = depth.activations().getFirst().get(Position.BLOCK_OUTPUT).variance();
        double last = depth.activations().getLast().get(Position.BLOCK_OUTPUT).variance();
        String from = " (" + number(first) + " behind block 0, " + number(last) + " behind block " + (depth.blocks() - 1) + ")";
        String grows = growth.factor() < 1 ? "falls" : "grows";
        return switch (growth.shape()) {
            case UNKNOWN -> depth.blocks() < Growth.POINTS
                    ? "How the stream's variance grows cannot be told from " + depth.blocks() + (depth.blocks() == 1 ? " block" : " blocks") + from + "."
                    : "How the stream's variance grows cannot be told: it is zero or no finite number behind some block" + from + ".";
            case CONSTANT -> "The stream's variance stays about the same" + from + ", as Post-LN keeps it; " + certainty(growth) + ".";
            case LINEAR -> "The stream's variance " + grows + " about linearly with depth" + from + ", "
                    + (growth.factor() < 1 ? "which no strategy is known for" : "as with Peri-LN or LayerNorm Scaling") + "; " + certainty(growth) + ".";
            case EXPONENTIAL -> "The stream's variance " + grows + " exponentially with depth, times " + String.format(Locale.ROOT, "%.2f", Math.exp(growth.rate()))
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
        String rule = "turn the stream by less than " + Depth.IDLE + " of a half turn";
        String checked = depth.sensitivity().isPresent()
                ? ", and leaving one out raises the perplexity by no more than " + Math.round(100 * Depth.IDLE_PERPLEXITY) + " %, which was tried"
                : ", which says that they can go only if the perplexity without them agrees";
        if (idle.isEmpty()) {
            int least = 0;
            for (int l = 1; l < depth.blocks(); l++) {
                least = depth.distance(l, 1) < depth.distance(least, 1) ? l : least;
            }
            return "No block is idle: none " + (depth.sensitivity().isPresent() ? "turns the stream by less than " + Depth.IDLE + " of a half turn and can be left out for "
                    + Math.round(100 * Depth.IDLE_PERPLEXITY) + " % of perplexity" : "turns the stream by less than " + Depth.IDLE + " of a half turn")
                    + "; block " + least + " does least, " + String.format(Locale.ROOT, "%.3f", depth.distance(least, 1)) + ".";
        }
        return (idle.size() == 1 ? "Block " : "Blocks ") + ranges(idle) + (idle.size() == 1 ? " is idle: it " : " are idle: they ")
                + (idle.size() == 1 ? rule.replaceFirst("turn", "turns") : rule) + (idle.size() == 1 ? checked.replace("them", "it").replace("they", "it") : checked) + ".";
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
