package isonorm.train;

import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Architecture;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.backpropagation.Examples;
import isonorm.backpropagation.Scales;
import isonorm.checkpoint.CheckpointException;
import isonorm.family.Families;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import isonorm.weights.Seed;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/**
 * The coordinate check of CompleteP (arXiv 2505.01618, section 5): behind some steps activations are as large in wide and deep models as in the base, where
 * without it they grow with width and depth.
 */
class CoordinateCheckTest {

    private static final int VOCABULARY = 32;
    private static final int LENGTH = 16;
    private static final int BASE_WIDTH = 32;
    private static final int BASE_BLOCKS = 2;
    private static final int STEPS = 8;
    private static final double RATE = 1e-2;

    /** How much larger the largest of activations may be than the smallest, of all sizes; without CompleteP they differ more than twice that. */
    private static final double APART = 1.4;

    private static double size(int width, int blocks, boolean transfer) throws CheckpointException {
        TrainingRun.Start.New model = new TrainingRun.Start.New("shakespeare", OptionalInt.of(width), OptionalInt.of(blocks), OptionalInt.of(width / 16),
                OptionalInt.empty(), Strategy.named("pre-ln"), TrainingRun.Initial.of(0.1),
                transfer ? Optional.of(new TrainingRun.Transfer(BASE_WIDTH, BASE_BLOCKS)) : Optional.empty());
        Architecture plain = Families.describe(Presets.config(model, VOCABULARY, LENGTH), Set.of()).architecture();
        CompleteP rules = CompleteP.of(new TrainingRun.Transfer(BASE_WIDTH, BASE_BLOCKS), plain);
        Map<Role, Parameter> parameters = new HashMap<>();
        plain.parameters().forEach(each -> parameters.put(each.role(), each));
        Architecture architecture = transfer ? rules.applied(plain) : plain;
        Treatment treatment = transfer ? new Treatment(_ -> false, role -> rules.factors(parameters.get(role))) : Treatment.ALIKE;
        SplittableRandom random = Seed.of(1).random();
        int[][] windows = new int[8][LENGTH + 1];
        for (int[] window : windows) {
            Arrays.setAll(window, _ -> random.nextInt(VOCABULARY));
        }
        List<Examples> batch = List.of(Examples.Tokens.ofWindows(windows));
        try (Team team = Team.of(1);
                Learner learner = new Learner(architecture, Strategy.Running.PLAIN, Scales.NONE, new OptimizerRule.AdamW(0.9, 0.95, 1e-8, 0), treatment, Type.F32,
                        Type.F32, team)) {
            Beginning.of(model, model.strategy(), architecture, 1).fill(learner.parameters(), architecture, team);
            learner.begin();
            for (int step = 1; step <= STEPS; step++) {
                learner.watch(step == STEPS);
                learner.step(batch, RATE, step, 0, Seed.of(0));
            }
            return Math.sqrt(learner.blocks().getLast().variance());
        }
    }

    private static double apart(boolean transfer) throws CheckpointException {
        List<Double> sizes = new ArrayList<>();
        for (int width : new int[] {BASE_WIDTH, 2 * BASE_WIDTH, 4 * BASE_WIDTH}) {
            sizes.add(size(width, BASE_BLOCKS, transfer));
        }
        for (int blocks : new int[] {2 * BASE_BLOCKS, 4 * BASE_BLOCKS, 8 * BASE_BLOCKS}) {
            sizes.add(size(BASE_WIDTH, blocks, transfer));
        }
        return sizes.stream().mapToDouble(Double::doubleValue).max().orElseThrow() / sizes.stream().mapToDouble(Double::doubleValue).min().orElseThrow();
    }

    @Test
    void activationsAreAsLargeInEverySize() throws CheckpointException {
        double with = apart(true);
        double without = apart(false);
        assertTrue(with < APART && without > 5 * APART, with + " with CompleteP and " + without + " without");
    }
}
