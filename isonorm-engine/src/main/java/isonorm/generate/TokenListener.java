package isonorm.generate;

import isonorm.generate.GeneratedTokens.Ending;
import java.io.IOException;

/** Gets each token as it comes. What it throws ends all rows. */
@FunctionalInterface
interface TokenListener {

    /**
     * A token that continues a row; not the one that ends a text.
     *
     * @return whether the row goes on
     */
    boolean token(int row, long id) throws IOException;

    /** The row got its last token. */
    default void ended(int row, Ending ending) throws IOException {}
}
