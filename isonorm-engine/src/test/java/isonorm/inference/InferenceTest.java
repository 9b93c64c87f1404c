package isonorm.inference;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.convert.Strategies;
import isonorm.fused.FusedModel;
import isonorm.layer.Fixture;
import isonorm.layer.ForwardPass;
import isonorm.layer.Routes;
import isonorm.layer.Tolerance;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The fused runtime gives what the layers give, for every fixture and every form it can take, and for every strategy. */
class InferenceTest {

    /** Whether every form of every fixture runs in every type both ways, and not a sixth of the forms, and each fixture in two of the ways. */
    private static final boolean ALL = Boolean.getBoolean("isonorm.all");

    /** Fixtures that have all there is between them. */
    private static final Set<String> FEW = Set.of("gpt2", "llama", "bloom", "vit");

    private static final int THREADS = 2;

    /** A model and a batch for it. */
    interface Runs {
        Model model() throws IOException;

        Batch batch() throws IOException;
    }

    /** A strategy that no fixture has. */
    record Placed(String name, Architecture architecture) implements Runs {
        @Override
        public Model model() {
            return Strategies.random(architecture);
        }

        @Override
        public Batch batch() {
            if (architecture.embedding() instanceof Embedding.Tokens) {
                return Batch.Tokens.of(ids(40, 5), ids(40, 6), ids(40, 7)); // long enough for rows to be taken through the steps apart
            }
            float[] pixels = new float[2 * 3 * 8 * 8];
            for (int i = 0; i < pixels.length; i++) {
                pixels[i] = (float) Math.sin(i);
            }
            return new Batch.Images(pixels, 2, 3, 8, 8);
        }

        private static long[] ids(int length, long seed) {
            return Arrays.stream(Strategies.ids(length, seed)).asLongStream().toArray();
        }

        @Override
        public String toString() {
            return name;
        }
    }

    static List<Runs> strategies() {
        List<Runs> placed = new ArrayList<>();
        Strategies.all().forEach((name, architecture) -> placed.add(new Placed(name, architecture)));
        return placed;
    }

    static List<Runs> casesAndStrategies() throws IOException {
        List<Runs> all = new ArrayList<>(cases());
        all.addAll(strategies());
        Strategies.images().forEach((name, architecture) -> all.add(new Placed(name, architecture)));
        return all;
    }

    static List<Runs> continuingAndStrategies() throws IOException {
        List<Runs> all = new ArrayList<>(continuing());
        all.addAll(strategies());
        return all;
    }

    record Case(Fixture fixture, Optional<Form> form) implements Runs {
        @Override
        public Model model() throws IOException {
            LoadedModel source = LoadedModel.open(fixture.folder());
            return form.isPresent() ? Model.of(Conversion.of(source, form.get()).result()) : Model.of(source.model());
        }

        /** The fixture's inputs without padding. */
        @Override
        public Batch batch() throws IOException {
            return switch (fixture.batch()) {
                case Batch.Tokens tokens -> Batch.Tokens.of(tokens.ids());
                case Batch.Both(Batch.Tokens encoded, Batch main) -> new Batch.Both(Batch.Tokens.of(encoded.ids()), main);
                case Batch other -> other;
            };
        }

        @Override
        public String toString() {
            return fixture.name() + form.map(form -> " as " + form.label()).orElse("");
        }
    }

    static List<Case> cases() throws IOException {
        List<Case> cases = new ArrayList<>();
        SplittableRandom random = new SplittableRandom(29);
        for (Fixture fixture : Fixture.all()) {
            if (Set.of("bloom-postln-residual").contains(fixture.name())) {
                continue;
            }
            LoadedModel model = LoadedModel.open(fixture.folder());
            if (Model.of(model.model()).architecture().companion().filter(Companion.ImageTower.class::isInstance).isPresent()) {
                continue; // Two towers run by their layers.
            }
            cases.add(new Case(fixture, Optional.empty()));
            for (Form form : Form.values()) {
                if (Conversion.refusals(model, form).isEmpty() && (ALL || random.nextInt(6) == 0)) {
                    cases.add(new Case(fixture, Optional.of(form)));
                }
            }
        }
        return cases;
    }

    static List<Case> continuing() throws IOException {
        List<Case> continuing = new ArrayList<>();
        for (Case one : cases()) {
            Model model = one.model();
            // A sequence can't grow beyond its context, nor where every position would be turned anew.
            int room = Math.min(model.architecture().context(), model.architecture().steadySequence());
            if (model.architecture().output() instanceof Output.Words && model.architecture().blocks().stream().allMatch(block -> block.mixer().causal())
                    && tokens(one.batch()).filter(tokens -> tokens.length() <= room).isPresent()) {
                continuing.add(one);
            }
        }
        return continuing;
    }

    /** What a model of words reads, or the decoder of two stacks. */
    private static Optional<Batch.Tokens> tokens(Batch batch) {
        return switch (batch) {
            case Batch.Tokens tokens -> Optional.of(tokens);
            case Batch.Both both -> tokens(both.main());
            case Batch.Images _, Batch.Sounds _ -> Optional.empty();
        };
    }

    /** A sequence that is begun as the row of a batch is, about what stands in the encoder's row where there is one. */
    private static Sequence start(Inference inference, Batch batch, int row) throws IOException {
        return switch (batch) {
            case Batch.Both(Batch.Tokens encoded, _) -> inference.start(Batch.Tokens.of(encoded.ids()[row]));
            case Batch.Both(Batch.Sounds sounds, _) -> inference.start(sounds.slice(row, 1));
            case Batch _ -> inference.start();
        };
    }

    @ParameterizedTest
    @MethodSource("casesAndStrategies")
    void givesWhatTheLayersGive(Runs one) throws IOException {
        requireWhatTheLayersGive(one);
    }

    /** A few models that have all there is between them: both orientations, gates, shared heads, rotary angles, ALiBi, images, each form of a norm. */
    @EveryProcessor
    @ParameterizedTest
    @MethodSource("few")
    void someModelsOfEachKindGiveWhatTheLayersGive(Runs one) throws IOException {
        requireWhatTheLayersGive(one);
        if (one.batch() instanceof Batch.Tokens) {
            requireSameWordByWord(one, Compute.F32, true);
            requireSameWordByWord(one, Compute.BF16, true);
        }
    }

    static List<Runs> few() throws IOException {
        List<Runs> few = new ArrayList<>();
        for (Case one : cases()) {
            if (FEW.contains(one.fixture().name())) {
                few.add(one);
            }
        }
        return few;
    }

    /** A type to compute in, and whether weights are brought into panels for two threads, or stay mapped for one. */
    private record Way(Compute compute, boolean packs) {}

    /** All of them, or where there are many more like it, one in float32 and one in 16 bits, drawn by its name. */
    private static List<Way> ways(Runs one) {
        List<Way> single = List.of(new Way(Compute.F32, true), new Way(Compute.F32, false));
        List<Way> halves = new ArrayList<>(List.of(new Way(Compute.BF16, true), new Way(Compute.F16, true)));
        boolean many = false;
        if (one instanceof Case(Fixture fixture, Optional<Form> form)) {
            many = form.isPresent() || !FEW.contains(fixture.name());
        }
        if (!(one instanceof Case(_, Optional<Form> form) && form.isPresent())) { // what is converted is mapped in the type alone that it is stored in
            halves.addAll(List.of(new Way(Compute.BF16, false), new Way(Compute.F16, false)));
        }
        if (ALL || !many) {
            return Stream.concat(single.stream(), halves.stream()).toList();
        }
        SplittableRandom random = new SplittableRandom(one.toString().hashCode());
        return List.of(single.get(random.nextInt(single.size())), halves.get(random.nextInt(halves.size())));
    }

    private static void requireWhatTheLayersGive(Runs one) throws IOException {
        Model model = one.model();
        Batch batch = one.batch();
        try (ForwardPass reference = ForwardPass.streaming(model, Compute.F64);
                Result expected = reference.run(batch)) {
            for (Way way : ways(one)) {
                String what = one + " in " + way.compute().label() + (way.packs() ? ", in panels" : ", mapped");
                requireGives(what, expected, model, batch, way.compute(), way.packs());
            }
        }
    }

    private static void requireGives(String what, Result expected, Model model, Batch batch, Compute compute, boolean packs) throws IOException {
        try (Inference inference = Inference.load(model, compute, packs ? THREADS : 1, packs); Result result = inference.run(batch)) {
            if (compute.bytes() == 2) {
                double worst = worst16(model, batch, compute, packs, expected.outputValues(), result.outputValues());
                assertTrue(worst <= Tolerance.original(compute), what + " is " + worst + " away, allowed are " + Tolerance.original(compute));
            } else {
                requireWithin(what, compute, expected.outputValues(), result.outputValues());
            }
            if (expected.companion().isPresent()) {
                double[] encoded = expected.companion().get().outputValues();
                double worst = Fixture.worst(encoded, result.companion().orElseThrow().outputValues());
                assertTrue(worst <= Tolerance.original(compute), what + ", its encoder, is " + worst + " away, allowed are " + Tolerance.original(compute));
            }
            if (expected.pooledValues().isPresent()) {
                requireWithin(what + ", pooled", compute, expected.pooledValues().get(), result.pooledValues().orElseThrow());
            }
        }
    }

    /** Where there are experts the model is run once more, to see which are chosen. */
    private static double worst16(Model model, Batch batch, Compute compute, boolean packs, double[] expected, double[] values) throws IOException {
        Optional<Routes> routes = Routes.reference(model, batch);
        if (routes.isEmpty()) {
            return Fixture.worst(expected, values, batch);
        }
        try (FusedModel run = FusedModel.load(model, compute, packs ? THREADS : 1, packs)) {
            return Routes.worst(routes, run, compute, expected, values, batch);
        }
    }

    /** One word after the other, two sequences of different length at once, against the whole text at once. */
    @ParameterizedTest
    @MethodSource("continuingAndStrategies")
    void wordByWordIsTheSameAsAtOnce(Runs one) throws IOException {
        for (Compute compute : one instanceof Placed ? List.of(Compute.F32, Compute.BF16) : List.of(Compute.F32)) {
            requireSameWordByWord(one, compute, true);
        }
        requireSameWordByWord(one, Compute.F32, false);
    }

    private static void requireSameWordByWord(Runs one, Compute compute, boolean packs) throws IOException {
        Model model = one.model();
        long[][] ids = tokens(one.batch()).orElseThrow().ids();
        int length = ids[0].length;
        try (Inference inference = Inference.load(model, compute, packs ? THREADS : 1, packs);
                Result whole = inference.run(one.batch());
                Sequence first = start(inference, one.batch(), 0);
                Sequence second = start(inference, one.batch(), 1 % ids.length)) {
            double[] expected = whole.outputValues();
            inference.next(List.of(first), List.of(part(ids[0], 0, length / 2)));
            List<float[]> logits = inference.next(List.of(second, first), List.of(part(ids[1 % ids.length], 0, length - 1), part(ids[0], length / 2, length - 1)));
            logits = inference.next(List.of(first, second), List.of(part(ids[0], length - 1, length), part(ids[1 % ids.length], length - 1, length)));
            int vocabulary = logits.getFirst().length;
            for (int s = 0; s < 2; s++) {
                int at = ((s % ids.length) * length + length - 1) * vocabulary;
                double[] last = Arrays.copyOfRange(expected, at, at + vocabulary);
                requireWithin(one + ", row " + s, compute, last, doubles(logits.get(s)));
            }
            assertEquals(length, first.length());
        }
    }

    /** What a model says next does not depend on its form, and so what it generates. */
    @ParameterizedTest
    @MethodSource("originals")
    void everyFormGeneratesTheSameTokens(Fixture fixture) throws IOException {
        LoadedModel source = LoadedModel.open(fixture.folder());
        Batch batch = new Case(fixture, Optional.empty()).batch();
        List<Integer> expected = greedy(Model.of(source.model()), batch);
        for (Form form : Form.values()) {
            if (Conversion.refusals(source, form).isEmpty()) {
                assertEquals(expected, greedy(Model.of(Conversion.of(source, form).result()), batch), fixture + " as " + form.label());
            }
        }
    }

    static List<Fixture> originals() throws IOException {
        return continuing().stream().filter(one -> one.form().isEmpty()).map(Case::fixture).toList();
    }

    private static List<Integer> greedy(Model model, Batch batch) throws IOException {
        List<Integer> said = new ArrayList<>();
        try (Inference inference = Inference.load(model, Compute.F32, 1); Sequence sequence = start(inference, batch, 0)) {
            int[] next = {5, 3, 11};
            for (int i = 0; i < 8; i++) {
                float[] logits = inference.next(List.of(sequence), List.of(next)).getFirst();
                int best = 0;
                for (int word = 1; word < logits.length; word++) {
                    best = logits[word] > logits[best] ? word : best;
                }
                said.add(best);
                next = new int[] {best};
            }
        }
        return said;
    }

    /** A copy goes on from where the sequence was, whatever becomes of that, and outlives it. */
    @Test
    void aCopyOfASequenceGoesOnByItself() throws IOException {
        for (String name : List.of("gpt2", "mbart", "marian")) {
            Fixture fixture = Fixture.named(name);
            Batch batch = new Case(fixture, Optional.empty()).batch();
            int[] ids = Arrays.stream(tokens(batch).orElseThrow().ids()[0]).mapToInt(Math::toIntExact).toArray();
            try (Inference inference = Inference.load(fixture.model(), Compute.F32, 2); Sequence whole = start(inference, batch, 0)) {
                float[] expected = inference.next(List.of(whole), List.of(ids)).getFirst();
                Sequence begun = start(inference, batch, 0);
                inference.next(List.of(begun), List.of(Arrays.copyOf(ids, 3)));
                try (Sequence copy = begun.copy()) {
                    inference.next(List.of(begun), List.of(new int[] {7, 8, 9}));
                    begun.close();
                    float[] given = inference.next(List.of(copy), List.of(Arrays.copyOfRange(ids, 3, ids.length))).getFirst();
                    assertArrayEquals(expected, given, name);
                    assertEquals(ids.length, copy.length());
                }
            }
        }
    }

    @Test
    void aSequenceOfTwoStacksIsAboutAnInput() throws IOException {
        try (Inference two = Inference.load(Fixture.named("bart").model(), Compute.F32, 1);
                Inference one = Inference.load(Fixture.named("gpt2").model(), Compute.F32, 1)) {
            requireRefused("writes about an input", two::start);
            requireRefused("has no encoder", () -> one.start(Batch.Tokens.of(new long[] {1})));
            requireRefused("about one input, got 2", () -> two.start(Batch.Tokens.of(new long[] {1}, new long[] {2})));
            requireRefused("got an input of one", () -> two.run(Batch.Tokens.of(new long[] {1})));
            requireRefused("got images", () -> two.start(new Batch.Images(new float[1], 1, 1, 1, 1)));
        }
    }

    /** Long enough for rows to be taken through the steps apart, and for attention in blocks. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 5})
    void theNumberOfThreadsChangesNothingButRoundings(int threads) throws IOException {
        Model model = Fixture.named("llama").model();
        int length = model.architecture().context();
        long[] ids = new SplittableRandom(7).longs(length, 0, 60).toArray();
        try (ForwardPass reference = ForwardPass.streaming(model, Compute.F64);
                Result expected = reference.run(Batch.Tokens.of(ids, ids, ids));
                Inference inference = Inference.load(model, Compute.F32, threads);
                Result result = inference.run(Batch.Tokens.of(ids, ids, ids));
                Sequence sequence = inference.start()) {
            requireWithin(threads + " threads", Compute.F32, expected.outputValues(), result.outputValues());
            float[] last = inference.next(List.of(sequence), List.of(part(ids, 0, length))).getFirst();
            double[] all = expected.outputValues();
            requireWithin("the last of " + length, Compute.F32, Arrays.copyOfRange(all, all.length - last.length, all.length), doubles(last));
        }
    }

    @Test
    void whatDoesNotFitIsRefusedInOneLine() throws IOException {
        Model model = Fixture.named("gpt2").model();
        int context = model.architecture().context();
        try (Inference inference = Inference.load(model, Compute.F32, 1);
                Inference other = Inference.load(model, Compute.F32, 1);
                Sequence sequence = inference.start();
                Sequence foreign = other.start()) {
            requireRefused("context of " + context, () -> inference.next(List.of(sequence), List.of(new int[context + 1])));
            requireRefused("got none", () -> inference.next(List.of(sequence), List.of(new int[0])));
            requireRefused("token ids must be", () -> inference.next(List.of(sequence), List.of(new int[] {1_000_000})));
            requireRefused("token ids must be", () -> inference.run(Batch.Tokens.of(new long[] {-1})));
            requireRefused("twice", () -> inference.next(List.of(sequence, sequence), List.of(new int[] {1}, new int[] {2})));
            requireRefused("the model that started it", () -> inference.next(List.of(foreign), List.of(new int[] {1})));
            requireRefused("got images", () -> inference.run(new Batch.Images(new float[1], 1, 1, 1, 1)));
            assertEquals(0, sequence.length());
        }
        requireRefused("take ForwardPass", () -> Inference.load(model, Compute.F64, 1));
        requireRefused("one thread or more", () -> Inference.load(model, Compute.F32, 0));
        try (Inference encoder = Inference.load(Fixture.named("bert").model(), Compute.F32, 1);
                Inference pictures = Inference.load(Fixture.named("vit").model(), Compute.F32, 1)) {
            requireRefused("sees all", encoder::start);
            requireRefused("language head", pictures::start);
        }
    }

    @Test
    void whatWasClosedIsNotTouched() throws IOException {
        Inference inference = Inference.load(Fixture.named("gpt2").model(), Compute.F32, 2);
        Sequence closed = inference.start();
        inference.next(List.of(closed), List.of(new int[] {1}));
        closed.close();
        assertThrows(IllegalStateException.class, () -> inference.next(List.of(closed), List.of(new int[] {2})));
        Sequence left = inference.start();
        inference.close();
        inference.close();
        assertThrows(IllegalStateException.class, () -> inference.next(List.of(left), List.of(new int[] {1})));
        assertThrows(IllegalStateException.class, () -> inference.run(Batch.Tokens.of(new long[] {1})));
        assertThrows(IllegalStateException.class, inference::start);
        left.close();
        left.close();
    }

    private static void requireRefused(String words, Executable what) {
        String message = assertThrows(IllegalArgumentException.class, what).getMessage();
        assertTrue(message.contains(words) && !message.contains("\n"), message);
    }

    private static int[] part(long[] ids, int from, int to) {
        return Arrays.stream(ids, from, to).mapToInt(Math::toIntExact).toArray();
    }

    private static double[] doubles(float[] values) {
        double[] doubles = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            doubles[i] = values[i];
        }
        return doubles;
    }

    private static void requireWithin(String what, Compute compute, double[] expected, double[] values) {
        double worst = Fixture.worst(expected, values);
        assertTrue(worst <= Tolerance.original(compute), what + " is " + worst + " away, allowed are " + Tolerance.original(compute));
    }
}
