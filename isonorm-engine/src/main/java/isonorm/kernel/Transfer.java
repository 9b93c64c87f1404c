package isonorm.kernel;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;

/** A loop between memory and an array, compiled by itself for the reason that {@link Loop} has. */
final class Transfer {

    /** What is done with n values at an address and in an array. */
    @FunctionalInterface
    interface Body {
        void run(long address, int n, float[] array);
    }

    private static final MethodType TYPE = MethodType.methodType(void.class, long.class, int.class, float[].class);

    /** In an array: what a final field holds counts as a constant. */
    private final MethodHandle[] body;

    private Transfer(MethodHandle body) {
        this.body = new MethodHandle[] {body};
    }

    static Transfer of(Body body) {
        try {
            return new Transfer(MethodHandles.lookup().bind(body, "run", TYPE));
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }

    void run(long address, int n, float[] array) {
        try {
            body[0].invokeExact(address, n, array);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e); // a body declares none
        }
    }
}
