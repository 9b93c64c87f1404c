package isonorm.generate;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary;
import isonorm.architecture.Wiring;
import isonorm.convert.Strategies;
import isonorm.generate.Batcher.Event;
import isonorm.generate.Batcher.Request;
import isonorm.generate.GeneratedTokens.Ending;
import isonorm.inference.Inference;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.tensor.Products;
import isonorm.weights.Model;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Requests of many threads, continued together. */
class BatcherTest {

    private static final int VOCABULARY = 31;
    private static final int CONTEXT = 300;

    private static Model model() {
        Norm norm = Norm.of(NormKind.LAYER, 1e-3, Affine.GAIN_AND_BIAS);
        Attention attention = Attention.of(2, 16).withRotary(Rotary.of(16, 10_000, Rotary.Pairing.HALVES));
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention, Mlp.plain(80, Activation.GELU_TANH));
        return Strategies.random(Architecture.of("test", 32, CONTEXT, Embedding.Tokens.of(VOCABULARY, 32), List.of(block, block),
                Optional.of(norm), Output.Words.of(false)));
    }

    /** What happened to a request, to its end. */
    private record Outcome(int[] ids, List<Event.Token> prompt, List<Event.Token> tokens, Event last) {}

    private static Outcome outcome(Batcher.Answer answer) throws InterruptedException {
        List<Event.Token> prompt = List.of();
        List<Event.Token> tokens = new ArrayList<>();
        while (true) {
            switch (answer.next()) {
                case Event.Read(List<Event.Token> read) -> prompt = read;
                case Event.Token token -> tokens.add(token);
                case Event last -> {
                    return new Outcome(tokens.stream().mapToInt(Event.Token::id).toArray(), prompt, tokens, last);
                }
            }
        }
    }

    private static Request request(int[] prompt, int most) {
        return new Request(prompt, most, Sampling.greedy(), 0, Set.of(), -1, false);
    }

    private static int[] tokens(SplittableRandom random, int length) {
        return random.ints(length, 0, VOCABULARY).toArray();
    }

    private static GeneratedTokens.Row alone(Inference inference, Request request) throws IOException {
        // The row's number is part of what is drawn, so it stands behind as many others.
        List<long[]> prompts = new ArrayList<>(Collections.nCopies(request.row(), new long[] {1}));
        prompts.add(Arrays.stream(request.prompt()).asLongStream().toArray());
        return TokenGenerator.of(inference).generate(prompts, request.maximumTokens(), request.sampling(), request.ends(), (_, _) -> true).rows().getLast();
    }

    /** Of 64 requests, with what several begin with, some are long, some are drawn, some end early, and some are given up. */
    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16"})
    void eachGetsTheTokensThatItWouldGetAloneWhateverRunsBesideIt(Compute compute) throws Exception {
        assumeTrue(Products.keepsRows());
        SplittableRandom random = new SplittableRandom(5);
        int[] common = tokens(random, 90);
        List<Request> requests = new ArrayList<>();
        for (int i = 0; i < 64; i++) {
            int[] own = tokens(random, i % 9 == 0 ? 200 : 1 + random.nextInt(40));
            int[] prompt = i % 3 == 0 ? Arrays.copyOf(common, 40 + random.nextInt(50) + own.length) : own;
            if (i % 3 == 0) {
                System.arraycopy(own, 0, prompt, prompt.length - own.length, own.length);
            }
            Sampling sampling = i % 2 == 0 ? Sampling.greedy() : new Sampling(1, i % 4 == 1 ? 7 : 0, 0.95, 0, 1.1, i);
            requests.add(new Request(prompt, 1 + random.nextInt(30), sampling, i % 3, i % 5 == 0 ? Set.of(3L, 9L) : Set.of(), -1, false));
        }
        try (Inference inference = Inference.load(model(), compute, 2)) {
            List<GeneratedTokens.Row> alone = new ArrayList<>();
            for (Request request : requests) {
                alone.add(alone(inference, request));
            }
            try (Batcher batcher = Batcher.of(inference, 10, 1000, CONTEXT); ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
                List<Future<Outcome>> together = new ArrayList<>();
                for (int i = 0; i < requests.size(); i++) {
                    Request request = requests.get(i);
                    if (i % 7 == 0) {
                        threads.submit(() -> {
                            try (Batcher.Answer answer = batcher.submit(request)) {
                                return answer.next(); // and no more
                            }
                        });
                    }
                    together.add(threads.submit(() -> outcome(batcher.submit(request))));
                }
                for (int i = 0; i < requests.size(); i++) {
                    Outcome outcome = together.get(i).get();
                    String what = "request " + i + ", " + outcome.last();
                    assertArrayEquals(alone.get(i).ids(), Arrays.stream(outcome.ids()).asLongStream().toArray(), what);
                    assertEquals(new Event.End(alone.get(i).ending()), outcome.last(), what);
                }
                Batcher.State state = batcher.state();
                assertEquals(0, state.waiting(), state.toString());
                assertTrue(state.tokensReused() > 300, "what texts begin with is read once, " + state);
                assertTrue(state.running() + state.kept() <= 10, state.toString());
            }
        }
    }

    /** Rows of one prompt, prompts with one beginning, and the first of them given up before it has read that. */
    @Test
    void whatPromptsThatComeTogetherBeginWithIsReadOnce() throws Exception {
        assumeTrue(Products.keepsRows());
        SplittableRandom random = new SplittableRandom(6);
        int[] common = tokens(random, 250);
        List<Request> requests = new ArrayList<>();
        for (int row = 0; row < 4; row++) {
            requests.add(new Request(common, 6, new Sampling(1, 0, 1, 0, 1, 7), row, Set.of(), -1, row == 0));
        }
        for (int length : new int[] {210, 240, 249}) {
            int[] prompt = Arrays.copyOf(common, length + 10);
            System.arraycopy(tokens(random, 10), 0, prompt, length, 10);
            requests.add(request(prompt, 6));
        }
        try (Inference inference = Inference.load(model(), Compute.F32, 1)) {
            for (boolean givesUp : new boolean[] {false, true}) {
                try (Batcher batcher = Batcher.of(inference, 8, 16, CONTEXT)) {
                    List<Batcher.Answer> answers = batcher.submit(requests);
                    if (givesUp) {
                        answers.getFirst().close();
                    }
                    for (int i = givesUp ? 1 : 0; i < requests.size(); i++) {
                        Outcome outcome = outcome(answers.get(i));
                        assertArrayEquals(alone(inference, requests.get(i)).ids(), Arrays.stream(outcome.ids()).asLongStream().toArray(), "request " + i + ", " + outcome.last());
                    }
                    Batcher.State state = batcher.state();
                    assertTrue(state.tokensRead() < 2 * common.length, "of seven prompts with 250 tokens the beginning is read once, " + state);
                    assertEquals(0, state.running());
                }
            }
        }
    }

    @Test
    void logProbabilitiesAreThoseOfTheWholeText() throws Exception {
        int[] prompt = tokens(new SplittableRandom(8), 150);
        try (Inference inference = Inference.load(model(), Compute.F32, 1); Batcher batcher = Batcher.of(inference, 2, 4, CONTEXT)) {
            Outcome outcome = outcome(batcher.submit(new Request(prompt, 3, Sampling.greedy(), 0, Set.of(), 2, true)));
            assertEquals(prompt.length - 1, outcome.prompt().size());
            int[] all = Arrays.copyOf(prompt, prompt.length + 3);
            System.arraycopy(outcome.ids(), 0, all, prompt.length, 3);
            List<Event.Token> told = new ArrayList<>(outcome.prompt());
            told.addAll(outcome.tokens());
            try (Result result = inference.run(Batch.Tokens.of(Arrays.stream(all).asLongStream().toArray()))) {
                double[] logits = new double[VOCABULARY];
                for (int t = 0; t + 1 < all.length; t++) {
                    result.readOutput((long) t * VOCABULARY, VOCABULARY, logits);
                    double sum = Arrays.stream(logits).map(Math::exp).sum();
                    Event.Token token = told.get(t);
                    assertEquals(all[t + 1], token.id());
                    assertEquals(logits[all[t + 1]] - Math.log(sum), token.logProbability(), 1e-5, "token " + t);
                    double[] sorted = Arrays.stream(logits).sorted().toArray();
                    assertEquals(2, token.likeliest().size());
                    for (int k = 0; k < 2; k++) {
                        assertEquals(sorted[VOCABULARY - 1 - k] - Math.log(sum), token.likeliest().get(k).logProbability(), 1e-5, "likeliest " + k + " of token " + t);
                    }
                }
            }
        }
    }

    /** What one processor may read, whatever time steps take; a step waits before anybody hears of what it wrote, when so many have ended, until it is let go. */
    private record SteadyPace(int steps, AtomicInteger ended, CountDownLatch letGo) implements Pace {

        static SteadyPace waitingBehind(int steps) {
            return new SteadyPace(steps, new AtomicInteger(), new CountDownLatch(1));
        }

        @Override
        public int room(int writing) {
            return 14 + 7 * writing / 4;
        }

        @Override
        public void took(int writing, int reading, long nanoseconds) {
            if (ended.getAndIncrement() == steps) {
                try {
                    assertTrue(letGo.await(10, TimeUnit.SECONDS), "the answer comes within " + steps + " steps");
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            }
        }
    }

    /** One that reads much does not keep another waiting until it is done. */
    @Test
    void aShortPromptHasItsFirstTokenBeforeALongOneThatCameEarlier() throws Exception {
        SplittableRandom random = new SplittableRandom(2);
        SteadyPace pace = SteadyPace.waitingBehind(2);
        try (Inference inference = Inference.load(model(), Compute.F32, 1); Batcher batcher = Batcher.of(inference, 4, 4, CONTEXT, pace)) {
            List<Batcher.Answer> answers = batcher.submit(List.of(request(tokens(random, 290), 1), request(tokens(random, 5), 1), request(new int[] {1}, 9)));
            assertInstanceOf(Event.End.class, outcome(answers.get(1)).last());
            assertEquals(2, batcher.state().steps());
            pace.letGo.countDown();
            assertInstanceOf(Event.End.class, outcome(answers.get(0)).last());
            assertTrue(batcher.state().steps() >= 3, "290 tokens are read in pieces, " + batcher.state());
        }
    }

    /** The steps that a prompt of 290 tokens takes beside some that write three each, and behind them alone: 128 a step, 14 and 1.75 for each writer beside them. */
    @ParameterizedTest
    @CsvSource({"0, 3", "1, 5", "8, 5", "24, 4", "60, 3"})
    void thePromptsOfAStepAreBoundedByHowManyWrite(int writers, int steps) throws Exception {
        SplittableRandom random = new SplittableRandom(9);
        List<Request> requests = new ArrayList<>(Collections.nCopies(writers, request(new int[] {1}, 3)));
        requests.add(request(tokens(random, 290), 1));
        assertEquals(steps, stepsOf(requests), writers + " write");
    }

    /** Two are read, 21 tokens a step, beside four that write two tokens: the short one is done with the second, so that the other has 26 of its 148 tokens then, and the rest in a third. */
    @Test
    void whoeverHadACutPartOfAStepComesFirstInTheNext() throws Exception {
        SplittableRandom random = new SplittableRandom(10);
        List<Request> requests = new ArrayList<>(List.of(request(tokens(random, 148), 1), request(tokens(random, 16), 1)));
        requests.addAll(Collections.nCopies(4, request(new int[] {1}, 2)));
        assertEquals(3, stepsOf(requests));
    }

    /** Beside one that writes a step reads 15 tokens, which are fewer than the least share: the second prompt is read in the second step. */
    @Test
    void whereAStepReadsLessThanAShareThoseThatReadTakeTurns() throws Exception {
        SplittableRandom random = new SplittableRandom(11);
        SteadyPace pace = SteadyPace.waitingBehind(2);
        try (Inference inference = inference(); Batcher batcher = Batcher.of(inference, 64, 64, CONTEXT, pace)) {
            List<Batcher.Answer> answers = batcher.submit(List.of(request(tokens(random, 200), 1), request(tokens(random, 13), 1), request(new int[] {1}, 9)));
            assertInstanceOf(Event.End.class, outcome(answers.get(1)).last());
            assertEquals(2, batcher.state().steps());
            pace.letGo.countDown();
            for (int i : new int[] {0, 2}) {
                assertInstanceOf(Event.End.class, outcome(answers.get(i)).last());
            }
        }
    }

    private static long stepsOf(List<Request> requests) throws Exception {
        try (Inference inference = inference(); Batcher batcher = Batcher.of(inference, 64, 64, CONTEXT, SteadyPace.waitingBehind(-1))) {
            for (Batcher.Answer answer : batcher.submit(requests)) {
                assertInstanceOf(Event.End.class, outcome(answer).last());
            }
            return batcher.state().steps();
        }
    }

    @Test
    void theContextEndsATextAndMayBeFullFromTheBeginning() throws Exception {
        SplittableRandom random = new SplittableRandom(3);
        try (Inference inference = Inference.load(model(), Compute.F32, 1); Batcher batcher = Batcher.of(inference, 2, 4, 50)) {
            Outcome full = outcome(batcher.submit(request(tokens(random, 50), 5)));
            assertEquals(new Event.End(Ending.CONTEXT), full.last());
            assertEquals(1, full.ids().length);
            assertEquals(11, outcome(batcher.submit(request(tokens(random, 40), 50))).ids().length);
            String message = assertThrows(IllegalArgumentException.class, () -> batcher.submit(request(tokens(random, 51), 5))).getMessage();
            assertTrue(message.contains("50 tokens, got 51"), message);
        }
    }

    @Test
    void whatCannotBeContinuedIsRefusedBeforeItDisturbsOthers() {
        try (Inference inference = inference(); Batcher batcher = Batcher.of(inference, 1, 1, CONTEXT)) {
            assertThrows(IllegalArgumentException.class, () -> batcher.submit(request(new int[0], 1)));
            assertThrows(IllegalArgumentException.class, () -> batcher.submit(request(new int[] {VOCABULARY}, 1)));
            assertThrows(IllegalArgumentException.class, () -> batcher.submit(request(new int[] {-1}, 1)));
            assertThrows(IllegalArgumentException.class, () -> request(new int[] {1}, 0));
            assertThrows(IllegalArgumentException.class, () -> Batcher.of(inference, 1, 1, CONTEXT + 1));
            assertThrows(IllegalArgumentException.class, () -> Batcher.of(inference, 0, 1, CONTEXT));
        }
    }

    private static Inference inference() {
        try {
            return Inference.load(model(), Compute.F32, 1);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void aFullQueueRefusesAndAClosedOneEndsWhatWaits() throws Exception {
        SplittableRandom random = new SplittableRandom(4);
        try (Inference inference = inference()) {
            Batcher batcher = Batcher.of(inference, 1, 2, CONTEXT);
            List<Batcher.Answer> answers = new ArrayList<>();
            Batcher.Full full = null;
            for (int i = 0; i < 50 && full == null; i++) {
                try {
                    answers.add(batcher.submit(request(tokens(random, 5), 250)));
                } catch (Batcher.Full e) {
                    full = e;
                }
            }
            assertTrue(full != null && answers.size() >= 2, answers.size() + " were taken");
            batcher.close();
            List<Event> lasts = new ArrayList<>();
            for (Batcher.Answer answer : answers) {
                lasts.add(outcome(answer).last());
            }
            assertInstanceOf(Event.Failure.class, lasts.getLast());
            assertThrows(IllegalStateException.class, () -> batcher.submit(request(new int[] {1}, 1)));
        }
    }

    @Test
    void closedWithPatienceItEndsWhatRuns() throws Exception {
        try (Inference inference = inference()) {
            SteadyPace pace = SteadyPace.waitingBehind(10);
            Batcher batcher = Batcher.of(inference, 2, 4, CONTEXT, pace);
            Batcher.Answer answer = batcher.submit(request(new int[] {1, 2, 3}, 100));
            assertInstanceOf(Event.Read.class, answer.next());
            for (int i = 0; i < 10; i++) {
                assertInstanceOf(Event.Token.class, answer.next());
            }
            int tokens = batcher.state().runningTokens();
            pace.letGo.countDown();
            assertTrue(tokens >= 3 + 8 && tokens <= 3 + 10, "behind the tenth token keys and values of those before it are there, of " + tokens);
            batcher.close(Duration.ofSeconds(60));
            assertEquals(90, outcome(answer).ids().length);
            assertEquals(0, batcher.state().runningTokens());
        }
    }
}
