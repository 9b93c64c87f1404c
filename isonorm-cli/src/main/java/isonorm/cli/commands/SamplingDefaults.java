package isonorm.cli.commands;

import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** What a generation_config.json asks for beside the end of a text, which transformers applies and {@code generate} leaves to its options. */
final class SamplingDefaults {

    /**
     * A key with an option that says the same, which sampling alone uses.
     *
     * @param value what transformers takes where it is not there
     * @param always whether that value does something
     */
    private record Drawing(String key, double value, boolean always) {}

    private static final List<Drawing> DRAWING = List.of(new Drawing("temperature", 1, true), new Drawing("top_k", 50, true),
            new Drawing("top_p", 1, false), new Drawing("min_p", 0, false));

    /** Keys without one, and what means that they do nothing. */
    private static final Map<String, Object> WITHOUT_OPTION = Map.ofEntries(Map.entry("no_repeat_ngram_size", 0), Map.entry("encoder_no_repeat_ngram_size", 0),
            Map.entry("typical_p", 1.0), Map.entry("epsilon_cutoff", 0.0), Map.entry("eta_cutoff", 0.0), Map.entry("encoder_repetition_penalty", 1.0),
            Map.entry("guidance_scale", 1.0), Map.entry("min_length", 0), Map.entry("min_new_tokens", 0), Map.entry("diversity_penalty", 0.0),
            Map.entry("penalty_alpha", 0.0), Map.entry("bad_words_ids", List.of()), Map.entry("suppress_tokens", List.of()),
            Map.entry("begin_suppress_tokens", List.of()), Map.entry("sequence_bias", Map.of()), Map.entry("forced_bos_token_id", ""),
            Map.entry("forced_eos_token_id", ""), Map.entry("exponential_decay_length_penalty", List.of()));

    /** Of these, what is done of itself where there is an encoder beside a decoder. */
    private static final Set<String> DONE = Set.of("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens",
            "forced_bos_token_id", "forced_eos_token_id");

    private SamplingDefaults() {}

    /**
     * One line, or none where greedy decoding is what it asks for.
     *
     * @param encodes whether it is of an encoder beside a decoder
     */
    static Optional<String> remark(Config config, boolean encodes) {
        List<String> options = new ArrayList<>();
        if (config.find("do_sample").equals(Optional.of(true))) {
            for (Drawing each : DRAWING) {
                Object value = config.find(each.key()).orElse(each.value());
                if (each.always() || !same(value, each.value())) {
                    options.add("--" + each.key().replace('_', '-') + " " + plain(value));
                }
            }
        }
        config.find("repetition_penalty").filter(value -> !same(value, 1.0)).ifPresent(value -> options.add("--repetition-penalty " + plain(value)));
        config.find("num_beams").filter(value -> !same(value, 1)).ifPresent(value -> options.add("--beams " + plain(value)));
        List<String> others = WITHOUT_OPTION.entrySet().stream()
                .filter(entry -> config.find(entry.getKey()).filter(value -> !same(value, entry.getValue())).isPresent())
                .filter(entry -> !encodes || !DONE.contains(entry.getKey())).map(Map.Entry::getKey).sorted().toList();
        if (options.isEmpty() && others.isEmpty()) {
            return Optional.empty();
        }
        return Optional.of("generation_config.json asks transformers for more than the likeliest token, and only options do here"
                + (options.isEmpty() ? "" : ": " + String.join(" ", options)) + (others.isEmpty() ? "" : "; there is none for " + String.join(", ", others)));
    }

    private static boolean same(Object one, Object other) {
        return one instanceof Number a && other instanceof Number b ? a.doubleValue() == b.doubleValue() : one.equals(other);
    }

    private static String plain(Object value) {
        return value instanceof Number number && number.doubleValue() == number.intValue() ? "" + number.intValue() : String.valueOf(value);
    }
}
