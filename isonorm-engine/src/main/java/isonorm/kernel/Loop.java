package isonorm.kernel;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;

/**
 * A loop over vectors that is compiled by itself, wherever it is called from.
 *
 * <p>HotSpot stops inlining at some 18000 nodes in one compilation, and an operation on vectors takes hundreds of them until it
 * has become an instruction. Past that point operations stay calls, and their vectors objects: a kernel then runs five times
 * slower. So no compilation should see more than some fifty operations. A method handle that is no constant is a call through which
 * nothing is inlined, and one call a row costs little.
 */
final class Loop<T> {

    /** What is done on something, with a number; it can give one back. */
    @FunctionalInterface
    interface Body<T> {
        float run(T on, int number);
    }

    private static final MethodType TYPE = MethodType.methodType(float.class, Object.class, int.class);

    /** In an array: what a final field holds counts as a constant. */
    private final MethodHandle[] body;

    private Loop(MethodHandle body) {
        this.body = new MethodHandle[] {body};
    }

    static <T> Loop<T> of(Body<T> body) {
        try {
            return new Loop<>(MethodHandles.lookup().bind(body, "run", TYPE));
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }

    float run(T on, int number) {
        try {
            return (float) body[0].invokeExact((Object) on, number);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e); // a body declares none
        }
    }
}
