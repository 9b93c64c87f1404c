package isonorm.generate;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;

/**
 * The tokens that continue each of several prompts.
 *
 * @param reading how long the prompts took, and with them the first token of each row
 * @param writing how long all other tokens took
 */
public record GeneratedTokens(List<Row> rows, Duration reading, Duration writing) {

    /** Why a row was not continued. */
    public enum Ending {
        /** The model gave the token that ends a text. */
        END_OF_TEXT,
        /** The text came to a stop string. */
        STOP_STRING,
        /** As many tokens as were asked for. */
        LENGTH,
        /** The model's context is full. */
        CONTEXT,
        /** The listener wanted no more tokens. */
        LISTENER
    }

    /**
     * One row.
     *
     * @param prompt how many tokens the prompt had
     * @param ids the tokens behind the prompt, with the one that ended the text, if one did
     */
    public record Row(int prompt, long[] ids, Ending ending) {

        @Override
        public String toString() {
            return Arrays.toString(ids) + " behind " + prompt + ", " + ending;
        }
    }

    /** How many tokens all prompts had. */
    public long read() {
        return rows.stream().mapToLong(Row::prompt).sum();
    }

    /** How many tokens were generated. */
    public long written() {
        return rows.stream().mapToLong(row -> row.ids().length).sum();
    }
}
