package isonorm;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.Tag;

/**
 * A test that is run as this machine is and again as if it were others: with AVX2 alone, without it, and with short vectors and no native
 * library. Everything in the packages of kernels and products is.
 */
@Target({ElementType.TYPE, ElementType.METHOD})
@Retention(RetentionPolicy.RUNTIME)
@Tag("every-processor")
public @interface EveryProcessor {}
