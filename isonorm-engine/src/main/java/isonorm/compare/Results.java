package isonorm.compare;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * What a grid's runs gave together.
 *
 * @param outcomes of the grid's trials, in their order
 */
public record Results(Grid grid, List<Outcome> outcomes) {

    /** The groups of trials that differ in their seed alone, in the grid's order. */
    public List<Group> groups() {
        Map<Map<String, String>, Group> groups = new LinkedHashMap<>();
        List<Trial> trials = grid.trials();
        for (int t = 0; t < trials.size(); t++) {
            Map<String, String> place = new LinkedHashMap<>(trials.get(t).place());
            place.remove(Grid.SEED);
            Group group = groups.computeIfAbsent(place, own -> new Group(own, new ArrayList<>(), new ArrayList<>()));
            group.trials().add(trials.get(t));
            group.outcomes().add(outcomes.get(t));
        }
        return List.copyOf(groups.values());
    }

    /** The groups of each setting that contenders are compared in; there is one at least. */
    public Map<String, List<Group>> settings() {
        List<String> keys = grid.settings();
        return groups().stream().collect(Collectors.groupingBy(group -> group.words(keys), LinkedHashMap::new, Collectors.toList()));
    }

    /** What a group is compared as; the same in every setting, and at every rate unless rates are what is compared. */
    public String contender(Group group) {
        List<String> keys = grid.contenders();
        return keys.isEmpty() ? group.name() : group.words(keys);
    }

    /** The contenders, in the grid's order. */
    public List<String> contenders() {
        return groups().stream().map(this::contender).distinct().toList();
    }

    /** The best group of each contender among some of one setting, the best first. One of which a run diverged stands behind those without. */
    public List<Group> ranking(List<Group> some) {
        Comparator<Group> order = Comparator.<Group>comparingInt(group -> group.diverged() == 0 ? 0 : 1).thenComparingDouble(group -> group.loss().mean());
        Map<String, Group> best = new LinkedHashMap<>();
        for (Group group : some) {
            best.merge(contender(group), group, (one, other) -> order.compare(other, one) < 0 ? other : one);
        }
        return best.values().stream().sorted(order).toList(); // NaN, of no run that came to an end, comes last
    }

    /**
     * The best group of a contender beside the best of all.
     *
     * @param difference by how much the other is higher
     */
    public record Compared(Group lowest, Group other, Difference difference) {}

    /** The best of some groups of one setting beside those of every other contender of which a run came to its end, the lowest first. */
    public List<Compared> compared(List<Group> some) {
        List<Group> ranking = ranking(some).stream().filter(group -> !Double.isNaN(group.loss().mean())).toList();
        return ranking.stream().skip(1).map(other -> new Compared(ranking.getFirst(), other,
                Difference.of(losses(ranking.getFirst()), losses(other), ranking.size() - 1))).toList();
    }

    private static double[] losses(Group group) {
        return group.outcomes().stream().mapToDouble(Outcome::validation).toArray();
    }

    /** The lowest validation loss of all; NaN if all diverged. */
    public double best() {
        return outcomes.stream().mapToDouble(Outcome::validation).filter(loss -> !Double.isNaN(loss)).min().orElse(Double.NaN);
    }

    /** What the runs show, in sentences. */
    public List<String> findings() {
        return new Findings(this).all();
    }
}
