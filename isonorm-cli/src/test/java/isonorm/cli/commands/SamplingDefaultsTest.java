package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.checkpoint.Config;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What transformers would do with a generation_config.json, as options of {@code generate}. */
class SamplingDefaultsTest {

    private static final String SAID = "generation_config.json asks transformers for more than the likeliest token, and only options do here";

    @ParameterizedTest
    @CsvSource(delimiter = '|', nullValues = "nothing", value = {
        "{'eos_token_id': 2, 'max_length': 20, 'temperature': 0.6, 'top_p': 0.9} | nothing", // greedy in transformers too
        "{'do_sample': true, 'temperature': 0.6, 'top_p': 0.9} | : --temperature 0.6 --top-k 50 --top-p 0.9",
        "{'do_sample': true, 'top_k': 20, 'top_p': 1.0, 'min_p': 0.05} | : --temperature 1 --top-k 20 --min-p 0.05",
        "{'do_sample': true} | : --temperature 1 --top-k 50",
        "{'repetition_penalty': 1.1, 'do_sample': false} | : --repetition-penalty 1.1",
        "{'repetition_penalty': 1.0, 'num_beams': 1, 'no_repeat_ngram_size': 0, 'suppress_tokens': []} | nothing",
        "{'num_beams': 4, 'no_repeat_ngram_size': 3} | : --beams 4; there is none for no_repeat_ngram_size",
        "{'do_sample': true, 'temperature': 0.7, 'suppress_tokens': [1]} | : --temperature 0.7 --top-k 50; there is none for suppress_tokens"
    })
    void whatItAsksForIsSaidAsOptions(String config, String said) {
        assertEquals(Optional.ofNullable(said).map(SAID::concat), SamplingDefaults.remark(Config.parse(config.replace('\'', '"')), false));
    }

    /** Beside an encoder, what is said of tokens is done, and only the rest is remarked on. */
    @Test
    void whatIsDoneIsNotRemarkedOn() {
        Config bart = Config.parse("{\"num_beams\": 4, \"no_repeat_ngram_size\": 3, \"forced_bos_token_id\": 0, \"min_length\": 56, \"typical_p\": 0.5}");
        assertEquals(Optional.of(SAID + ": --beams 4; there is none for typical_p"), SamplingDefaults.remark(bart, true));
    }
}
