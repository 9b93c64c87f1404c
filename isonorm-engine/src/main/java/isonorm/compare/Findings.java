package isonorm.compare;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** {@link Results} in sentences. Each says what was seen in these runs, and nothing of others. */
record Findings(Results results) {

    /** Of fewer seeds a difference has to be several times their deviation to be told. */
    private static final int FEW = 5;

    List<String> all() {
        List<String> sentences = new ArrayList<>();
        Map<String, List<Group>> settings = results.settings();
        settings.forEach((setting, groups) -> sentences.add(begun(setting, winner(groups))));
        sentences.addAll(failures());
        settings.forEach((setting, groups) -> {
            rates(groups).ifPresent(sentence -> sentences.add(begun(setting, sentence)));
            growth(groups).ifPresent(sentence -> sentences.add(begun(setting, sentence)));
            angularDistances(groups).ifPresent(sentence -> sentences.add(begun(setting, sentence)));
        });
        return sentences;
    }

    private static String begun(String setting, String sentence) {
        return setting.isEmpty() ? sentence : "With " + setting + ": " + sentence;
    }

    // Who wins

    private String winner(List<Group> groups) {
        List<Group> ranking = results.ranking(groups);
        Group first = ranking.getFirst();
        if (Double.isNaN(first.loss().mean())) {
            return "Nothing wins: every run diverged.";
        }
        double best = results.best();
        if (ranking.stream().allMatch(group -> group.stuck(best) == group.trials().size() - group.diverged())) {
            return "Nothing wins: none learned more than how frequent tokens are" + frequencies(first) + "; the lowest validation loss is " + loss(first) + ", of "
                    + results.contender(first) + rate(first) + ".";
        }
        String lowest = results.contender(first) + " with a validation loss of " + loss(first) + rate(first)
                + String.format(Locale.ROOT, ", a perplexity of %.2f", first.perplexity().mean());
        List<Results.Compared> compared = results.compared(groups);
        if (compared.isEmpty()) {
            return (ranking.size() > 1 ? "The winner is " + lowest + "; every run of the others diverged." : lowest + ".");
        }
        Map<Difference.Verdict, List<Results.Compared>> by = compared.stream().collect(Collectors.groupingBy(each -> each.difference().verdict()));
        List<Results.Compared> higher = by.getOrDefault(Difference.Verdict.LOWER, List.of());
        List<Results.Compared> same = by.getOrDefault(Difference.Verdict.NO_DIFFERENCE, List.of());
        List<Results.Compared> unknown = by.getOrDefault(Difference.Verdict.UNKNOWN, List.of());
        if (same.isEmpty() && unknown.isEmpty()) {
            return "The winner is " + lowest + "; next is " + others(higher, " with ") + ".";
        }
        return "No winner: the lowest is " + lowest + (same.isEmpty() ? "" : "; no difference can be told from " + others(same, " with ") + more(same))
                + (unknown.isEmpty() ? "" : "; nothing tells what is chance, of one seed, beside " + others(unknown, " with "))
                + (higher.isEmpty() ? "" : ". It is lower than " + others(higher, " with ")) + ".";
    }

    /** Contenders, and by how much they are higher. */
    private String others(List<Results.Compared> some, String with) {
        return some.stream().map(each -> results.contender(each.other()) + with + loss(each.other()) + rate(each.other()) + ", " + by(each.difference()))
                .collect(Collectors.joining("; then "));
    }

    /** Of few seeds the interval is wide whatever there is. */
    private static String more(List<Results.Compared> same) {
        return same.stream().anyMatch(each -> each.difference().seeds() < FEW) ? ", nor could a small one from so few seeds" : "";
    }

    private static String by(Difference difference) {
        return difference.seeds() == 0 ? "of other seeds" : String.format(Locale.ROOT, "%.4f more", difference.mean())
                + (difference.seeds() < 2 ? "" : String.format(Locale.ROOT, " (%.4f to %.4f, of %d seeds)", difference.low(), difference.high(), difference.seeds()));
    }

    private static String frequencies(Group group) {
        return String.format(Locale.ROOT, " (a loss of %.2f)", group.outcomes().getFirst().frequencies());
    }

    private static String loss(Group group) {
        Spread loss = group.loss();
        return Double.isNaN(loss.deviation()) ? String.format(Locale.ROOT, "%.4f", loss.mean())
                : String.format(Locale.ROOT, "%.4f ± %.4f", loss.mean(), loss.deviation());
    }

    private String rate(Group group) {
        boolean chosen = group.place().containsKey(Grid.RATE) && !results.grid().contenders().contains(Grid.RATE);
        return chosen ? " at lr " + group.place().get(Grid.RATE) : "";
    }

    // What did not learn

    private List<String> failures() {
        List<String> sentences = new ArrayList<>();
        List<Group> groups = results.groups();
        int all = results.outcomes().size();
        int diverged = groups.stream().mapToInt(Group::diverged).sum();
        sentences.add(diverged == 0 ? (all == 1 ? "The run did not diverge." : "None of the " + all + " runs diverged.")
                : diverged + " of " + all + " runs diverged: "
                        + groups.stream().filter(group -> group.diverged() > 0)
                                .map(group -> group.name() + " (" + group.diverged() + " of " + group.trials().size() + ")")
                                .collect(Collectors.joining(", ")) + ".");
        double best = results.best();
        List<Group> stuck = groups.stream().filter(group -> group.stuck(best) > 0).toList();
        if (!stuck.isEmpty()) {
            sentences.add("Came to an end having learned next to nothing but how frequent tokens are" + frequencies(stuck.getFirst()) + ": "
                    + stuck.stream().map(group -> group.name() + " (" + group.stuck(best) + " of " + group.trials().size() + ")")
                            .collect(Collectors.joining(", ")) + ".");
        }
        return sentences;
    }

    // Learning rates

    private Optional<String> rates(List<Group> groups) {
        List<String> rates = results.grid().axes().getOrDefault(Grid.RATE, List.of());
        if (rates.size() < 2 || results.grid().contenders().contains(Grid.RATE)) {
            return Optional.empty();
        }
        List<String> parts = new ArrayList<>();
        for (String contender : results.contenders()) {
            List<Group> own = groups.stream().filter(group -> results.contender(group).equals(contender)).toList();
            if (own.stream().anyMatch(group -> group.diverged() > 0)) {
                parts.add(contender + " diverged at lr " + own.stream().filter(group -> group.diverged() > 0).map(group -> group.place().get(Grid.RATE))
                        .collect(Collectors.joining(" and ")));
            } else {
                double[] losses = own.stream().mapToDouble(group -> group.loss().mean()).toArray();
                parts.add(String.format(Locale.ROOT, "%s %.3f", contender, Arrays.stream(losses).max().orElseThrow() - Arrays.stream(losses).min().orElseThrow()));
            }
        }
        return Optional.of("Between the learning rates (" + String.join(", ", rates) + ") the mean loss differs by: " + String.join(", ", parts) + ".");
    }

    // Depth

    private Optional<String> growth(List<Group> groups) {
        List<String> parts = new ArrayList<>();
        for (Group group : results.ranking(groups)) {
            if (!group.normalizesStream() && group.after().isPresent() && group.before().isPresent()) {
                parts.add(results.contender(group) + " " + factor(group.after().get()) + " (" + factor(group.before().get()) + ")");
            }
        }
        return parts.isEmpty() ? Optional.empty() : Optional.of("The residual stream's variance behind the last block over that behind the first, at the end of "
                + "training (before it): " + String.join(", ", parts) + ".");
    }

    private static String factor(Outcome.Stream stream) {
        double factor = stream.variances()[stream.variances().length - 1] / stream.variances()[0];
        return Double.isFinite(factor) ? String.format(Locale.ROOT, factor < 10 ? "%.2f" : "%.0f", factor) : "not finite";
    }

    private Optional<String> angularDistances(List<Group> groups) {
        List<String> parts = new ArrayList<>();
        for (Group group : results.ranking(groups)) {
            group.after().filter(stream -> stream.angular().length > 1).ifPresent(stream -> {
                int blocks = stream.angular().length;
                double mean = IntStream.range(blocks / 2, blocks).mapToDouble(l -> stream.angular()[l][0]).average().orElseThrow();
                parts.add(String.format(Locale.ROOT, "%s %.3f", results.contender(group), mean));
            });
        }
        return parts.isEmpty() ? Optional.empty() : Optional.of("The mean angular distance of the blocks of the second half: "
                + String.join(", ", parts) + ".");
    }
}
