package isonorm.words;

import java.nio.BufferOverflowException;
import java.nio.BufferUnderflowException;
import java.util.NoSuchElementException;

/** What a library says of a file that it cannot read, which throws what it likes at damaged ones. */
public final class LibraryFault {

    private LibraryFault() {}

    /** Its words, or others where it only stumbled: what Java says of a null or an index tells nothing of a file. */
    public static String of(Throwable thrown, String otherwise) {
        return switch (thrown) {
            case NullPointerException _, IndexOutOfBoundsException _, NegativeArraySizeException _, ClassCastException _, ArithmeticException _,
                    ArrayStoreException _, NumberFormatException _, NoSuchElementException _, BufferUnderflowException _, BufferOverflowException _,
                    StackOverflowError _ -> otherwise;
            default -> thrown.getMessage() == null || thrown.getMessage().isBlank() ? otherwise : thrown.getMessage().lines().findFirst().orElse(otherwise);
        };
    }
}
