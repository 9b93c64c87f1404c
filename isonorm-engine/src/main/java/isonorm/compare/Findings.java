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

    List<String> all() {
        List<String> sentences = new ArrayList<>();
        Map<String, List<Group>> settings = results.settings();
        settings.forEach((setting, groups) -> sentences.add(begun(setting, winner(groups))));
        sentences.addAll(failures());
        settings.forEach((setting, groups) -> {
            rates(groups).ifPresent(sentence -> sentences.add(begun(setting, sentence)));
            growth(groups).ifPresent(sentence -> sentences.add(begun(setting, sentence)));
            turns(groups).ifPresent(sentence -> sentences.add(begun(setting, sentence)));
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
        String best = "The winner is " + results.contender(first) + " with a validation loss of " + loss(first) + rate(first)
                + String.format(Locale.ROOT, ", a perplexity of %.2f", first.perplexity().mean());
        List<Group> others = ranking.subList(1, ranking.size()).stream().filter(group -> !Double.isNaN(group.loss().mean())).toList();
        if (others.isEmpty()) {
            return best + (ranking.size() > 1 ? "; every run of the others diverged." : ".");
        }
        Group second = others.getFirst();
        String rest = others.stream().skip(1).map(group -> results.contender(group) + " " + loss(group) + rate(group)).collect(Collectors.joining(", "));
        return best + "; next is " + results.contender(second) + " with " + loss(second) + rate(second) + ", " + clear(first, second) + "."
                + (rest.isEmpty() ? "" : " Then: " + rest + ".");
    }

    /** Runs of one seed begin with the same data in the same order, so seeds are compared one by one. */
    private static String clear(Group first, Group second) {
        int seeds = 0;
        int better = 0;
        for (int i = 0; i < first.trials().size(); i++) {
            double one = first.outcomes().get(i).validation();
            double other = second.outcomes().get(i).validation();
            if (!Double.isNaN(one) && !Double.isNaN(other)) {
                seeds++;
                better += one < other ? 1 : 0;
            }
        }
        String by = String.format(Locale.ROOT, "%.4f more", second.loss().mean() - first.loss().mean());
        return seeds < 2 ? by + ", from one seed, so another may turn it around"
                : better == seeds ? by + ", and more for each of " + seeds + " seeds"
                : by + ", but for " + (seeds - better) + " of " + seeds + " seeds less, so this is no clear win";
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
            sentences.add("Came to an end having learned next to nothing but how frequent tokens are (a loss of "
                    + String.format(Locale.ROOT, "%.2f", stuck.getFirst().outcomes().getFirst().frequencies()) + "): "
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
            if (group.after().isPresent() && group.before().isPresent()) {
                parts.add(results.contender(group) + " " + factor(group.after().get()) + " (" + factor(group.before().get()) + ")");
            }
        }
        return parts.isEmpty() ? Optional.empty() : Optional.of("The stream's variance behind the last block over that behind the first, at the end of "
                + "training (before it): " + String.join(", ", parts) + ".");
    }

    private static String factor(Outcome.Stream stream) {
        double factor = stream.variances()[stream.variances().length - 1] / stream.variances()[0];
        return Double.isFinite(factor) ? String.format(Locale.ROOT, factor < 10 ? "%.2f" : "%.0f", factor) : "not finite";
    }

    private Optional<String> turns(List<Group> groups) {
        List<String> parts = new ArrayList<>();
        for (Group group : results.ranking(groups)) {
            group.after().filter(stream -> stream.angular().length > 1).ifPresent(stream -> {
                int blocks = stream.angular().length;
                double mean = IntStream.range(blocks / 2, blocks).mapToDouble(l -> stream.angular()[l][0]).average().orElseThrow();
                parts.add(String.format(Locale.ROOT, "%s %.3f", results.contender(group), mean));
            });
        }
        return parts.isEmpty() ? Optional.empty() : Optional.of("A block of the second half turns the stream, in half turns and on average, by: "
                + String.join(", ", parts) + ".");
    }
}
