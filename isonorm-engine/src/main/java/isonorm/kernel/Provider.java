package isonorm.kernel;

import isonorm.weights.VectorSupport;

/** The implementation of {@link Kernels} for this JVM and the reason for it. */
record Provider(Kernels kernels, String reason) {

    static final Kernels PLAIN = new PlainKernels();
    static final Gradients PLAIN_GRADIENTS = new PlainGradients();
    static final Gradients VECTOR_GRADIENTS = new VectorGradients();

    static final Provider CHOSEN = choose(System.getProperty("isonorm.kernels", "vector"));

    /**
     * The vector kernels, unless something speaks against them.
     *
     * @param wish {@code vector} or {@code plain}
     */
    static Provider choose(String wish) {
        if (!wish.equals("vector") && !wish.equals("plain")) {
            throw new IllegalArgumentException("isonorm.kernels must be vector or plain, got " + wish);
        }
        if (wish.equals("plain")) {
            return plain("isonorm.kernels asks for them");
        }
        if (VectorSupport.obstacle().isPresent()) {
            return plain(VectorSupport.obstacle().get());
        }
        int bits = VectorKernels.bits();
        return bits < 128
                ? plain("vectors have " + bits + " bits here, 128 are needed")
                : new Provider(new VectorKernels(), "vector kernels: vectors have " + bits + " bits");
    }

    private static Provider plain(String reason) {
        return new Provider(PLAIN, "plain kernels: " + reason);
    }
}
