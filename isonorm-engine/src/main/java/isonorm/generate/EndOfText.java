package isonorm.generate;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.convert.LoadedModel;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * The tokens that end a text: {@code eos_token_id} of generation_config.json, else of config.json, else of the config that a converted
 * checkpoint came from. A number or a list.
 */
final class EndOfText {

    private static final String KEY = "eos_token_id";

    private EndOfText() {}

    /** The ids, or none. */
    static Set<Long> of(LoadedModel model) throws IOException {
        Optional<Object> value = model.checkpoint().generationConfig().flatMap(config -> config.find(KEY));
        for (Config config : List.of(model.config(), model.config().object("source_config"))) {
            value = value.or(() -> config.find(KEY));
        }
        Set<Long> ids = new TreeSet<>();
        if (value.isPresent()) {
            for (Object id : value.get() instanceof List<?> list ? list : List.of(value.get())) {
                if (!(id instanceof Integer number) || number < 0) {
                    throw new CheckpointException(CheckpointException.Reason.CONFIG_UNSUPPORTED, model.checkpoint().folder()
                            + ": " + KEY + " must be a token's id or a list of them, got " + value.get());
                }
                ids.add(number.longValue());
            }
        }
        return ids;
    }
}
