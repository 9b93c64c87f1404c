package isonorm.architecture;

import static isonorm.architecture.Part.*;
import static isonorm.architecture.Role.Field.*;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Rotary.Scaling;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.family.Families;
import isonorm.family.Fixtures;
import isonorm.family.Isonorm;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class ArchitectureTest {

    private static final Norm NORM = Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN_AND_BIAS);
    private static final Norm BARE = Norm.of(NormKind.RMS, 1e-5, Affine.NONE);

    private static List<String> parameters(Architecture architecture) {
        return architecture.parameters().stream().map(p -> p.role().path() + " " + p.shape()).toList();
    }

    @Test
    void anOrdinaryModelHasTheseParameters() {
        Architecture gpt = Architecture.of("gpt", 8, 16, Embedding.Tokens.of(11, 8).withPositions(16, 0, false),
                List.of(Block.of(Placement.PRE, Wiring.SEQUENTIAL, NORM, Attention.of(2, 4), Mlp.plain(32, Activation.GELU))),
                Optional.of(NORM), Output.Words.of(true));
        assertEquals(List.of("embedding.token.weight [11, 8]", "embedding.position.weight [16, 8]",
                "blocks.0.attention_norm.gain [8]", "blocks.0.attention_norm.bias [8]",
                "blocks.0.attention.query_key_value.weight [24, 8]", "blocks.0.attention.query_key_value.bias [24]",
                "blocks.0.attention.output.weight [8, 8]", "blocks.0.attention.output.bias [8]",
                "blocks.0.mlp_norm.gain [8]", "blocks.0.mlp_norm.bias [8]",
                "blocks.0.mlp.up.weight [32, 8]", "blocks.0.mlp.up.bias [32]", "blocks.0.mlp.down.weight [8, 32]", "blocks.0.mlp.down.bias [8]",
                "final_norm.gain [8]", "final_norm.bias [8]"), parameters(gpt));
        assertEquals(11 * 8 + 16 * 8 + 16 + 24 * 8 + 24 + 8 * 8 + 8 + 16 + 32 * 8 + 32 + 8 * 32 + 8 + 16, gpt.parameterCount());
        assertTrue(gpt.tied());
        assertTrue(gpt.tokensEnterStream());
        assertEquals(Optional.empty(), gpt.finalReader());
        assertEquals(Optional.of(HEAD), gpt.withOutput(Output.Words.of(false)).finalReader());
    }

    /** What touches the stream has a value less where the stream has, on the side that {@link Part.Use} says, and nothing else has. */
    @Test
    void whatAPartIsToTheStreamShowsInItsShape() throws IOException {
        Set<Part> seen = EnumSet.noneOf(Part.class);
        Map<String, Architecture> all = new LinkedHashMap<>();
        for (String name : Fixtures.all()) {
            all.put(name, Model.of(Fixtures.open(name).model()).architecture());
        }
        for (String name : List.of("gpt2", "vit", "wav2vec2-stable")) {
            int d = all.get(name).width();
            all.put(name + " through matrices", all.get(name).withBases(Bases.ONE.withEntry(d).withExit(d)));
        }
        for (String name : all.keySet()) {
            Architecture fixture = all.get(name);
            Architecture whole = fixture.withFinalNorm(fixture.finalNorm().map(norm -> norm.withAffine(Affine.NONE)));
            Map<Role, Parameter> compressed =
                    whole.withStream(Stream.COMPRESSED).parameters().stream().collect(Collectors.toMap(Parameter::role, each -> each));
            for (Parameter before : whole.parameters()) {
                Role role = before.role();
                if (role.stack() != Stack.MAIN) {
                    continue; // of another stream
                }
                Parameter after = compressed.get(role);
                boolean weight = role.field() == WEIGHT;
                Part.Use use = whole.use(role.part());
                boolean rows = weight && use == Part.Use.WRITER;
                boolean columns = weight && use != Part.Use.WRITER && use != Part.Use.NONE || role.field() == BIAS && use == Part.Use.WRITER;
                assertEquals(rows, after.rows() < before.rows(), name + " " + role);
                assertEquals(columns, after.columns() < before.columns(), name + " " + role);
                seen.add(role.part());
            }
        }
        for (Part part : Part.values()) {
            assertTrue(part.use() == Part.Use.NONE || seen.contains(part), part + " is in no fixture");
        }
    }

    /** OPT's projections and BERT's transform stand between. */
    @Test
    void whatStandsBehindAProjectionDoesNotTouchTheStream() {
        Architecture between = Architecture.of("p", 8, 16, Embedding.Tokens.of(11, 4).withProjection(Embedding.Projection.TOKENS),
                List.of(Block.of(Placement.PRE, Wiring.SEQUENTIAL, NORM, Attention.of(2, 4), Mlp.plain(32, Activation.GELU))),
                Optional.of(NORM), Output.Words.of(true).withProjection(4));
        assertEquals(Part.Use.NONE, between.use(TOKEN_EMBEDDING));
        assertEquals(Part.Use.WRITER, between.use(EMBEDDING_PROJECTION));
        assertEquals(Part.Use.READER, between.use(HEAD_PROJECTION));
        assertEquals(Part.Use.NONE, between.use(HEAD));
        assertEquals(Part.Use.READER, between.withOutput(Output.Words.of(false)).use(HEAD));
    }

    @Test
    void aCompressedModelHasOneValueLessWhereTheStreamPasses() {
        Norm folded = Norm.of(NormKind.CRMS, 1e-5, Affine.NONE).withFolded(Affine.GAIN_AND_BIAS);
        Attention attention = Attention.of(4, 3).withKeyValueHeads(2).withBiases(true, false);
        Architecture compressed = Architecture.of("c", 8, 16, Embedding.Tokens.of(11, 8).withMeans(true),
                List.of(Block.of(Placement.PRE, Wiring.PARALLEL_ONE_NORM, folded, attention, Mlp.gated(20, Activation.SILU).withBiases(true, false))),
                Optional.of(Norm.of(NormKind.CRMS, 1e-5, Affine.GAIN)), Output.Words.of(true).withBias(true)).withStream(Stream.COMPRESSED);
        assertEquals(List.of("embedding.token.weight [11, 7]", "embedding.token.means [11]",
                "blocks.0.attention_norm.folded_gain [8]", "blocks.0.attention_norm.folded_bias [8]",
                "blocks.0.attention.query_key_value.weight [24, 7]", "blocks.0.attention.query_key_value.bias [24]",
                "blocks.0.attention.query_key_value.column [24]", "blocks.0.attention.output.weight [7, 12]",
                "blocks.0.mlp.gate.weight [20, 7]", "blocks.0.mlp.gate.bias [20]", "blocks.0.mlp.gate.column [20]",
                "blocks.0.mlp.up.weight [20, 7]", "blocks.0.mlp.up.bias [20]", "blocks.0.mlp.up.column [20]", "blocks.0.mlp.down.weight [7, 20]",
                "final_norm.gain [8]", "head.bias [11]"), parameters(compressed));
        assertEquals(7, compressed.streamWidth());
        assertEquals(8, compressed.finalWidth());
        assertEquals(7, compressed.withFinalNorm(Optional.of(BARE)).finalWidth());
    }

    @Test
    void normsOutsideTheOrdinaryPlacesHaveTheirParameters() {
        QueryKeyNorm head = new QueryKeyNorm(Norm.of(NormKind.RMS, 1e-6, Affine.GAIN), QueryKeyNorm.Span.HEAD);
        Attention attention = Attention.of(4, 3).withKeyValueHeads(2).withBiases(false, false);
        Norm gain = Norm.of(NormKind.RMS, 1e-6, Affine.GAIN);
        Block peri = Block.of(Placement.PERI, Wiring.SEQUENTIAL, gain, attention.withQueryKeyNorm(head), Mlp.gated(20, Activation.GELU_TANH));
        Block output = Block.of(Placement.OUTPUT, Wiring.SEQUENTIAL, gain,
                attention.withQueryKeyNorm(new QueryKeyNorm(gain, QueryKeyNorm.Span.PROJECTION)), Mlp.gated(20, Activation.GELU_TANH));
        Block scaled = Block.of(Placement.PRE, Wiring.PARALLEL, gain,
                attention.withQueryKeyNorm(new QueryKeyNorm(NORM, QueryKeyNorm.Span.EACH_HEAD)), Mlp.plain(20, Activation.RELU).withBiases(false, false))
                .withScale(BranchScale.VECTOR);
        Architecture all = Architecture.of("n", 8, 16, Embedding.Tokens.of(11, 8).withNorm(NORM), List.of(peri, output, scaled), Optional.empty(),
                Output.Words.of(false));
        List<String> names = parameters(all).stream().filter(name -> !name.contains("mlp.") && !name.contains("attention.output")).toList();
        assertEquals(List.of("embedding.token.weight [11, 8]", "embedding.norm.gain [8]", "embedding.norm.bias [8]",
                "blocks.0.attention_norm.gain [8]", "blocks.0.attention.query_key_value.weight [24, 8]", "blocks.0.attention.query_norm.gain [3]",
                "blocks.0.attention.key_norm.gain [3]", "blocks.0.attention_output_norm.gain [8]", "blocks.0.mlp_norm.gain [8]",
                "blocks.0.mlp_output_norm.gain [8]",
                "blocks.1.attention.query_key_value.weight [24, 8]", "blocks.1.attention.query_norm.gain [12]", "blocks.1.attention.key_norm.gain [6]",
                "blocks.1.attention_output_norm.gain [8]", "blocks.1.mlp_output_norm.gain [8]",
                "blocks.2.attention_norm.gain [8]", "blocks.2.attention.query_key_value.weight [24, 8]",
                "blocks.2.attention.query_norm.gain [12]", "blocks.2.attention.query_norm.bias [12]", "blocks.2.attention.key_norm.gain [6]",
                "blocks.2.attention.key_norm.bias [6]", "blocks.2.attention_scale.weight [8]", "blocks.2.mlp_norm.gain [8]",
                "blocks.2.mlp_scale.weight [8]", "head.weight [11, 8]"), names);
    }

    @Test
    void everyPlaceANormCanStandInHasItsParameters() {
        Norm tanh = Norm.of(NormKind.DYNAMIC_TANH, 0, Affine.GAIN);
        Attention attention = Attention.of(4, 3).withKeyValueHeads(2).withBiases(false, false);
        Mlp mlp = Mlp.plain(20, Activation.RELU).withBiases(false, false);
        Block inner = Block.of(Placement.PRE, Wiring.SEQUENTIAL, BARE, attention.withValueNorm(NORM).withInnerNorm(NORM), mlp.withInnerNorm(tanh))
                .withGates(true);
        Block hybrid = Block.of(Placement.POST, Wiring.SEQUENTIAL, tanh,
                attention.withQueryKeyNorm(new QueryKeyNorm(BARE, QueryKeyNorm.Span.PROJECTION)).withValueNorm(tanh), mlp)
                .withPlacements(Placement.NONE, Placement.POST).withSkip(2);
        Block both = Block.of(Placement.BOTH, Wiring.SEQUENTIAL, tanh, attention, mlp);
        Architecture all = Architecture.of("n", 8, 16, Embedding.Tokens.of(11, 8), List.of(inner, hybrid, both), Optional.empty(),
                Output.Words.of(true));
        assertEquals(List.of("embedding.token.weight [11, 8]",
                "blocks.0.attention.query_key_value.weight [24, 8]", "blocks.0.attention.value_norm.gain [3]", "blocks.0.attention.value_norm.bias [3]",
                "blocks.0.attention.inner_norm.gain [12]", "blocks.0.attention.inner_norm.bias [12]", "blocks.0.attention.output.weight [8, 12]",
                "blocks.0.attention_stream_gate.weight [1]", "blocks.0.mlp.up.weight [20, 8]", "blocks.0.mlp.inner_norm.gain [20]",
                "blocks.0.mlp.inner_norm.alpha [1]", "blocks.0.mlp.down.weight [8, 20]", "blocks.0.mlp_stream_gate.weight [1]",
                "blocks.1.attention.query_key_value.weight [24, 8]", "blocks.1.attention.value_norm.gain [6]", "blocks.1.attention.value_norm.alpha [1]",
                "blocks.1.attention.output.weight [8, 12]", "blocks.1.mlp_norm.gain [8]", "blocks.1.mlp_norm.alpha [1]", "blocks.1.mlp.up.weight [20, 8]",
                "blocks.1.mlp.down.weight [8, 20]",
                "blocks.2.attention_norm.gain [8]", "blocks.2.attention_norm.alpha [1]", "blocks.2.attention.query_key_value.weight [24, 8]",
                "blocks.2.attention.output.weight [8, 12]", "blocks.2.attention_output_norm.gain [8]", "blocks.2.attention_output_norm.alpha [1]",
                "blocks.2.mlp_norm.gain [8]", "blocks.2.mlp_norm.alpha [1]", "blocks.2.mlp.up.weight [20, 8]", "blocks.2.mlp.down.weight [8, 20]",
                "blocks.2.mlp_output_norm.gain [8]", "blocks.2.mlp_output_norm.alpha [1]"), parameters(all));
    }

    @Test
    void strategiesThatContradictThemselvesAreRefused() {
        Block pre = Block.of(Placement.PRE, Wiring.SEQUENTIAL, NORM, Attention.of(2, 4), Mlp.plain(32, Activation.GELU));
        Block dual = pre.withPlacements(Placement.DUAL, Placement.DUAL);
        for (double skip : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
            refused("must be positive and finite", () -> pre.withSkip(skip));
        }
        refused("both sub-layers of a block write to the second stream", () -> pre.withPlacements(Placement.DUAL, Placement.POST));
        refused("no norm stands behind", () -> pre.withGates(true).withPlacements(Placement.PRE, Placement.POST));
        refused("no norm stands behind", () -> dual.withGates(true));
        refused("adds once", () -> Block.of(Placement.PRE, Wiring.PARALLEL, NORM, pre.mixer(), pre.feedForward()).withGates(true));
        refused("recentred before a norm behind the sum", () -> pre.withRecentre(true));
        Architecture one = Architecture.of("n", 8, 16, Embedding.Tokens.of(11, 8), List.of(dual, dual), Optional.of(NORM), Output.Words.of(true));
        assertEquals(Optional.empty(), one.withOutput(Output.Words.of(false)).finalReader());
        refused("got 1 of 2 blocks placed dual and a final norm", () -> one.withBlocks(List.of(dual, pre)));
        refused("got 2 of 2 blocks placed dual and no final norm", () -> one.withFinalNorm(Optional.empty()));
        refused("free and carried whole", () -> one.withStream(Stream.CENTRED));
        refused("free and carried whole", () -> one.withBlocks(List.of(dual.withNorm(BARE.withKind(NormKind.CRMS)))));
        refused("no bare stream", () -> one.withOutput(new Output.Hidden(Output.Pooler.NORMED_FIRST)));
        refused("know its last value", () -> one.withBlocks(List.of(pre)).withFinalNorm(Optional.of(BARE.withKind(NormKind.DYNAMIC_TANH)))
                .withStream(Stream.COMPRESSED));
    }

    private static void refused(String words, Executable what) {
        String message = assertThrows(IllegalArgumentException.class, what).getMessage();
        assertTrue(message.contains(words) && !message.contains("\n"), message);
    }

    @Test
    void imagesAndOtherHeadsHaveTheirParameters() {
        Embedding.Patches patches = Embedding.Patches.of(8, 12, 4, 3).withMaskToken(true);
        assertEquals(7, patches.tokens());
        Architecture vit = Architecture.of("v", 8, 7, patches, List.of(), Optional.of(NORM), Output.Labels.of(5, Output.Pooling.FIRST_AND_MEAN));
        assertEquals(List.of("embedding.class_token.weight [8]", "embedding.mask_token.weight [8]", "embedding.patch.weight [8, 48]",
                "embedding.patch.bias [8]", "embedding.position.weight [7, 8]", "final_norm.gain [8]", "final_norm.bias [8]", "head.weight [5, 16]",
                "head.bias [5]"), parameters(vit));
        assertEquals(Optional.empty(), vit.finalReader());
        assertEquals(Optional.of(HEAD), vit.withOutput(Output.Labels.of(5, Output.Pooling.FIRST)).finalReader());
        Architecture opt = Architecture.of("o", 8, 7, Embedding.Tokens.of(11, 6).withProjection(Embedding.Projection.TOKENS), List.of(), Optional.empty(),
                Output.Words.of(true).withProjection(6));
        assertEquals(List.of("embedding.token.weight [11, 6]", "embedding.projection.weight [8, 6]", "head.projection.weight [6, 8]"), parameters(opt));
        Architecture bert = Architecture.of("b", 8, 7, Embedding.Tokens.of(11, 8).withSegments(2), List.of(), Optional.empty(),
                Output.Words.of(true).withBias(true).withTransform(Output.Transform.of(8, Activation.GELU, NORM)));
        assertEquals(List.of("embedding.token.weight [11, 8]", "embedding.segment.weight [2, 8]", "head.transform.weight [8, 8]", "head.transform.bias [8]",
                "head.transform_norm.gain [8]", "head.transform_norm.bias [8]", "head.bias [11]"), parameters(bert));
        Architecture pooled = bert.withOutput(new Output.Hidden(Output.Pooler.DENSE_TANH));
        assertEquals(List.of("pooler.weight [8, 8]", "pooler.bias [8]"), parameters(pooled).subList(2, 4));
        assertThrows(IllegalArgumentException.class, () -> vit.withOutput(Output.Words.of(false)).parameters());
    }

    @Test
    void whatDoesNotFitTogetherIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> Attention.of(4, 3).withKeyValueHeads(3));
        assertThrows(IllegalArgumentException.class, () -> Attention.of(0, 3));
        assertThrows(IllegalArgumentException.class, () -> Attention.of(4, 3).withRotary(Rotary.of(4, 10000, Pairing.HALVES)));
        assertThrows(IllegalArgumentException.class, () -> Rotary.of(3, 10000, Pairing.HALVES));
        assertThrows(IllegalArgumentException.class, () -> Rotary.of(4, 0, Pairing.HALVES));
        assertThrows(IllegalArgumentException.class, () -> Norm.of(NormKind.RMS, Double.NaN, Affine.NONE));
        assertThrows(IllegalArgumentException.class, () -> Mlp.plain(0, Activation.RELU));
        assertThrows(IllegalArgumentException.class,
                () -> Block.of(Placement.POST, Wiring.PARALLEL, NORM, Attention.of(1, 1), Mlp.plain(1, Activation.RELU)));
        assertThrows(IllegalArgumentException.class, () -> Embedding.Patches.of(9, 8, 4, 3));
        assertThrows(IllegalArgumentException.class, () -> Role.of(MLP_UP, WEIGHT));
        assertThrows(IllegalArgumentException.class, () -> Role.of(HEAD, 0, WEIGHT));
    }

    @Test
    void readersAndNormsFollowFromPlacementAndWiring() {
        Attention attention = Attention.of(1, 2);
        Mlp gated = Mlp.gated(3, Activation.SILU);
        Block sequential = Block.of(Placement.PRE, Wiring.SEQUENTIAL, NORM, attention, gated);
        assertEquals(List.of(ATTENTION_NORM, MLP_NORM), Architecture.norms(sequential));
        assertEquals(List.of(Role.of(QUERY_KEY_VALUE, 3, WEIGHT)), Architecture.readers(sequential, 3, ATTENTION_NORM));
        assertEquals(List.of(Role.of(MLP_GATE, 3, WEIGHT), Role.of(MLP_UP, 3, WEIGHT)), Architecture.readers(sequential, 3, MLP_NORM));
        Block one = Block.of(Placement.PRE, Wiring.PARALLEL_ONE_NORM, NORM, attention, Mlp.plain(3, Activation.SILU));
        assertEquals(List.of(ATTENTION_NORM), Architecture.norms(one));
        assertEquals(List.of(Role.of(QUERY_KEY_VALUE, 3, WEIGHT), Role.of(MLP_UP, 3, WEIGHT)), Architecture.readers(one, 3, ATTENTION_NORM));
        Block output = Block.of(Placement.OUTPUT, Wiring.SEQUENTIAL, NORM, attention, gated);
        assertEquals(List.of(), Architecture.norms(output));
        assertEquals(List.of(ATTENTION_OUTPUT_NORM, MLP_OUTPUT_NORM), Architecture.outputNorms(output));
        assertEquals(List.of(), Architecture.outputNorms(sequential));
        Block bare = sequential.withoutNorms();
        assertEquals(List.of(), Architecture.norms(bare));
        assertEquals(List.of(), Architecture.outputNorms(bare));
        assertThrows(IllegalArgumentException.class, () -> bare.withNorm(NORM));
    }

    @Test
    void theNormsOfASubLayerStandAtPlacesOfTheirOwn() {
        for (Placement placement : Placement.values()) {
            assertTrue(placement.norm() == Placement.Place.NOWHERE || placement.norm() != placement.outputNorm(), placement.label());
        }
        Optional<String> norm = Optional.of("norm");
        Optional<String> outputNorm = Optional.of("output norm");
        assertEquals(norm, Placement.BOTH.at(Placement.Place.INPUT, norm, outputNorm));
        assertEquals(Optional.empty(), Placement.BOTH.at(Placement.Place.BRANCH, norm, outputNorm));
        assertEquals(outputNorm, Placement.BOTH.at(Placement.Place.SUM, norm, outputNorm));
        assertEquals(Placement.Place.BRANCH, Placement.OUTPUT.first());
    }

    @Test
    void aParameterCanBelongToAnExpert() {
        Role up = Role.of(MLP_UP, 3, WEIGHT);
        assertEquals("blocks.3.mlp.up.weight", up.path());
        assertEquals("blocks.3.mlp.up.5.weight", up.ofExpert(5).path());
        assertEquals("blocks.2.mlp.up.5.bias", up.ofExpert(5).field(BIAS).inBlock(2).path());
        refused("experts are counted from 0", () -> up.ofExpert(-1));
        refused("experts are counted from 0", () -> Role.of(HEAD, WEIGHT).ofExpert(0));
    }

    @Test
    void alibiSlopesAreThoseOfThePaper() {
        assertArrayEquals(new double[] {0x1p-1, 0x1p-2, 0x1p-3, 0x1p-4, 0x1p-5, 0x1p-6, 0x1p-7, 0x1p-8}, Alibi.AFTER_SCALE.slopes(8));
        assertArrayEquals(new double[] {0x1p-2, 0x1p-4, 0x1p-6, 0x1p-8}, Alibi.BEFORE_SCALE_BFLOAT16.slopes(4));
        assertArrayEquals(new double[] {0x1p-2, 0x1p-4, 0x1p-6, 0x1p-8}, Alibi.AFTER_SCALE_INTERLEAVED.slopes(4));
        // Six heads: those of four, then the first and third of eight.
        assertArrayEquals(new double[] {0x1p-2, 0x1p-4, 0x1p-6, 0x1p-8, 0x1p-1, 0x1p-3}, Alibi.AFTER_SCALE.slopes(6));
        // MPT: the second, fourth, sixth and eighth of eight, then the first and third.
        assertArrayEquals(new double[] {0x1p-2, 0x1p-4, 0x1p-6, 0x1p-8, 0x1p-1, 0x1p-3}, Alibi.AFTER_SCALE_INTERLEAVED.slopes(6));
        double root = Math.sqrt(0.5);
        double[] twelve = {0x1p-1, 0x1p-2, 0x1p-3, 0x1p-4, 0x1p-5, 0x1p-6, 0x1p-7, 0x1p-8, root, root / 2, root / 4, root / 8};
        assertArrayEquals(twelve, Alibi.AFTER_SCALE.slopes(12), 1e-15);
        assertArrayEquals(new double[] {0x1p-8}, Alibi.AFTER_SCALE.slopes(1));
        assertArrayEquals(new double[] {0x1p-4, 0x1p-8, 0x1p-2}, Alibi.AFTER_SCALE.slopes(3));
    }

    @Test
    void rotaryFrequenciesAreThoseOfTheDefinition() {
        assertArrayEquals(new double[] {1, 0.1, 0.01, 0.001}, Rotary.of(8, 10000, Pairing.HALVES).frequencies(), 1e-16);
        // An odd share was rounded up, the exponents keep it: 100^(-2i/3) for i = 0, 1.
        assertArrayEquals(new double[] {1, Math.exp(-Math.log(100) * 2 / 3)},
                new Rotary(4, 3, 100, Pairing.HALVES, new Scaling.None()).frequencies(), 1e-16);
        assertArrayEquals(new double[] {0.25, 0.025, 0.0025, 0.00025},
                Rotary.of(8, 10000, Pairing.HALVES).withScaling(new Scaling.Linear(4)).frequencies(), 1e-16);
        // Llama 3 on a context of 1000: turns are 1000 f / 2 pi = 159, 15.9, 1.59, 0.159; kept above 4, divided below 1.
        double turns = 1000 * 0.01 / (2 * Math.PI);
        double kept = (turns - 1) / (4 - 1);
        assertArrayEquals(new double[] {1, 0.1, (1 - kept) * 0.01 / 8 + kept * 0.01, 0.001 / 8},
                Rotary.of(8, 10000, Pairing.HALVES).withScaling(new Scaling.Llama3(8, 1, 4, 1000)).frequencies(), 1e-16);
    }

    private static Architecture reread(Architecture architecture) throws IOException {
        Config again = Config.parse(Isonorm.config(architecture, "any", Config.of(Map.of()), "0").toString());
        return Families.describe(again, Set.of()).architecture();
    }

    @Test
    void everyArchitectureInEveryFormIsReadAsItWasWritten() throws IOException {
        int compared = 0;
        for (String fixture : Fixtures.all()) {
            LoadedModel source = Fixtures.open(fixture);
            List<Architecture> forms = new ArrayList<>(List.of(Model.of(source.model()).architecture()));
            for (Form form : Form.values()) {
                for (boolean untie : new boolean[] {false, true}) {
                    if (Conversion.refusals(source, form).isEmpty()) {
                        Conversion conversion = Conversion.of(source, form);
                        forms.add(Model.of((untie ? conversion.untied() : conversion).result()).architecture());
                    }
                }
            }
            for (Architecture architecture : forms) {
                assertEquals(architecture, reread(architecture), fixture);
                compared++;
            }
        }
        assertTrue(compared >= 86 + 2 * (44 + 48 + 48 + 4), compared + " were compared");
    }

    /** Each of these ran into a fault of the program's own, or to other numbers by the layers than fused. */
    @Test
    void whatOnlyAFileOfItsOwnFormatCanSayAndDoesNotFitTogetherIsRefused() throws IOException {
        Norm layer = Norm.of(NormKind.LAYER, 1e-5, Affine.NONE);
        Norm crms = Norm.of(NormKind.CRMS, 1e-5, Affine.NONE);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, layer, Attention.of(2, 4), Mlp.plain(32, Activation.GELU));
        Architecture words = Architecture.of("any", 8, 16, Embedding.Tokens.of(11, 8), List.of(block), Optional.of(layer), Output.Words.of(true));
        Architecture hidden = words.withOutput(new Output.Hidden(Output.Pooler.NONE));
        Embedding patches = Embedding.Patches.of(4, 4, 2, 3);
        List<Block> reading = List.of(block.withCross(CrossAttention.of(2, 4)));
        Architecture decoder = new Architecture("any", 8, 16, Embedding.Tokens.of(11, 8), reading, Optional.of(layer), Output.Words.of(true),
                isonorm.architecture.Stream.FREE, Bases.ONE, Optional.of(new Companion.Encoder(hidden, true)));
        assertEquals(words, reread(words));
        assertEquals(decoder, reread(decoder));
        for (Architecture apart : List.of(
                words.withBlocks(List.of(block.withMixer(Attention.of(2, 4).withQueryKeyNorm(new QueryKeyNorm(crms, QueryKeyNorm.Span.HEAD))))),
                words.withBlocks(List.of(block.withFeedForward(Mlp.plain(32, Activation.GELU).withInnerNorm(crms)))),
                words.withFinalNorm(Optional.of(crms)),
                words.withStream(isonorm.architecture.Stream.COMPRESSED),
                words.withEmbedding(patches),
                words.withOutput(Output.Words.of(true).withProjection(5)),
                hidden.withEmbedding(patches).withOutput(new Output.Hidden(Output.Pooler.END)),
                hidden.withOutput(new Output.Hidden(Output.Pooler.MEAN_OF_TWO)),
                hidden.withOutput(Output.Labels.of(3, Output.Pooling.FIRST_AND_MEAN)),
                decoder.withCompanion(new Companion.Encoder(words, true)),
                decoder.withCompanion(new Companion.Encoder(hidden.withEmbedding(Embedding.Tokens.of(12, 8)), true)))) {
            String message = assertThrows(CheckpointException.class, () -> reread(apart), apart::toString).getMessage();
            assertTrue(message.contains("supported is an architecture that fits together"), message);
        }
    }

    @Test
    void everyWordIsReadAsItWasWrittenInEveryLanguage() throws IOException {
        Locale before = Locale.getDefault();
        try {
            for (String language : List.of("en", "tr")) {
                Locale.setDefault(Locale.forLanguageTag(language));
                for (Affine affine : Affine.values()) {
                    for (NormKind kind : NormKind.values()) {
                        Norm norm = Norm.of(kind, 1e-6, affine).withFolded(affine);
                        for (Activation activation : Activation.values()) {
                            Architecture architecture = Architecture.of("any", 8, 16, Embedding.Tokens.of(11, 8).withScale(1 / 3.0),
                                    List.of(Block.of(Placement.PRE, Wiring.PARALLEL, norm, Attention.of(2, 4).withSoftcap(0.1).withClip(8).withWindow(5),
                                            Mlp.plain(32, activation))),
                                    Optional.of(norm), Output.Words.of(false).withScale(0.0625).withSoftcap(30))
                                    .withStream(kind.readsCompressed() ? isonorm.architecture.Stream.COMPRESSED : isonorm.architecture.Stream.FREE);
                            assertEquals(architecture, reread(architecture));
                            String json = Isonorm.config(architecture, "any", Config.of(Map.of()), "0").toString();
                            assertTrue(json.chars().allMatch(c -> c < 128), json);
                        }
                    }
                }
            }
        } finally {
            Locale.setDefault(before);
        }
    }

    @Test
    void blocksThatDifferAreWrittenOneByOne() throws IOException {
        Block a = Block.of(Placement.POST, Wiring.SEQUENTIAL, NORM, Attention.of(2, 4), Mlp.plain(32, Activation.GELU));
        Block b = a.withMixer(Attention.of(2, 4).withWindow(3)).withRecentre(true).withScale(BranchScale.VECTOR);
        Architecture mixed = Architecture.of("m", 8, 16, Embedding.Tokens.of(11, 8), List.of(a, a, b, a, b, b), Optional.empty(), Output.Words.of(true));
        Config config = Isonorm.config(mixed, "any", Config.of(Map.of()), "0");
        List<?> repeats = config.object("architecture").objects("blocks").stream().map(block -> block.values().get("repeat")).toList();
        assertEquals(List.of(2, 1, 1, 2), repeats);
        assertEquals(mixed, reread(mixed));
    }

    @Test
    void everyRoleHasAPathOfItsOwn() {
        Set<String> paths = new HashSet<>();
        for (Part part : Part.values()) {
            for (Role.Field field : Role.Field.values()) {
                assertTrue(paths.add((part.perBlock() ? Role.of(part, 3, field) : Role.of(part, field)).path()));
            }
        }
        assertEquals("blocks.3.attention.query_key_value.folded_gain", Role.of(QUERY_KEY_VALUE, 3, FOLDED_GAIN).path());
    }
}
