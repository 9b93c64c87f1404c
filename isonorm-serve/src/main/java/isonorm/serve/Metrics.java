package isonorm.serve;

import isonorm.generate.Batcher;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.atomic.DoubleAdder;
import java.util.concurrent.atomic.LongAdder;

/** Counts what is served, and tells of it in Prometheus' text. */
final class Metrics {

    private static final double[] BOUNDS = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}; // seconds

    /** How often something took how long. */
    private static final class Histogram {
        private final LongAdder[] buckets = new LongAdder[BOUNDS.length + 1];
        private final DoubleAdder sum = new DoubleAdder();

        Histogram() {
            Arrays.setAll(buckets, _ -> new LongAdder());
        }

        void add(double seconds) {
            int at = 0;
            while (at < BOUNDS.length && seconds > BOUNDS[at]) {
                at++;
            }
            buckets[at].increment();
            sum.add(seconds);
        }

        void write(StringBuilder into, String name, String help) {
            head(into, name, help, "histogram");
            long count = 0;
            for (int i = 0; i <= BOUNDS.length; i++) {
                count += buckets[i].sum();
                into.append(name).append("_bucket{le=\"").append(i < BOUNDS.length ? String.valueOf(BOUNDS[i]) : "+Inf").append("\"} ").append(count).append('\n');
            }
            into.append(name).append("_sum ").append(String.format(Locale.ROOT, "%.6f", sum.sum())).append('\n');
            into.append(name).append("_count ").append(count).append('\n');
        }
    }

    private final LongAdder answered = new LongAdder();
    private final LongAdder refused = new LongAdder();
    private final Histogram first = new Histogram();
    private final Histogram between = new Histogram();

    void answered(int status) {
        (status < 400 ? answered : refused).increment();
    }

    void firstToken(double seconds) {
        first.add(seconds);
    }

    void nextToken(double seconds) {
        between.add(seconds);
    }

    String text(Batcher.State state) {
        StringBuilder text = new StringBuilder();
        gauge(text, "isonorm_requests_waiting", "Requests that wait for their turn.", state.waiting());
        gauge(text, "isonorm_requests_running", "Requests that run.", state.running());
        gauge(text, "isonorm_sequences_kept", "Sequences kept for what other texts begin with.", state.kept());
        gauge(text, "isonorm_kept_tokens", "Tokens whose keys and values are kept so.", state.keptTokens());
        gauge(text, "isonorm_cache_tokens", "Tokens whose keys and values are in memory, of requests that run and of kept sequences.", state.runningTokens() + (long) state.keptTokens());
        gauge(text, "isonorm_cache_tokens_limit", "How many there may be: the context times the sequences.", state.mostTokens());
        counter(text, "isonorm_prompt_tokens_total", "Tokens of prompts that were read.", state.tokensRead());
        counter(text, "isonorm_reused_tokens_total", "Tokens of prompts that had been read before.", state.tokensReused());
        counter(text, "isonorm_generated_tokens_total", "Tokens that were generated.", state.tokensWritten());
        counter(text, "isonorm_steps_total", "Passes through the model.", state.steps());
        text.append(text());
        first.write(text, "isonorm_first_token_seconds", "From a request to its first token.");
        between.write(text, "isonorm_next_token_seconds", "From a token to the next.");
        return text.toString();
    }

    /** What is told of any model. */
    String text() {
        StringBuilder text = new StringBuilder();
        counter(text, "isonorm_answers_total", "Requests answered.", answered.sum());
        counter(text, "isonorm_refusals_total", "Requests refused.", refused.sum());
        return text.toString();
    }

    private static void gauge(StringBuilder into, String name, String help, long value) {
        head(into, name, help, "gauge");
        into.append(name).append(' ').append(value).append('\n');
    }

    private static void counter(StringBuilder into, String name, String help, long value) {
        head(into, name, help, "counter");
        into.append(name).append(' ').append(value).append('\n');
    }

    private static void head(StringBuilder into, String name, String help, String type) {
        into.append("# HELP ").append(name).append(' ').append(help).append("\n# TYPE ").append(name).append(' ').append(type).append('\n');
    }
}
