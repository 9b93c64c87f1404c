package isonorm;

import java.io.IOException;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * A test that is run as this machine is and again as if it were others: with AVX2 alone, without it, and with short vectors and no native
 * library. Everything in the packages of kernels and products is.
 */
@Target({ElementType.TYPE, ElementType.METHOD})
@Retention(RetentionPolicy.RUNTIME)
@Tag("every-processor")
@ExtendWith(EveryProcessor.NotTwice.class)
public @interface EveryProcessor {

    /** A processor with AVX2 alone need not be played where this machine's is one: what runs as it is has been run so. */
    final class NotTwice implements ExecutionCondition {

        private static final boolean TWICE = Played.AVX2.equals(Played.PROCESSOR) && flags().contains(" avx2 ") && !flags().contains(" avx512f ");

        private static String flags() {
            try {
                return Files.readString(Path.of("/proc/cpuinfo")).lines().filter(line -> line.startsWith("flags")).findFirst().orElse("") + " ";
            } catch (IOException e) { // not Linux
                return "";
            }
        }

        @Override
        public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
            return TWICE ? ConditionEvaluationResult.disabled("this machine has AVX2 alone") : ConditionEvaluationResult.enabled("");
        }
    }
}
