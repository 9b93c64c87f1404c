package isonorm.kernel;

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
        if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
            return plain("the Vector API is missing; add --add-modules=jdk.incubator.vector to java's options");
        }
        // Without the optimizing compiler every vector operation is a call and an allocation.
        if (!System.getProperty("java.vm.name", "").contains("Server VM") || System.getProperty("java.vm.info", "").contains("interpreted")) {
            return plain("this JVM has no optimizing compiler: " + System.getProperty("java.vm.name") + ", " + System.getProperty("java.vm.info"));
        }
        int bits = VectorKernels.bits();
        if (bits < 128) {
            return plain("vectors have " + bits + " bits here, 128 are needed");
        }
        return new Provider(new VectorKernels(), "vector kernels: vectors have " + bits + " bits");
    }

    private static Provider plain(String reason) {
        return new Provider(PLAIN, "plain kernels: " + reason);
    }
}
