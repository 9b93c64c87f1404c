package isonorm.generate;

import isonorm.convert.LoadedModel;
import isonorm.generate.GeneratedTokens.Ending;
import isonorm.inference.Inference;
import isonorm.inference.Sequence;
import isonorm.tensor.Products;
import isonorm.text.Tokenizer;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Deque;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/**
 * Continues prompts of many threads with one model, all that run together in each step through its weights.
 *
 * <p>A prompt joins at the next step. Long ones are read in pieces between the steps of the others, shared out among all that are being read, so that
 * nobody waits for another's prompt; beside those that write, pieces are as long as a step may take by what steps took before, and longest where nobody writes. What two texts begin with is read once while there is room for it, also where they come together. Each gets
 * exactly the tokens that it would get alone, whatever runs beside it, wherever {@link Inference} gives the same logits.
 *
 * <p>A thread of its own steps; any others may {@link #submit}.
 */
public final class Batcher implements AutoCloseable {

    /** So many tokens of prompts are read in a step at most. */
    private static final int PIECE = 128;

    /** And so many of each at least while there is room, since a share of fewer is as slow. */
    private static final int LEAST = 16;

    /** Memory is got at once for so many tokens of an answer at most: most end before they are as long as they may be. */
    private static final int RECKONED = 256;

    /** A beginning of fewer tokens is read as fast as it is copied. */
    private static final int SHORTEST_BEGINNING = 16;

    /**
     * What a text is continued by.
     *
     * @param prompt the token ids, 1 to the context
     * @param maximumTokens how many tokens it gets at most, 1 or more
     * @param row with the sampling's seed, what is drawn
     * @param ends the ids that end the text
     * @param likeliest of how many of the likeliest tokens the log probabilities are told beside each token's; -1 for none at all
     * @param readsPrompt whether they are told of the prompt's tokens too
     */
    public record Request(int[] prompt, int maximumTokens, Sampling sampling, int row, Set<Long> ends, int likeliest, boolean readsPrompt) {

        public Request {
            Options.requireTokens(maximumTokens);
        }

        /** The same with other tokens as its end. */
        public Request withEnds(Set<Long> others) {
            return new Request(prompt, maximumTokens, sampling, row, others, likeliest, readsPrompt);
        }
    }

    /** What happens to a request, in order. */
    public sealed interface Event {

        /** The prompt was read; of each of its tokens but the first, how likely it was, where that was asked for. */
        record Read(List<Token> prompt) implements Event {}

        /**
         * A token came.
         *
         * @param logProbability the natural logarithm of its probability, before the sampling changes any; NaN where it was not asked for
         * @param likeliest the likeliest tokens, the likeliest first
         */
        record Token(int id, double logProbability, List<Likely> likeliest) implements Event {}

        /** No more come. */
        record End(Ending ending) implements Event {}

        /** No more come, because the model or a sampling failed. */
        record Failure(Throwable cause) implements Event {}
    }

    /** A token that could have come. */
    public record Likely(int id, double logProbability) {}

    /** A request that runs or waits; whoever lets it go early closes it. */
    public static final class Answer implements AutoCloseable {

        private final Request request;
        private final BlockingQueue<Event> events = new LinkedBlockingQueue<>();
        private volatile boolean closed;

        private Answer(Request request) {
            this.request = request;
        }

        /** The next thing that happens, waited for; nothing follows an {@link Event.End} or {@link Event.Failure}. */
        public Event next() throws InterruptedException {
            return events.take();
        }

        /** Gives the request up: it takes part in no more steps. */
        @Override
        public void close() {
            closed = true;
        }
    }

    /**
     * What an answer is as text, in whole characters, up to a stop string.
     *
     * @param text what is certain now
     * @param tokens that came since the last one, the token that ends the text among them
     * @param ending at the end, why it ended
     */
    public record Piece(String text, List<Event.Token> tokens, Optional<Ending> ending) {}

    /** An answer as text while it comes; for one thread. */
    public static final class Text implements AutoCloseable {

        private final Answer answer;
        private final Tokenizer tokenizer;
        private final StopStrings stops;
        private final List<Event.Token> tokens = new ArrayList<>();
        private List<Event.Token> prompt = List.of();
        private @Nullable Decoding decoding;

        private Text(Answer answer, Tokenizer tokenizer, List<String> stops) {
            this.answer = answer;
            this.tokenizer = tokenizer;
            this.stops = new StopStrings(stops);
        }

        /**
         * The text of an answer.
         *
         * @param stops texts at which it ends, and which are not given out
         */
        public static Text of(Answer answer, Tokenizer tokenizer, List<String> stops) {
            return new Text(answer, tokenizer, stops);
        }

        /** How likely the prompt's tokens but the first are, where that was asked for; known with the first piece. */
        public List<Event.Token> prompt() {
            return prompt;
        }

        /**
         * The next piece, waited for; none follows one with an ending.
         *
         * @throws IllegalStateException if the model failed, or the batcher was closed
         */
        public Piece next() throws IOException, InterruptedException {
            while (true) {
                switch (answer.next()) {
                    case Event.Read(List<Event.Token> read) -> prompt = read;
                    case Event.Token token -> {
                        tokens.add(token);
                        String text = answer.request.ends.contains((long) token.id) ? "" : stops.add(decoding().add(token.id));
                        if (stops.stopped()) {
                            answer.close();
                            return piece(text, Optional.of(Ending.STOP_STRING));
                        }
                        if (!text.isEmpty()) {
                            return piece(text, Optional.empty());
                        }
                    }
                    case Event.End(Ending ending) -> {
                        String text = stops.add(decoding().end());
                        return stops.stopped() ? piece(text, Optional.of(Ending.STOP_STRING)) : piece(text + stops.end(), Optional.of(ending));
                    }
                    case Event.Failure(Throwable cause) -> throw new IllegalStateException(cause.getMessage(), cause);
                }
            }
        }

        private Piece piece(String text, Optional<Ending> ending) {
            List<Event.Token> since = List.copyOf(tokens);
            tokens.clear();
            return new Piece(text, since, ending);
        }

        private Decoding decoding() throws IOException {
            if (decoding == null) {
                decoding = Decoding.behind(tokenizer, Arrays.stream(answer.request.prompt).asLongStream().toArray());
            }
            return decoding;
        }

        @Override
        public void close() {
            answer.close();
        }
    }

    /** More requests wait than may. */
    public static final class Full extends IllegalStateException {

        private static final long serialVersionUID = 1L;

        private Full(int waiting) {
            super(waiting + " requests wait already; ask again later");
        }
    }

    /**
     * What it has done so far, and does now.
     *
     * @param runningTokens whose keys and values those that run have
     * @param keptTokens and those that are kept for what other texts begin with
     * @param mostTokens and how many there may be
     */
    public record State(int waiting, int running, int kept, long tokensRead, long tokensReused, long tokensWritten, long steps, int runningTokens, int keptTokens, long mostTokens) {}

    private final Inference inference;
    private final int most;
    private final int mostWaiting;
    private final int context;
    private final Pace pace;
    private final Thread thread;
    private final Deque<Answer> waiting = new ArrayDeque<>();
    private final List<Running> running = new ArrayList<>(); // of the stepping thread alone, but for its size
    private final List<Following> following = new ArrayList<>(); // and so this
    private final Deque<Kept> kept = new ArrayDeque<>(); // the oldest first
    private long read;
    private long reused;
    private long written;
    private long steps;
    private int held;
    private boolean closing;

    private Batcher(Inference inference, int most, int mostWaiting, int context, Pace pace) {
        this.inference = inference;
        this.most = most;
        this.mostWaiting = mostWaiting;
        this.context = context;
        this.pace = pace;
        this.thread = Thread.ofPlatform().name("isonorm-batcher").daemon().unstarted(this::run);
    }

    /**
     * Begins to wait for requests.
     *
     * @param inference which the caller closes, behind this
     * @param most how many sequences there are at most, those that run and those kept for what texts begin with
     * @param mostWaiting how many requests may wait for their turn
     * @param context how many tokens a sequence may have; at most the model's
     */
    public static Batcher of(Inference inference, int most, int mostWaiting, int context) {
        return of(inference, most, mostWaiting, context, Pace.measured());
    }

    static Batcher of(Inference inference, int most, int mostWaiting, int context, Pace pace) {
        if (most < 1 || mostWaiting < 1) {
            throw new IllegalArgumentException("a sequence must run and a request wait at least, got " + most + " and " + mostWaiting);
        }
        if (context < 1 || context > inference.context()) {
            throw new IllegalArgumentException("a context must be 1 to the model's " + inference.context() + " tokens, got " + context);
        }
        Batcher batcher = new Batcher(inference, most, mostWaiting, context, pace);
        batcher.thread.start();
        return batcher;
    }

    /** The tokens that end a text of a model, as its checkpoint says. */
    public static Set<Long> endsOf(LoadedModel loaded) throws IOException {
        return EndOfText.of(loaded);
    }

    /** How many tokens a sequence may have. */
    public int context() {
        return context;
    }

    /**
     * Adds a request.
     *
     * @throws IllegalArgumentException if the prompt has no token, more than the context, or one that is not in the vocabulary
     * @throws Full if too many wait
     * @throws IllegalStateException if it was closed
     */
    public Answer submit(Request request) {
        return submit(List.of(request)).getFirst();
    }

    /** Adds several requests, or none of them. */
    public List<Answer> submit(List<Request> requests) {
        for (Request request : requests) {
            require(request.prompt);
        }
        List<Answer> answers = requests.stream().map(Answer::new).toList();
        synchronized (waiting) {
            if (closing) {
                throw new IllegalStateException("no more requests are taken");
            }
            if (!waiting.isEmpty() && waiting.size() + answers.size() > mostWaiting) {
                throw new Full(waiting.size());
            }
            waiting.addAll(answers);
            waiting.notifyAll();
        }
        return answers;
    }

    private void require(int[] prompt) {
        TokenGenerator.requireFitting(List.of(Arrays.stream(prompt).asLongStream().toArray()), context);
        for (int id : prompt) {
            if (id >= inference.vocabulary()) {
                throw new IllegalArgumentException("the prompt must consist of this model's tokens, 0 to " + (inference.vocabulary() - 1) + ", got " + id);
            }
        }
    }

    /** What it does now. */
    public State state() {
        synchronized (waiting) {
            return new State(waiting.size(), running.size() + following.size(), kept.size(), read, reused, written, steps, held,
                    kept.stream().mapToInt(each -> each.tokens.length).sum(), (long) most * context);
        }
    }

    /** Takes no more requests, and ends when those that there are have ended, or after some time. */
    public void close(Duration patience) {
        synchronized (waiting) {
            closing = true;
            waiting.notifyAll();
        }
        try {
            if (!thread.join(patience)) {
                thread.interrupt();
                thread.join();
            }
        } catch (InterruptedException e) {
            thread.interrupt();
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        close(Duration.ZERO);
    }

    // Of the stepping thread

    private void run() {
        try {
            while (await()) {
                admit();
                step();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt(); // closed before all had ended
        } finally {
            end();
        }
    }

    /** Waits for something to do; whether there is. */
    private boolean await() throws InterruptedException {
        synchronized (waiting) {
            while (waiting.isEmpty() && running.isEmpty() && following.isEmpty() && !closing) {
                waiting.wait();
            }
            if (Thread.interrupted()) {
                throw new InterruptedException();
            }
            return !(waiting.isEmpty() && running.isEmpty() && following.isEmpty());
        }
    }

    /** Begins those that have what they waited for, then those that have waited longest, as long as there is room. */
    private void admit() {
        synchronized (waiting) {
            List<Following> ready = following.stream().filter(each -> each.leader.ended || each.leader.sequence.length() >= each.common).toList();
            following.removeAll(ready);
            ready.forEach(each -> begin(each.answer));
            while (running.size() + following.size() < most && !waiting.isEmpty()) {
                Answer answer = waiting.poll();
                if (!answer.closed) {
                    begin(answer);
                }
            }
        }
    }

    private void begin(Answer answer) {
        int[] prompt = answer.request.prompt;
        if (!answer.request.readsPrompt && Products.keepsRows()) { // else what was read in other pieces is not the same to the bit
            Optional<Following> follows = follows(answer);
            if (follows.isPresent()) {
                following.add(follows.get());
                return;
            }
            Optional<Sequence> begun = begun(prompt);
            if (begun.isPresent()) {
                reused += begun.get().length();
                running.add(new Running(answer, begun.get()));
                return;
            }
        }
        room();
        running.add(new Running(answer, inference.start()));
    }

    /** What waits for another that reads what both begin with, if that is more than what somebody has read already: to read it beside that one is no faster. */
    private Optional<Following> follows(Answer answer) {
        int[] prompt = answer.request.prompt;
        int there = 0;
        for (Kept each : kept) {
            there = Math.max(there, common(each.tokens, prompt, each.tokens.length));
        }
        Optional<Following> best = Optional.empty();
        int longest = 0;
        for (Running each : running) {
            there = Math.max(there, common(each.text(), prompt, each.sequence.length()));
            int common = common(each.request.prompt, prompt, each.request.prompt.length);
            if (!each.ended && common > longest) {
                longest = common;
                best = Optional.of(new Following(answer, each, common));
            }
        }
        return longest - there >= SHORTEST_BEGINNING ? best : Optional.empty();
    }

    /** A sequence of what the prompt begins with, where one was read that begins so. */
    private Optional<Sequence> begun(int[] prompt) {
        int longest = SHORTEST_BEGINNING - 1;
        Sequence best = null;
        Kept of = null;
        for (Kept each : kept) {
            int common = common(each.tokens, prompt, each.tokens.length);
            if (common > longest) {
                longest = common;
                best = each.sequence;
                of = each;
            }
        }
        for (Running each : running) {
            int common = common(each.text(), prompt, each.sequence.length());
            if (common > longest) {
                longest = common;
                best = each.sequence;
                of = null;
            }
        }
        if (best == null) {
            return Optional.empty();
        }
        if (of != null) {
            kept.remove(of);
            if (longest == of.tokens.length) { // it goes on
                room();
                return Optional.of(best);
            }
            kept.add(of); // the newest now
        }
        Sequence copy = best.copy(longest);
        room(); // which what was copied may have to make
        return Optional.of(copy);
    }

    /** How many tokens two texts have in common, at most all but the last of the prompt, behind which the model must say something. */
    private static int common(int[] read, int[] prompt, int most) {
        int end = Math.min(Math.min(read.length, most), prompt.length - 1);
        int mismatch = Arrays.mismatch(read, 0, end, prompt, 0, end);
        return mismatch < 0 ? end : mismatch;
    }

    /** Lets go of what was kept, the oldest first, until there is room for another sequence. */
    private void room() {
        while (running.size() + following.size() + kept.size() >= most && !kept.isEmpty()) {
            kept.removeFirst().sequence.close();
        }
    }

    private void step() {
        dismiss();
        List<Running> some = new ArrayList<>();
        List<int[]> tokens = new ArrayList<>();
        List<Running> reading = running.stream().filter(each -> each.left() > 1).toList();
        int writing = (int) running.stream().filter(each -> each.left() == 1).count();
        int room = writing == 0 ? PIECE : Math.min(PIECE, pace.room(writing));
        int share = reading.isEmpty() ? 0 : Math.max(Math.min(LEAST, room), room / reading.size());
        Set<Running> served = new HashSet<>();
        for (Running each : running) {
            int count = each.left();
            if (count > 1) {
                int whole = Math.min(count, share);
                count = Math.min(whole, room);
                room -= count;
                if (count == whole) {
                    served.add(each);
                }
            }
            if (count > 0) {
                some.add(each);
                tokens.add(each.part(count));
            }
        }
        // Whoever had no whole part of this step has the first of the next.
        running.sort((a, b) -> Boolean.compare(served.contains(a), served.contains(b)));
        if (some.isEmpty()) {
            return;
        }
        try {
            long begin = System.nanoTime();
            List<float[]> logits = inference.next(some.stream().map(each -> each.sequence).toList(), tokens, some.stream().map(Running::reader).toList());
            if (writing > 0) {
                pace.took(writing, tokens.stream().mapToInt(each -> each.length).sum() - writing, System.nanoTime() - begin);
            }
            count(some, tokens); // before anybody hears of it
            for (int i = 0; i < some.size(); i++) {
                some.get(i).took(tokens.get(i).length, logits.get(i));
            }
        } catch (RuntimeException | Error e) {
            some.forEach(each -> each.end(new Event.Failure(e)));
        }
        dismiss();
    }

    private void count(List<Running> some, List<int[]> tokens) {
        synchronized (waiting) {
            steps++;
            for (int i = 0; i < some.size(); i++) {
                read += some.get(i).count == 0 ? tokens.get(i).length : 0;
                written += some.get(i).left() == 0 ? 1 : 0;
            }
        }
    }

    /** Takes out what has ended or was given up, and keeps what it read. */
    private void dismiss() {
        synchronized (waiting) {
            for (Following each : List.copyOf(following)) {
                if (each.answer.closed) {
                    following.remove(each);
                    each.answer.events.add(new Event.End(Ending.LISTENER));
                }
            }
            for (Iterator<Running> each = running.iterator(); each.hasNext(); ) {
                Running one = each.next();
                if (one.answer.closed && !one.ended) {
                    one.end(new Event.End(Ending.LISTENER));
                }
                if (one.ended) {
                    each.remove();
                    if (one.sequence.length() < SHORTEST_BEGINNING || one.failed) {
                        one.sequence.close();
                    } else {
                        kept.add(new Kept(Arrays.copyOf(one.text(), one.sequence.length()), one.sequence));
                    }
                }
            }
            while (running.size() + following.size() + kept.size() > most) {
                kept.removeFirst().sequence.close();
            }
            held = running.stream().mapToInt(each -> each.sequence.length()).sum();
        }
    }

    private void end() {
        synchronized (waiting) {
            closing = true;
            IllegalStateException closed = new IllegalStateException("it was closed before this ended");
            for (Running each : running) {
                each.end(new Event.Failure(closed));
                each.sequence.close();
            }
            following.forEach(each -> each.answer.events.add(new Event.Failure(closed)));
            waiting.forEach(each -> each.events.add(new Event.Failure(closed)));
            kept.forEach(each -> each.sequence.close());
            running.clear();
            held = 0;
            following.clear();
            waiting.clear();
            kept.clear();
        }
    }

    /** A sequence that has ended, whose beginning others may have. */
    private record Kept(int[] tokens, Sequence sequence) {}

    /** A request that begins when another has read so many tokens, which its prompt begins with too. */
    private record Following(Answer answer, Running leader, int common) {}

    /** A request that takes part in steps. */
    private final class Running {

        private final Answer answer;
        private final Request request;
        private final Sequence sequence;
        private final Sampler sampler;
        private final RandomGenerator random;
        private final BitSet seen = new BitSet();
        private final List<Event.Token> ofPrompt = new ArrayList<>();
        private int[] text;
        private int count; // of tokens that came
        private boolean ended;
        private boolean failed;

        Running(Answer answer, Sequence sequence) {
            this.answer = answer;
            this.request = answer.request;
            this.sequence = sequence;
            this.sampler = new Sampler(request.sampling);
            this.random = sampler.random(request.row);
            this.text = request.prompt.clone();
            sequence.expect(Math.min(context, request.prompt.length + Math.min(request.maximumTokens, RECKONED)));
            for (int id : request.prompt) {
                seen.set(id);
            }
        }

        int[] text() {
            return text;
        }

        private int length() {
            return request.prompt.length + count;
        }

        /** How many tokens the model has not read yet, one when it writes. */
        int left() {
            return ended ? 0 : length() - sequence.length();
        }

        int[] part(int tokens) {
            return Arrays.copyOfRange(text, sequence.length(), sequence.length() + tokens);
        }

        Inference.Reader reader() {
            int first = sequence.length();
            return !request.readsPrompt || first >= request.prompt.length ? Inference.Reader.NONE : (position, logits) -> {
                int next = first + position + 1;
                if (next < request.prompt.length) {
                    ofPrompt.add(told(request.prompt[next], logits));
                }
            };
        }

        /** Goes on from what the model says behind some tokens. */
        void took(int tokens, float[] logits) {
            if (left() > 0 || ended || tokens == 0) {
                return;
            }
            try {
                if (count == 0) {
                    answer.events.add(new Event.Read(List.copyOf(ofPrompt)));
                    ofPrompt.clear();
                }
                Event.Token token = choose(logits);
                add(token.id);
                if (request.ends.contains((long) token.id)) {
                    answer.events.add(token);
                    end(new Event.End(Ending.END_OF_TEXT));
                    return;
                }
                answer.events.add(token);
                if (count == request.maximumTokens) {
                    end(new Event.End(Ending.LENGTH));
                } else if (length() > context) { // the token that came cannot be read any more
                    end(new Event.End(Ending.CONTEXT));
                }
            } catch (RuntimeException e) { // such as logits that are no numbers
                end(new Event.Failure(e));
            }
        }

        private Event.Token choose(float[] logits) {
            int id = sampler.next(logits, seen, random);
            return request.likeliest < 0 ? new Event.Token(id, Double.NaN, List.of()) : told(id, logits);
        }

        private Event.Token told(int id, float[] logits) {
            return LogProbability.of(id, logits, Math.max(0, request.likeliest));
        }

        private void add(int id) {
            if (length() == text.length) {
                text = Arrays.copyOf(text, 2 * text.length);
            }
            text[length()] = id;
            count++;
            seen.set(id);
        }

        void end(Event event) {
            if (!ended) {
                ended = true;
                failed = event instanceof Event.Failure;
                answer.events.add(event);
            }
        }
    }

    /** How likely tokens are by logits, in float64. */
    private static final class LogProbability {

        private LogProbability() {}

        /** A token's, and those of the likeliest, of which the first of equal ones comes first. */
        static Event.Token of(int id, float[] logits, int likeliest) {
            float largest = logits[0];
            for (float logit : logits) {
                largest = Math.max(largest, logit);
            }
            double sum = 0;
            for (float logit : logits) {
                sum += Math.exp((double) logit - largest);
            }
            double shift = largest + Math.log(sum);
            return new Event.Token(id, logits[id] - shift, likeliest(logits, likeliest, shift));
        }

        private static List<Likely> likeliest(float[] logits, int count, double shift) {
            int most = Math.min(count, logits.length);
            int[] ids = new int[most];
            int found = 0;
            for (int id = 0; id < logits.length && most > 0; id++) {
                if (found == most && logits[id] <= logits[ids[most - 1]]) {
                    continue;
                }
                int at = found < most ? found++ : most - 1;
                while (at > 0 && logits[ids[at - 1]] < logits[id]) {
                    ids[at] = ids[at - 1];
                    at--;
                }
                ids[at] = id;
            }
            return Arrays.stream(ids).mapToObj(id -> new Likely(id, logits[id] - shift)).toList();
        }
    }
}
