package isonorm.cli.report;

import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What the measures in reports are, in a sentence or two each. */
final class Glossary {

    private static final Map<String, String> ALL = new LinkedHashMap<>();

    static {
        ALL.put("residual stream", "The vector of each token that every sub-layer reads and adds to; its width is the model's.");
        ALL.put("sub-layer output", "What attention or the MLP of a block adds to the residual stream, with its bias, behind its output norm and LayerScale.");
        ALL.put("output / stream", "The L2 norm of a sub-layer output over that of the residual stream it is added to, the mean over tokens.");
        ALL.put("angular distance", "arccos(cos(x, y)) / π between the residual stream x before a block and y behind it, or some blocks later, the mean over tokens: 0 is the same "
                + "direction, 0.5 a right angle, 1 the opposite (as in The Curse of Depth, Sun et al., 2025; Gromov et al., 2024, take the last token's).");
        ALL.put("Block Influence", "One minus the mean cosine of a block's input and output (ShortGPT, Men et al., 2024).");
        ALL.put("linear CKA", "Centered kernel alignment with a linear kernel and unbiased HSIC: how alike tokens stand to each other in two places; 1 is the same up to rotation and scale.");
        ALL.put("variance", "Over all tokens and dimensions of the residual stream, or of what is named.");
        ALL.put("RMS", "Root mean square over all tokens and dimensions.");
        ALL.put("p50", "The median magnitude; half of all values are no larger.");
        ALL.put("p99", "The magnitude that 99 % of all values do not exceed.");
        ALL.put("p99.9", "The magnitude that 99.9 % of all values do not exceed.");
        ALL.put("kurtosis", "The fourth central moment over the squared variance: 3 for a normal distribution, far more where there are outliers.");
        ALL.put("massive activations", "Magnitudes of the residual stream above 100 and above 1000 times the median magnitude there, in at most three dimensions at once, behind a quarter of the blocks or more "
                + "(Sun et al., 2024).");
        ALL.put("idle", "A block whose angular distance is below 0.05 and, where that was measured, without which perplexity grows by 1 % at most.");
        ALL.put("effective rank", "exp(entropy) of the shares of variance of the principal components: how many directions are used.");
        ALL.put("rotated", "The same values multiplied by an orthogonal matrix: Hadamard's with random signs where there is one of this width.");
        ALL.put("effective experts", "exp(entropy) of how often each expert is chosen: all of them where they are chosen equally often.");
        ALL.put("perplexity", "exp(mean negative log-likelihood of a token): among how many equally likely tokens the model hesitates.");
        ALL.put("increase in perplexity", "The perplexity without the blocks over that of the whole model, minus one, in percent.");
        ALL.put("gradient norm", "The L2 norm of the loss's gradient; in training over all parameters, before clipping.");
        ALL.put("validation loss", "The mean negative log-likelihood of a token, in nats, of data that is never learned from.");
        ALL.put("±", "The standard deviation over seeds.");
        ALL.put("paired difference", "By how much the validation loss lies above the lowest one's, seed by seed, since runs of one seed read the same; the mean over seeds, with the "
                + "interval that Student's t gives, at 95 % for all that are compared together (Bonferroni).");
        ALL.put("diverged", "The loss or the gradient norm is no finite number any more, or the mean loss rose above its lowest by stop.above.");
        ALL.put("stuck", "Ended having learned less than 5 % of what the best run learned beyond how frequent tokens are, or less than 1 % of the loss of knowing that alone.");
        ALL.put("spike", "A loss or gradient norm far above the windows of steps before it.");
        ALL.put("smoothing", "An exponential moving average with this weight for what came before, corrected for its start.");
        ALL.put("window of steps", "The steps between two lines of a run's metrics: the loss is their mean, the gradient norm their largest.");
        ALL.put("tokens/s", "Tokens trained on in a second, the mean over a window of steps.");
        ALL.put("time left", "The steps that are left times the seconds a step took in the last windows.");
    }

    /** Short forms, as heads of tables have them. */
    private static final Map<String, String> SHORT = Map.of("/ stream", "output / stream", "influence", "Block Influence", "root mean square", "RMS", "sub-layer outputs",
            "sub-layer output", "spikes", "spike", "interval", "paired difference", "difference", "paired difference", "gradient norms", "gradient norm", "validation", "validation loss");

    private static final Pattern TERMS = Pattern.compile("(?<![A-Za-z0-9])(" + Stream.concat(ALL.keySet().stream(), SHORT.keySet().stream()).sorted(Comparator.comparingInt(String::length).reversed())
            .map(Pattern::quote).collect(Collectors.joining("|")) + ")(?![A-Za-z0-9])", Pattern.CASE_INSENSITIVE);

    private Glossary() {}

    /** Each term with its meaning. */
    static Map<String, String> all() {
        return Collections.unmodifiableMap(ALL);
    }

    private static String term(String found) {
        String whole = SHORT.getOrDefault(found.toLowerCase(Locale.ROOT), found);
        return ALL.keySet().stream().filter(term -> term.equalsIgnoreCase(whole)).findFirst().orElseThrow();
    }

    private static String anchor(String term) {
        return "term-" + term.replace("±", "deviation").toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9.]+", "-");
    }

    /**
     * HTML of a text in which each term, the first time, says what it is on hover and leads to the glossary.
     *
     * @param used gets the terms
     */
    static String linked(String text, Collection<String> used) {
        StringBuilder html = new StringBuilder();
        Set<String> here = new HashSet<>();
        Matcher found = TERMS.matcher(text);
        int at = 0;
        while (found.find()) {
            String term = term(found.group());
            html.append(Page.escaped(text.substring(at, found.start())));
            String word = Page.escaped(found.group());
            html.append(here.add(term) ? "<a class=\"term\" href=\"#" + anchor(term) + "\" title=\"" + Page.escaped(ALL.getOrDefault(term, "")) + "\">" + word + "</a>" : word);
            used.add(term);
            at = found.end();
        }
        return html.append(Page.escaped(text.substring(at))).toString();
    }

    /** The terms that a page uses. */
    static String html(Collection<String> used) {
        StringBuilder html = new StringBuilder("<section class=\"glossary\"><h2>Glossary</h2>\n<dl>\n");
        ALL.forEach((term, meaning) -> {
            if (used.contains(term)) {
                html.append("<dt id=\"").append(anchor(term)).append("\">").append(Page.escaped(term)).append("</dt><dd>").append(Page.escaped(meaning)).append("</dd>\n");
            }
        });
        return html.append("</dl></section>\n").toString();
    }
}
