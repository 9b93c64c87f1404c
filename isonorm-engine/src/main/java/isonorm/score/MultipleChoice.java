package isonorm.score;

import isonorm.checkpoint.Config;
import isonorm.convert.LoadedModel;
import isonorm.fused.FusedModel;
import isonorm.layer.Chunks;
import isonorm.layer.Observer;
import isonorm.layer.Runner;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.text.BeginningToken;
import isonorm.text.Tokenizer;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.IntPredicate;
import java.util.function.IntToLongFunction;
import java.util.stream.IntStream;

/**
 * Asks a model multiple-choice questions, as lm-evaluation-harness does: how likely is each choice behind the context?
 *
 * <p>Spaces at the end of the context count as the choice's. The tokens of a choice are those of both together behind as many as
 * the context alone has. In front of the context stands what the tokenizer begins a text with, unless another {@link BeginningToken} is asked for. Where
 * there is neither this nor a context, {@code bos_token_id} of the config stands for it, else {@code eos_token_id}. No other special token is
 * added. Of what is longer than the model's context, the left is cut.
 *
 * <p>Rows of similar length are run together, the longest first, in chunks whose outputs fit the memory. A shorter row is filled up
 * on the right with token 0, which no token before sees.
 */
public final class MultipleChoice {

    private final LoadedModel model;
    private final String delimiter;
    private final BeginningToken beginning;
    private final Compute compute;
    private final int room;

    private MultipleChoice(LoadedModel model, String delimiter, BeginningToken beginning, Compute compute) {
        this.model = model;
        this.beginning = beginning;
        this.delimiter = delimiter;
        this.compute = compute;
        this.room = Model.of(model.model()).architecture().longestSequence();
    }

    /** A model of which some blocks run; whoever has the model closes it. */
    private record Partly(Runner model, IntPredicate some) implements Runner {

        @Override
        public List<Result> run(List<Batch> batches, Progress progress) throws IOException {
            return Runner.each(batches, batch -> model.run(batch, some), progress);
        }

        @Override
        public Result run(Batch batch, IntPredicate other) throws IOException {
            return model.run(batch, some.and(other));
        }

        @Override
        public void observe(Batch batch, Observer observer, Observer companion) throws IOException {
            model.observe(batch, observer, companion);
        }

        @Override
        public int together(int length) {
            return model.together(length);
        }

        @Override
        public void close() {}
    }

    /** What one choice asks: the tokens to run, and those to predict behind the last of them and before. */
    private record Request(int question, int choice, long[] ids, long[] predicted) {

        /** The token to predict behind a position, or {@link TokenizedText#NONE}. */
        long target(int position) {
            int first = ids.length - predicted.length;
            return position < first || position >= ids.length ? TokenizedText.NONE : predicted[position - first];
        }
    }

    /**
     * Computes how likely each choice of each question is.
     *
     * @param delimiter what stands between context and choice and is predicted with the choice: nothing, or one space for the tasks
     *     of lm-evaluation-harness
     * @throws IOException if the checkpoint has no tokenizer that can be read, or a choice no token
     * @throws IllegalArgumentException if the model cannot predict tokens, see {@link Verification#requirePrediction}; if a
     *     context is empty and the config names no token to begin a text with; if a choice alone is longer than the model's context
     */
    public static List<Answered> answer(LoadedModel model, List<Question> questions, String delimiter, Compute compute, Progress progress)
            throws IOException {
        return answer(model, questions, delimiter, BeginningToken.AUTO, compute, progress);
    }

    /** The same with another decision on the token that begins a text. */
    public static List<Answered> answer(
            LoadedModel model, List<Question> questions, String delimiter, BeginningToken beginning, Compute compute, Progress progress)
            throws IOException {
        return answer(model, questions, delimiter, beginning, compute, List.of(_ -> true), progress).getFirst();
    }

    /**
     * The same of some blocks of the model alone, as if the stream had passed the others by: all answers for each of several such parts. The model is loaded once.
     *
     * @param parts whether a part has the block of a number
     */
    public static List<List<Answered>> answer(LoadedModel model, List<Question> questions, String delimiter, BeginningToken beginning, Compute compute,
            List<IntPredicate> parts, Progress progress) throws IOException {
        MultipleChoice asked = new MultipleChoice(model, delimiter, beginning, compute);
        Verification.requirePrediction(model.model(), asked.room);
        List<Request> requests = asked.requests(questions);
        requests.sort(Comparator.comparingInt((Request request) -> request.ids().length).reversed());
        List<List<Answered>> all = new ArrayList<>();
        try (Runner runner = FusedModel.orLayers(Model.of(model.model()), compute)) {
            for (int part = 0; part < parts.size(); part++) {
                Runner some = parts.size() == 1 ? runner : new Partly(runner, parts.get(part));
                double[][] sums = asked.sums(requests, questions, some, Chunks.part(progress, part, parts.size()));
                all.add(IntStream.range(0, sums.length).mapToObj(q -> new Answered(questions.get(q), Arrays.stream(sums[q]).boxed().toList())).toList());
            }
        }
        return all;
    }

    private List<Request> requests(List<Question> questions) throws IOException {
        List<Request> requests = new ArrayList<>();
        try (Tokenizer tokenizer = Tokenizer.open(model.checkpoint().folder().resolve("tokenizer.json"))) {
            long[] first = tokenizer.beginning(beginning);
            for (int q = 0; q < questions.size(); q++) {
                Question question = questions.get(q);
                String context = stripped(question.context());
                long[] before = Tokenizer.begun(first, tokenizer.ids(context));
                for (int c = 0; c < question.choices().size(); c++) {
                    long[] all = Tokenizer.begun(first, tokenizer.ids(question.context() + delimiter + question.choices().get(c)));
                    requests.add(request(q, c, question.where(), before, all));
                }
            }
        }
        return requests;
    }

    /** Without what Python takes for spaces at the end. */
    private static String stripped(String text) {
        int end = text.length();
        while (end > 0 && isSpace(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(0, end);
    }

    private static boolean isSpace(char c) {
        return Character.isWhitespace(c) || Character.isSpaceChar(c) || c == '\u0085';
    }

    /** A request for the last of the tokens, those behind as many as stand before. */
    private Request request(int question, int choice, String where, long[] before, long[] tokens) throws IOException {
        long[] all = tokens;
        int known = before.length;
        if (known == 0) {
            long first = first(where);
            if (all.length == 0 || all[0] != first) {
                all = new long[tokens.length + 1];
                all[0] = first;
                System.arraycopy(tokens, 0, all, 1, tokens.length);
            }
            known = 1;
        }
        if (known >= all.length) {
            throw new IOException(where + ": choice " + choice + " adds no token to the context");
        }
        long[] predicted = Arrays.copyOfRange(all, known, all.length);
        if (predicted.length > room) {
            throw new IllegalArgumentException(where + ": choice " + choice + " has " + predicted.length
                    + " tokens, more than the model's context of " + room);
        }
        return new Request(question, choice, Arrays.copyOfRange(all, Math.max(0, all.length - 1 - room), all.length - 1), predicted);
    }

    /** The token that begins a text. */
    private long first(String where) {
        Config config = model.config();
        Optional<Object> id = config.find("bos_token_id").or(() -> config.find("eos_token_id"))
                .map(value -> value instanceof List<?> list && !list.isEmpty() ? list.getFirst() : value);
        return id.filter(Integer.class::isInstance).map(number -> ((Integer) number).longValue()).orElseThrow(() -> new IllegalArgumentException(where
                + ": the context is empty, and config.json has no bos_token_id or eos_token_id to stand for it; give a context"));
    }

    /** The log likelihood of each choice of each question. */
    private double[][] sums(List<Request> requests, List<Question> questions, Runner runner, Progress progress) throws IOException {
        double[][] sums = new double[questions.size()][];
        Arrays.setAll(sums, q -> new double[questions.get(q).choices().size()]);
        Model runs = Model.of(model.model());
        List<List<Batch>> chunks = Chunks.of(rows(requests), runs.architecture(), compute);
        int first = 0;
        for (int c = 0; c < chunks.size(); c++) {
            Targets targets = new Targets(requests, first);
            List<double[]> all = Chunks.logProbabilities(runner, chunks.get(c), targets::of, Chunks.part(progress, c, chunks.size()));
            for (int b = 0; b < all.size(); b++) {
                Batch.Tokens batch = (Batch.Tokens) chunks.get(c).get(b);
                for (int r = 0; r < batch.count(); r++, first++) {
                    Request request = requests.get(first);
                    int from = r * batch.length();
                    sums[request.question()][request.choice()] = Arrays.stream(all.get(b), from, from + batch.length()).sum();
                }
            }
        }
        return sums;
    }

    /** Batches of one row each; as many as run together are filled up to the longest, which is the first. */
    private static List<Batch> rows(List<Request> requests) {
        List<Batch> rows = new ArrayList<>();
        for (int r = 0; r < requests.size(); r++) {
            int longest = requests.get(r - r % Chunks.ROWS_A_BATCH).ids().length;
            rows.add(Batch.Tokens.of(Arrays.copyOf(requests.get(r).ids(), longest)));
        }
        return rows;
    }

    /** What the requests from one on want predicted, batch after batch. */
    private static final class Targets {
        private final List<Request> requests;
        private int next;

        Targets(List<Request> requests, int first) {
            this.requests = requests;
            this.next = first;
        }

        IntToLongFunction of(Batch batch) {
            Batch.Tokens tokens = (Batch.Tokens) batch;
            int first = next;
            next += tokens.count();
            return position -> requests.get(first + position / tokens.length()).target(position % tokens.length());
        }
    }
}
