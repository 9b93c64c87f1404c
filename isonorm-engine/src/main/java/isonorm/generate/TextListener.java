package isonorm.generate;

import java.io.IOException;

/** Gets the text of each row as it comes, in whole characters. What it throws ends all rows. */
@FunctionalInterface
public interface TextListener {

    /** Hears nothing. */
    TextListener NONE = (_, _) -> {};

    void text(int row, String piece) throws IOException;
}
