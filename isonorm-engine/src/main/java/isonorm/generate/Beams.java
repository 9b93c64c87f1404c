package isonorm.generate;

import isonorm.convert.LoadedModel;
import java.io.IOException;

/**
 * How many texts are followed together, and how those that ended are compared: by the sum of their tokens' logarithms of probabilities, divided by
 * {@code tokens^lengthPenalty}, as Hugging Face transformers has it.
 *
 * @param stopping when a row is done
 */
record Beams(int count, double lengthPenalty, Stopping stopping) {

    /** When a row is done. */
    enum Stopping {
        /** Once as many texts as there are beams have ended. */
        FIRST,
        /** Once none that goes on would be better, were it to end as it is. */
        HEURISTIC,
        /** Once none that goes on can become better. */
        NEVER
    }

    /** One text, the likeliest token at a time. */
    static final Beams NONE = new Beams(1, 1, Stopping.HEURISTIC);

    /** As a checkpoint's generation_config.json wants them compared. */
    static Beams of(int count, LoadedModel model) throws IOException {
        Constraints.Keys keys = Constraints.Keys.of(model);
        Object early = keys.find("early_stopping").orElse(false);
        if (!(early instanceof Boolean) && !early.equals("never")) {
            throw keys.wrong("early_stopping", "true, false or \"never\"", early);
        }
        return new Beams(count, keys.number("length_penalty", 1),
                early.equals(true) ? Stopping.FIRST : early.equals(false) ? Stopping.HEURISTIC : Stopping.NEVER);
    }
}
