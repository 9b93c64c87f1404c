package isonorm.convert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.checkpoint.Config;
import isonorm.convert.PlainForward.Input;
import isonorm.convert.PlainForward.Result;
import isonorm.family.Families;
import isonorm.family.Fixtures;
import isonorm.family.Isonorm;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** Models of every strategy, as checkpoints that were trained so: they are read as they were written, and converted where that is exact. */
class StrategyCheckpointsTest {

    /** Those whose stream only LayerNorms before sub-layers read; gates and the factor of the skip keep a centred stream centred. */
    private static final Set<String> PRE = Set.of("Pre-LN", "Sub-LN", "value norm alone", "skip", "skip of parallel",
            "skip of parallel with one norm", "GPAS on Pre-LN with a skip and LayerScale", "SkipInit", "SkipInit of parallel", "experts",
            "latent attention");

    /** Those whose stream only LayerNorms behind a sum normalize. */
    private static final Set<String> POST = Set.of("Post-LN", "DeepNorm", "DeepNorm with LayerScale", "HybridNorm of LayerNorms",
            "Post-LN MLPs with a skip and LayerScale", "Post-LN MLPs of bare LayerNorms", "SkipInit, DeepNorm",
            "head scales behind an inner norm with a skip and LayerScale");

    private static final Input INPUT = Input.tokens(Strategies.ids(9, 4));

    private static LoadedModel trained(Architecture architecture) throws IOException {
        return new LoadedModel(Fixtures.open("gpt2").checkpoint(), Isonorm.config(architecture, "0"), Strategies.random(architecture), List.of());
    }

    @Test
    void everyArchitectureIsReadAsItWasWritten() throws IOException {
        for (Map<String, Architecture> all : List.of(Strategies.all(), Strategies.images())) {
            for (Map.Entry<String, Architecture> entry : all.entrySet()) {
                Config config = Isonorm.config(entry.getValue(), "0");
                assertEquals(entry.getValue(), Families.describe(config, Set.of()).architecture(), entry.getKey());
            }
        }
    }

    @Test
    void whatCanBeConvertedStaysTheSameFunctionAndComesBack() throws IOException {
        Set<String> pre = new TreeSet<>();
        Set<String> post = new TreeSet<>();
        for (Map.Entry<String, Architecture> entry : Strategies.all().entrySet()) {
            for (boolean tied : new boolean[] {false, true}) {
                LoadedModel source = trained(entry.getValue().withOutput(Output.Words.of(tied)));
                Result wanted = new PlainForward(source.model()).run(INPUT);
                Map<String, Plan> plans = ModelEqualityTest.plans(source);
                for (Map.Entry<String, Plan> plan : plans.entrySet()) {
                    String what = entry.getKey() + (tied ? ", tied," : "") + " as " + plan.getKey();
                    double apart = Models.difference(source.model(), wanted, new PlainForward(plan.getValue().result()).run(INPUT));
                    assertTrue(apart < ConversionTolerance.SAME, what + " differs by " + apart);
                    Architecture written = Families.describe(plan.getValue().config(), Set.of()).architecture();
                    assertEquals(plan.getValue().result().architecture().parameters(), written.parameters(), what);
                }
                if (plans.keySet().containsAll(Set.of("centred", "pre-rmsnorm", "pre-crmsnorm", "pre-crmsnorm to pre-ln", "pre-rmsnorm to centred"))) {
                    pre.add(entry.getKey());
                } else if (plans.keySet().equals(Set.of("rmsnorm"))) {
                    post.add(entry.getKey());
                } else {
                    assertEquals(Set.of(), plans.keySet(), entry.getKey());
                }
            }
        }
        assertEquals(new TreeSet<>(PRE), pre);
        assertEquals(new TreeSet<>(POST), post);
    }

    @Test
    void whatCannotBeConvertedIsRefusedWithTheReason() throws IOException {
        refused("ResiDual", Form.PRE_RMSNORM, "it has two streams");
        refused("ResiDual", Form.RMSNORM, "it has two streams");
        refused("Keel", Form.PRE_CRMSNORM, "its stream is what norms with a gain give (3 of 3 blocks");
        refused("Keel", Form.RMSNORM, "do not stand behind the sum (both)");
        refused("NormFormer", Form.PRE_RMSNORM, "norms with a gain write into its stream (3 of 3 blocks");
        refused("NormFormer", Form.RMSNORM, "do not stand behind the sum (peri and pre)");
        refused("GPAS", Form.CENTRED, "its norms are rmsnorm already (3 of 3 blocks)");
        refused("DyT", Form.PRE_RMSNORM, "its norms are dyt (3 of 3 blocks): they see the mean");
        refused("HybridNorm head", Form.RMSNORM, "its norms are rmsnorm already");
        refused("Mix-LN", Form.PRE_RMSNORM, "(Post-LN, 2 of 3 blocks): the sub-layers read the stream without a norm, so its mean is not redundant");
        refused("Mix-LN", Form.RMSNORM, "do not stand behind the sum (pre)");
        Architecture preLn = Strategies.all().get("Pre-LN");
        refused(preLn.withBlocks(preLn.blocks().stream().map(block -> block.withPlacements(Placement.NONE, Placement.PRE)).toList()),
                Form.PRE_RMSNORM, "sub-layers of it have no norm at all and read the stream as it is (3 of 3 blocks)");
        Norm tanh = Norm.of(NormKind.DYNAMIC_TANH, 0, Affine.NONE);
        refused(preLn.withEmbedding(preLn.embedding().withNorm(Optional.of(tanh), false)), Form.CENTRED,
                "its embedding norm is dyt, which sees the mean");
        refused(preLn.withFinalNorm(Optional.of(tanh)), Form.CENTRED, "its final norm is dyt, which sees the mean");
    }

    private static void refused(String name, Form form, String words) throws IOException {
        refused(Strategies.all().get(name), form, words);
    }

    private static void refused(Architecture architecture, Form form, String words) throws IOException {
        List<String> reasons = Plan.refusals(trained(architecture), form);
        assertTrue(reasons.stream().anyMatch(reason -> reason.contains(words) && !reason.contains("\n")), reasons.toString());
    }
}
