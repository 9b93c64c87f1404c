package isonorm.depth;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.architecture.Stack;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.convert.PlainForward;
import isonorm.convert.Strategies;
import isonorm.depth.Depth.ExpertLoad;
import isonorm.layer.Fixture;
import isonorm.layer.Noise;
import isonorm.layer.Tolerance;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.SortedMap;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What a survey says is what the definitions say of a pass in plain loops that is held in memory whole. */
class DepthTest {

    private static final int LENGTH = 12;

    record Case(String fixture, Optional<Form> form, Compute compute) {
        Model model() throws IOException {
            return DepthTest.model(fixture, form);
        }
    }

    /** Every placement and wiring, every kind of norm, compressed streams, LayerScale-free text models of all kinds. */
    static List<Case> cases() throws IOException {
        List<Case> cases = new ArrayList<>();
        for (String fixture : List.of("gpt2", "gptj", "gpt_neox", "llama", "gemma2", "olmo2", "opt-postln", "bert", "bloom", "cohere", "mixtral", "gpt_oss",
                "deepseek_v2")) {
            LoadedModel model = LoadedModel.open(Fixture.named(fixture).folder());
            cases.add(new Case(fixture, Optional.empty(), Compute.F64));
            cases.add(new Case(fixture, Optional.empty(), Compute.F32));
            for (Form form : List.of(Form.PRE_RMSNORM, Form.PRE_CRMSNORM, Form.RMSNORM)) {
                if (Conversion.refusals(model, form).isEmpty()) {
                    cases.add(new Case(fixture, Optional.of(form), Compute.F32));
                }
            }
            Optional<Form> compressed = Conversion.refusals(model, Form.PRE_CRMSNORM).isEmpty() ? Optional.of(Form.PRE_CRMSNORM) : Optional.empty();
            if (compressed.isPresent()) {
                cases.add(new Case(fixture, compressed, Compute.F64));
            }
        }
        return cases;
    }

    private static Model model(String fixture, Optional<Form> form) throws IOException {
        LoadedModel source = LoadedModel.open(Fixture.named(fixture).folder());
        return form.isPresent() ? Model.of(Conversion.of(source, form.get()).result()) : Model.of(source.model());
    }

    private static int[][] ids(Model model, int rows, int length) {
        SplittableRandom random = new SplittableRandom(6);
        int vocabulary = ((Embedding.Tokens) model.architecture().embedding()).vocabulary();
        return IntStream.range(0, rows).mapToObj(_ -> random.ints(length, 3, vocabulary).toArray()).toArray(int[][]::new);
    }

    private static Batch.Tokens batch(int[]... rows) {
        return Batch.Tokens.of(Arrays.stream(rows).map(row -> Arrays.stream(row).asLongStream().toArray()).toArray(long[][]::new));
    }

    private static Depth measure(Model model, Compute compute, Batch.Tokens... batches) throws IOException {
        try (DepthSurvey survey = DepthSurvey.of(model, compute)) {
            return survey.measure(List.of(batches).iterator(), 1, Progress.NONE);
        }
    }

    /** The d values of every token at every position of every block, and of the stream as the MLP finds it. */
    private static Map<String, List<double[]>> everything(Model model, int[][] rows) {
        return everything(model, Arrays.stream(rows).map(PlainForward.Input::tokens).toList());
    }

    private static Map<String, List<double[]>> everything(Model model, List<PlainForward.Input> inputs) {
        PlainForward forward = new PlainForward(model);
        Map<String, List<double[]>> all = new HashMap<>();
        for (PlainForward.Input input : inputs) {
            forward.run(input);
            for (int l = 0; l < model.architecture().blocks().size(); l++) {
                for (String position : List.of("block_input", "attention_norm", "attention_output", "cross_input", "cross_attention_output", "mlp_input",
                        "mlp_output", "block_output")) {
                    double[][] values = forward.trace(l, position);
                    if (values != null) {
                        all.computeIfAbsent(l + " " + position, _ -> new ArrayList<>()).addAll(List.of(values));
                    }
                }
            }
        }
        return all;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void everyQuantityIsItsDefinition(Case one) throws IOException {
        requireDefinitions(one.model(), one.compute, one.toString(), 5);
    }

    /** Wherever norms stand, and whatever scales stream and branches. */
    @ParameterizedTest
    @MethodSource("strategies")
    void everyQuantityIsItsDefinitionForEveryStrategy(String strategy) throws IOException {
        Model model = Strategies.random(Strategies.all().get(strategy));
        requireDefinitions(model, Compute.F64, strategy, 4);
        requireDefinitions(model, Compute.F32, strategy, 4);
    }

    static Set<String> strategies() {
        return Strategies.all().keySet();
    }

    private static void requireDefinitions(Model model, Compute compute, String one, int least) throws IOException {
        int[][] rows = ids(model, 5, LENGTH);
        requireDefinitions(measure(model, compute, batch(rows)), everything(model, rows), compute, one, least);
    }

    /** What a causal model gives of a text without its last token it gives of it with that one, so the difference of both sums is the last token's. */
    @Test
    void theLastTokensAnglesAreGivenBesideTheMean() throws IOException {
        Model model = Model.of(LoadedModel.open(Fixture.named("gpt2").folder()).model());
        long[][] rows = {{3, 14, 15, 9, 2}, {27, 18, 28, 1, 8}};
        try (DepthSurvey survey = DepthSurvey.of(model, Compute.F64)) {
            Depth whole = survey.measure(List.of(Batch.Tokens.of(rows)).iterator(), 10, Progress.NONE);
            Depth shorter = survey.measure(List.of(Batch.Tokens.of(Arrays.copyOf(rows[0], 4), Arrays.copyOf(rows[1], 4))).iterator(), 8, Progress.NONE);
            for (int l = 0; l < whole.blocks(); l++) {
                for (int n = 0; n < whole.angular()[l].length; n++) {
                    double last = (10 * whole.angular()[l][n] - 8 * shorter.angular()[l][n]) / 2;
                    assertEquals(last, whole.lastToken()[l][n], Tolerance.CONVERTED_F64);
                }
            }
        }
    }

    /** Of so many vectors at every position. */
    private static void requireDefinitions(Depth depth, Map<String, List<double[]>> all, Compute compute, String one, int least) {
        double tolerance = compute == Compute.F64 ? Tolerance.CONVERTED_F64 : Tolerance.CONVERTED_F32;
        int tokens = all.get("0 block_input").size();
        assertEquals(tokens, depth.tokens());
        assertEquals(all.keySet().stream().filter(position -> position.endsWith(" block_input")).count(), depth.blocks());
        int compared = 0;
        for (int l = 0; l < depth.blocks(); l++) {
            for (Position position : Position.values()) {
                List<double[]> values = all.get(l + " " + position.label());
                Activations given = depth.activations().get(l).get(position);
                assertEquals(values == null, given == null, position + " of block " + l);
                if (values != null) {
                    requireDefinition(values, given, tolerance, one + ", block " + l + ", " + position.label());
                    compared++;
                }
            }
            requireRatio(all.get(l + " attention_output"), all.get(l + " block_input"), depth.activations().get(l).get(Position.ATTENTION_OUTPUT), tolerance);
            if (all.containsKey(l + " cross_attention_output")) {
                requireRatio(all.get(l + " cross_attention_output"), all.get(l + " cross_input"),
                        depth.activations().get(l).get(Position.CROSS_ATTENTION_OUTPUT), tolerance);
            }
            requireRatio(all.get(l + " mlp_output"), all.get(l + " mlp_input"), depth.activations().get(l).get(Position.MLP_OUTPUT), tolerance);
        }
        assertTrue(compared >= least * depth.blocks(), "compared " + compared);
        List<List<double[]>> inputs = new ArrayList<>(IntStream.range(0, depth.blocks()).mapToObj(l -> all.get(l + " block_input")).toList());
        inputs.add(all.get(depth.blocks() - 1 + " block_output"));
        for (int l = 0; l < depth.blocks(); l++) {
            for (int n = 1; l + n <= depth.blocks(); n++) {
                double angle = 0;
                double cosine = 0;
                for (int t = 0; t < tokens; t++) {
                    double cos = cosine(inputs.get(l).get(t), inputs.get(l + n).get(t));
                    angle += Math.acos(Math.min(1, cos)) / Math.PI / tokens;
                    cosine += cos / tokens;
                }
                assertEquals(angle, depth.distance(l, n), tolerance, one + ", angle of " + l + " and " + n + " more");
                assertEquals(cosine, depth.cosine()[l][n - 1], tolerance, one + ", cosine of " + l + " and " + n + " more");
            }
            assertEquals(1 - depth.cosine()[l][0], depth.influence(l));
        }
    }

    /** A model of two stacks. */
    record Pair(String fixture, Compute compute) {}

    static List<Pair> pairs() {
        return Stream.of("bart", "t5", "whisper", "clip")
                .flatMap(fixture -> Stream.of(Compute.F64, Compute.F32).map(compute -> new Pair(fixture, compute))).toList();
    }

    /** An encoder's blocks and those of the decoder that reads it, and both towers of two. */
    @ParameterizedTest
    @MethodSource("pairs")
    void everyQuantityOfBothStacksIsItsDefinition(Pair one) throws IOException {
        Model model = model(one.fixture, Optional.empty());
        Model other = model.companion().orElseThrow();
        int[][] rows = ids(model, 3, 9);
        Batch read = switch (other.architecture().embedding()) {
            case Embedding.Tokens _ -> batch(ids(other, 3, LENGTH));
            case Embedding.Patches shape -> Noise.images(shape, 3, new SplittableRandom(4));
            case Embedding.Sound shape -> Noise.sounds(shape, 3, LENGTH, new SplittableRandom(4));
        };
        Depth depth;
        try (DepthSurvey survey = DepthSurvey.of(model, one.compute)) {
            depth = survey.measure(List.of(new Batch.Both(read, batch(rows))).iterator(), 1, Progress.NONE);
        }
        List<PlainForward.Input> inputs = Together.rows(read).stream().map(row -> input(row.orElseThrow())).toList();
        requireDefinitions(depth.companion().orElseThrow(), everything(other, inputs), one.compute, one + " beside", 5);
        List<PlainForward.Input> both = IntStream.range(0, 3).mapToObj(r -> new PlainForward.Input(rows[r], null, PlainForward.Input.tokens(rows[r]).seen(),
                inputs.get(r))).toList();
        boolean crosses = model.architecture().blocks().getFirst().cross().isPresent();
        requireDefinitions(depth, everything(model, both), one.compute, one.toString(), crosses ? 6 : 5);
        assertEquals(crosses, depth.activations().getFirst().containsKey(Position.CROSS_ATTENTION_OUTPUT));
        assertFalse(depth.companion().get().activations().getFirst().containsKey(Position.CROSS_ATTENTION_OUTPUT));
    }

    private static PlainForward.Input input(Batch row) {
        return switch (row) {
            case Batch.Tokens tokens -> PlainForward.Input.tokens(Arrays.stream(tokens.ids()[0]).mapToInt(Math::toIntExact).toArray());
            case Batch.Images images -> new PlainForward.Input(null, wide(images.pixels()), null);
            case Batch.Sounds sounds -> new PlainForward.Input(null, wide(sounds.values()), null);
            case Batch.Both _ -> throw new IllegalArgumentException("one stack reads it");
        };
    }

    private static double[] wide(float[] values) {
        return IntStream.range(0, values.length).mapToDouble(i -> values[i]).toArray();
    }

    /** A decoder reads a text's windows, and its encoder the same without the token that begins each. */
    @Test
    void anEncoderReadsTheTextThatTheDecoderReads() throws IOException {
        Model model = model("bart", Optional.empty());
        long[] ids = Arrays.stream(ids(model, 1, 30)[0]).asLongStream().toArray();
        TokenizedText text = new TokenizedText(ids, new long[] {2}, 11, 10, 0);
        List<Batch> expected = IntStream.range(0, 3).<Batch>mapToObj(w ->
                new Batch.Both(Batch.Tokens.of(Arrays.copyOfRange(ids, 10 * w, 10 * w + 10)), Batch.Tokens.of(text.window(w)))).toList();
        try (DepthSurvey survey = DepthSurvey.of(model, Compute.F32)) {
            Depth given = survey.measure(text, Progress.NONE);
            Depth both = survey.measure(expected.iterator(), 33, Progress.NONE);
            assertSame(both, given);
            assertSame(both.companion().orElseThrow(), given.companion().orElseThrow());
            assertEquals(33, given.tokens());
            assertEquals(30, given.companion().orElseThrow().tokens());
            String one = assertThrows(IllegalArgumentException.class,
                    () -> survey.measure(List.of(Batch.Tokens.of(ids)).iterator(), 30, Progress.NONE)).getMessage();
            assertTrue(one.contains("two stacks"), one);
        }
    }

    /** Padding of either stack is taken out, row by row. */
    @Test
    void paddingOfBothStacksChangesNothing() throws IOException {
        Model model = model("bart", Optional.empty());
        int[][] read = ids(model, 3, LENGTH);
        int[][] written = ids(model, 3, LENGTH);
        read[1] = Arrays.copyOf(read[1], 7);
        written[2] = Arrays.copyOf(written[2], 5);
        try (DepthSurvey survey = DepthSurvey.of(model, Compute.F32)) {
            Depth expected = survey.measure(IntStream.range(0, 3).mapToObj(r -> new Batch.Both(batch(read[r]), batch(written[r]))).iterator(), 1, Progress.NONE);
            Depth given = survey.measure(List.of(new Batch.Both(padded(false, read), padded(true, written))).iterator(), 1, Progress.NONE);
            assertSame(expected, given);
            assertSame(expected.companion().orElseThrow(), given.companion().orElseThrow());
        }
    }

    /** Noise that a tower of images reads is the same each time; where texts alone are given, nothing is said of images. */
    @Test
    void aTowerOfImagesIsGivenNoiseBesideAText() throws IOException {
        Model model = model("clip", Optional.empty());
        Embedding.Patches shape = (Embedding.Patches) model.companion().orElseThrow().architecture().embedding();
        TokenizedText text = TokenizedText.of(8, Arrays.stream(ids(model, 1, 24)[0]).asLongStream().toArray());
        try (DepthSurvey survey = DepthSurvey.of(model, Compute.F32)) {
            Depth one = survey.measure(text, Progress.NONE);
            assertEquals(24, one.tokens());
            assertEquals((24 + shape.tokens() - 1) / shape.tokens() * (long) shape.tokens(), one.companion().orElseThrow().tokens());
            assertSame(one.companion().orElseThrow(), survey.measure(text, Progress.NONE).companion().orElseThrow());
            assertEquals(Optional.empty(), survey.measure(List.of(Batch.Tokens.of(text.window(0))).iterator(), 8, Progress.NONE).companion());
        }
    }

    /** A massive activation of patches has a place, and no token. */
    @Test
    void whatAPatchHasIsNoTokens() throws IOException {
        Model model = model("clip", Optional.empty());
        Role bias = Role.of(Part.MLP_DOWN, 0, Role.Field.BIAS);
        Depth depth;
        try (DepthSurvey survey = DepthSurvey.of(biased(model, bias.in(Stack.IMAGE), 7, 5000), Compute.F32)) {
            depth = survey.measure(TokenizedText.of(8, Arrays.stream(ids(model, 1, 24)[0]).asLongStream().toArray()), Progress.NONE);
        }
        assertEquals(List.of(), depth.massive());
        assertEquals(OptionalLong.empty(), depth.companion().orElseThrow().massive().getFirst().token());
    }

    @ParameterizedTest
    @MethodSource("some")
    void linearCkaIsItsDefinition(Case one) throws IOException {
        Model model = one.model();
        int[][] rows = ids(model, 5, LENGTH);
        Map<String, List<double[]>> all = everything(model, rows);
        List<double[]> first = all.get("0 block_input");
        List<double[]> third = all.get("1 block_output");
        double expected = independence(first, third) / Math.sqrt(independence(first, first) * independence(third, third));
        assertEquals(expected, measure(model, one.compute, batch(rows)).cka()[0][1], 10 * Tolerance.CONVERTED_F32);
    }

    /** Also with fewer rows than threads share, and in more than one batch. */
    @ParameterizedTest
    @MethodSource("withExperts")
    void expertsAreCountedAsTheRouterChooses(Case one) throws IOException {
        Model model = one.model();
        int[][] rows = ids(model, 5, LENGTH);
        PlainForward forward = new PlainForward(model);
        SortedMap<Integer, long[]> expected = new TreeMap<>();
        for (int[] row : rows) {
            forward.run(PlainForward.Input.tokens(row));
            for (int l = 0; l < model.architecture().blocks().size(); l++) {
                if (model.architecture().blocks().get(l).feedForward() instanceof Experts experts) {
                    long[] counts = expected.computeIfAbsent(l, _ -> new long[experts.count()]);
                    for (double[] weights : forward.trace(l, "expert_weights")) {
                        IntStream.range(0, weights.length).filter(e -> weights[e] != 0).forEach(e -> counts[e]++);
                    }
                }
            }
        }
        SortedMap<Integer, ExpertLoad> given = measure(model, one.compute, batch(Arrays.copyOf(rows, 4)), batch(rows[4])).experts();
        assertEquals(expected.keySet(), given.keySet());
        for (int l : expected.keySet()) {
            ExpertLoad load = given.get(l);
            long[] counts = expected.get(l);
            assertArrayEquals(counts, load.chosen(), "block " + l);
            assertEquals(5 * LENGTH, load.tokens());
            double all = Arrays.stream(counts).sum();
            double entropy = Arrays.stream(counts).filter(count -> count > 0).mapToDouble(count -> -count / all * Math.log(count / all)).sum();
            assertEquals(Math.exp(entropy), load.effective(), 1e-12);
            assertEquals(Arrays.stream(counts).max().getAsLong() / 60., load.share(load.most()));
            assertEquals(Arrays.stream(counts).min().getAsLong() / 60., load.share(load.least()));
        }
    }

    static List<Case> withExperts() {
        return Stream.of("mixtral", "qwen3_moe", "deepseek_v2", "deepseek_v2-groups", "deepseek_v3", "gpt_oss", "dbrx", "phimoe")
                .flatMap(fixture -> Stream.of(Compute.F64, Compute.F32).map(compute -> new Case(fixture, Optional.empty(), compute))).toList();
    }

    @Test
    void modelsWithoutExpertsHaveNoneCounted() throws IOException {
        Model model = model("gpt2", Optional.empty());
        assertEquals(Map.of(), measure(model, Compute.F32, batch(ids(model, 1, LENGTH))).experts());
    }

    @Test
    void anEvenLoadHasAllExpertsAndOneExpertAloneIsOne() {
        assertEquals(4, new ExpertLoad(new long[] {5, 5, 5, 5}, 10).effective(), 1e-12);
        ExpertLoad one = new ExpertLoad(new long[] {0, 7, 0}, 7);
        assertEquals(1, one.effective());
        assertEquals(1, one.most());
        assertEquals(1, one.share(1));
        assertEquals(0, one.least());
        assertEquals(2, one.unused());
    }

    private static void requireDefinition(List<double[]> tokens, Activations given, double tolerance, String what) {
        double[] x = tokens.stream().flatMapToDouble(Arrays::stream).toArray();
        double mean = Arrays.stream(x).average().orElseThrow();
        double square = Arrays.stream(x).map(value -> value * value).average().orElseThrow();
        double rms = Math.sqrt(square);
        double variance = Arrays.stream(x).map(value -> (value - mean) * (value - mean)).average().orElseThrow();
        double fourth = Arrays.stream(x).map(value -> Math.pow(value - mean, 4)).average().orElseThrow();
        double largest = Arrays.stream(x).map(Math::abs).max().orElseThrow();
        assertEquals(x.length, given.values(), what);
        assertEquals(mean, given.mean(), tolerance * rms, what);
        assertEquals(variance, given.variance(), 4 * tolerance * square, what);
        assertEquals(rms, given.rms(), 2 * tolerance * rms, what);
        assertEquals(largest, given.maxAbs(), 4 * tolerance * largest, what);
        assertEquals(fourth / variance / variance, given.kurtosis(), 50 * tolerance * fourth / variance / variance, what);
        double[] magnitudes = Arrays.stream(x).map(Math::abs).sorted().toArray();
        requireQuantile(magnitudes, given.p50(), 0.5, what);
        requireQuantile(magnitudes, given.p99(), 0.99, what);
        requireQuantile(magnitudes, given.p999(), 0.999, what);
        assertEquals(0, given.beyondFp16() + given.beyondE5m2() + given.nonFinite(), what);
        assertEquals(Arrays.stream(magnitudes).filter(value -> value > 448).count(), given.beyondE4m3(), what);
    }

    /** A bin below what is given lies no more than the part, a bin above no less. */
    private static void requireQuantile(double[] magnitudes, double given, double part, String what) {
        double below = Arrays.stream(magnitudes).filter(value -> value < given * (1 - 1 / 63.0)).count() / (double) magnitudes.length;
        double upTo = Arrays.stream(magnitudes).filter(value -> value <= given * (1 + 1 / 63.0)).count() / (double) magnitudes.length;
        assertTrue(below <= part && part <= upTo, what + ": " + given + " has " + below + " below and " + upTo + " up to it, not " + part);
    }

    private static void requireRatio(List<double[]> branch, List<double[]> stream, Activations given, double tolerance) {
        double ratio = IntStream.range(0, branch.size()).mapToDouble(t -> norm(branch.get(t)) / norm(stream.get(t))).average().orElseThrow();
        assertEquals(ratio, given.writeRatio().orElseThrow(), 4 * tolerance * ratio);
    }

    /** HSIC by its definition: means of products over tokens of a window that all differ, and the mean of that over windows. */
    private static double independence(List<double[]> x, List<double[]> y) {
        double sum = 0;
        for (int window = 0; window < x.size(); window += LENGTH) {
            double[][] k = products(x.subList(window, window + LENGTH));
            double[][] m = products(y.subList(window, window + LENGTH));
            double two = 0;
            double three = 0;
            double four = 0;
            for (int i = 0; i < LENGTH; i++) {
                for (int j = 0; j < LENGTH; j++) {
                    two += i != j ? k[i][j] * m[i][j] : 0;
                    for (int q = 0; q < LENGTH; q++) {
                        three += i != j && i != q && j != q ? k[i][j] * m[i][q] : 0;
                        for (int r = 0; r < LENGTH; r++) {
                            four += i != j && i != q && i != r && j != q && j != r && q != r ? k[i][j] * m[q][r] : 0;
                        }
                    }
                }
            }
            int n = LENGTH;
            sum += two / n / (n - 1) - 2 * three / n / (n - 1) / (n - 2) + four / n / (n - 1) / (n - 2) / (n - 3);
        }
        return sum;
    }

    private static double[][] products(List<double[]> rows) {
        return rows.stream().map(a -> rows.stream().mapToDouble(b -> IntStream.range(0, a.length).mapToDouble(i -> a[i] * b[i]).sum()).toArray())
                .toArray(double[][]::new);
    }

    private static double norm(double[] x) {
        return Math.sqrt(Arrays.stream(x).map(value -> value * value).sum());
    }

    private static double cosine(double[] x, double[] y) {
        return IntStream.range(0, x.length).mapToDouble(i -> x[i] * y[i]).sum() / norm(x) / norm(y);
    }

    static List<Case> some() {
        return List.of(new Case("gpt2", Optional.empty(), Compute.F32), new Case("gptj", Optional.of(Form.PRE_CRMSNORM), Compute.F32),
                new Case("bert", Optional.empty(), Compute.F64));
    }

    /** Nothing but the rows counts: in batches of one, or with padding on either side, every number is the same but for rounding. */
    @ParameterizedTest
    @MethodSource("some")
    void batchesAndPaddingChangeNothing(Case one) throws IOException {
        Model model = one.model();
        int[][] rows = ids(model, 7, LENGTH);
        rows[2] = Arrays.copyOf(rows[2], 9);
        rows[3] = Arrays.copyOf(rows[3], 5);
        Batch.Tokens[] single = Arrays.stream(rows).map(DepthTest::batch).toArray(Batch.Tokens[]::new);
        Depth expected = measure(model, one.compute, single);
        assertSame(expected, measure(model, one.compute, padded(false, rows)));
        assertSame(expected, measure(model, one.compute, padded(true, Arrays.copyOf(rows, 4)), padded(true, Arrays.copyOfRange(rows, 4, 7))));
        assertEquals(5 * LENGTH + 14, expected.tokens());
    }

    private static Batch.Tokens padded(boolean left, int[]... rows) {
        long[][] ids = new long[rows.length][LENGTH];
        long[][] mask = new long[rows.length][LENGTH];
        for (int r = 0; r < rows.length; r++) {
            int at = left ? LENGTH - rows[r].length : 0;
            for (int t = 0; t < rows[r].length; t++) {
                ids[r][at + t] = rows[r][t];
                mask[r][at + t] = 1;
            }
        }
        return new Batch.Tokens(ids, Optional.of(mask));
    }

    /** Products of other rows together may add up in another order. */
    private static void assertSame(Depth expected, Depth given) {
        assertEquals(expected.tokens(), given.tokens());
        for (int l = 0; l < expected.blocks(); l++) {
            for (Position position : expected.activations().get(l).keySet()) {
                Activations a = expected.activations().get(l).get(position);
                Activations b = given.activations().get(l).get(position);
                assertEquals(a.values(), b.values());
                assertArrayEquals(
                        new double[] {a.mean(), a.variance(), a.rms(), a.maxAbs(), a.p50(), a.p99(), a.p999(), a.kurtosis(), a.writeRatio().orElse(0)},
                        new double[] {b.mean(), b.variance(), b.rms(), b.maxAbs(), b.p50(), b.p99(), b.p999(), b.kurtosis(), b.writeRatio().orElse(0)},
                        10 * Tolerance.CONVERTED_F64 * Math.max(1, a.kurtosis()), position + " of block " + l);
            }
            assertArrayEquals(expected.angular()[l], given.angular()[l], Tolerance.CONVERTED_F64);
            assertArrayEquals(expected.cosine()[l], given.cosine()[l], Tolerance.CONVERTED_F64);
        }
    }

    private static Model changed(Model model, Role role, double value) {
        Map<Role, Matrix> weights = new HashMap<>(model.weights());
        Matrix before = weights.get(role);
        double[] values = new double[before.rows() * before.columns()];
        Arrays.fill(values, value);
        weights.put(role, Dense.of(before.rows(), before.columns(), values));
        return new Model(model.architecture(), weights);
    }

    /** A model whose block writes nothing. */
    private static Model silenced(Model model, int block) {
        Model silent = model;
        for (Part part : List.of(Part.ATTENTION_OUTPUT, Part.MLP_DOWN)) {
            Role weight = Role.of(part, block, Role.Field.WEIGHT);
            silent = changed(changed(silent, weight, 0), weight.field(Role.Field.BIAS), 0);
        }
        return silent;
    }

    @EveryProcessor
    @Test
    void aBlockThatWritesNothingTurnsNothingAndIsIdle() throws IOException {
        Model model = silenced(model("gpt2", Optional.empty()), 1);
        int[][] rows = ids(model, 20, LENGTH);
        for (Compute compute : List.of(Compute.F64, Compute.F32, Compute.BF16)) {
            Depth depth = measure(model, compute, batch(rows));
            assertEquals(0, depth.distance(1, 1));
            assertEquals(0, depth.influence(1));
            assertEquals(1, depth.cka()[1][0], 1e-12);
            assertTrue(depth.distance(0, 1) > 0.05, "block 0 does something");
            assertEquals(0, depth.activations().get(1).get(Position.MLP_OUTPUT).writeRatio().orElseThrow());
            assertEquals(0, depth.activations().get(1).get(Position.ATTENTION_OUTPUT).maxAbs());
            assertEquals(depth.activations().get(1).get(Position.BLOCK_INPUT), depth.activations().get(1).get(Position.BLOCK_OUTPUT));
            assertTrue(depth.idle().contains(1));
        }
    }

    @EveryProcessor
    @Test
    void perplexityWithoutBlocksIsThatOfTheSmallerModel() throws IOException {
        Model model = silenced(model("gpt2", Optional.empty()), 1);
        int blocks = model.architecture().blocks().size();
        long[] ids = Arrays.stream(ids(model, 1, 200)[0]).asLongStream().toArray();
        TokenizedText text = TokenizedText.of(LENGTH, ids);
        for (Compute compute : List.of(Compute.F64, Compute.F32)) {
            try (DepthSurvey survey = DepthSurvey.of(model, compute)) {
                Sensitivity sensitivity = survey.sensitivity(text, List.of(2, blocks), Progress.NONE);
                double whole = Verification.perplexity(model, text, Compute.F64, Progress.NONE);
                double tolerance = whole * Tolerance.CONVERTED_F32;
                assertEquals(whole, sensitivity.perplexity(), tolerance);
                assertEquals(blocks + blocks - 1, sensitivity.removals().size());
                for (Sensitivity.Removal removal : sensitivity.removals()) {
                    Model smaller = without(model, removal.block(), removal.span());
                    assertEquals(Verification.perplexity(smaller, text, Compute.F64, Progress.NONE), removal.perplexity(), tolerance, removal.toString());
                }
                assertEquals(0, sensitivity.increase(1), Tolerance.CONVERTED_F32);
                assertTrue(Math.abs(sensitivity.increase(0)) > 1e-3, "block 0 does something");
            }
        }
    }

    private static Model without(Model model, int first, int count) {
        List<isonorm.architecture.Block> blocks = new ArrayList<>(model.architecture().blocks());
        blocks.subList(first, first + count).clear();
        Architecture smaller = model.architecture().withBlocks(blocks);
        Map<Role, Matrix> weights = new HashMap<>();
        smaller.parameters().forEach(parameter -> {
            Role role = parameter.role();
            boolean moved = role.block() >= first;
            weights.put(role, model.weight(moved ? Role.of(role.part(), role.block() + count, role.field()) : role));
        });
        return new Model(smaller, weights);
    }

    /** A bias of 5000 on one dimension in block 0, taken away by block 2. */
    @EveryProcessor
    @Test
    void massiveActivationsAreFoundWhereTheyAreBornAndWhereTheyDie() throws IOException {
        Model model = model("gpt2", Optional.empty());
        int blocks = model.architecture().blocks().size();
        assertTrue(blocks >= 3, "the fixture has " + blocks + " blocks");
        assertEquals(List.of(), measure(model, Compute.F32, batch(ids(model, 4, LENGTH))).massive());
        Model massive = biased(biased(model, Role.of(Part.MLP_DOWN, 0, Role.Field.BIAS), 7, 5000), Role.of(Part.ATTENTION_OUTPUT, 2, Role.Field.BIAS), 7, -5000);
        int[][] rows = ids(model, 4, LENGTH);
        Depth depth = measure(massive, Compute.F32, batch(rows));
        assertEquals(1, depth.massive().size());
        MassiveActivation found = depth.massive().getFirst();
        assertEquals(7, found.dimension());
        assertEquals(0, found.bornIn());
        assertEquals(OptionalInt.of(2), found.diesIn());
        assertEquals(5000, found.value(), 20);
        assertEquals(4 * LENGTH, found.tokens());
        assertTrue(Arrays.stream(rows).anyMatch(row -> row[found.place()] == found.token().getAsLong()), "its token stands at its place");
        Depth lasting = measure(biased(model, Role.of(Part.MLP_DOWN, 0, Role.Field.BIAS), 7, 5000), Compute.F32, batch(rows));
        assertEquals(OptionalInt.empty(), lasting.massive().getFirst().diesIn());
        Model four = model;
        for (int dimension = 3; dimension < 7; dimension++) {
            four = biased(four, Role.of(Part.MLP_DOWN, 0, Role.Field.BIAS), dimension, 5000);
        }
        assertEquals(List.of(), measure(four, Compute.F32, batch(rows)).massive(), "more than three dimensions are no massive activations");
    }

    private static Model biased(Model model, Role role, int dimension, double value) throws IOException {
        Map<Role, Matrix> weights = new HashMap<>(model.weights());
        double[] bias = weights.get(role).vector().clone();
        bias[dimension] += value;
        weights.put(role, Dense.of(1, bias.length, bias));
        return new Model(model.architecture(), weights);
    }

    @Test
    void valuesBeyondAreCountedAtTheirPosition() throws IOException {
        Model model = biased(model("gpt2", Optional.empty()), Role.of(Part.MLP_DOWN, 1, Role.Field.BIAS), 4, 70_000);
        Depth depth = measure(model, Compute.F32, batch(ids(model, 3, LENGTH)));
        Activations written = depth.activations().get(1).get(Position.MLP_OUTPUT);
        assertEquals(3 * LENGTH, written.beyondFp16());
        assertEquals(3 * LENGTH, written.beyondE5m2());
        assertEquals(3 * LENGTH, written.beyondE4m3());
        assertEquals(0, depth.activations().get(1).get(Position.BLOCK_INPUT).beyondFp16());
        assertEquals(3 * LENGTH, depth.activations().get(1).get(Position.BLOCK_OUTPUT).beyondFp16());
    }

    @Test
    void whatCannotBeMeasuredIsRefusedInOneLine() throws IOException {
        Model model = model("gpt2", Optional.empty());
        String none = assertThrows(IllegalArgumentException.class,
                () -> DepthSurvey.of(without(model, 0, model.architecture().blocks().size()), Compute.F32)).getMessage();
        assertTrue(none.contains("has none"), none);
        String images = assertThrows(IllegalArgumentException.class, () -> DepthSurvey.of(model("vit", Optional.empty()), Compute.F32)).getMessage();
        assertTrue(images.contains("reads images"), images);
        String empty = assertThrows(IllegalArgumentException.class, () -> measure(model, Compute.F32)).getMessage();
        assertTrue(empty.contains("got none"), empty);
        assertFalse((none + images + empty).contains("\n"));
    }
}
